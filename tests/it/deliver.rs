//! `maildesk deliver`: what an MTA brings through its pipe is kept once, or the MTA is asked to try again.

mod postfix;
mod refused;
mod storm;

use std::time::Duration;

use serde_json::Value;

use crate::support::program::{Desk, Output, Running, Store};
use crate::support::wait_until;

const DEADLINE: Duration = Duration::from_secs(60);
const TRY_AGAIN: Option<i32> = Some(75);

/// A mail of jo with the Message-ID `<id@x.test>`.
fn mail(id: &str) -> Vec<u8> {
    mail_to("support@example.com", id, "Hello")
}

fn mail_to(to: &str, id: &str, body: &str) -> Vec<u8> {
    let date = "Mon, 2 Nov 2026 10:00:00 +0000";
    let head =
        format!("From: Jo <jo@x.test>\nTo: {to}\nSubject: {id}\nMessage-ID: <{id}@x.test>\nDate: {date}\n");
    format!("{head}\n{body}\n").into_bytes()
}

impl Desk {
    fn bring(&self, more: &[&str], message: &[u8]) -> Output {
        self.run_with_input(&[&["deliver", "--json"], more].concat(), message)
    }

    /// The daemon, once it answers.
    fn daemon(&self) -> Running {
        self.daemon_with(&[])
    }

    fn daemon_with(&self, environment: &[(&str, &str)]) -> Running {
        let socket = self.folder.path().join("maildesk.sock");
        // Left by one that was killed.
        drop(std::fs::remove_file(&socket));
        let mut daemon = self.spawn_with(&["run"], environment);
        wait_until("the daemon's socket", DEADLINE, || {
            // PostgreSQL notices the end of a killed one a moment later.
            if crate::support::listing::has_ended_busy(&mut daemon) {
                daemon = self.spawn_with(&["run"], environment);
            }
            socket.exists().then_some(())
        });
        daemon
    }

    /// What became of each message, oldest first, once all are decided: `open new_ticket`.
    #[track_caller]
    fn fates(&self, messages: usize) -> Vec<String> {
        let rows = wait_until("all to be decided", DEADLINE, || {
            let rows = self.rows(&["journal", "list", "--json"]);
            let is_decided = rows.iter().all(|row| row["state"] != "kept");
            (rows.len() >= messages && is_decided).then_some(rows)
        });
        assert_eq!(rows.len(), messages, "{rows:?}");
        assert!(self.balance().values().all(|difference| *difference == 0), "{:?}", self.balance());
        rows.iter()
            .map(|row| format!("{} {}", row["act"].as_str().unwrap(), row["code"].as_str().unwrap()))
            .collect()
    }

    fn alerts(&self) -> Vec<String> {
        let name = |alert: Value| alert["name"].as_str().expect("a name").to_owned();
        self.rows(&["alert", "list", "--json"]).into_iter().map(name).collect()
    }
}

fn is_known(output: Output) -> bool {
    output.ok().json()["known"].as_bool().expect("it says whether it was known")
}

#[test]
fn a_message_is_kept_once_with_and_without_a_daemon_sqlite() {
    kept_once(Store::Sqlite);
}

#[test]
fn a_message_is_kept_once_with_and_without_a_daemon_postgres() {
    kept_once(Store::Postgres);
}

fn kept_once(store: Store) {
    let Some(desk) = Desk::with_pipe(store, 1) else { return };
    let to = ["--to=support@example.com"];
    assert!(!is_known(desk.bring(&to, &mail("one"))));
    assert!(is_known(desk.bring(&to, &mail("one"))));
    assert_eq!(
        desk.rows(&["journal", "list", "--json"])[0]["state"],
        "kept",
        "deliver does no more than keep"
    );
    let mut daemon = desk.daemon();
    assert_eq!(desk.fates(1), ["open new_ticket"], "a daemon begins with what is kept");
    assert!(is_known(desk.bring(&to, &mail("one"))));
    assert!(!is_known(desk.bring(&to, &mail("two"))));
    assert_eq!(desk.fates(2).len(), 2, "decided at once, without a round of its own");
    // The MTA's separator is no part of it, and names another moment each time.
    let separated = |second: u32| {
        [format!("From jo@x.test Mon Nov  2 10:00:{second:02} 2026\n").into_bytes(), mail("two")].concat()
    };
    assert!(is_known(desk.bring(&to, &separated(1))) && is_known(desk.bring(&to, &separated(2))));
    // The recipients count by what they are, not how they are written.
    assert!(is_known(desk.bring(&["--to=Support@Example.COM"], &mail("two"))));
    // Sent to somebody else on purpose: another arrival, and the same mail (B10).
    assert!(!is_known(desk.bring(&["--to=help@example.com"], &mail("two"))));
    assert_eq!(desk.fates(3), ["open new_ticket", "open new_ticket", "discard duplicate"]);
    assert_eq!(desk.tickets().len(), 2);
    let states: Vec<String> = desk.journal().into_iter().map(|row| row.state).collect();
    assert_eq!(states, ["decided"; 3], "nobody is owed an acknowledgement");
    assert!(daemon.stop().success());
    // `poll` decides too.
    desk.bring(&to, &mail("three")).ok();
    desk.run(&["poll"]).ok();
    assert_eq!(desk.fates(4)[3], "open new_ticket");
}

