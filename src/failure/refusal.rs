//! What a mail server means by refusing: by its response codes (RFC 5530, RFC 3206, RFC 2449), else by the phrases of
//! servers that give none, else by the step that it refused.

use std::time::Duration;

use super::Kind;

/// What was asked when the server refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Greeting,
    Login,
    /// To open a folder.
    Folder,
    /// To list or fetch.
    Read,
    /// To flag, remove, copy or move handled mail.
    Remove,
    /// To make the folder that handled mail goes to.
    Create,
    /// The server ended the session by itself (IMAP: BYE).
    Bye,
    Other,
}

/// Response codes in brackets, whatever follows them there.
const CODES: &[(&str, Kind)] = &[
    ("[AUTHENTICATIONFAILED", Kind::Login),
    ("[AUTHORIZATIONFAILED", Kind::Login),
    ("[EXPIRED", Kind::Login),
    ("[CONTACTADMIN", Kind::Login),
    ("[AUTH]", Kind::Login),
    ("[PRIVACYREQUIRED", Kind::LoginUnsupported),
    ("[OVERQUOTA", Kind::Quota),
    ("[THROTTLED", Kind::Throttled),
    ("[LIMIT", Kind::Throttled),
    ("[LOGIN-DELAY", Kind::Throttled),
    ("[INUSE", Kind::InUse),
    ("[IN-USE", Kind::InUse),
    ("[UNAVAILABLE", Kind::Unavailable),
    ("[SERVERBUG", Kind::Unavailable),
    ("[CORRUPTION", Kind::Unavailable),
    ("[SYS/", Kind::Unavailable),
    ("[NOPERM", Kind::NoRights),
    ("[READ-ONLY", Kind::NoRights),
    ("[NONEXISTENT", Kind::FolderMissing),
    ("[TRYCREATE", Kind::FolderMissing),
];

/// Phrases, in lower case: the earlier counts. Each stands in the answers of a server that is in wide use.
const PHRASES: &[(&str, Kind)] = &[
    ("throttl", Kind::Throttled),
    ("backoff", Kind::Throttled),
    ("too many", Kind::Throttled),
    ("rate limit", Kind::Throttled),
    ("bandwidth limit", Kind::Throttled),
    ("connection limit", Kind::Throttled),
    ("connections limit", Kind::Throttled),
    ("maximum number of connections", Kind::Throttled),
    ("over quota", Kind::Quota),
    ("overquota", Kind::Quota),
    ("quota exceeded", Kind::Quota),
    ("exceeded its quota", Kind::Quota),
    ("mailbox is full", Kind::Quota),
    ("is locked by", Kind::InUse),
    ("mailbox in use", Kind::InUse),
    ("already in use", Kind::InUse),
    // Exchange Online, while its mailbox store is moved.
    ("authenticated but not connected", Kind::Unavailable),
    ("unavailable", Kind::Unavailable),
    ("temporar", Kind::Unavailable),
    ("try again", Kind::Unavailable),
    ("try later", Kind::Unavailable),
    ("internal error", Kind::Unavailable),
    ("read-only", Kind::NoRights),
    ("read only", Kind::NoRights),
    ("permission denied", Kind::NoRights),
];
const MISSING: &[&str] = &[
    "doesn't exist",
    "does not exist",
    "not exist",
    "no such",
    "unknown mailbox",
    "unknown folder",
    "not found",
];

/// The kind of a refusal. `words` is the server's answer: status, code, text.
pub fn meaning(step: Step, words: &str) -> Kind {
    let upper = words.to_ascii_uppercase();
    let lower = words.to_ascii_lowercase();
    let by_code = CODES.iter().find(|(code, _)| upper.contains(code)).map(|(_, kind)| *kind);
    let by_phrase = || PHRASES.iter().find(|(phrase, _)| lower.contains(phrase)).map(|(_, kind)| *kind);
    let is_missing = || MISSING.iter().any(|phrase| lower.contains(phrase));
    match (step, by_code.or_else(by_phrase)) {
        // The folder that it is moved to, not the one that it is moved from.
        (Step::Remove | Step::Create, Some(Kind::FolderMissing)) => Kind::TargetMissing,
        // Rights that are missing at the login are the account's.
        (Step::Login, Some(Kind::NoRights)) => Kind::Login,
        (_, Some(kind)) => kind,
        (Step::Bye | Step::Greeting, None) => Kind::Bye,
        (_, None) if upper.starts_with("BAD") => Kind::NotUnderstood,
        (Step::Login, None) => Kind::Login,
        (Step::Folder, None) if is_missing() => Kind::FolderMissing,
        (Step::Create, None) => Kind::TargetMissing,
        (Step::Remove, None) if is_missing() => Kind::TargetMissing,
        (Step::Remove, None) => Kind::NotRemoved,
        (_, None) => Kind::Refused,
    }
}

