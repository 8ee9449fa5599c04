//! What became of messages, counted, and of a batch.

use std::collections::BTreeMap;

use super::told::Told;
use crate::ticket::ArrivalId;
use crate::triage::Decision;

/// What became of messages: act and code, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fates(pub BTreeMap<(&'static str, &'static str), u64>);

impl Fates {
    pub fn count(&mut self, decision: &Decision) {
        *self.0.entry((decision.act.as_str(), decision.code.as_str())).or_default() += 1;
    }

    pub fn merge(&mut self, other: &Fates) {
        for (key, n) in &other.0 {
            *self.0.entry(*key).or_default() += n;
        }
    }

    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

/// What became of a batch.
#[derive(Default)]
pub(super) struct Decided {
    pub fates: Fates,
    /// Not decided yet: the parser died of them, and they have tries left.
    pub waiting: Vec<ArrivalId>,
    /// Not decided yet: they wait for the virus scanner.
    pub unscanned: Vec<ArrivalId>,
    pub told: Vec<Told>,
}

impl Decided {
    /// Kept, and to be decided later.
    pub fn is_waiting(&self, id: ArrivalId) -> bool {
        self.waiting.contains(&id) || self.unscanned.contains(&id)
    }

    pub fn add(&mut self, settled: (Decision, Told)) {
        self.fates.count(&settled.0);
        self.told.push(settled.1);
    }
}
