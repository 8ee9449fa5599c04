//! Why mail came back, in one word: the class of a bounce.
//!
//! A table in order, the first row that fits: words that can mean but one thing; the enhanced status (RFC 3463, and the
//! codes registered since: RFC 4954, 5248, 7293, 7372, 7505, 8617); words that are less sure; the reply code.
//! The diagnostic is asked first, and what else the report says only where the diagnostic tells nothing.

mod words;

use std::sync::LazyLock;

use words::{LIKELY, SURE, Words};

use crate::mail::phrases::Phrases;

/// What a report says of a recipient.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    pub status: Status,
    pub reply_code: Option<u16>,
    pub diagnostic: &'a str,
    /// The report's other words about him.
    pub words: &'a str,
}

/// A class with the row that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    pub name: &'static str,
    pub evidence: String,
}

impl Class {
    fn by(name: &'static str, row: &str, evidence: impl std::fmt::Display) -> Class {
        Class { name, evidence: format!("{row} {evidence}") }
    }
}

/// Subject and detail of a status, the first row that fits; a detail of `ANY` fits all.
const ANY: u16 = u16::MAX;
const STATUSES: &[(u16, u16, &str)] = &[
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
    (2, 1, "mailbox_disabled"),
    (2, 2, "mailbox_full"),
    (2, 3, "message_too_big"),
    (2, 4, "system"),
    (3, 4, "message_too_big"),
    (4, 5, "rate_limited"),
    (4, 7, "expired"),
    (4, 4, "host_unknown"),
    (4, 6, "network"),
    (4, ANY, "network"),
    (5, 3, "rate_limited"),
    (5, 6, "auth"),
    (6, ANY, "content"),
    // RFC 4954 and RFC 5248: our login at the relay.
    (7, 8, "auth"),
    (7, 11, "auth"),
    (7, 12, "auth"),
    (7, 13, "mailbox_disabled"),
    (7, 16, "message_too_big"),
    // RFC 7293: the address has a new owner.
    (7, 17, "user_unknown"),
    (7, 18, "host_unknown"),
    // RFC 7372 and RFC 8617: DKIM, SPF, ARC.
    (7, 20, "auth"),
    (7, 21, "auth"),
    (7, 22, "auth"),
    (7, 23, "auth"),
    (7, 24, "auth"),
    // RFC 7372 §3.3: no reverse name.
    (7, 25, "policy"),
    (7, 26, "auth"),
    (7, 27, "policy"),
    (7, 28, "rate_limited"),
    (7, 29, "auth"),
    // Not registered, but Microsoft: DMARC.
    (7, 509, "auth"),
    (7, 515, "auth"),
];

/// Statuses too general to settle it; they speak after the less sure words.
const GENERAL_STATUSES: &[(u16, u16, &str)] = &[
    (2, ANY, "rejected"),
    (3, ANY, "system"),
    (5, ANY, "system"),
    (7, ANY, "policy"),
    (1, ANY, "user_unknown"),
];

/// RFC 5321 §4.2.3: what a reply code alone says.
const REPLIES: &[(u16, &str)] = &[
    (421, "network"),
    (422, "mailbox_full"),
    (431, "system"),
    (432, "system"),
    (441, "network"),
    (442, "network"),
    (446, "network"),
    (447, "expired"),
    (450, "rejected"),
    (451, "system"),
    (452, "mailbox_full"),
    (454, "auth"),
    (500, "system"),
    (501, "system"),
    (502, "system"),
    (503, "system"),
    (504, "system"),
    (510, "user_unknown"),
    (511, "user_unknown"),
    (512, "host_unknown"),
    (521, "host_unknown"),
    (523, "message_too_big"),
    (530, "auth"),
    (535, "auth"),
    (541, "spam"),
    (550, "rejected"),
    (551, "moved"),
    (552, "mailbox_full"),
    (553, "user_unknown"),
    (554, "rejected"),
    (555, "rejected"),
    (556, "host_unknown"),
    (570, "policy"),
    (571, "policy"),
];

