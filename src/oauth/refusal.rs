//! What identity providers refuse, and what an admin can do about it: a table. Pure.
//!
//! What happens next is decided by `error` and the HTTP status alone; numbers and texts change (Microsoft says so), and
//! only choose the words, with one exception (`loop`). docs/oauth.md has the table.

use std::time::Duration;

use serde_json::Value;

use crate::failure::{Failure, Kind};

/// Characters of a provider's own words.
const WORDS_LIMIT: usize = 300;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A person has to sign in again. Nobody is asked before that.
    SignIn,
    /// A person has to change something, here or at the provider. It is tried again every few hours.
    Mend,
    /// It may pass. It is tried again, more and more seldom.
    Wait,
    /// The person has not signed in yet: only while a device code is polled.
    Poll,
}

/// A sort of refusal.
#[derive(Debug)]
pub struct Entry {
    /// Ours, and stable: as `oauth status --json` has it.
    pub code: &'static str,
    /// What the provider says: `error`, or a detail of it (Microsoft's AADSTS number, Google's subtype). What is no such
    /// word stands in brackets, for people.
    pub said: &'static [&'static str],
    pub meaning: &'static str,
    pub advice: &'static str,
}

const fn entry(
    code: &'static str,
    said: &'static [&'static str],
    meaning: &'static str,
    advice: &'static str,
) -> Entry {
    Entry { code, said, meaning, advice }
}

