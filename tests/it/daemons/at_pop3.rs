//! A POP3 mailbox whose lease is lost before QUIT: the server deletes at QUIT alone, so the old holder must not say it.

use super::*;

/// The lease is lost by the database's word alone: the old holder's own clock gives it two minutes more. So nothing but its
/// question before QUIT can tell it.
#[test]
fn a_lease_that_is_lost_before_quit_deletes_nothing() {
    if !cfg!(feature = "crash-points") {
        return skipped("built without the feature crash-points, which scripts/test gives");
    }
    let Some(mut many) = Many::by("pop3", 1, 120) else { return };
    many.deliver_to_all();
    many.deliver_to_all();
    // Every DELE has been answered.
    let stopped = many.desk.spawn_with(&["run"], &[("MAILDESK_STOP_AT", "ack.after_source")]);
    stopped.wait_until_stopped(PATIENCE);
    let lease = "SELECT owner, fence FROM lease WHERE name LIKE 'mailbox:%'";
    let before = many.desk.query(lease);
    many.desk.psql("UPDATE daemon SET until_us = 0, process = ''");
    let two = many.desk.beside();
    let second = two.spawn(&["run"]);
    many.wait_for_held(&[(&second, 1)]);
    // It finds all of it decided: it deletes, and fetches nothing again.
    many.wait_until_settled();
    many.wait_until_sent();
    let (after, contents) = (many.desk.query(lease), many.contents());
    assert_ne!(before, after);
    stopped.signal("CONT");
    let end = many.end_of_first_session(&many.accounts[0]);
    assert!(end.contains("retr=2/") && end.contains("del=0/") && !end.contains("Logged out"), "{end}");
    wait_until("the old holder to find it out", PATIENCE, || {
        let is_told = |line: &str| line.contains("round_failed") && line.contains("the lease mailbox:");
        stopped.log().lines().any(is_told).then_some(())
    });
    assert_eq!((many.desk.query(lease), many.contents()), (after, contents));
    // One session each, and the second one's has deleted them.
    let user = &many.accounts[0].user;
    let log = many.dovecot.log();
    let ends: Vec<&str> =
        log.lines().filter(|line| line.contains(&format!("pop3({user})")) && line.contains("del=")).collect();
    let deleting: Vec<&&str> = ends.iter().filter(|line| line.contains("del=2/2")).collect();
    assert!(deleting.len() == 1 && deleting[0].contains("retr=0/"), "{ends:#?}");
}
