//! Which mailboxes are whose: each daemon's even share, by what the store says. Pure.

use crate::lease::Sight;
use crate::ticket::MailboxId;

use super::works::lease_of;

/// What one daemon is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    /// Free ones, to try in this order, and how many of them at most.
    pub free: Vec<MailboxId>,
    pub most: usize,
    /// Ours, of which another daemon lacks.
    pub surplus: Vec<MailboxId>,
}

/// The shares of all add up to the mailboxes there are: those that live longest have one more where it does not go
/// evenly. `me`: the id of our life.
pub(super) fn moves(me: &str, sight: &Sight, mailboxes: &[MailboxId]) -> Moves {
    let daemons: Vec<&str> =
        sight.daemons.iter().filter(|d| d.command == "run").map(|d| d.id.as_str()).collect();
    let Some(rank) = daemons.iter().position(|id| *id == me) else { return Moves::default() };
    let share = mailboxes.len() / daemons.len() + usize::from(rank < mailboxes.len() % daemons.len());
    let (mut ours, mut free) = (vec![], vec![]);
    for mailbox in mailboxes {
        let name = lease_of(*mailbox);
        match sight.leases.iter().find(|lease| lease.name == name && lease.is_live) {
            Some(lease) if lease.owner == me => ours.push(*mailbox),
            Some(_) => {}
            None => free.push(*mailbox),
        }
    }
    Moves { most: share.saturating_sub(ours.len()), free, surplus: ours.split_off(share.min(ours.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Micros;
    use crate::store::{DaemonRow, LeaseRow};

    fn sight(daemons: &[(&str, &str)], leases: &[(i64, &str, bool)]) -> Sight {
        let daemon = |(id, command): &(&str, &str)| DaemonRow {
            id: (*id).into(),
            command: (*command).into(),
            host: "h".into(),
            pid: 1,
            process: String::new(),
            since: Micros(0),
            until: Micros(1),
            is_live: true,
        };
        let lease = |(mailbox, owner, is_live): &(i64, &str, bool)| LeaseRow {
            name: lease_of(MailboxId(*mailbox)),
            owner: (*owner).into(),
            fence: 1,
            is_live: *is_live,
        };
        Sight {
            daemons: daemons.iter().map(daemon).collect(),
            leases: leases.iter().map(lease).collect(),
            ..Sight::default()
        }
    }

    fn ids(ids: impl IntoIterator<Item = i64>) -> Vec<MailboxId> {
        ids.into_iter().map(MailboxId).collect()
    }

    #[test]
    fn one_takes_all_and_a_joiner_gets_its_half() {
        let all = ids(1..=5);
        let alone = sight(&[("a", "run")], &[]);
        assert_eq!(moves("a", &alone, &all), Moves { free: all.clone(), most: 5, surplus: vec![] });
        let held: Vec<_> = (1..=5).map(|n| (n, "a", true)).collect();
        let two = sight(&[("a", "run"), ("b", "run")], &held);
        assert_eq!(moves("a", &two, &all).surplus, ids([4, 5]));
        assert_eq!(moves("b", &two, &all), Moves { free: vec![], most: 2, surplus: vec![] });
    }

    #[test]
    fn what_a_dead_daemon_held_is_free_and_who_only_passes_has_no_share() {
        let all = ids(1..=4);
        let held = [(1, "a", true), (2, "a", true), (3, "dead", false), (4, "poll", true)];
        let now = sight(&[("a", "run"), ("poll", "poll"), ("b", "run")], &held);
        assert_eq!(moves("b", &now, &all), Moves { free: ids([3]), most: 2, surplus: vec![] });
        assert_eq!(moves("a", &now, &all), Moves { free: ids([3]), most: 0, surplus: vec![] });
        assert_eq!(moves("poll", &now, &all), Moves::default());
    }

    #[test]
    fn shares_add_up() {
        for (mailboxes, daemons) in [(0, 1), (1, 3), (7, 3), (40, 4), (41, 4), (3, 7)] {
            let all = ids(1..=mailboxes);
            let names: Vec<String> = (0..daemons).map(|n| n.to_string()).collect();
            let rows: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), "run")).collect();
            let sight = sight(&rows, &[]);
            let shares: Vec<usize> = names.iter().map(|n| moves(n, &sight, &all).most).collect();
            assert_eq!(shares.iter().sum::<usize>(), all.len());
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }
    }
}