/// A detail counts before `error`.
pub const TABLE: &[Entry] = &[
    entry(
        "expired",
        &["700082", "70008", "700084"],
        "the refresh token has ended: it was not used for too long, or its life is a fixed one",
        "Sign in again: `maildesk oauth login TARGET`. If it ended within a day, the application is registered as a \
         single-page application: register its redirect URL under \"Mobile and desktop applications\" instead.",
    ),
    entry(
        "revoked",
        &["50173", "50089"],
        "the grant was revoked: by the user, by an admin, or by a reset of the password",
        "Find out who has done so and why; then sign in again: `maildesk oauth login TARGET`.",
    ),
    entry(
        "sign_in_frequency",
        &["70043", "70044"],
        "a policy of the directory has people sign in anew every so often",
        "Have an admin of the directory leave this account out of \"sign-in frequency\" (Conditional Access), or use an \
         application permission (`--flow client_credentials`); then sign in again: `maildesk oauth login TARGET`.",
    ),
    entry(
        "reauth_policy",
        &["invalid_rapt", "rapt_required"],
        "a policy of the Workspace has people sign in anew every so often",
        "Have an admin of the Workspace trust this application under \"Google Cloud session control\"; then sign in again: \
         `maildesk oauth login TARGET`.",
    ),
    entry(
        "mfa_required",
        &["50076", "50079", "50072", "50074"],
        "the provider wants a second factor",
        "Sign in again, with the second factor: `maildesk oauth login TARGET`.",
    ),
    entry(
        "conditional_access",
        &["53003", "53000", "53001", "530003", "50105"],
        "a policy of the directory (Conditional Access, or who may use the application) does not let this user in",
        "Have an admin of the directory look into the user's sign-in log, and allow this user and this machine's address; \
         then sign in again: `maildesk oauth login TARGET`.",
    ),
    entry(
        "no_consent",
        &["65001", "65004", "consent_required", "90094", "admin_policy_enforced"],
        "nobody has allowed the application what it asks for",
        "Have an admin of the directory grant consent to the application's permissions, and sign in again: \
         `maildesk oauth login TARGET`.",
    ),
    entry(
        "user_disabled",
        &["50057", "50034", "50053", "50055"],
        "the user is disabled, locked or unknown, or the password has run out",
        "Have an admin of the directory look at the user; then sign in again: `maildesk oauth login TARGET`.",
    ),
    entry(
        "code_spent",
        &["54005"],
        "the code of this sign-in was used already",
        "Begin the sign-in anew: `maildesk oauth login TARGET`.",
    ),
    entry(
        "secret_expired",
        &["7000222"],
        "the client secret has ended",
        "Make a new client secret at the provider, put it into `client_secret_file` with its day in `client_secret_until`, \
         and restart; or sign in again with `--client-secret-file`. The grant itself still holds.",
    ),
    entry(
        "secret_missing",
        &["7000218"],
        "the provider wants a client secret, and none is given",
        "Give `client_secret_file`; or, for a public client, set \"Allow public client flows\" of the registration to yes.",
    ),
    entry(
        "secret_wrong",
        &["7000215", "7000216", "invalid_client"],
        "the provider does not take client id and client secret",
        "Compare `client_id` with the provider's page, and give the secret's value (not its id) in `client_secret_file`.",
    ),
    entry(
        "wrong_tenant",
        &["90002", "900023", "50020", "50194"],
        "the directory (tenant) is not known, or the user belongs to another one",
        "Compare `tenant` with the directory id on the registration's overview page; the user has to belong to it.",
    ),
    entry(
        "wrong_client",
        &["700016", "unauthorized_client", "deleted_client", "disabled_client", "org_internal"],
        "the application is not known in this directory, or may not do this",
        "Compare `client_id` and `tenant` with the registration's overview page, and whether the registration allows this \
         way of signing in.",
    ),
    entry(
        "wrong_scope",
        &["70011", "28002", "28000", "invalid_scope"],
        "the provider does not know a scope that is asked for, or they do not go together",
        "Correct `scopes`: those of one service only (for Microsoft they begin with https://outlook.office.com/, with \
         client_credentials it is https://outlook.office365.com/.default).",
    ),
    entry(
        "wrong_redirect",
        &["50011", "redirect_uri_mismatch"],
        "the redirect URL is not one of those registered",
        "Register the redirect URL that is shown, or give the registered one as `redirect_url`.",
    ),
    entry(
        "loop",
        &["50196"],
        "the provider has had too many requests for the same token",
        "maildesk waits. If it comes again, find what else signs in with this application, and report it.",
    ),
    // Below, what `error` alone says.
    entry(
        "waiting_for_person",
        &["authorization_pending", "slow_down"],
        "nobody has entered the code yet",
        "Open the page that is shown, and enter the code.",
    ),
    entry(
        "declined",
        &["access_denied", "authorization_declined"],
        "the sign-in was declined",
        "Begin the sign-in anew, and accept what the application asks for: `maildesk oauth login TARGET`.",
    ),
    entry(
        "code_expired",
        &["expired_token", "bad_verification_code", "code_expired"],
        "the code was not entered in time",
        "Begin the sign-in anew: `maildesk oauth login TARGET`.",
    ),
    entry(
        "lost_answer",
        &["(invalid_grant, after an answer was lost)"],
        "an answer of the provider was lost on its way or by a crash, and it takes the token before that no more",
        "Sign in again: `maildesk oauth login TARGET`. If the provider has a grace for refresh tokens, switch it on: then \
         this heals itself.",
    ),
    entry(
        "revoked_or_expired",
        &["invalid_grant", "70000"],
        "the grant has ended: revoked, expired, replaced, or the password was changed",
        "Sign in again: `maildesk oauth login TARGET`. A Google application in status \"Testing\" ends every grant after 7 \
         days: publish it.",
    ),
    entry(
        "sign_in_needed",
        &["interaction_required", "login_required"],
        "the provider wants to see a person",
        "Sign in again: `maildesk oauth login TARGET`.",
    ),
    entry(
        "not_allowed",
        &["unsupported_grant_type", "unsupported_response_type"],
        "the provider does not have this way of signing in",
        "Choose another one with `--flow`: code, device or client_credentials.",
    ),
    entry(
        "bad_request",
        &["invalid_request"],
        "the provider takes the request for an error",
        "Compare all of `[[oauth_provider]]` with the registration; if it is right, please report it with the words.",
    ),
    entry(
        "throttled",
        &["(HTTP 429)", "rate_limit_exceeded"],
        "the provider limits requests",
        "maildesk waits as long as the provider asks for. If it lasts, find what else signs in with this application.",
    ),
    entry(
        "unavailable",
        &["(HTTP 5xx)", "temporarily_unavailable", "server_error"],
        "the provider says that it cannot now",
        "Wait; if it lasts, look at the provider's status page.",
    ),
    entry(
        "no_answer",
        &["(no answer)"],
        "the provider cannot be reached, or gives no answer in time",
        "Check this machine's network and DNS, and proxies and firewalls on the way.",
    ),
    entry(
        "not_json",
        &["(HTML or other text)"],
        "what answers is no identity provider: it sends a page or text instead of JSON",
        "Check `token_url`, and whether a proxy or a captive portal on the way answers instead.",
    ),
    entry(
        "other",
        &["(anything else)"],
        "the provider refuses, with a word that maildesk does not know",
        "The provider's words say why; please report it with them if they do not help.",
    ),
];

