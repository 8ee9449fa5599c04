//! The one window that no client can close: the provider has taken the old token back and given another, and whoever asked
//! dies before that is durable. It costs a sign-in, and nothing else.

use std::time::Duration;

use super::kills::{desk, user};
use super::*;
use crate::support::identity::{Fault, Rotation};
use crate::support::program::{Desk, Running, Store};
use crate::support::{skipped, wait_until};

/// A claim of a dead process ends after 7 s; a machine may stall.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn without_grace_a_kill_in_the_window_ends_in_one_alert_sqlite() {
    killed_in_the_window(Store::Sqlite);
}

#[test]
fn without_grace_a_kill_in_the_window_ends_in_one_alert_postgres() {
    killed_in_the_window(Store::Postgres);
}

/// The ways to die in it. An answer that is lost alive is `faults`' matter.
const LOST: [&str; 3] = ["held answer", "oauth.after_answer", "oauth.before_commit"];
/// The grant that nothing happens to.
const WELL: usize = LOST.len();

fn killed_in_the_window(store: Store) {
    if !cfg!(feature = "crash-points") {
        return skipped("built without the feature crash-points, which scripts/test gives");
    }
    let identity = Identity::start(Style::Microsoft);
    let Some(desk) = desk(store, &identity, LOST.len() + 1) else { return };
    {
        let mut desk = identity.desk();
        desk.rotation = Rotation::NoGrace;
        desk.access_lasts = 2;
    }
    // Twice well, so that each has a token before the one of now, which might be tried again and again.
    for _ in 0..2 {
        for n in 0..=WELL {
            desk.run(&["oauth", "refresh", &format!("m{n}")]).ok();
        }
    }
    for (n, way) in LOST.into_iter().enumerate() {
        lose(&desk, &identity, n, way);
    }
    let before: Vec<usize> = (0..WELL).map(|n| identity.presented(&user(n))).collect();
    // Nobody needs the tokens but the keeper.
    let mut daemon = desk.spawn(&["run"]);
    wait_until("an alert for each", PATIENCE, || {
        (desk.rows(&["alert", "list", "--json"]).len() == WELL).then_some(())
    });
    for alert in desk.rows(&["alert", "list", "--json"]) {
        let words = alert.to_string();
        assert!(words.contains("an answer of the provider was lost"), "{words}");
        assert!(words.contains("maildesk oauth login mailbox:"), "{words}");
    }
    for n in 0..WELL {
        // The token of now and the one before it.
        assert_eq!(identity.presented(&user(n)), before[n] + 2, "{}", LOST[n]);
    }
    let asked: usize = (0..WELL).map(|n| identity.presented(&user(n))).sum();
    for _ in 0..2 {
        let so_far = identity.refreshed(&user(WELL));
        wait_until("the well one to go on", PATIENCE, || {
            (identity.refreshed(&user(WELL)) >= so_far + 2).then_some(())
        });
        daemon = again(&desk, daemon);
    }
    let now: usize = (0..WELL).map(|n| identity.presented(&user(n))).sum();
    assert_eq!(now, asked, "nobody asks before a person has signed in");
    let refused = desk.run(&["oauth", "status"]).ok();
    assert!(refused.stdout.contains("maildesk oauth login mailbox:"), "{refused:?}");
    for n in 0..WELL {
        let token = identity.grant(&user(n), "mail offline_access");
        desk.run_with_input(&["oauth", "import", &format!("m{n}")], format!("{token}\n").as_bytes()).ok();
    }
    wait_until("all to be well", PATIENCE, || {
        let status = desk.rows(&["oauth", "status", "--json"]);
        let are_well = status.iter().all(|line| line["state"] == "working");
        (are_well && desk.rows(&["alert", "list", "--json"]).is_empty()).then_some(())
    });
    assert!(daemon.stop().success());
    assert_eq!(identity.desk().overlaps, 0);
}

/// Loses what the provider gives for the grant of mailbox `m{n}`.
fn lose(desk: &Desk, identity: &Identity, n: usize, way: &str) {
    let name = format!("m{n}");
    let refresh = ["oauth", "refresh", name.as_str()];
    let given = identity.refreshed(&user(n));
    match way {
        "held answer" => {
            identity.desk().faults.push_back(Fault::HeldAnswer);
            let mut child = desk.spawn(&refresh);
            wait_until("the provider to have given", PATIENCE, || {
                (identity.refreshed(&user(n)) > given).then_some(())
            });
            child.kill();
        }
        point => {
            let mut child = desk.spawn_with(&refresh, &[("MAILDESK_CRASH_AT", point)]);
            assert!(!child.wait(PATIENCE).success(), "{point} was not met");
        }
    }
    assert_eq!(identity.refreshed(&user(n)), given + 1, "{way}");
}

/// Another daemon in its place.
fn again(desk: &Desk, mut daemon: Running) -> Running {
    assert!(daemon.stop().success());
    desk.spawn(&["run"])
}
