//! What identity providers refuse, and what comes next. Pure.
//!
//! What happens next is decided by `error` and the HTTP status alone; numbers and texts change (Microsoft says so), and
//! only choose the words, with one exception (`loop`).

mod table;

use std::time::Duration;

use serde_json::Value;

use crate::failure::{Failure, Kind};

pub use table::{Entry, TABLE, advice, of_code};

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
}
