//! The store in trouble: told apart by kind, no fault of any mailbox, and over without a restart.

use std::time::Duration;

use maildesk::alert;
use maildesk::clock::Clock;
use maildesk::failure::{Failure, Kind};
use maildesk::store::Store;
use maildesk::store::listing::ALL;

use crate::support::postgres;
use crate::support::program::{self, Desk};
use crate::support::trial::{Letter, Trial, support_with};
use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_secs(1);

/// A small file system in a folder; only root may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Option<SmallDisk> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"]).arg(folder.path());
        mount.output().is_ok_and(|done| done.status.success()).then(|| SmallDisk(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(done.is_ok_and(|done| done.success()), "{} is still mounted", self.0.path().display());
    }
}

/// A round over `support` that fails by the store's fault; its words.
async fn fails(trial: &Trial, store: &Store, kind: Kind) -> String {
    let works = trial.works_on(store.clone(), Clock::system()).await;
    let failure = works.poll(&trial.mailbox("support").await).await.expect_err("the store is in trouble");
    assert_eq!(failure.kind, kind, "{failure}");
    let alarm = alert::alarm(&failure, works.clock.now());
    let (words, _) = alarm.words.split_once(" (since").expect("since when");
    format!("{}\n{words}\n{}\n", kind.word(), alarm.advice)
}

async fn is_over(trial: &Trial, tickets: usize) {
    trial.poll().await;
    assert_eq!(trial.tickets().await.len(), tickets, "taken in once");
    let row = trial.mailbox("support").await;
    assert!(row.failing_since.is_none(), "no fault of the mailbox: {row:?}");
    assert!(trial.works.store.read().await.unwrap().list_alerts(true, ALL).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_locked_or_read_only_is_called_so() {
    let trial = Trial::new("sqlite:desk.db").await;
    let path = trial.folder.path().join("desk.db").display().to_string();
    let impatient = Store::connect_within(&format!("sqlite:{path}"), PATIENCE).await.expect("it opens");
    trial.deliver("1.a", &Letter::new("a").bytes());
    let other = trial.works.store.write().await.expect("nobody else writes");
    insta::assert_snapshot!(fails(&trial, &impatient, Kind::StoreLocked).await, @r#"
    store_locked
    mailbox "support": store: database is locked
    End what else has the database open: a copy, a shell, a long transaction.
    "#);
    drop(other);
    is_over(&trial, 1).await;
    trial.deliver("2.b", &Letter::new("b").bytes());
    let looks = Store::connect(&format!("sqlite:{path}?mode=ro")).await.expect("it opens");
    insta::assert_snapshot!(fails(&trial, &looks, Kind::StoreReadOnly).await, @r#"
    store_read_only
    mailbox "support": store: attempt to write a readonly database
    Look whether the file system is mounted read-only, and whether file and folder belong to maildesk's user; on PostgreSQL, whether the server is a standby.
    "#);
    is_over(&trial, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_on_a_full_disk_is_called_so() {
    let Some(disk) = SmallDisk::new() else {
        crate::support::skipped("a small file system cannot be mounted here");
        return;
    };
    let trial = Trial::new(&format!("sqlite:{}", disk.0.path().join("desk.db").display())).await;
    let filler = disk.0.path().join("filler");
    // More than the space that the store's files have left within themselves.
    let big = Letter::new("a").body(&"lorem ipsum\r\n".repeat(200_000)).bytes();
    trial.deliver("1.a", &big);
    assert!(std::fs::write(&filler, vec![0; 16 << 20]).is_err(), "the disk is full now");
    insta::assert_snapshot!(fails(&trial, &trial.works.store, Kind::StoreFull).await, @r#"
    store_full
    mailbox "support": store: the disk is full: nothing is written until there is space again
    Free some space. Mail stays in the mailboxes meanwhile, and all goes on by itself.
    "#);
    std::fs::remove_file(&filler).expect("it goes");
    is_over(&trial, 1).await;
}

#[test]
fn a_damaged_store_is_called_so() {
    let failure = Failure::from(maildesk::store::Error::Corrupt("a JSON column does not parse".into()));
    assert_eq!(failure.kind, Kind::StoreDamaged);
    assert!(failure.kind.advice().contains("restore the last backup"));
}

/// PostgreSQL away at the start, and again later, as while it restarts.
#[test]
fn the_daemon_outlives_a_postgres_that_goes_and_comes_back() {
    let sections = support_with("interval_s = 1");
    let Some(desk) = Desk::on_maildir(program::Store::Postgres, &sections) else { return };
    desk.run(&["migrate"]).ok();
    let patience = Duration::from_secs(60);
    let is_logged = |daemon: &program::Running, words: &str| {
        wait_until(words, patience, || daemon.log().contains(words).then_some(()));
    };
    let deliver = |name: &str| {
        desk.lay(name, Letter::new(name).bytes());
    };
    let tickets = |count: usize| {
        let listed =
            || (desk.run(&["ticket", "list", "--json"]).json().as_array()?.len() == count).then_some(());
        wait_until("the ticket", patience, listed);
    };
    postgres::let_in(&desk.store_url, false);
    let mut daemon = desk.spawn(&["run"]);
    is_logged(&daemon, "daemon.waiting");
    postgres::let_in(&desk.store_url, true);
    is_logged(&daemon, "daemon.started");
    deliver("1.a");
    tickets(1);
    postgres::let_in(&desk.store_url, false);
    is_logged(&daemon, "store.failing");
    is_logged(&daemon, "daemon.desk_lock_lost");
    deliver("2.b");
    postgres::let_in(&desk.store_url, true);
    is_logged(&daemon, "store.works_again");
    is_logged(&daemon, "daemon.desk_lock_taken_again");
    tickets(2);
    let log = daemon.log();
    assert_eq!(log.matches("store.failing").count(), 1, "{log}");
    assert!(log.matches("WARN").count() < 15, "no flood: {log}");
    assert!(desk.rows(&["alert", "list", "--json"]).is_empty());
    assert!(daemon.stop().success(), "{}", daemon.log());
}