#[test]
fn a_recipient_of_the_envelope_finds_its_type() {
    let desk = Desk::with_pipe(Store::usual(), 1).expect("a store");
    let more = "[[mailbox]]\nname = \"sales\"\nprotocol = \"pipe\"\n[[type]]\nname = \"Sales\"\ntag = \"Sales\"\n\
                mailbox = \"sales\"\nrelay = \"out\"\naddresses = [\"sales@example.com\"]\n";
    let undisclosed = |id: &str| mail_to("undisclosed-recipients:;", id, "Hello");
    desk.bring(&["--to=support@example.com"], &undisclosed("support")).ok();
    desk.configure(&(crate::support::program::pipe_sections(1) + more));
    desk.run(&["poll"]).ok();
    // Two mailboxes by now: the recipient's type says which.
    desk.bring(&["--to=sales@example.com"], &undisclosed("sales")).ok();
    desk.bring(&["--to=nobody@example.com", "--to=support@example.com"], &undisclosed("second")).ok();
    desk.bring(&["--mailbox=sales"], &mail_to("sales@example.com", "named", "Hello")).ok();
    for to in [&[][..], &["--to=nobody@example.com"]] {
        let refused = desk.bring(to, &mail("unknown"));
        assert_eq!(refused.code, TRY_AGAIN);
        assert!(
            refused.stderr.contains("give --mailbox, or --to with an address of a type"),
            "{}",
            refused.stderr
        );
    }
    desk.run(&["poll"]).ok();
    assert_eq!(desk.fates(4), ["open new_ticket"; 4]);
    let rows = desk.rows(&["journal", "list", "--json"]);
    let found: Vec<(&str, &str)> =
        rows.iter().map(|r| (r["mailbox"].as_str().unwrap(), r["type"].as_str().unwrap())).collect();
    assert_eq!(
        found,
        [("support", "Support"), ("sales", "Sales"), ("support", "Support"), ("sales", "Sales")]
    );
    // Decided again it is the same: the envelope stands beside the bytes.
    let anew = desk.json(&["explain", "--arrival", "1", "--anew", "--json"]);
    assert_eq!((&anew["code"], &anew["type"]), (&"new_ticket".into(), &"Support".into()));
}

#[test]
fn over_the_limit_it_is_kept_as_an_error_and_decided_when_asked() {
    let desk = Desk::with_pipe(Store::usual(), 1).expect("a store");
    let small = "protocol = \"pipe\"\nsize_limit_mb = 1";
    desk.configure(&crate::support::program::pipe_sections(1).replace("protocol = \"pipe\"", small));
    let big = mail_to("support@example.com", "big", &"a line of a big message\n".repeat(60_000));
    let to = ["--to=support@example.com"];
    desk.bring(&to, &big).ok();
    let daemon = desk.daemon();
    assert!(is_known(desk.bring(&to, &big)));
    desk.bring(&to, &mail("small")).ok();
    assert_eq!(desk.fates(2), ["error too_big", "open new_ticket"]);
    let errors = desk.rows(&["error", "list", "--json"]);
    assert_eq!((&errors[0]["subject"], &errors[0]["from"]), (&"big".into(), &"jo@x.test".into()));
    assert_eq!(desk.alerts(), ["too_big:1"]);
    let exported = desk.run(&["error", "export", "1"]).ok().stdout;
    assert!(exported.as_bytes() == big, "{} bytes came back of {}", exported.len(), big.len());
    desk.run(&["error", "retry", "1"]).ok();
    assert_eq!(desk.fates(2), ["open new_ticket"; 2]);
    assert_eq!((desk.tickets().len(), desk.alerts().len(), desk.count("error")), (2, 0, 0));
    drop(daemon);
}

#[test]
fn a_big_message_goes_through_within_memory() {
    let desk = Desk::with_pipe(Store::usual(), 1).expect("a store");
    let limit = "protocol = \"pipe\"\nsize_limit_mb = 150";
    desk.configure(&crate::support::program::pipe_sections(1).replace("protocol = \"pipe\"", limit));
    let size = if crate::support::long_tier() { 100 << 20 } else { 30 << 20 };
    let line = format!("{}\n", "x".repeat(75));
    let big = mail_to("support@example.com", "big", &line.repeat(size / line.len()));
    let path = desk.folder.path().join("big.eml");
    std::fs::write(&path, &big).expect("our own folder");
    let daemon = desk.daemon();
    for (words, known) in [("new", false), ("again", true)] {
        let begun = std::time::Instant::now();
        let mut command = desk.command(&["deliver", "--json", "--to=support@example.com"]);
        let input = std::fs::File::open(&path).expect("our own file");
        let output = command.stdin(input).output().expect("maildesk starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let json: Value = serde_json::from_slice(&output.stdout).expect("an object");
        assert_eq!(json["known"].as_bool(), Some(known));
        let peak = daemon.peak_kb().expect("the daemon runs") >> 10;
        let took = begun.elapsed();
        crate::support::say(&format!(
            "{} MiB by deliver, {words}: daemon {peak} MiB, {took:.1?}\n",
            size >> 20
        ));
        assert!(peak < 150, "{peak} MiB");
    }
    assert_eq!(desk.fates(1), ["open new_ticket"]);
    let peak = daemon.peak_kb().expect("the daemon runs") >> 10;
    assert!(peak < 150, "{peak} MiB after the decision");
}
