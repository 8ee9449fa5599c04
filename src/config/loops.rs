//! `[loops]`: how much is too much.

use super::section::{Wrong, section};
use crate::triage::LoopRule;

section! {
    /// The loop breaker: two programs that answer each other, our own mail that comes back, a flood from one sender. Counted
    /// is by the time of receipt, over the window before each message. A limit of 0 is none.
    LoopsSection {
        /// The window, in minutes.
        window_minutes: u64 = LoopRule::default().window_s / 60;
        /// Messages from one address. More are suspended: in the invalid queue with code `flood_sender`, and nobody is told of
        /// them one by one. `maildesk invalid recover` takes them in as if they had come just so. Mail that fails under
        /// `[trust]` counts for the machine that has handed it over, not for the address that it names.
        messages_from_sender: u64 = LoopRule::default().sender;
        /// Beyond so many they are journalled only (`flood_journalled`): kept raw, and not shown in the queue.
        journalled_beyond: u64 = LoopRule::default().sender_journalled;
        /// Automatic answers to one address. Further messages are taken in; their answers wait in hold.
        answers_to_address: u64 = LoopRule::default().address;
        /// The same to all addresses of one domain.
        answers_to_domain: u64 = LoopRule::default().domain;
        /// Messages with one subject, but for its numbers, that set off mail. Further ones are taken in; the mails about
        /// them wait in hold.
        mails_on_subject: u64 = LoopRule::default().subject;
        /// The same of messages on one ticket.
        mails_on_ticket: u64 = LoopRule::default().ticket;
    }
}

impl LoopsSection {
    pub fn resolve(&self) -> Result<LoopRule, Wrong> {
        if !(1..=10_080).contains(&self.window_minutes) {
            return Err(Wrong::new("window_minutes", "must be between 1 and 10080, a week"));
        }
        if self.journalled_beyond != 0 && self.journalled_beyond < self.messages_from_sender {
            let words = "must be 0, or at least messages_from_sender: what is suspended comes before";
            return Err(Wrong::new("journalled_beyond", words));
        }
        Ok(LoopRule {
            window_s: self.window_minutes * 60,
            sender: self.messages_from_sender,
            sender_journalled: self.journalled_beyond,
            address: self.answers_to_address,
            domain: self.answers_to_domain,
            subject: self.mails_on_subject,
            ticket: self.mails_on_ticket,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_section_are_those_of_the_rules() {
        assert_eq!(LoopsSection::default().resolve(), Ok(LoopRule::default()));
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        let wrong = |section: LoopsSection| section.resolve().unwrap_err().key;
        assert_eq!(wrong(LoopsSection { window_minutes: 0, ..Default::default() }), "window_minutes");
        assert_eq!(wrong(LoopsSection { journalled_beyond: 99, ..Default::default() }), "journalled_beyond");
        let without = LoopsSection { journalled_beyond: 0, messages_from_sender: 0, ..Default::default() };
        assert!(without.resolve().is_ok());
    }
}
