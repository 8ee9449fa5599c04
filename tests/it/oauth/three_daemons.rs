//! Three daemons on one PostgreSQL, tokens that live two seconds, commands beside them, and deaths at every named step:
//! the grants live on, and the provider never has two refreshes of one of them in hand.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use maildesk::crash;

use super::kills::refreshes;
use super::*;
use crate::support::identity::Rotation;
use crate::support::program::{Desk, Running, Store};
use crate::support::{long_tier, say, skipped, wait_until};

/// A claim of a dead process ends after 7 s; a machine may stall.
const PATIENCE: Duration = Duration::from_secs(60);
/// As many as daemons, so that one that waits for the claim of a dead process to end holds up a third at most.
const GRANTS: usize = 3;

/// What becomes of a daemon.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It dies where it meets this point for the n-th time.
    Dies(&'static str, usize),
    /// It stands still there until its claim is another's.
    Stops(&'static str),
}

/// Each point in turn, at another of its meetings each time; and the two at which a late one could do harm.
fn fates() -> VecDeque<Fate> {
    let points: Vec<&str> = crash::POINTS
        .iter()
        .copied()
        .filter(|point| point.starts_with("oauth.") && *point != "oauth.signed_in")
        .collect();
    let mut fates = VecDeque::new();
    for pass in 0..if long_tier() { 8 } else { 1 } {
        fates.extend(["oauth.after_claim", "oauth.after_answer"].map(Fate::Stops));
        fates.extend(points.iter().enumerate().map(|(n, point)| Fate::Dies(point, 1 + (pass + n) % 3)));
    }
    fates
}

struct Three {
    identity: Identity,
    desks: Vec<Desk>,
    wanted: usize,
    fates: Mutex<VecDeque<Fate>>,
    /// Lives of daemons that are not over.
    lives: AtomicUsize,
    met: Mutex<Vec<String>>,
}

impl Three {
    fn new() -> Option<Three> {
        let identity = Identity::start(Style::Microsoft);
        {
            let mut desk = identity.desk();
            desk.access_lasts = 2;
            desk.rotation = Rotation::UntilNewIsUsed;
            desk.delay = Duration::from_millis(20);
        }
        // The mailboxes have no type, so that nobody polls them: nobody but the keeper needs their tokens.
        let first = super::kills::desk(Store::Postgres, &identity, GRANTS)?;
        std::fs::write(first.folder.path().join("password"), "unused").expect("it is written");
        let desks = vec![first.beside(), first.beside(), first];
        let (fates, lives) = (Mutex::new(fates()), AtomicUsize::new(0));
        Some(Three { identity, desks, wanted: refreshes(), fates, lives, met: Mutex::default() })
    }

    /// Every fate has been met, no daemon is about to meet one, and each grant was refreshed often enough.
    fn is_done(&self) -> bool {
        self.fates.lock().expect("nobody panics").is_empty()
            && self.lives.load(Ordering::SeqCst) == 0
            && (0..GRANTS).all(|n| self.refreshed(n) * GRANTS >= self.wanted)
    }

    fn refreshed(&self, n: usize) -> usize {
        self.identity.refreshed(&super::kills::user(n))
    }

    /// One daemon after the other in one folder, until all is done.
    fn keep_running(&self, desk: &Desk) {
        loop {
            let fate = {
                let mut fates = self.fates.lock().expect("nobody panics");
                self.lives.fetch_add(usize::from(!fates.is_empty()), Ordering::SeqCst);
                fates.pop_front()
            };
            match fate {
                Some(Fate::Dies(point, n)) => {
                    let mut daemon =
                        desk.spawn_with(&["run"], &[("MAILDESK_CRASH_AT", &format!("{point}:{n}"))]);
                    assert!(!daemon.wait(PATIENCE).success(), "{point} was not met");
                }
                Some(Fate::Stops(point)) => {
                    let mut daemon = desk.spawn_with(&["run"], &[("MAILDESK_STOP_AT", point)]);
                    daemon.wait_until_stopped(PATIENCE);
                    self.wait_until_taken_over(desk, &daemon);
                    daemon.signal("CONT");
                    let so_far: usize = (0..GRANTS).map(|n| self.refreshed(n)).sum();
                    wait_until("it to go on beside the others", PATIENCE, || {
                        let now: usize = (0..GRANTS).map(|n| self.refreshed(n)).sum();
                        (now >= so_far + GRANTS).then_some(())
                    });
                    assert!(daemon.stop().success(), "{}", daemon.log());
                }
                None => {
                    let mut daemon = desk.spawn(&["run"]);
                    wait_until("the end of all fates", PATIENCE * 10, || {
                        assert_eq!(daemon.ended(), None, "{}", daemon.log());
                        self.is_done().then_some(())
                    });
                    assert!(daemon.stop().success());
                    return;
                }
            }
            self.met.lock().expect("nobody panics").push(format!("{:?}", fate.expect("one that was met")));
            self.lives.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// The grant that it had in hand has been refreshed by somebody else.
    fn wait_until_taken_over(&self, desk: &Desk, stopped: &Running) {
        let mine = format!("SELECT id, fence FROM oauth_grant WHERE claim LIKE '{}-%'", stopped.pid());
        let held = desk.query(&mine);
        let (id, fence) = held.first().and_then(|row| row.split_once('|')).expect("it holds a grant");
        let newer = format!("SELECT id FROM oauth_grant WHERE id = {id} AND fence > {fence}");
        wait_until("another to take it over", PATIENCE, || (!desk.query(&newer).is_empty()).then_some(()));
    }

    /// A person who is never content: through the daemon where one is there, else beside it.
    fn insist(&self, desk: &Desk, n: usize) {
        while !self.is_done() {
            let output = desk.run(&["oauth", "refresh", &format!("m{n}")]);
            // A daemon that dies takes the answer with it; others may be quicker, again and again.
            assert_ne!(output.code, Some(65), "the grant is lost: {output:?}");
        }
    }
}

#[test]
fn grants_outlive_kills_at_every_step_of_three_daemons() {
    if !cfg!(feature = "crash-points") {
        return skipped("built without the feature crash-points, which scripts/test gives");
    }
    let Some(three) = Three::new() else { return };
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for (n, desk) in three.desks.iter().enumerate() {
            scope.spawn(|| three.keep_running(desk));
            let three = &three;
            scope.spawn(move || three.insist(desk, n));
        }
    });
    let met = three.met.lock().expect("nobody panics").len();
    let refreshed: Vec<usize> = (0..GRANTS).map(|n| three.refreshed(n)).collect();
    say(&format!(
        "oauth: three daemons refreshed {GRANTS} grants {refreshed:?} times, with {met} deaths and stops, in {:.1} s\n",
        begun.elapsed().as_secs_f64()
    ));
    let desk = &three.desks[0];
    for n in 0..GRANTS {
        desk.run(&["oauth", "refresh", &format!("m{n}")]).ok();
    }
    let status = desk.rows(&["oauth", "status", "--json"]);
    assert!(status.iter().all(|line| line["state"] == "working"), "{status:?}");
    assert!(desk.rows(&["alert", "list", "--json"]).is_empty());
    let seen = three.identity.desk().seen.clone();
    let refused: Vec<_> = seen.iter().filter(|seen| seen.answer != "ok").collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert_eq!(three.identity.desk().overlaps, 0, "two refreshes of one grant at once");
}