/// The entry of a code of ours.
pub fn of_code(code: &str) -> &'static Entry {
    let found = TABLE.iter().find(|entry| entry.code == code);
    found.unwrap_or(&TABLE[TABLE.len() - 1])
}

/// What a provider has refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub entry: &'static Entry,
    pub next: Next,
    /// `error`, as it was said; empty where there is none.
    pub error: String,
    /// The provider's own words, in one line, without secrets.
    pub words: String,
    pub retry_after: Option<Duration>,
    /// The provider has refused, or was never reached: whatever was presented is as good as before.
    pub is_settled: bool,
}

impl Refusal {
    pub fn new(code: &str, next: Next, words: impl Into<String>) -> Refusal {
        Refusal {
            entry: of_code(code),
            next,
            error: String::new(),
            words: one_line(&words.into()),
            retry_after: None,
            is_settled: false,
        }
    }

    /// No token of this grant helps any more.
    pub fn is_invalid_grant(&self) -> bool {
        self.error == "invalid_grant"
    }

    /// Meaning, and the provider's words in brackets.
    pub fn told(&self) -> String {
        match self.words.as_str() {
            "" => self.entry.meaning.to_owned(),
            words => format!("{} ({words})", self.entry.meaning),
        }
    }

    /// Takes what must not be read by others out of the words.
    pub fn without(mut self, secrets: &[&str]) -> Refusal {
        for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
            self.words = self.words.replace(secret, "***");
        }
        self
    }

    pub fn kind(&self) -> Kind {
        match (self.next, self.entry.code) {
            (Next::SignIn | Next::Mend, _) => Kind::Grant,
            (_, "throttled" | "loop") => Kind::Throttled,
            (_, "no_answer") => Kind::Unreachable,
            (_, "not_json") => Kind::Garbage,
            _ => Kind::Unavailable,
        }
    }

    /// In words of the house, with what to do. `target` as a command names it.
    pub fn failure(&self, target: &str) -> Failure {
        let words = format!("{}; {}", self.told(), advice(self.entry, target));
        let failure = match self.next {
            Next::SignIn | Next::Mend => Failure::permanent(words),
            Next::Wait | Next::Poll => Failure::temporary(words),
        };
        Failure { retry_after: self.retry_after, ..failure.kind(self.kind()) }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.told())
    }
}

impl std::error::Error for Refusal {}

/// What to do, with the command for this very target.
pub fn advice(entry: &Entry, target: &str) -> String {
    entry.advice.replace("TARGET", target)
}

