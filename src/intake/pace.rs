//! How often the keys of messages were met lately (M8): what the store has counted, asked for a whole batch together, and
//! what the batch itself adds.
//!
//! Counted is by the time of receipt, in slots of a twelfth of the window. A count is of the slots that the window touches,
//! so that no window of that length ever holds more than a cap.

use std::collections::{BTreeMap, HashMap};

use super::Intake;
use crate::clock::Micros;
use crate::desk::storms::Storm;
use crate::mail::{MailKeys, Message};
use crate::store::arrival::Pending;
use crate::store::loops::{NewCount, loop_hash};
use crate::store::{Counter, Error, Tx};
use crate::triage::loops::{cap_met, keys_asked, keys_met};
use crate::triage::{Clues, Decision, LoopKey, Pace, Rules};

const SLOTS: i64 = 12;
/// Decisions between two clearings of old counts.
const CLEARED_EVERY: i64 = 1000;

/// A message that is being decided.
#[derive(Clone, Copy)]
pub(super) struct Paced<'a> {
    pub pending: &'a Pending,
    pub message: &'a Message,
    pub clues: &'a Clues,
}

/// The counts of a batch.
pub(super) struct Paces<'a> {
    keys: &'a MailKeys,
    rules: &'a Rules,
    /// No earlier slot was loaded.
    first: i64,
    counts: HashMap<i64, BTreeMap<i64, Count>>,
    storms: BTreeMap<i64, Storm>,
}

#[derive(Clone, Copy, Default)]
struct Count {
    all: u64,
    /// Of all those that the store does not have yet.
    new: u64,
}

impl<'a> Paces<'a> {
    /// One trip to the store for all of them. Imported mail neither counts nor is counted.
    pub async fn of(
        tx: &mut Tx,
        messages: &[Paced<'_>],
        rules: &'a Rules,
        keys: &'a MailKeys,
    ) -> Result<Paces<'a>, Error> {
        let mut paces = Paces { keys, rules, first: 0, counts: HashMap::new(), storms: BTreeMap::new() };
        let counting = || messages.iter().filter(|it| !it.pending.is_silent);
        paces.first = counting().map(|it| paces.slot(it)).min().unwrap_or(0) - SLOTS;
        let hashes: Vec<i64> = counting().flat_map(|it| paces.asked(it)).map(|(_, hash)| hash).collect();
        paces.load(tx, hashes).await?;
        Ok(paces)
    }

    async fn load(&mut self, tx: &mut Tx, mut hashes: Vec<i64>) -> Result<(), Error> {
        hashes.retain(|hash| !self.counts.contains_key(hash));
        hashes.sort_unstable();
        hashes.dedup();
        if hashes.is_empty() {
            return Ok(());
        }
        self.counts.extend(hashes.iter().map(|hash| (*hash, BTreeMap::new())));
        for counted in tx.loop_counts(&hashes, self.first).await? {
            let count = Count { all: counted.count, new: 0 };
            self.counts.entry(counted.hash).or_default().insert(counted.slot, count);
        }
        Ok(())
    }

    /// The pace of one message of the batch; a ticket that the batch has brought into its clues is asked for now.
    pub async fn pace(&mut self, tx: &mut Tx, it: Paced<'_>) -> Result<Option<Pace>, Error> {
        if it.pending.is_silent {
            return Ok(None);
        }
        let asked = self.asked(&it);
        self.load(tx, asked.iter().map(|(_, hash)| *hash).collect()).await?;
        let slot = self.slot(&it);
        let before = |hash: &i64| -> u64 {
            let slots = self.counts.get(hash).into_iter().flat_map(|slots| slots.range(slot - SLOTS..=slot));
            slots.map(|(_, count)| count.all).sum()
        };
        let met = asked.iter().map(|(key, hash)| (*key, before(hash))).filter(|(_, count)| *count > 0);
        Ok(Some(Pace {
            window_s: self.rules.loops.window_s,
            met: met.collect(),
            is_let_through: it.pending.is_let_through,
        }))
    }

    /// What a decision counts for those to come.
    pub fn add(&mut self, it: Paced<'_>, decision: &Decision) {
        let slot = self.slot(&it);
        for key in keys_met(it.message, self.rules, it.clues, decision) {
            let Some(hash) = self.hash(key, it.message) else { continue };
            let count = self.counts.entry(hash).or_default().entry(slot).or_default();
            *count = Count { all: count.all + 1, new: count.new + 1 };
        }
        let Some(key) = cap_met(it.message, self.rules, decision) else { return };
        let (Some(hash), Some(name)) = (self.hash(key, it.message), key.name(it.message)) else { return };
        let received = received(&it);
        let storm = self.storms.entry(hash).or_insert_with(|| Storm {
            hash,
            key,
            name,
            cap: self.rules.loops.cap(key),
            window_s: self.rules.loops.window_s,
            stopped: 0,
            first: received,
            last: received,
        });
        storm.stopped += 1;
        storm.first = storm.first.min(received);
        storm.last = storm.last.max(received);
    }

    /// Writes what was added.
    pub async fn write(self, tx: &mut Tx, intake: &Intake) -> Result<(), Error> {
        let now = intake.clock.now();
        let mut added = 0;
        for (hash, slots) in &self.counts {
            for (slot, count) in slots.iter().filter(|(_, count)| count.new > 0) {
                tx.add_loop_count(&NewCount { hash: *hash, slot: *slot, count: count.new }, now)?;
                added += 1;
            }
        }
        // Counts are many and old ones of no use: now and then they go.
        if added > 0 && tx.last_drawn(Counter::Event) % CLEARED_EVERY < added {
            tx.clear_loop_counts(self.rules.loops.window_s, now).await?;
        }
        for storm in self.storms.values() {
            intake.desk.note_storm(tx, storm).await?;
        }
        Ok(())
    }

    fn asked(&self, it: &Paced<'_>) -> Vec<(LoopKey, i64)> {
        let keys = keys_asked(it.message, it.clues, self.rules);
        keys.into_iter().filter_map(|key| Some((key, self.hash(key, it.message)?))).collect()
    }

    fn hash(&self, key: LoopKey, message: &Message) -> Option<i64> {
        Some(loop_hash(self.keys, key.kind(), &key.name(message)?))
    }

    fn slot(&self, it: &Paced<'_>) -> i64 {
        let slot_us = self.rules.loops.window_s as i64 * Micros::SECOND / SLOTS;
        received(it).0.div_euclid(slot_us)
    }
}

/// When a message was received: as its source says, or as the last server has noted in it, whichever is earlier. A source
/// that keeps no time (POP3) shows old mail as new, and so does a mailbox that was moved.
fn received(it: &Paced<'_>) -> Micros {
    it.message.delivered().map_or(it.pending.received, |noted| noted.min(it.pending.received))
}
