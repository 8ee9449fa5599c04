//! A disk that is nearly full, or full (L7): nothing more is taken in, nothing is lost, and all of it goes on by itself.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use maildesk::store::Space;

use crate::support::program::{Desk, Output, Store, pipe_sections};
use crate::support::smtp::SmtpSink;
use crate::support::trial::{Letter, SUPPORT, Trial, make_maildir, on_both_stores};
use crate::support::{skipped, wait_until};

const DEADLINE: Duration = Duration::from_secs(60);
const MB: u64 = 1_000_000;

on_both_stores!(a_round_ends_between_batches_and_the_next_one_takes_the_rest);

async fn a_round_ends_between_batches_and_the_next_one_takes_the_rest(url: String) {
    // As long as there is credit there is room; each look costs one.
    let credit = Arc::new(AtomicU64::new(u64::MAX));
    let mut trial = Trial::with(&url, &format!("[run]\nbatch_mb = 1\n{SUPPORT}")).await;
    let spool = trial.folder.path().join("spool");
    let lie = credit.clone();
    let free = Arc::new(move |path: &Path| {
        // Of SQLite two places are looked at, of PostgreSQL the spool alone.
        let is_spool = path.ends_with("spool");
        let left = lie.load(Ordering::Relaxed);
        lie.store(left.saturating_sub(u64::from(is_spool)), Ordering::Relaxed);
        Ok(if left > 0 { 600 * MB } else { 499 * MB })
    });
    trial.works.intake.space = Space::of(&trial.works.store, &spool, 500 * MB, free);
    for n in 0..4 {
        let letter = Letter::new(&format!("m{n}")).body(&"a line of a mail\n".repeat(40_000));
        trial.deliver(&format!("{n}.m"), &letter.bytes());
    }
    // Before the round, before it fetches, and before each of two batches.
    credit.store(4, Ordering::Relaxed);
    let report = trial.poll().await;
    assert!(report.is_cut_short);
    assert_eq!((report.listed, report.acknowledged, trial.remaining()), (4, 2, 2));
    assert_eq!(trial.states().await, ["acked"; 2], "what is in hand is ended in good order");
    trial.assert_balanced().await;
    assert_eq!(trial.alerts().await, [""; 0], "it is not the mailbox that fails");

    let refused = trial.works.poll(&trial.mailbox("support").await).await.unwrap_err();
    let words = "the disk is nearly full: 499 MB are free at ";
    assert!(refused.is_temporary() && refused.to_string().starts_with(words), "{refused}");
    assert!(refused.to_string().ends_with("550 MB are needed to take mail in"), "{refused}");
    let imported = trial.works.import(&trial.mailbox("support").await, vec![], true).await.unwrap_err();
    assert!(imported.to_string().starts_with(words), "{imported}");

    credit.store(u64::MAX, Ordering::Relaxed);
    assert!(!trial.poll().await.is_cut_short);
    assert_eq!((trial.states().await, trial.remaining()), (vec!["acked".to_owned(); 4], 0));
    trial.assert_balanced().await;
}

/// A desk whose folder is a file system of its own, which ends with it.
struct Small {
    desk: Desk,
}

impl Small {
    /// `None` where this cannot be had: the reason has been printed.
    fn mount(mb: u32, sections: &str) -> Option<Small> {
        let desk = Desk::new(Store::Sqlite).expect("SQLite is always there");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mb}m"), "tmpfs"]).arg(desk.folder.path());
        if !mount.output().is_ok_and(|output| output.status.success()) {
            skipped("needs root and the right to mount a tmpfs");
            return None;
        }
        let small = Small { desk };
        small.desk.configure(sections);
        small.desk.run(&["migrate"]).ok();
        Some(small)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.desk.folder.path().join(name)
    }

    /// Leaves so many MB free.
    fn fill_but(&self, mb: u64) {
        let free = maildesk::store::free_bytes()(self.desk.folder.path()).expect("it is mounted");
        let file = fs::File::create(self.path("ballast")).expect("our own folder");
        // Written, not only sized: a tmpfs takes holes for nothing.
        let mut zeros = std::io::Read::take(std::io::repeat(1), free.saturating_sub(mb * MB));
        std::io::copy(&mut zeros, &mut &file).expect("there was so much free");
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.path("ballast")).expect("our own folder");
        let full = std::io::copy(&mut std::io::repeat(1), &mut file).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    fn empty(&self) {
        fs::remove_file(self.path("ballast")).expect("our own file");
    }

    fn bring(&self, id: &str, body: &str) -> Output {
        self.desk.run_with_input(&["deliver"], &Letter::new(id).body(body).bytes())
    }

    fn alerts(&self) -> Vec<String> {
        let alerts = self.desk.rows(&["alert", "list", "--json"]);
        alerts.iter().map(|alert| format!("{}: {}", alert["name"], alert["words"])).collect()
    }

    #[track_caller]
    fn wait_for_tickets(&self, tickets: usize) {
        wait_until("the tickets", DEADLINE, || (self.desk.tickets().len() == tickets).then_some(()));
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.desk.folder.path()).status());
    }
}

