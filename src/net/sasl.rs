//! What a SASL exchange says: PLAIN (RFC 4616) of a password, and of an access token OAUTHBEARER (RFC 7628) or XOAUTH2,
//! which Google and Microsoft speak. Pure.
//!
//! Each is one message of the client. A server that refuses may say why in a challenge of JSON, which has to be answered
//! before it says so in its own protocol; what it means stands in `failure::token_meaning`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::login::Bearer;
use crate::failure::{Failure, Kind, token_meaning, wanted_pause};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    Oauthbearer,
    Xoauth2,
}

/// Ends an exchange that does not end by itself (RFC 3501 §6.2.2, RFC 4954 §4, RFC 5034 §4).
pub const CANCEL: &str = "*";

impl Mechanism {
    /// The standard's own first: its refusals say more.
    const ALL: [Mechanism; 2] = [Mechanism::Oauthbearer, Mechanism::Xoauth2];

    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Oauthbearer => "OAUTHBEARER",
            Mechanism::Xoauth2 => "XOAUTH2",
        }
    }

    /// Those that a server offers, in the order in which they are tried.
    pub fn offered(is_offered: impl Fn(&str) -> bool) -> Vec<Mechanism> {
        Mechanism::ALL.into_iter().filter(|mechanism| is_offered(mechanism.name())).collect()
    }

    /// All that the client has to say, in base64.
    pub fn response(self, bearer: &Bearer, host: &str, port: u16) -> String {
        let (user, token) = (&bearer.user, bearer.token.expose());
        STANDARD.encode(match self {
            // RFC 7628 §3.1, with the header of RFC 5801 §4: no channel binding, and whose mailbox it is.
            Mechanism::Oauthbearer => format!(
                "n,a={},\u{1}host={host}\u{1}port={port}\u{1}auth=Bearer {token}\u{1}\u{1}",
                user.replace('=', "=3D").replace(',', "=2C")
            ),
            Mechanism::Xoauth2 => format!("user={user}\u{1}auth=Bearer {token}\u{1}\u{1}"),
        })
    }

    /// What the challenge of a refusal is answered with; only then the server ends the exchange.
    pub fn farewell(self) -> &'static str {
        match self {
            // RFC 7628 §3.2.3: %x01.
            Mechanism::Oauthbearer => "AQ==",
            Mechanism::Xoauth2 => "",
        }
    }
}

/// A password's one message, in base64: authorisation identity (none), user, password.
pub fn plain(user: &str, password: &str) -> String {
    STANDARD.encode(format!("\0{user}\0{password}"))
}

/// A token as it may be written on a wire, and so echoed by it.
pub fn secrets(bearer: &Bearer, host: &str, port: u16) -> Vec<String> {
    let responses = Mechanism::ALL.map(|mechanism| mechanism.response(bearer, host, port));
    responses.into_iter().chain([bearer.token.expose().to_owned()]).collect()
}

/// The JSON in which a server says why it refuses a token (RFC 7628 §3.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// `invalid_token`; of XOAUTH2 the status that HTTP would have, `401`.
    pub status: String,
    /// What the token should be good for.
    pub scope: String,
}

impl Challenge {
    /// From the base64 behind the server's `+` or 334. `None`: it says nothing of the kind.
    pub fn parse(text: &str) -> Option<Challenge> {
        let bytes = STANDARD.decode(text.trim()).ok()?;
        let found: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        let word = |name: &str| match &found[name] {
            serde_json::Value::String(word) => word.clone(),
            serde_json::Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        found.is_object().then(|| Challenge { status: word("status"), scope: word("scope") })
    }
}

/// How a server has refused a token.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub mechanism: Mechanism,
    pub challenge: Option<Challenge>,
    /// The end of the exchange: `NO [AUTHENTICATIONFAILED] …`, `-ERR …`, `535 …`. Without what the client said.
    pub words: String,
}

/// In lower case: what servers say that do not know a mechanism which they offer.
const UNKNOWN_MECHANISM: &[&str] =
    &["mechanism", "unrecognized auth", "not supported", "unsupported", "not implemented"];

impl Refusal {
    /// It is the way that is refused, and not the token: the other mechanism may do.
    pub fn is_of_mechanism(&self) -> bool {
        let lower = self.words.to_ascii_lowercase();
        self.challenge.is_none()
            // RFC 4954 §4: 504 is an unknown mechanism.
            && (lower.starts_with("504 ") || UNKNOWN_MECHANISM.iter().any(|phrase| lower.contains(phrase)))
    }

    pub fn failure(&self, user: &str) -> Failure {
        let status = self.challenge.as_ref().map(|c| c.status.as_str()).filter(|status| !status.is_empty());
        let mut words =
            format!("the server refuses the token for {user:?} ({}): {}", self.mechanism.name(), self.words);
        if let Some(status) = status {
            words.push_str(&format!("; status {}", shown(status)));
        }
        if let Some(scope) = self.challenge.as_ref().map(|c| shown(&c.scope)).filter(|s| !s.is_empty()) {
            words.push_str(&format!("; it wants the scope {scope}"));
        }
        let kind = token_meaning(status, &self.words);
        let mut failure = match kind {
            Kind::Token | Kind::TokenScope | Kind::ProtocolOff => Failure::permanent(words),
            _ => Failure::temporary(words),
        };
        failure.retry_after = wanted_pause(&self.words);
        failure.kind(kind)
    }
}

