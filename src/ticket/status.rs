//! The statuses of a ticket and the rules between them, as data (B7).

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nobody has answered yet.
    New,
    Open,
    /// Waits for the contact.
    Pending,
    /// Waits for a third party.
    OnHold,
    Solved,
    Closed,
}

/// The one table of statuses: name, whether work on it has ended, and where it may go by hand.
const RULES: &[(Status, &str, bool, &[Status])] = {
    use Status::*;
    &[
        (New, "new", false, &[Open, Pending, OnHold, Solved, Closed]),
        (Open, "open", false, &[Pending, OnHold, Solved, Closed]),
        (Pending, "pending", false, &[Open, OnHold, Solved, Closed]),
        (OnHold, "on_hold", false, &[Open, Pending, Solved, Closed]),
        (Solved, "solved", true, &[Open, Closed]),
        (Closed, "closed", true, &[Open]),
    ]
};

impl Status {
    pub fn all() -> impl Iterator<Item = Status> {
        RULES.iter().map(|r| r.0)
    }

    fn rule(self) -> &'static (Status, &'static str, bool, &'static [Status]) {
        RULES.iter().find(|r| r.0 == self).expect("RULES lists every status; a test holds it to that")
    }

    pub fn as_str(self) -> &'static str {
        self.rule().1
    }

    pub fn parse(name: &str) -> Option<Status> {
        RULES.iter().find(|r| r.1 == name).map(|r| r.0)
    }

    /// Work on it has ended: a trusted reply reopens it, or opens a follow-up ticket, as the type says.
    pub fn is_ended(self) -> bool {
        self.rule().2
    }

    pub fn may_become(self, next: Status) -> bool {
        self.rule().3.contains(&next)
    }

    /// What a trusted reply of the contact makes of it (where the type reopens).
    pub fn after_reply(self) -> Status {
        match self {
            Status::New => Status::New,
            _ => Status::Open,
        }
    }

    /// What an answer to the contact makes of it.
    pub fn after_answer(self) -> Status {
        match self {
            Status::New => Status::Open,
            other => other,
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_rule_and_its_name_back() {
        use Status::*;
        for s in [New, Open, Pending, OnHold, Solved, Closed] {
            assert_eq!(Status::parse(s.as_str()), Some(s));
            assert!(!s.may_become(s), "{s} to itself is no change");
            assert!(!s.after_reply().is_ended());
        }
        assert!(!Open.may_become(New));
        assert!(Closed.may_become(Open));
    }
}
