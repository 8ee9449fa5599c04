//! The sorts of refusals, and what an admin can do about each: docs/oauth.md has the same table.

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

/// What to do, with the command for this very target.
pub fn advice(entry: &Entry, target: &str) -> String {
    entry.advice.replace("TARGET", target)
}

#[cfg(test)]
mod tests {
    use super::*;

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
