//! What a listing gives to do, and in which portions.

use super::source::{Item, SPOOL_FROM, SessionLimit};
use crate::store::arrival::Known;
use crate::ticket::ArrivalId;

/// Messages in one batch, however small they are.
const BATCH_MESSAGES: usize = 200;
/// Memory counts a spooled message as this much.
pub(super) const SPOOLED_COST: u64 = SPOOL_FROM;

/// What to do with the messages of a listing.
#[derive(Default)]
pub(super) struct Work {
    /// Not known under this identity; `admit` says what becomes of them.
    pub unknown: Vec<Item>,
    pub new: Vec<Item>,
    /// Known under this identity with another announced size, or let go before by a source that may have given the
    /// identity to another message: the bytes decide.
    pub resized: Vec<(Item, Known)>,
    /// With the arrival that it has already, where it had vanished.
    pub too_big: Vec<(Item, Option<ArrivalId>)>,
    /// Left at the source before, and wanted now: the limit was raised, or an admin asked for it. Or it had vanished, and is
    /// there again.
    pub wanted: Vec<(Item, Known)>,
    /// Decided in shadow, and still there now that the mailbox is live.
    pub shadows: Vec<(Item, Known)>,
}

impl Work {
    /// Leaves to another session what is more than this one may take, beside what it owes. Whether anything was left.
    pub fn cut(&mut self, limit: SessionLimit, owed: usize) -> bool {
        let mut messages = limit.messages.saturating_sub(owed);
        let mut bytes = limit.bytes;
        let mut is_cut = false;
        let mut fits = |item: &Item| {
            let fits = messages > 0 && bytes > 0;
            messages = messages.saturating_sub(1);
            bytes = bytes.saturating_sub(item.size);
            is_cut |= !fits;
            fits
        };
        self.wanted.retain(|(item, _)| fits(item));
        self.resized.retain(|(item, _)| fits(item));
        self.new.retain(&mut fits);
        is_cut
    }
}

impl Work {
    /// What was admitted is taken in, or left where it is too big. In shadow mode nothing else is done.
    pub fn divide(&mut self, limit: u64, is_shadow: bool) {
        if is_shadow {
            *self = Work { unknown: std::mem::take(&mut self.unknown), ..Work::default() };
        }
        for item in std::mem::take(&mut self.unknown) {
            match item.size > limit {
                true => self.too_big.push((item, None)),
                false => self.new.push(item),
            }
        }
    }
}

/// Batches bounded by bytes and by count, in order.
pub fn batches(items: Vec<Item>, bytes: u64) -> Vec<Vec<Item>> {
    let mut batches: Vec<Vec<Item>> = vec![];
    let mut weight = 0;
    for item in items {
        let cost = item.size.min(SPOOLED_COST);
        match batches.last_mut() {
            Some(batch) if weight + cost <= bytes && batch.len() < BATCH_MESSAGES => batch.push(item),
            _ => {
                batches.push(vec![item]);
                weight = 0;
            }
        }
        weight += cost;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_by_bytes_and_by_count() {
        let item = |n: usize, size| Item { source_id: n.to_string(), size };
        let sizes = |items: Vec<Item>| batches(items, 100).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![]), Vec::<usize>::new());
        assert_eq!(sizes(vec![item(1, 60), item(2, 40), item(3, 1), item(4, 500), item(5, 1)]), [2, 1, 1, 1]);
        assert_eq!(sizes((0..450).map(|n| item(n, 0)).collect()), [200, 200, 50]);
    }

    #[test]
    fn a_session_takes_no_more_than_it_may() {
        let new = |sizes: &[u64]| Work {
            new: sizes.iter().map(|size| Item { source_id: String::new(), size: *size }).collect(),
            ..Work::default()
        };
        let limit = SessionLimit { messages: 3, bytes: 100 };
        for (sizes, owed, taken, is_cut) in [
            (&[1, 1, 1][..], 0, 3, false),
            (&[1, 1, 1, 1], 0, 3, true),
            (&[1, 1], 2, 1, true),
            (&[1], 5, 0, true),
            (&[], 5, 0, false),
            (&[60, 40, 1], 0, 2, true),
            // One that is larger than all of a session may be is taken alone.
            (&[500, 1], 0, 1, true),
        ] {
            let mut work = new(sizes);
            assert_eq!((work.cut(limit, owed), work.new.len()), (is_cut, taken), "{sizes:?}, {owed}");
        }
    }
}
