//! A stored message decided again, silently: nothing is written and nothing is sent (M4). `explain --anew` shows it, and
//! `replay` will hold what comes out against what was decided.

use super::Intake;
use super::decide::set_aside;
use super::lookup::{InHand, Sight, look_up};
use crate::failure::Failure;
use crate::mail::{self, Message};
use crate::store::Error;
use crate::store::journal::JournalRow;
use crate::ticket::{ArrivalId, EventNumber};
use crate::triage::{self, Clues, Code, Decision};

/// What to decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// The clues that were stored with the decision.
    Stored,
    /// What the store holds, without the message itself and all that came after it.
    AsOfThen,
}

/// A decision made again, under today's rules.
#[derive(Clone, Debug)]
pub struct Again {
    /// What was decided.
    pub row: JournalRow,
    pub message: Message,
    pub clues: Clues,
    pub decision: Decision,
}

impl Intake {
    pub async fn decide_again(&self, arrival: ArrivalId, grounds: Grounds) -> Result<Again, Failure> {
        let mut tx = self.desk.store.read().await?;
        let row = tx.journal_row(arrival).await?;
        let row = row.ok_or_else(|| Error::Missing(format!("decision about arrival {arrival}")))?;
        let stored = stored_clues(&row)?;
        if let Some(code) = undecidable(&row) {
            return Ok(Again { row, message: Message::default(), clues: stored, decision: set_aside(code) });
        }
        let pending = tx.arrival(arrival).await?;
        let mut message = mail::parse(&self.desk.store.skeleton(arrival).await?);
        message.add_envelope(&pending.envelope_to);
        let rules = tx.load_rules().await?;
        let clues = match grounds {
            Grounds::Stored => stored,
            Grounds::AsOfThen => {
                // Neither the scanner nor DNS is asked again: what they said then stands.
                let in_hand = InHand::again(&pending, stored.scan.clone());
                let as_of = EventNumber(row.number.0 - 1);
                let sight = Sight { rules: &rules, keys: &self.desk.keys, as_of };
                // What was counted then is counted on by now.
                Clues { pace: stored.pace, ..look_up(&mut tx, &message, &in_hand, sight).await? }
            }
        };
        let decision = triage::decide(&message, &rules, &clues);
        Ok(Again { row, message, clues, decision })
    }
}

/// Set aside without a look into it: not here, or a danger to whoever parses it.
fn undecidable(row: &JournalRow) -> Option<Code> {
    Code::parse(&row.code).filter(|code| matches!(code, Code::TooBig | Code::Refused | Code::Poison))
}

fn stored_clues(row: &JournalRow) -> Result<Clues, Error> {
    if row.clues.is_empty() {
        return Err(Error::Missing(format!("evidence for arrival {}: it was erased", row.arrival)));
    }
    Ok(serde_json::from_str(&row.clues)?)
}