/// Whether an answer is one to go on with.
pub fn judge(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Result<Value, Refusal> {
    let json = serde_json::from_slice::<Value>(body).ok().filter(Value::is_object);
    let wait = |code: &str, words: String| Refusal { retry_after, ..Refusal::new(code, Next::Wait, words) };
    let Some(json) = json else {
        return Err(match status {
            429 => Refusal { is_settled: true, ..wait("throttled", format!("HTTP {status}")) },
            500.. => wait("unavailable", format!("HTTP {status}")),
            _ => wait("not_json", format!("HTTP {status}, {} bytes that are no JSON", body.len())),
        });
    };
    let (error, description) = said(&json);
    if error.is_empty() {
        return match status {
            200..300 => Ok(json),
            429 => Err(Refusal { is_settled: true, ..wait("throttled", format!("HTTP {status}")) }),
            500.. => Err(wait("unavailable", format!("HTTP {status}"))),
            _ => Err(Refusal { is_settled: true, ..wait("other", format!("HTTP {status}")) }),
        };
    }
    let details = details(&json);
    let by = |word: &str| TABLE.iter().find(|entry| entry.said.contains(&word));
    let known = details.iter().find_map(|detail| by(detail)).or_else(|| by(&error));
    // Microsoft says invalid_grant of it, too. It is the one number that decides: to ask again, seldom, does no harm.
    let is_loop = known.is_some_and(|entry| entry.code == "loop");
    let next = match (status, error.as_str()) {
        (429 | 500.., _) => Next::Wait,
        _ if is_loop => Next::Wait,
        (_, "invalid_grant" | "interaction_required" | "consent_required" | "login_required") => Next::SignIn,
        (_, "access_denied" | "authorization_declined" | "expired_token" | "bad_verification_code") => {
            Next::SignIn
        }
        (_, "authorization_pending" | "slow_down") => Next::Poll,
        (
            _,
            "invalid_client"
            | "unauthorized_client"
            | "invalid_scope"
            | "invalid_request"
            | "unsupported_grant_type"
            | "unsupported_response_type"
            | "redirect_uri_mismatch"
            | "deleted_client"
            | "disabled_client"
            | "org_internal"
            | "admin_policy_enforced",
        ) => Next::Mend,
        _ => Next::Wait,
    };
    let entry = match status {
        429 => of_code("throttled"),
        500.. => of_code("unavailable"),
        _ => known.unwrap_or(of_code("other")),
    };
    // Microsoft adds lines with ids of the request, which say nothing to an admin.
    let description = description.lines().next().unwrap_or_default();
    let words = if description.is_empty() { error.clone() } else { format!("{error}: {description}") };
    Err(Refusal { entry, next, error, words: one_line(&words), retry_after, is_settled: status < 500 })
}

/// The error and its description, as RFC 6749 §5.2 has them; not RFC 6749, but Google's other services and gateways on the
/// way: `error` is an object.
fn said(json: &Value) -> (String, String) {
    let word = |value: &Value| match value {
        Value::String(word) => Some(word.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let first =
        |json: &Value, keys: &[&str]| keys.iter().find_map(|key| word(json.get(key)?)).unwrap_or_default();
    match json.get("error") {
        Some(error @ Value::Object(_)) => {
            (first(error, &["status", "type", "code"]), first(error, &["message"]))
        }
        Some(Value::String(error)) => (error.clone(), first(json, &["error_description"])),
        _ => (String::new(), String::new()),
    }
}

/// Microsoft's numbers, and the subtypes of both.
fn details(json: &Value) -> Vec<String> {
    let mut found: Vec<String> = vec![];
    if let Some(numbers) = json.get("error_codes").and_then(Value::as_array) {
        found.extend(numbers.iter().filter_map(Value::as_i64).map(|n| n.to_string()));
    }
    for key in ["suberror", "error_subtype"] {
        found.extend(json.get(key).and_then(Value::as_str).map(str::to_owned));
    }
    let description = json.get("error_description").and_then(Value::as_str).unwrap_or_default();
    if let Some(rest) = description.strip_prefix("AADSTS") {
        found.push(rest.chars().take_while(char::is_ascii_digit).collect());
    }
    found
}

/// What a peer has said may hold anything.
fn one_line(words: &str) -> String {
    words.chars().take(WORDS_LIMIT).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> (&'static str, Next) {
        let refusal = judge(status, None, body.as_bytes()).expect_err("a refusal");
        (refusal.entry.code, refusal.next)
    }

    #[test]
    fn what_comes_next_is_decided_by_the_error_and_words_by_the_number() {
        let microsoft = |error: &str, number: i64| {
            format!(
                r#"{{"error":"{error}","error_description":"AADSTS{number}: words\r\nTrace ID: x","error_codes":[{number}]}}"#
            )
        };
        for (error, number, code, next) in [
            ("invalid_grant", 700_082, "expired", Next::SignIn),
            ("invalid_grant", 50_173, "revoked", Next::SignIn),
            ("invalid_grant", 70_043, "sign_in_frequency", Next::SignIn),
            ("invalid_grant", 65_001, "no_consent", Next::SignIn),
            ("interaction_required", 50_076, "mfa_required", Next::SignIn),
            ("interaction_required", 53_003, "conditional_access", Next::SignIn),
            ("invalid_client", 7_000_222, "secret_expired", Next::Mend),
            ("invalid_client", 7_000_215, "secret_wrong", Next::Mend),
            ("invalid_request", 90_002, "wrong_tenant", Next::Mend),
            ("unauthorized_client", 700_016, "wrong_client", Next::Mend),
            ("invalid_scope", 70_011, "wrong_scope", Next::Mend),
            ("invalid_grant", 999_999, "revoked_or_expired", Next::SignIn),
            ("invalid_grant", 70_000, "revoked_or_expired", Next::SignIn),
            ("invalid_grant", 50_196, "loop", Next::Wait),
            ("something_new", 1, "other", Next::Wait),
        ] {
            // Whatever the status says, an error is an error.
            for status in [400, 401, 403, 200] {
                assert_eq!(
                    refused(status, &microsoft(error, number)),
                    (code, next),
                    "{status} {error} {number}"
                );
            }
        }
        let google = r#"{"error":"invalid_grant","error_description":"reauth related error","error_subtype":"invalid_rapt"}"#;
        assert_eq!(refused(400, google), ("reauth_policy", Next::SignIn));
        assert_eq!(refused(429, r#"{"error":"invalid_grant"}"#), ("throttled", Next::Wait));
        assert_eq!(refused(503, r#"{"error":"invalid_grant"}"#), ("unavailable", Next::Wait));
        assert_eq!(refused(200, "<html>sign in to the hotel</html>"), ("not_json", Next::Wait));
        assert_eq!(refused(502, "<html>"), ("unavailable", Next::Wait));
        assert_eq!(refused(404, ""), ("not_json", Next::Wait));
        assert_eq!(
            refused(403, r#"{"error":{"code":403,"status":"PERMISSION_DENIED"}}"#),
            ("other", Next::Wait)
        );
        for taken in [r#"{"access_token":"x"}"#, r#"{"access_token":"x","error":""}"#, r#"{"error":null}"#] {
            assert!(judge(200, None, taken.as_bytes()).is_ok(), "{taken}");
        }
    }

    #[test]
    fn the_words_are_one_line_without_ids_and_secrets() {
        let body = "{\"error\":\"invalid_grant\",\"error_description\":\"the token abcdef\\u001b[2J is bad\\r\\nTrace ID: 1\"}";
        let refusal = judge(400, None, body.as_bytes()).unwrap_err().without(&["abcdef"]);
        assert_eq!(refusal.words, "invalid_grant: the token *** [2J is bad");
        let gateway = br#"{"error":{"code":403,"message":"not from here","status":"PERMISSION_DENIED"}}"#;
        assert_eq!(judge(403, None, gateway).unwrap_err().words, "PERMISSION_DENIED: not from here");
    }

    #[test]
    fn each_code_and_each_word_of_a_provider_stands_once() {
        let mut codes: Vec<&str> = TABLE.iter().map(|e| e.code).collect();
        let mut said: Vec<&str> = TABLE.iter().flat_map(|e| e.said).copied().collect();
        for list in [&mut codes, &mut said] {
            let count = list.len();
            list.sort_unstable();
            list.dedup();
            assert_eq!(list.len(), count);
        }
    }
}
