//! What types and mailboxes may not be together: mail that would come back to us, two takers of bounces (C6).

use super::TypeSpec;
use crate::mail::Address;
use crate::triage::Flow;

/// A type that may not stand beside the others, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The place of the type in the list.
    pub at: usize,
    pub key: &'static str,
    pub words: String,
}

/// Looks at active types only. `usernames` are those of the mailboxes that are read.
pub fn conflicts(types: &[TypeSpec], usernames: &[String]) -> Vec<Conflict> {
    let active = || types.iter().enumerate().filter(|(_, t)| t.is_active);
    let mut found = vec![];
    for (at, one) in active() {
        for (key, address) in
            one.admin.iter().map(|a| ("admin", a)).chain(one.forwards.iter().map(|a| ("forward", a)))
        {
            if let Some(reader) = read_by(address, types, usernames) {
                let words =
                    format!("{address} is itself read by maildesk ({reader}): its mail would come back");
                found.push(Conflict { at, key, words });
            }
        }
    }
    let bounces: Vec<_> = active().filter(|(_, t)| t.flow == Flow::Bounce).collect();
    for (at, _) in bounces.iter().skip(1) {
        let words = format!("only one active type may take bounces, and {:?} does", bounces[0].1.name);
        found.push(Conflict { at: *at, key: "flow", words });
    }
    found
}

/// What reads the mail to an address, if anything does.
pub fn read_by(address: &Address, types: &[TypeSpec], usernames: &[String]) -> Option<String> {
    let answers = |one: &&TypeSpec| {
        one.is_active && (one.address == *address || one.patterns.iter().any(|p| address.matches(p)))
    };
    if let Some(one) = types.iter().find(answers) {
        return Some(format!("type {:?} answers to it", one.name));
    }
    // Not part of the address: Gmail's mark for a POP3 login that shows the recent mail to every client.
    let bare = |user: &str| Address::parse(user.strip_prefix("recent:").unwrap_or(user));
    let is_user = |user: &&String| bare(user).is_some_and(|user| user == address.without_detail());
    usernames.iter().find(is_user).map(|user| format!("a mailbox signs in as {user}"))
}
