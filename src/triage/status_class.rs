//! What a delivery status says in one word: the reason class of an enhanced status code (RFC 3463, and the codes
//! registered since: RFC 4954, 5248, 7293, 7372, 7505, 8617).
//!
//! Where the code is general (x.0.0, x.7.1 and the like) a few words of the diagnostic make it precise.

/// Subject and detail of a status, the first row that fits; a detail of `ANY` fits all.
const ANY: u16 = u16::MAX;
const CLASSES: &[(u16, u16, &str)] = &[
    (1, 0, "user_unknown"),
    (1, 1, "user_unknown"),
    (1, 2, "host_unknown"),
    (1, 3, "user_unknown"),
    (1, 4, "user_unknown"),
    (1, 6, "moved"),
    // The sender's address is what they mind.
    (1, 7, "rejected"),
    (1, 8, "rejected"),
    // RFC 7505: the domain says that it takes no mail.
    (1, 10, "host_unknown"),
    (2, 0, "rejected"),
    (2, 1, "mailbox_disabled"),
    (2, 2, "mailbox_full"),
    (2, 3, "message_too_big"),
    (2, 4, "system"),
    (3, 4, "message_too_big"),
    (3, ANY, "system"),
    (4, 5, "system"),
    (4, 7, "expired"),
    (4, ANY, "network"),
    (5, 3, "policy"),
    (5, 6, "auth"),
    (5, ANY, "system"),
    (6, ANY, "content"),
    // RFC 4954 and RFC 5248: our login at the relay.
    (7, 8, "auth"),
    (7, 9, "auth"),
    (7, 11, "auth"),
    (7, 12, "auth"),
    (7, 13, "mailbox_disabled"),
    (7, 16, "message_too_big"),
    // RFC 7293: the address has a new owner.
    (7, 17, "user_unknown"),
    (7, 18, "host_unknown"),
    // RFC 7372: DKIM and SPF.
    (7, 20, "auth"),
    (7, 21, "auth"),
    (7, 22, "auth"),
    (7, 23, "auth"),
    (7, 24, "auth"),
    (7, 26, "auth"),
    (7, 28, "rate_limited"),
    (7, 29, "auth"),
    // Not registered, but Microsoft: DMARC.
    (7, 509, "auth"),
    (7, ANY, "policy"),
];

/// Words of a diagnostic that say more than a general status, the first row that fits.
const WORDS: &[(&str, &[&str])] = &[
    ("virus", &["virus", "malware"]),
    ("spam", &["spam", "junk mail", "unsolicited"]),
    ("rate_limited", &["rate limit", "too many messages", "too many connections", "greylist", "graylist"]),
    ("mailbox_full", &["mailbox full", "mailbox is full", "over quota", "overquota", "quota exceeded"]),
    (
        "user_unknown",
        &[
            "user unknown",
            "unknown user",
            "no such user",
            "no such recipient",
            "does not exist",
            "invalid recipient",
            "recipient not found",
            "mailbox not found",
        ],
    ),
    ("host_unknown", &["host unknown", "host not found", "domain not found", "no such domain"]),
    ("mailbox_disabled", &["account disabled", "account is disabled", "mailbox disabled", "inactive"]),
    ("message_too_big", &["message too large", "message size exceeds", "message too big"]),
    ("expired", &["retry timeout exceeded", "retry time not reached", "delivery time expired"]),
    ("network", &["connection refused", "connection timed out", "no route to host"]),
];

/// The class of a status as `parse` has read it; a general status is made precise by the diagnostic.
pub fn class_of(status: Status, diagnostic: &str) -> &'static str {
    let by_code = CLASSES
        .iter()
        .find(|(subject, detail, _)| {
            *subject == status.subject && (*detail == status.detail || *detail == ANY)
        })
        .map_or("undefined", |(_, _, class)| class);
    let is_general = matches!(by_code, "undefined" | "policy" | "rejected");
    if is_general { by_words(diagnostic).unwrap_or(by_code) } else { by_code }
}

fn by_words(diagnostic: &str) -> Option<&'static str> {
    let said = diagnostic.to_lowercase();
    WORDS.iter().find(|(_, words)| words.iter().any(|w| said.contains(w))).map(|(class, _)| *class)
}

/// RFC 3463 §2: class "." subject "." detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub class: u8,
    pub subject: u16,
    pub detail: u16,
}

impl Status {
    pub const fn general(class: u8) -> Status {
        Status { class, subject: 0, detail: 0 }
    }

    /// Words after the code are let pass: `5.1.1 (bad destination mailbox address)`.
    pub fn parse(text: &str) -> Option<Status> {
        let code = text.split_whitespace().next()?;
        let mut numbers = code.splitn(3, '.');
        let mut number = |longest: usize| -> Option<u16> {
            let digits = numbers.next()?;
            let is_number =
                (1..=longest).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| digits.parse().ok()).flatten()
        };
        let (class, subject, detail) = (number(1)?, number(3)?, number(3)?);
        let class = u8::try_from(class).ok().filter(|c| matches!(c, 2 | 4 | 5))?;
        Some(Status { class, subject, detail })
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_their_class() {
        for (status, diagnostic, expected) in [
            ("5.1.1", "", "user_unknown"),
            ("5.1.2", "", "host_unknown"),
            ("5.1.6", "", "moved"),
            ("5.1.10", "", "host_unknown"),
            ("5.2.1", "", "mailbox_disabled"),
            ("4.2.2", "", "mailbox_full"),
            ("5.2.3", "", "message_too_big"),
            ("5.3.4", "", "message_too_big"),
            ("5.3.0", "", "system"),
            ("4.4.1", "", "network"),
            ("4.4.7", "", "expired"),
            ("5.6.3", "", "content"),
            ("5.7.1", "550 5.7.1 rejected as SPAM", "spam"),
            ("5.7.1", "550 5.7.1 relaying denied", "policy"),
            ("5.7.8", "", "auth"),
            ("4.7.28", "", "rate_limited"),
            ("5.0.0", "550 no such user here", "user_unknown"),
            ("5.0.0", "", "undefined"),
            ("5.999.999", "", "undefined"),
        ] {
            let parsed = Status::parse(status).unwrap();
            assert_eq!(class_of(parsed, diagnostic), expected, "{status} {diagnostic}");
        }
    }

    #[test]
    fn only_codes_of_rfc_3463_are_statuses() {
        assert_eq!(Status::parse("5.1.1 (no mailbox)").unwrap().to_string(), "5.1.1");
        for bad in ["", "5", "5.1", "550", "3.1.1", "5.1.x", "5.1.1234", "5.1.1.1", "-5.1.1", "5..1"] {
            assert_eq!(Status::parse(bad), None, "{bad:?}");
        }
    }
}
