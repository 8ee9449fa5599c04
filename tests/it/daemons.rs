//! Several daemons on one PostgreSQL: they share the mailboxes, and nobody talks to anybody but the database.

mod at_pop3;
mod at_relays;
mod told;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use maildesk::clock::{Clock, Micros};
use maildesk::crash;
use maildesk::lease::Leases;
use maildesk::schedule::Schedule;
use maildesk::scheduler::Jobs;
use tokio_util::sync::CancellationToken;

use crate::support::dovecot::{Account, Dovecot, PASSWORD, dovecot};
use crate::support::program::{Desk, Running, Store};
use crate::support::scripted_smtp::ScriptedSmtp;
use crate::support::{postgres, skipped, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

/// A desk whose mailboxes lie on one server, each with a type of its own.
struct Many {
    dovecot: &'static Dovecot,
    accounts: Vec<Account>,
    relay: ScriptedSmtp,
    desk: Desk,
    delivered: usize,
}

impl Many {
    /// With this lease, in seconds. `None` where the peers are missing.
    fn new(mailboxes: usize, lease_s: u64) -> Option<Many> {
        Many::by("imap", mailboxes, lease_s)
    }

    /// The same by IMAP or POP3.
    fn by(protocol: &str, mailboxes: usize, lease_s: u64) -> Option<Many> {
        let dovecot = dovecot()?;
        let port = if protocol == "pop3" { dovecot.pop3 } else { dovecot.imap };
        let desk = Desk::new(Store::Postgres)?;
        let relay = ScriptedSmtp::start();
        std::fs::write(desk.folder.path().join("password"), PASSWORD).expect("written");
        let accounts: Vec<Account> = (0..mailboxes).map(|_| dovecot.account()).collect();
        let mut sections = format!(
            "lease_s = {lease_s}\n\n[[relay]]\nname = \"out\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"plain\"\n\
             sender = \"desk@example.com\"\n",
            relay.port
        );
        for (n, account) in accounts.iter().enumerate() {
            sections += &format!(
                "[[mailbox]]\nname = \"m{n}\"\nprotocol = \"{protocol}\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"plain\"\n\
                 username = \"{}\"\npassword_file = \"password\"\ninterval_s = 1\n\
                 [[type]]\nname = \"t{n}\"\ntag = \"T{n}\"\nmailbox = \"m{n}\"\nrelay = \"out\"\n\
                 addresses = [\"t{n}@example.com\"]\nadmin = \"admin@example.org\"\n",
                account.user
            );
        }
        desk.configure(&sections);
        desk.run(&["migrate"]).ok();
        Some(Many { dovecot, accounts, relay, desk, delivered: 0 })
    }

    fn deliver_to(&mut self, n: usize) {
        self.delivered += 1;
        let id = self.delivered;
        let mail = format!(
            "From: joe@example.net\r\nTo: t{n}@example.com\r\nMessage-ID: <{id}.{n}@example.net>\r\nSubject: {id}\r\n\r\nHello\r\n"
        );
        self.accounts[n].deliver(mail.as_bytes());
    }

    fn deliver_to_all(&mut self) {
        for n in 0..self.accounts.len() {
            self.deliver_to(n);
        }
    }

    /// How many mailboxes each process has, by its process number.
    fn held(&self) -> Vec<(u32, usize)> {
        let sql = "SELECT d.pid, count(l.name) FROM daemon d LEFT JOIN lease l ON l.owner = d.id AND l.name LIKE 'mailbox:%' \
                   WHERE d.command = 'run' AND d.until_us > extract(epoch from clock_timestamp()) * 1000000 \
                   GROUP BY d.pid ORDER BY d.pid";
        let read = |line: &String| {
            let (pid, count) = line.split_once('|').expect("two columns");
            (pid.parse().expect("a number"), count.parse().expect("a number"))
        };
        self.desk.query(sql).iter().map(read).collect()
    }

    #[track_caller]
    fn wait_for_held(&self, expected: &[(&Running, usize)]) {
        let mut expected: Vec<(u32, usize)> =
            expected.iter().map(|(daemon, count)| (daemon.pid(), *count)).collect();
        expected.sort_unstable();
        wait_until(&format!("mailboxes to be held as {expected:?}"), PATIENCE, || {
            (self.held() == expected).then_some(())
        });
    }

    /// Every message is decided once and has left its mailbox.
    #[track_caller]
    fn wait_until_settled(&self) {
        wait_until("all mail to be in, and gone from the server", PATIENCE, || {
            let settled = self.desk.query("SELECT count(*) FROM arrival WHERE state = 'acked'");
            let is_empty = self.accounts.iter().all(|account| account.files("").is_empty());
            (settled == [self.delivered.to_string()] && is_empty).then_some(())
        });
        assert_eq!(self.desk.query("SELECT count(*) FROM ticket"), [self.delivered.to_string()]);
        assert_eq!(self.desk.query("SELECT count(*) FROM arrival"), [self.delivered.to_string()]);
    }

    /// Each mail left once.
    #[track_caller]
    fn wait_until_sent(&self) {
        wait_until("all mails to be sent", PATIENCE, || {
            let open = self.desk.query("SELECT count(*) FROM outbox WHERE state <> 'done'");
            (open == ["0"]).then_some(())
        });
        let accepted = self.relay.accepted();
        let subject = |bytes: &[u8]| {
            let mail = String::from_utf8_lossy(bytes);
            mail.lines().find(|line| line.starts_with("Subject:")).unwrap_or_default().to_owned()
        };
        let subjects: Vec<String> = accepted.iter().map(|mail| subject(&mail.bytes)).collect();
        assert_eq!(subjects.len(), self.delivered, "one notification a ticket: {subjects:#?}");
    }

    /// How often somebody was signed in to one mailbox while somebody else was, by the server's log.
    fn overlaps(&self, account: &Account) -> usize {
        let (mut open, mut overlaps) = (0, 0);
        for line in self.dovecot.log().lines() {
            if line.contains("Login:") && line.contains(&format!("user=<{}>", account.user)) {
                overlaps += usize::from(open > 0);
                open += 1;
            }
            let has_left =
                ["Logged out", "Disconnected", "Connection closed"].iter().any(|w| line.contains(w));
            if has_left && line.contains(&format!("imap({})", account.user)) {
                open -= 1;
            }
        }
        overlaps
    }
}

#[test]
fn daemons_share_the_mailboxes_and_hand_them_over_at_once() {
    // A lease that nobody waits for here.
    let Some(mut many) = Many::new(5, 120) else { return };
    many.deliver_to_all();
    let mut first = many.desk.spawn(&["run"]);
    many.wait_for_held(&[(&first, 5)]);
    many.wait_until_settled();
    let (two, three) = (many.desk.beside(), many.desk.beside());
    let second = two.spawn(&["run"]);
    many.wait_for_held(&[(&first, 3), (&second, 2)]);
    many.deliver_to_all();
    many.wait_until_settled();
    let third = three.spawn(&["run"]);
    many.wait_for_held(&[(&first, 2), (&second, 2), (&third, 1)]);
    many.deliver_to_all();
    assert!(first.stop().success());
    many.wait_for_held(&[(&second, 3), (&third, 2)]);
    many.deliver_to_all();
    many.wait_until_settled();
    many.wait_until_sent();
    for account in &many.accounts {
        assert_eq!(many.overlaps(account), 0, "two daemons in one mailbox: {}", account.user);
    }
}

/// A killed daemon of another machine: nobody can see that its process is gone.
#[test]
fn what_a_killed_daemon_held_is_taken_over_after_its_lease() {
    let Some(mut many) = Many::new(2, 4) else { return };
    let mut first = many.desk.spawn(&["run"]);
    many.wait_for_held(&[(&first, 2)]);
    many.desk.psql("UPDATE daemon SET process = ''");
    let two = many.desk.beside();
    let second = two.spawn(&["run"]);
    many.wait_for_held(&[(&first, 1), (&second, 1)]);
    first.kill();
    many.deliver_to_all();
    many.wait_for_held(&[(&second, 2)]);
    many.wait_until_settled();
    many.wait_until_sent();
}

#[test]
fn what_a_daemon_held_that_died_on_this_machine_is_taken_over_at_once() {
    let Some(mut many) = Many::new(2, 120) else { return };
    let mut first = many.desk.spawn(&["run"]);
    many.wait_for_held(&[(&first, 2)]);
    first.kill();
    many.deliver_to_all();
    let again = many.desk.spawn(&["run"]);
    many.wait_for_held(&[(&again, 2)]);
    many.wait_until_settled();
    many.wait_until_sent();
}

/// What a daemon may write for its mailboxes and mails.
const TABLES: &[&str] = &[
    "arrival",
    "journal",
    "ticket",
    "log_entry",
    "ticket_event",
    "outbox",
    "outbox_recipient",
    "outbox_attempt",
];

impl Many {
    fn contents(&self) -> Vec<Vec<String>> {
        let whole = |table: &&str| {
            self.desk.query(&format!("SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t"))
        };
        TABLES.iter().map(whole).collect()
    }

    /// How the server says that the first session in a mailbox ended.
    #[track_caller]
    fn end_of_first_session(&self, account: &Account) -> String {
        let log = || self.dovecot.log();
        let login =
            |line: &&str| line.contains("Login:") && line.contains(&format!("user=<{}>", account.user));
        let first = log().lines().find(login).expect("a login").to_owned();
        let (_, session) = first.split_once("session=").expect("a session");
        let session = session.trim().trim_end_matches(',').to_owned();
        wait_until("the end of the first session", PATIENCE, || {
            let is_end = |line: &&str| {
                line.contains(&session) && ["deleted=", "del="].iter().any(|w| line.contains(w))
            };
            log().lines().find(is_end).map(str::to_owned)
        })
    }
}

/// Stops a daemon at a point of its work, as SIGSTOP does, for twice its lease, while another takes over.
fn stop_at(point: &str) {
    if !cfg!(feature = "crash-points") {
        return skipped("built without the feature crash-points, which scripts/test gives");
    }
    let Some(mut many) = Many::new(1, 4) else { return };
    many.deliver_to_all();
    many.deliver_to_all();
    let stopped = many.desk.spawn_with(&["run"], &[("MAILDESK_STOP_AT", point)]);
    stopped.wait_until_stopped(PATIENCE);
    let owner = many.desk.query("SELECT owner FROM lease WHERE name LIKE 'mailbox:%'").concat();
    let two = many.desk.beside();
    let second = two.spawn(&["run"]);
    many.wait_until_settled();
    many.wait_until_sent();
    wait_until("twice the lease to be over", PATIENCE, || {
        let sql = format!(
            "SELECT until_us + 4000000 < extract(epoch from clock_timestamp()) * 1000000 FROM daemon WHERE id = '{owner}'"
        );
        (many.desk.query(&sql) == ["t"]).then_some(())
    });
    let before = many.contents();
    let fence = many.desk.query("SELECT owner, fence FROM lease WHERE name LIKE 'mailbox:%'");
    assert!(!fence.concat().starts_with(&owner), "another one has it: {fence:?}");
    stopped.signal("CONT");
    wait_until("the old life to be over", PATIENCE, || {
        stopped.log().contains("lease.life_over").then_some(())
    });
    many.wait_for_held(&[(&stopped, 0), (&second, 1)]);
    let end = many.end_of_first_session(&many.accounts[0]);
    assert!(end.contains("deleted=0 expunged=0"), "it has removed something: {end}");
    assert_eq!(many.contents(), before, "it has written something under the old lease");
    assert_eq!(many.desk.query("SELECT owner, fence FROM lease WHERE name LIKE 'mailbox:%'"), fence);
    assert_eq!(many.relay.accepted().len(), many.delivered, "it has sent something");
    // Under its new life it works like any other.
    drop(second);
    many.deliver_to_all();
    many.wait_for_held(&[(&stopped, 1)]);
    many.wait_until_settled();
    many.wait_until_sent();
}

#[test]
fn stopped_past_its_lease_before_it_keeps_a_daemon_commits_nothing() {
    stop_at("keep.before_commit");
}

#[test]
fn stopped_past_its_lease_while_it_decides_a_daemon_commits_nothing() {
    stop_at("decide.before_commit");
}

#[test]
fn stopped_past_its_lease_before_it_removes_a_daemon_removes_nothing() {
    stop_at("ack.before_source");
}

/// Both mails of the batch have been taken in by the stopped one: nothing is left to remove, and it sends nothing.
#[test]
fn stopped_past_its_lease_before_a_final_dot_a_daemon_sends_nothing() {
    if !cfg!(feature = "crash-points") {
        return skipped("built without the feature crash-points, which scripts/test gives");
    }
    let Some(mut many) = Many::new(1, 4) else { return };
    many.deliver_to_all();
    let stopped = many.desk.spawn_with(&["run"], &[("MAILDESK_STOP_AT", "send.before_dot")]);
    stopped.wait_until_stopped(PATIENCE);
    let two = many.desk.beside();
    let _second = two.spawn(&["run"]);
    many.wait_until_settled();
    many.wait_until_sent();
    stopped.signal("CONT");
    wait_until("the old life to be over", PATIENCE, || {
        stopped.log().contains("lease.life_over").then_some(())
    });
    wait_until("the stopped one to let its mail go", PATIENCE, || {
        stopped.log().contains("outbound.mail_taken_over").then_some(())
    });
    many.wait_until_sent();
    let attempts = many.desk.query("SELECT state, possibly_repeated FROM outbox_attempt ORDER BY id");
    assert_eq!(attempts, ["started|0", "ended|0"], "the dot never went, so nothing is repeated");
}

#[test]
fn dying_at_any_step_of_a_lease_loses_and_doubles_nothing() {
    if !cfg!(feature = "crash-points") {
        return skipped("built without the feature crash-points, which scripts/test gives");
    }
    let Some(mut many) = Many::new(2, 4) else { return };
    for point in crash::POINTS.iter().filter(|point| point.starts_with("lease.")) {
        many.deliver_to_all();
        let mut dying = many.desk.spawn_with(&["run"], &[("MAILDESK_CRASH_AT", point)]);
        dying.wait(PATIENCE);
    }
    let last = many.desk.spawn(&["run"]);
    many.wait_for_held(&[(&last, 2)]);
    many.wait_until_settled();
    many.wait_until_sent();
}

#[test]
fn a_command_beside_daemons_takes_what_is_free_and_says_who_has_the_rest() {
    let Some(mut many) = Many::new(2, 120) else { return };
    let mut first = many.desk.spawn(&["run"]);
    many.wait_for_held(&[(&first, 2)]);
    // Another machine, on which no daemon runs.
    let two = many.desk.beside();
    let polled = two.run(&["poll", "--json"]);
    assert_eq!(polled.code, Some(75), "{}", polled.stderr);
    let words = format!("`maildesk run`, pid {} on ", first.pid());
    for line in polled.json().as_array().expect("a list") {
        let error = line["error"].as_str().expect("an error");
        assert!(error.contains(&words) && error.contains("reads it"), "{error}");
    }
    let daemons = two.rows(&["daemon", "list", "--json"]);
    assert_eq!(daemons.len(), 1, "who has left is not listed: {daemons:?}");
    assert_eq!(daemons[0]["mailboxes"], serde_json::json!(["m0", "m1"]));
    assert_eq!((&daemons[0]["command"], &daemons[0]["is_us"]), (&"run".into(), &false.into()));
    assert_eq!(many.desk.rows(&["daemon", "list", "--json"])[0]["is_us"], true);
    let rotated = two.run(&["key", "rotate"]);
    assert_eq!(rotated.code, Some(69), "{}", rotated.stderr);
    assert!(rotated.stderr.contains(&words), "{}", rotated.stderr);
    many.deliver_to_all();
    many.wait_until_settled();
    assert!(first.stop().success());
    many.deliver_to_all();
    let polled = two.run(&["poll", "--json"]).ok().json();
    assert!(polled.as_array().is_some_and(|lines| lines.iter().all(|line| line["fetched"] == 1)), "{polled}");
    many.wait_until_settled();
    assert_eq!(two.rows(&["daemon", "list", "--json"]), Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn a_job_is_run_by_one_of_the_daemons() {
    let Some(url) = postgres::database() else { return };
    let store = maildesk::store::Store::connect(&url).await.expect("a store");
    store.migrate().await.expect("a schema");
    let hour = |n: i64| Micros::from_seconds(1_795_348_800 + n * 3600);
    let (clock, stop, runs) =
        (Clock::fixed(hour(0)), CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let leases = Leases::new(&store, Duration::from_secs(60));
        leases.join("run").await.expect("a life");
        let mut jobs = Jobs::new(store.clone(), clock.clone(), leases);
        let (schedule, runs) = (Schedule::parse("0 * * * *", "UTC").expect("a schedule"), runs.clone());
        jobs.register("count", schedule, move || {
            runs.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Ok("counted".to_owned()))
        });
        running.spawn(jobs.run(stop.clone()));
    }
    for n in 1..=2_i64 {
        // Each has seen the job before the hour comes.
        clock.set(Micros(hour(n).0 + Micros::SECOND));
        let begun = std::time::Instant::now();
        loop {
            let jobs = store.read().await.unwrap().jobs().await.unwrap();
            if jobs.iter().any(|job| job.began.is_some_and(|began| began.0 >= hour(n).0)) {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{jobs:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(i64::try_from(runs.load(Ordering::SeqCst)).unwrap(), n, "once an hour");
    }
    stop.cancel();
    while running.join_next().await.is_some() {}
}