fn maildir(folder: &Path) -> String {
    make_maildir(folder);
    format!(
        "[[mailbox]]\nname = \"box\"\nprotocol = \"maildir\"\npath = \"{}\"\ninterval_s = 1\n[[type]]\nname = \"Box\"\n\
         tag = \"Box\"\nmailbox = \"box\"\nrelay = \"out\"\naddresses = [\"box@example.com\"]\nadmin = \"admin@example.com\"\n",
        folder.display()
    )
}

#[test]
fn below_the_mark_intake_stops_and_sending_goes_on() {
    let Some(sink) = SmtpSink::start() else { return };
    let elsewhere = tempfile::tempdir().expect("a folder");
    let put = |id: &str| {
        let letter = Letter::new(id).to("box@example.com").bytes();
        fs::write(elsewhere.path().join("new").join(id), letter).expect("our own folder");
    };
    let sections = format!("min_free_mb = 20\n{}{}", pipe_sections(sink.port), maildir(elsewhere.path()));
    let Some(small) = Small::mount(60, &sections) else { return };
    let mut daemon = small.desk.spawn(&["run"]);
    wait_until("the socket", DEADLINE, || small.path("maildesk.sock").exists().then_some(()));
    small.bring("one", "Hello").ok();
    put("1.one");
    small.wait_for_tickets(2);
    wait_until("two notifications", DEADLINE, || (sink.received().len() == 2).then_some(()));

    small.fill_but(10);
    let refused = small.bring("two", "Hello");
    assert_eq!(refused.code, Some(75));
    let place = small.desk.folder.path().display();
    let words = format!("MB are free at {place}, 2");
    assert!(
        refused.stderr.contains("the disk is nearly full: ") && refused.stderr.contains(&words),
        "{refused:?}"
    );
    put("2.two");
    let alerts =
        wait_until("the alert", DEADLINE, || Some(small.alerts()).filter(|alerts| !alerts.is_empty()));
    assert!(alerts[0].starts_with("\"disk:nearly_full\": \"the disk is nearly full: "), "{alerts:?}");
    // Sending goes on: the alert itself, and an answer.
    small.desk.run(&["ticket", "answer", "1", "--text", "We look into it."]).ok();
    wait_until("the alert's mail and the answer", DEADLINE, || (sink.received().len() == 4).then_some(()));
    let poll = small.desk.run(&["poll", "--mailbox", "box"]);
    assert_eq!(poll.code, Some(75), "{poll:?}");
    assert_eq!((small.desk.tickets().len(), small.alerts().len()), (2, 1));
    assert_eq!(fs::read_dir(elsewhere.path().join("new")).unwrap().count(), 1, "it waits in its mailbox");

    small.empty();
    small.wait_for_tickets(3);
    small.bring("two", "Hello").ok();
    small.wait_for_tickets(4);
    wait_until("the alert to be cleared", DEADLINE, || small.alerts().is_empty().then_some(()));
    wait_until("all mail to be sent", DEADLINE, || (sink.received().len() == 6).then_some(()));
    assert!(small.desk.balance().values().all(|difference| *difference == 0));
    assert!(daemon.stop().success(), "{}", daemon.log());
    // A daemon that starts on a full disk keeps still, too.
    small.fill_but(10);
    assert_eq!(small.bring("three", "Hello").code, Some(75), "without a daemon the same");
}

#[test]
fn a_full_disk_loses_nothing() {
    let sections = format!("min_free_mb = 0\n{}", pipe_sections(1));
    let Some(small) = Small::mount(24, &sections) else { return };
    let mut daemon = small.desk.spawn(&["run"]);
    wait_until("the socket", DEADLINE, || small.path("maildesk.sock").exists().then_some(()));
    small.bring("before", "Hello").ok();
    small.wait_for_tickets(1);
    let sizes = [("spooled", 3_000_000), ("kept in memory", 700_000), ("small", 20_000)];
    let body = |size: usize| format!("{}\n", "x".repeat(70)).repeat(size / 71);
    small.fill();
    for (id, size) in sizes {
        let refused = small.bring(id, &body(size));
        assert_eq!(refused.code, Some(75), "{id}: {refused:?}");
        let is_named =
            ["the disk is full", "check the free space"].iter().any(|w| refused.stderr.contains(w));
        assert!(is_named, "{id}: {}", refused.stderr);
    }
    assert_eq!(small.desk.journal().len(), 1, "nothing of them is there");
    small.empty();
    for (id, size) in sizes {
        small.bring(id, &body(size)).ok();
    }
    small.wait_for_tickets(4);
    assert!(small.desk.balance().values().all(|difference| *difference == 0));
    assert!(daemon.stop().success(), "{}", daemon.log());
}