/// How long the server wants to be left alone, if it says so: `Suggested Backoff Time: 297140 milliseconds` (Exchange
/// Online), `try again in 5 minutes`.
pub fn wanted_pause(words: &str) -> Option<Duration> {
    let lower = words.to_ascii_lowercase();
    let marks = ["backoff", "again in", "again after", "retry after", "retry in", "wait"];
    let start = marks.iter().filter_map(|mark| lower.find(mark)).min()?;
    let mut words =
        lower[start..].split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let count: u64 = words.find_map(|word| word.parse().ok())?;
    let unit_ms = match words.next()? {
        unit if unit.starts_with("ms") || unit.starts_with("milli") => 1,
        unit if unit.starts_with('s') => 1000,
        unit if unit.starts_with("min") => 60 * 1000,
        unit if unit.starts_with('h') => 3600 * 1000,
        _ => return None,
    };
    Some(Duration::from_millis(count.saturating_mul(unit_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        use Step::*;
        for (step, words, kind) in [
            (Login, "NO [AUTHENTICATIONFAILED] Authentication failed.", Kind::Login),
            (Login, "NO LOGIN failed.", Kind::Login),
            (Login, "NO [ALERT] Application-specific password required", Kind::Login),
            (Login, "NO [UNAVAILABLE] Temporary authentication failure.", Kind::Unavailable),
            (Login, "NO [LIMIT] Maximum number of connections from user+IP exceeded", Kind::Throttled),
            (Login, "NO Too many simultaneous connections. (Failure)", Kind::Throttled),
            (Login, "NO [PRIVACYREQUIRED] Plaintext authentication disallowed", Kind::LoginUnsupported),
            (Login, "BAD User is authenticated but not connected.", Kind::Unavailable),
            (Login, "BAD command unknown", Kind::NotUnderstood),
            (Login, "-ERR [IN-USE] Mailbox is locked by another process", Kind::InUse),
            (Login, "-ERR [SYS/TEMP] come back", Kind::Unavailable),
            (Greeting, "too many connections", Kind::Throttled),
            (Greeting, "go away", Kind::Bye),
            (Folder, "NO Mailbox doesn't exist: Archive", Kind::FolderMissing),
            (Folder, "NO [NONEXISTENT] Unknown Mailbox: Archive (Failure)", Kind::FolderMissing),
            (Folder, "NO [SERVERBUG] Internal error occurred.", Kind::Unavailable),
            (Folder, "NO no", Kind::Refused),
            (Read, "BAD Error in IMAP command", Kind::NotUnderstood),
            (Read, "NO [ALERT] Account exceeded command or bandwidth limits.", Kind::Throttled),
            (Remove, "NO [NOPERM] Permission denied", Kind::NoRights),
            (Remove, "NO [OVERQUOTA] Quota exceeded", Kind::Quota),
            (Remove, "NO [NONEXISTENT] no folder", Kind::TargetMissing),
            (Remove, "NO not now", Kind::NotRemoved),
            (Create, "NO not allowed", Kind::TargetMissing),
            (Bye, "Autologout; idle for too long", Kind::Bye),
            (Bye, "Server unavailable. 15", Kind::Unavailable),
        ] {
            assert_eq!(meaning(step, words), kind, "{words} at {step:?}");
        }
    }

    #[test]
    fn a_pause_that_the_server_asks_for_is_heard() {
        for (words, ms) in [
            (
                "NO [THROTTLED] Request is throttled. Suggested Backoff Time: 297140 milliseconds",
                Some(297_140),
            ),
            ("NO Too many logins, try again in 5 minutes", Some(300_000)),
            ("BYE retry after 30s please", None),
            ("BYE retry after 30 s please", Some(30_000)),
            ("NO wait 99999999999999999999 hours", None),
            ("NO wait 9999999999999999 hours", Some(u64::MAX)),
            ("NO limit of 15 connections", None),
        ] {
            assert_eq!(wanted_pause(words), ms.map(Duration::from_millis), "{words}");
        }
    }
}
