//! What `doctor` and `mailbox test` say of a desk, right or wrong.

use std::fs;

use serde_json::{Value, json};

use super::{Bench, everywhere, sections};
use crate::support::inbox;
use crate::support::program::{Desk, Store};
use crate::support::smtp::SmtpSink;

#[test]
fn doctor_says_what_is_right_sqlite() {
    everywhere(Store::Sqlite, doctor_says_what_is_right);
}

/// One without fsync is refused: failures/cluster.rs.
#[test]
fn doctor_says_how_a_database_syncs() {
    let Some(bench) = Bench::new(Store::Postgres, false) else { return };
    let output = bench.desk.run(&["doctor"]);
    let words = "ok    store: PostgreSQL runs with fsync on, full_page_writes on";
    assert!(output.stdout.contains(words), "{}", output.stdout);
}

fn doctor_says_what_is_right(bench: &Bench) {
    let findings = bench.json(&["doctor"]);
    // No daemon has run yet, which would have taken one.
    let is_right = |f: &Value| f["level"] == "ok" || f["words"] == "no daily backup was taken yet";
    assert!(findings.as_array().unwrap().iter().all(is_right), "{findings}");
    let said = bench.desk.run(&["doctor"]).ok().stdout;
    for line in [
        "ok    store: SQLite's quick_check says ok\n",
        "Maildir: 0 messages\n",
        "ok    relay out: mail is written",
    ] {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
    assert_eq!(bench.json(&["mailbox", "test", "support"])["messages"], 0);
}

#[test]
fn doctor_says_what_is_wrong_and_no_password() {
    let Some(bench) = Bench::new(Store::usual(), false) else { return };
    let folder = bench.desk.folder.path();
    fs::create_dir_all(folder.join("templates/new_ticket")).unwrap();
    fs::write(folder.join("templates/new_ticket/body.txt.j2"), "{% if").unwrap();
    fs::write(folder.join("password"), "hunter2-and-more").unwrap();
    let port = crate::support::server::free_port();
    let nowhere = format!(
        "host = \"127.0.0.1\"\nport = {port}\ntls = \"plain\"\nusername = \"u\"\npassword_file = \"password\""
    );
    bench.desk.configure(&format!(
        "templates = \"templates\"\n{}
[[mailbox]]
name = \"gone\"
{nowhere}

[[relay]]
name = \"smtp\"
{nowhere}
sender = \"x@example.com\"

[[type]]
name = \"Lost\"
addresses = [\"lost@example.com\"]
",
        sections()
    ));
    fs::remove_dir_all(folder.join("Maildir/cur")).unwrap();
    let output = bench.desk.run(&["doctor", "--json"]);
    assert_eq!(output.code, Some(69), "{}", output.stderr);
    let found = output.json();
    let has = |level: &str, about: &str, words: &str| {
        let is_it = |f: &&Value| {
            f["level"] == level && f["about"] == about && f["words"].as_str().unwrap().contains(words)
        };
        let finding = found.as_array().unwrap().iter().find(is_it);
        let finding = finding.unwrap_or_else(|| panic!("{level} {about}: {words}: {found:#}"));
        assert_ne!(finding["advice"], "", "{finding}");
    };
    has("fail", "mailbox support", "Maildir/cur cannot be read");
    has("fail", "mailbox gone", &port.to_string());
    has("warn", "mailbox gone", "no active type answers to it");
    has("fail", "relay smtp", &port.to_string());
    // It goes out by the first one.
    let says_relay = |f: &Value| f["about"] == "type Lost" && f["words"].as_str().unwrap().contains("relay");
    assert!(!found.as_array().unwrap().iter().any(says_relay), "{found:#}");
    has("warn", "type Lost", "it has no mailbox");
    has("fail", "templates", "new_ticket/body.txt.j2");
    let test = bench.desk.run(&["mailbox", "test", "gone"]);
    assert_eq!(test.code, Some(69));
    assert!(!format!("{}{}{}", output.stdout, output.stderr, test.stderr).contains("hunter2"));
}

#[test]
fn doctor_says_where_the_mail_of_a_type_goes() {
    let Some(bench) = Bench::new(Store::usual(), false) else { return };
    let said = |sections: &str| {
        bench.desk.configure(sections);
        bench.desk.run(&["doctor"]).stdout
    };
    let off = sections().replace("[[relay]]\n", "[[relay]]\nactive = false\n");
    let waits = "FAIL  type Support: no relay is active: its mail waits until one is";
    let found = said(&off);
    assert!(found.contains(waits), "{found}");
    let other =
        "[[relay]]\nname = \"other\"\nkind = \"folder\"\npath = \"other\"\nsender = \"x@example.com\"\n";
    let found = said(&format!("{off}\n{other}"));
    let by_other = "warn  type Support: its relay out is switched off: new mail goes out by other";
    assert!(found.contains(by_other), "{found}");
    // And so it does.
    bench.take_in("a", "ann@mail.test", "Hello");
    assert_eq!(bench.json(&["queue", "list"])[0]["relay"], "other");
}

#[test]
fn real_servers_are_looked_at_and_left_as_they_were() {
    let (Some(inbox), Some(sink)) = (inbox::new(), SmtpSink::start()) else { return };
    inbox.deliver(b"From: a@b.test\r\nSubject: waits\r\n\r\nwords\r\n");
    let Some(desk) = Desk::with_support(Store::usual(), &inbox.account(), sink.port) else { return };
    let said = desk.run(&["doctor"]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    for words in ["folder INBOX: 1 messages wait", "answers, plain; it asks for no login", "signed in as"] {
        assert!(said.stdout.contains(words), "{words:?} is not in {}", said.stdout);
    }
    let report = desk.json(&["mailbox", "test", "support", "--json"]);
    assert_eq!((&report["folders"][0]["messages"], &report["has_uidplus"]), (&json!(1), &json!(true)));
    assert_eq!((inbox.remaining(), sink.received().len()), (1, 0));
    fs::write(desk.folder.path().join("password"), "wrong-and-secret").unwrap();
    let said = desk.run(&["mailbox", "test", "support"]);
    assert!(said.code == Some(69) && !said.stderr.contains("wrong-and-secret"), "{}", said.stderr);
}
