//! Sets of UIDs as the wire wants them: ranges, and lines that no server finds too long.

use crate::failure::Failure;

/// RFC 2683 §3.2.1.5 asks clients for lines under 1,000 octets and servers for 8,000; servers in use take 8,000.
const SET_LIMIT: usize = 7_000;

/// The UIDs that the source ids stand for.
pub(super) fn parse<'a>(ids: impl Iterator<Item = &'a str>) -> Result<Vec<u32>, Failure> {
    ids.map(parse_one).collect()
}

pub(super) fn parse_one(id: &str) -> Result<u32, Failure> {
    id.parse().map_err(|_| Failure::permanent(format!("{id:?} is no IMAP UID")))
}

/// The UIDs as sequence sets. A range spans only UIDs that were asked for: a set also says what to delete.
pub(super) fn sets(mut uids: Vec<u32>) -> Vec<String> {
    uids.sort_unstable();
    uids.dedup();
    let mut sets: Vec<String> = Vec::new();
    for run in uids.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
        let range = match run {
            [only] => only.to_string(),
            [first, .., last] => format!("{first}:{last}"),
            [] => continue,
        };
        match sets.last_mut() {
            Some(set) if set.len() + range.len() < SET_LIMIT => {
                set.push(',');
                set.push_str(&range);
            }
            _ => sets.push(range),
        }
    }
    sets
}

/// The UIDs that a set of `sets` names.
pub(super) fn of_set(set: &str) -> Vec<u32> {
    let ranges = set.split(',').filter_map(|range| {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        Some(first.parse::<u32>().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_become_ranges() {
        assert_eq!(sets(vec![5, 1, 2, 3, 9, 2, u32::MAX]), ["1:3,5,9,4294967295"]);
        assert!(sets(vec![]).is_empty());
    }

    proptest! {
        #[test]
        fn sets_name_what_was_asked_and_nothing_else(uids in prop::collection::btree_set(1u32..50_000, 0..4_000)) {
            let sets = sets(uids.iter().rev().copied().collect());
            prop_assert!(sets.iter().all(|s| s.len() <= SET_LIMIT));
            let named: Vec<u32> = sets.iter().flat_map(|set| of_set(set)).collect();
            prop_assert_eq!(named, uids.into_iter().collect::<Vec<_>>());
        }
    }
}