/// A word of the server's JSON, fit for a line.
fn shown(word: &str) -> String {
    word.chars().take(120).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Nothing that takes a token is offered. `offered`: what is, if anything.
pub fn not_offered(offered: &str) -> Failure {
    let has = if offered.is_empty() { "nothing".to_owned() } else { offered.to_owned() };
    let words =
        format!("the server takes no access token: it offers neither OAUTHBEARER nor XOAUTH2, but {has}");
    Failure::temporary(words).kind(Kind::LoginUnsupported)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::Secret;

    fn bearer(user: &str, token: &str) -> Bearer {
        Bearer {
            user: user.into(),
            token: Secret::new(token),
            good_for: std::time::Duration::from_secs(60),
            granted_to: String::new(),
        }
    }

    #[test]
    fn responses_are_those_of_the_standards() {
        // RFC 7628 §4.1.
        let rfc = bearer("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
        assert_eq!(
            Mechanism::Oauthbearer.response(&rfc, "server.example.com", 143),
            "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
        );
        let some = bearer("someone@example.com", "tok123");
        assert_eq!(
            Mechanism::Oauthbearer.response(&some, "imap.example.com", 993),
            "bixhPXNvbWVvbmVAZXhhbXBsZS5jb20sAWhvc3Q9aW1hcC5leGFtcGxlLmNvbQFwb3J0PTk5MwFhdXRoPUJlYXJlciB0b2sxMjMBAQ=="
        );
        assert_eq!(
            Mechanism::Xoauth2.response(&some, "imap.example.com", 993),
            "dXNlcj1zb21lb25lQGV4YW1wbGUuY29tAWF1dGg9QmVhcmVyIHRvazEyMwEB"
        );
        // Google's own example.
        let google = bearer("someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg");
        assert_eq!(
            Mechanism::Xoauth2.response(&google, "imap.gmail.com", 993),
            "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
        );
        // RFC 5801 §4: a comma or an equals sign would end the name.
        let odd = STANDARD.decode(Mechanism::Oauthbearer.response(&bearer("a=b,c", "t"), "h", 1)).unwrap();
        assert!(odd.starts_with(b"n,a=a=3Db=2Cc,\x01host=h"), "{odd:?}");
    }

    #[test]
    fn what_is_offered_is_tried_in_order() {
        let offered =
            |words: &'static str| Mechanism::offered(move |name| words.split(' ').any(|w| w == name));
        assert_eq!(offered("PLAIN XOAUTH2 OAUTHBEARER"), [Mechanism::Oauthbearer, Mechanism::Xoauth2]);
        assert_eq!(offered("PLAIN XOAUTH2"), [Mechanism::Xoauth2]);
        assert_eq!(offered("PLAIN LOGIN"), []);
    }

    #[test]
    fn challenges_are_read_and_other_words_are_not() {
        let challenge = |text: &str| Challenge::parse(&STANDARD.encode(text));
        let found =
            |status: &str, scope: &str| Some(Challenge { status: status.into(), scope: scope.into() });
        assert_eq!(
            challenge(r#"{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}"#),
            found("400", "https://mail.google.com/")
        );
        // RFC 7628 §4.3.
        assert_eq!(
            Challenge::parse(
                "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIiwib3BlbmlkLWNvbmZpZ3VyYXRpb24iOiJodHRwczovL2V4YW1wbGUuY29tLy53ZWxsLWtub3duL29wZW5pZC1jb25maWd1cmF0aW9uIn0="
            ),
            found("invalid_token", "example_scope")
        );
        assert_eq!(challenge(r#"{"status":401}"#), found("401", ""));
        assert_eq!(challenge("{}"), found("", ""));
        for other in ["", "go ahead", "\u{1}"] {
            assert_eq!(challenge(other), None, "{other:?}");
        }
        assert_eq!(Challenge::parse("not base64"), None);
    }

    #[test]
    fn a_refusal_is_told_with_all_that_the_server_says() {
        let refusal = |challenge: Option<Challenge>, words: &str| Refusal {
            mechanism: Mechanism::Xoauth2,
            challenge,
            words: words.into(),
        };
        let challenge = Challenge { status: "403\r\n".into(), scope: "mail".into() };
        let failure = refusal(Some(challenge), "NO [AUTHENTICATIONFAILED] no").failure("joe");
        assert_eq!(
            failure.words,
            "the server refuses the token for \"joe\" (XOAUTH2): NO [AUTHENTICATIONFAILED] no; status 403??; it wants the scope mail"
        );
        let failure = refusal(None, "BAD Request is throttled. Suggested Backoff Time: 9000 milliseconds")
            .failure("joe");
        assert_eq!((failure.kind, failure.retry_after.unwrap().as_secs()), (Kind::Throttled, 9));
        for (words, is) in [
            ("NO Unsupported authentication mechanism", true),
            ("504 5.7.4 Unrecognized authentication type", true),
            ("NO AUTHENTICATE failed.", false),
            ("535 5.7.3 Authentication unsuccessful", false),
        ] {
            assert_eq!(refusal(None, words).is_of_mechanism(), is, "{words}");
        }
    }
}
