//! `[trust]` and `[predecessor]`: what stands around the desk: mail servers in front of it, and the system before it.

use super::section::{Wrong, section};
use crate::mail::subject::NUMBER;
use crate::triage::{LoopRule, VerdictRule};

section! {
    /// Whose word counts about mail that was not decided here.
    TrustSection {
        /// The mail servers of ours that a message passes last, by the name that they give behind `by` in Received; `*.` for
        /// all below a domain. What they have marked as spam goes to the invalid queue.
        relays: Vec<String> = vec![], example "[\"mx.example.com\"]";
        /// They take verdicts of others out of what comes in, as Exchange and Rspamd do: then each field with a verdict is
        /// theirs. Else only those that stand above the Received of the first of them count.
        strips_verdicts: bool = false;
    }
}

section! {
    /// The system whose work this desk goes on with.
    PredecessorSection {
        /// Its tags in subjects, `{number}` for the digits: mails with the same tag come onto one ticket.
        tags: Vec<String> = vec![], example "[\"[Ticket#{number}]\", \"[example.com #{number}]\"]";
        /// The least number of the next ticket; it only ever raises it.
        first_ticket_number: u64 = 1;
    }
}

/// All of it, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    pub verdicts: VerdictRule,
    pub predecessor_tags: Vec<String>,
    pub first_ticket_number: u64,
    pub loops: LoopRule,
}

/// So many numbers are left for tickets to come.
const MAX_FIRST: u64 = 1_000_000_000_000;

impl TrustSection {
    pub fn resolve(&self) -> Result<VerdictRule, Wrong> {
        let is_host = |relay: &&String| {
            let host = relay.strip_prefix("*.").unwrap_or(relay);
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b))
        };
        match self.relays.iter().find(|relay| !is_host(relay)) {
            Some(wrong) => Err(Wrong::new("relays", format!("{wrong:?} is no name of a host"))),
            None => Ok(VerdictRule {
                relays: self.relays.iter().map(|relay| relay.to_ascii_lowercase()).collect(),
                strips_verdicts: self.strips_verdicts,
            }),
        }
    }
}

impl PredecessorSection {
    pub fn resolve(&self) -> Result<(Vec<String>, u64), Wrong> {
        for tag in &self.tags {
            let words = tag.replacen(NUMBER, "", 1);
            if words == *tag || words.contains(NUMBER) || words.trim().len() < 2 || !tag.is_ascii() {
                let wrong =
                    format!("{tag:?} must hold {NUMBER} once, and at least two other ASCII characters");
                return Err(Wrong::new("tags", wrong));
            }
        }
        if !(1..=MAX_FIRST).contains(&self.first_ticket_number) {
            let wrong = format!("must be between 1 and {MAX_FIRST}");
            return Err(Wrong::new("first_ticket_number", wrong));
        }
        Ok((self.tags.clone(), self.first_ticket_number))
    }
}
