//! What a mail server means by refusing an access token: by its phrases, by the status of its challenge, else the token.

use super::{Kind, Step, meaning};

/// Phrases, in lower case: the earlier counts. docs/quirks.md has them with their servers.
pub const TOKEN_PHRASES: &[(&str, Kind)] = &[
    // Gmail.
    ("not enabled for imap", Kind::ProtocolOff),
    ("not enabled for pop", Kind::ProtocolOff),
    ("access is disabled", Kind::ProtocolOff),
    // Exchange Online.
    ("smtpclientauthentication is disabled", Kind::ProtocolOff),
    ("did not meet the criteria", Kind::ProtocolOff),
    ("security defaults policy", Kind::ProtocolOff),
    ("is disabled for the", Kind::ProtocolOff),
    ("authenticated but not connected", Kind::MailboxClosed),
    // RFC 5530 §3: the user is known, and may not act for the mailbox.
    ("[authorizationfailed", Kind::MailboxClosed),
];

/// Statuses of a challenge: those of RFC 6750 §3.1, and of XOAUTH2 the numbers of HTTP.
pub const TOKEN_STATUSES: &[(&str, Kind)] = &[
    ("invalid_token", Kind::Token),
    ("400", Kind::Token),
    ("401", Kind::Token),
    ("insufficient_scope", Kind::TokenScope),
    ("403", Kind::TokenScope),
    ("invalid_request", Kind::NotUnderstood),
    ("429", Kind::Throttled),
    ("500", Kind::Unavailable),
    ("502", Kind::Unavailable),
    ("503", Kind::Unavailable),
    ("temporarily_unavailable", Kind::Unavailable),
];

/// The kind of a refused token. `status` is the challenge's, `words` the server's answer: status, code, text.
pub fn token_meaning(status: Option<&str>, words: &str) -> Kind {
    let lower = words.to_ascii_lowercase();
    if let Some((_, kind)) = TOKEN_PHRASES.iter().find(|(phrase, _)| lower.contains(phrase)) {
        return *kind;
    }
    match meaning(Step::Login, words) {
        // RFC 4954 §6: 454 and 421 are the server's own trouble.
        Kind::Login if lower.starts_with("454 ") || lower.starts_with("421 ") => Kind::Unavailable,
        Kind::Login => {
            let by_status = status.and_then(|s| TOKEN_STATUSES.iter().find(|(status, _)| *status == s));
            by_status.map_or(Kind::Token, |(_, kind)| *kind)
        }
        kind => kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_tokens_are_told_apart() {
        for (status, words, kind) in [
            // Google.
            (Some("400"), "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", Kind::Token),
            (Some("400"), "535 5.7.8 Username and Password not accepted.", Kind::Token),
            (
                None,
                "NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page (Failure)",
                Kind::ProtocolOff,
            ),
            (None, "-ERR [SYS/PERM] Your account is not enabled for POP access.", Kind::ProtocolOff),
            (None, "NO [ALERT] IMAP access is disabled for your domain. (Failure)", Kind::ProtocolOff),
            // Exchange Online.
            (None, "NO AUTHENTICATE failed.", Kind::Token),
            (None, "BAD User is authenticated but not connected.", Kind::MailboxClosed),
            (None, "-ERR Authentication failure: unknown user name or bad password.", Kind::Token),
            (None, "535 5.7.3 Authentication unsuccessful [host]", Kind::Token),
            (
                None,
                "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
                Kind::ProtocolOff,
            ),
            (
                None,
                "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated",
                Kind::ProtocolOff,
            ),
            (None, "BAD Request is throttled. Suggested Backoff Time: 297140 milliseconds", Kind::Throttled),
            (None, "432 4.3.2 Concurrent connections limit exceeded", Kind::Throttled),
            (None, "421 4.7.0 come again", Kind::Unavailable),
            (None, "454 4.7.0 Temporary authentication failure", Kind::Unavailable),
            // By the standards.
            (Some("invalid_token"), "NO [AUTHENTICATIONFAILED] Authentication failed.", Kind::Token),
            (Some("insufficient_scope"), "-ERR [AUTH] Authentication failed.", Kind::TokenScope),
            (Some("503"), "NO later", Kind::Unavailable),
            (Some("429"), "NO no", Kind::Throttled),
            (None, "NO [AUTHORIZATIONFAILED] not yours", Kind::MailboxClosed),
            (Some("what"), "NO no", Kind::Token),
            (None, "NO [UNAVAILABLE] Temporary authentication failure.", Kind::Unavailable),
            (None, "BAD what?", Kind::NotUnderstood),
        ] {
            assert_eq!(token_meaning(status, words), kind, "{status:?} {words}");
        }
    }
}