type Table = Vec<(&'static str, Phrases)>;

static SURE_WORDS: LazyLock<Table> = LazyLock::new(|| table(SURE));
static LIKELY_WORDS: LazyLock<Table> = LazyLock::new(|| table(LIKELY));

fn table(rows: &[Words]) -> Table {
    rows.iter().map(|(class, words)| (*class, Phrases::new(words.iter().copied()))).collect()
}

/// Never without an answer: `undefined` where nothing fits.
pub fn class_of(said: Said) -> Class {
    let diagnostic = without_prefaces(said.diagnostic.to_lowercase());
    let class = by_tables(said, &diagnostic);
    match class.name {
        // RFC 3463 §3.2: x.1.7 and x.1.8 are about the sender's address, and so is an answer to MAIL FROM.
        "user_unknown" | "host_unknown" if is_about_sender(said.status, &diagnostic) => {
            Class { name: "rejected", evidence: format!("{}, of the sender", class.evidence) }
        }
        // A host that is not found for now.
        "host_unknown" if is_for_now(said.status, &diagnostic) => {
            Class { name: "network", evidence: format!("{}, for now", class.evidence) }
        }
        // RFC 3463 §3.2: x.1 is about an address, and the sender's is ruled out above.
        "rejected" if said.status.subject == 1 && !is_about_sender(said.status, &diagnostic) => {
            Class::by("user_unknown", "status", said.status)
        }
        // RFC 3463 §3.8: x.7 is security or policy, whatever verb stands beside it.
        "rejected" if said.status.subject == 7 => Class::by("policy", "status", said.status),
        _ => class,
    }
}

/// Words that some servers put in front of any answer; lower case.
const PREFACES: &[&str] = &[
    // Cisco IronPort
    "unknown address error",
    // qmail
    "does not like recipient",
];

fn without_prefaces(mut diagnostic: String) -> String {
    for words in PREFACES {
        if let Some(at) = diagnostic.find(words) {
            diagnostic.replace_range(at..at + words.len(), "");
        }
    }
    diagnostic
}

/// `user ann@example.org does not exist` as `user does not exist`; empty where no address stands in it.
fn without_addresses(diagnostic: &str) -> String {
    if !diagnostic.contains('@') {
        return String::new();
    }
    diagnostic.split_whitespace().filter(|word| !word.contains('@')).collect::<Vec<_>>().join(" ")
}

fn is_for_now(status: Status, diagnostic: &str) -> bool {
    // RFC 7505: no mail now, and none later.
    let is_null = diagnostic.contains("null mx") || diagnostic.contains("nullmx");
    !is_null && (status.class == 4 || diagnostic.contains("try again"))
}

fn is_about_sender(status: Status, diagnostic: &str) -> bool {
    let is_said = ["after mail from", "reply to mail from", "response to mail from"]
        .iter()
        .any(|w| diagnostic.contains(w));
    is_said || (status.subject == 1 && matches!(status.detail, 7 | 8))
}

fn by_tables(said: Said, diagnostic: &str) -> Class {
    let words = said.words.to_lowercase();
    let bare = without_addresses(diagnostic);
    by_words(&SURE_WORDS, diagnostic, "diagnostic:")
        .or_else(|| by_words(&SURE_WORDS, &bare, "diagnostic:"))
        .or_else(|| by_status(STATUSES, said.status))
        .or_else(|| by_words(&LIKELY_WORDS, diagnostic, "diagnostic:"))
        .or_else(|| by_words(&LIKELY_WORDS, &bare, "diagnostic:"))
        .or_else(|| by_words(&SURE_WORDS, &words, "words:"))
        .or_else(|| by_status(GENERAL_STATUSES, said.status))
        .or_else(|| by_reply(said.reply_code))
        .or_else(|| by_words(&LIKELY_WORDS, &words, "words:"))
        .unwrap_or_else(|| Class::by("undefined", "no row fits", said.status))
}

fn by_words(table: &Table, said: &str, whose: &str) -> Option<Class> {
    if said.is_empty() {
        return None;
    }
    table.iter().find_map(|(class, rows)| {
        let row = rows.first_in(said)?;
        Some(Class::by(class, whose, format_args!("{row:?}")))
    })
}

fn by_status(table: &[(u16, u16, &'static str)], status: Status) -> Option<Class> {
    let fits = |row: &&(u16, u16, &str)| row.0 == status.subject && (row.1 == status.detail || row.1 == ANY);
    table.iter().find(fits).map(|(_, _, class)| Class::by(class, "status", status))
}

fn by_reply(code: Option<u16>) -> Option<Class> {
    let code = code?;
    REPLIES.iter().find(|(reply, _)| *reply == code).map(|(_, class)| Class::by(class, "reply", code))
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
            ("5.1.0", "550 5.1.0 unknown address error 550-'denied by policy'", "policy"),
            ("5.1.8", "550 5.1.8 no such domain", "rejected"),
            ("4.0.0", "host not found", "network"),
            ("5.0.0", "null mx", "host_unknown"),
            ("5.7.1", "550 rejected", "policy"),
            (
                "5.1.10",
                "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient ann@x.test not found",
                "user_unknown",
            ),
            (
                "5.4.1",
                "550 5.4.1 Recipient address rejected: Access denied. [x.outlook.test]",
                "user_unknown",
            ),
            (
                "5.7.1",
                "554 5.7.1 <ann@x.test>: Recipient address rejected: user ann@x.test does not exist",
                "user_unknown",
            ),
            ("5.0.0", "550 Account ann@x.test is inactive", "mailbox_disabled"),
            ("5.0.0", "550 das postfach des empfängers ist voll", "mailbox_full"),
            ("5.0.0", "550 recipient: buzón lleno", "mailbox_full"),
            ("5.0.0", "550 el usuario no existe", "user_unknown"),
            ("5.0.0", "550 el dominio no existe", "host_unknown"),
            ("5.0.0", "550 收件人邮箱不存在", "user_unknown"),
            ("5.4.1", "550: 5.4.1 Recipient address rejected: Access denied. AS(201806281)", "user_unknown"),
            (
                "5.7.515",
                "550 5.7.515 Access denied, x.test does not meet the required authentication level",
                "auth",
            ),
            (
                "5.7.708",
                "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP",
                "policy",
            ),
        ] {
            let parsed = Status::parse(status).unwrap();
            let said = Said { status: parsed, reply_code: None, diagnostic, words: "" };
            assert_eq!(class_of(said).name, expected, "{status} {diagnostic}");
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
