//! `maildesk import`: old mail from files, silently, once, and again without a double.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::program::{Desk, Store};

const SECTIONS: &str = r#"
[[relay]]
name = "out"
kind = "folder"
path = "outgoing"
sender = "support@example.com"
[[mailbox]]
name = "archive"
protocol = "maildir"
path = "nothing"
[[type]]
name = "Support"
mailbox = "archive"
relay = "out"
addresses = ["support@example.com"]
admin = "admin@example.net"
auto_answer = true
"#;

const FROM: &str = "From one@example.org Thu Jan  1 00:00:10 2026\n";

fn desk() -> Desk {
    let desk = Desk::new(Store::Sqlite).expect("SQLite is always there");
    desk.configure(SECTIONS);
    desk
}

fn mail(n: u32, text: &str) -> String {
    format!(
        "From: Customer <c{n}@example.org>\nTo: support@example.com\nSubject: Mail {n}\n\
         Message-ID: <{n}@example.org>\nDate: Thu, 1 Jan 2026 00:00:{n:02} +0000\n\n{text}\n"
    )
}

fn put(desk: &Desk, name: &str, text: &str) {
    let path = desk.folder.path().join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("our own folder");
    fs::write(path, text).expect("our own folder");
}

/// An mbox with quoted lines, and a Maildir; five messages in all, one of them over 1 MiB.
fn put_mail(desk: &Desk) {
    let quoted = mail(1, "x\n\n>From the start it rained.\n>>From y\n\nFrom now on, too.");
    let answer =
        mail(2, "y").replace("Message-ID", "In-Reply-To: <1@example.org>\nMessage-ID").replace("c2@", "c1@");
    let big = mail(3, &"a line of a big message\n".repeat(60_000));
    put(desk, "mail/old.mbox", &format!("{FROM}{quoted}\n{FROM}{answer}\n{FROM}{big}\n"));
    put(desk, "mail/Maildir/new/1000000001.b.host", &mail(5, "five"));
    put(desk, "mail/Maildir/cur/999999999.a.host:2,S", &mail(4, "four"));
    put(desk, "mail/Maildir/tmp/1000000002.c.host", &mail(6, "not delivered yet"));
}

fn import(desk: &Desk, words: &[&str]) -> Value {
    let words = [&["import", "--mailbox", "archive", "--json"], words].concat();
    let output = desk.command(&words).current_dir(desk.folder.path()).output().expect("maildesk starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("an object")
}

/// The rows of a listing.
#[track_caller]
fn rows(desk: &Desk, words: &[&str]) -> Vec<Value> {
    desk.rows(&[words, &["--json"]].concat())
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn an_mbox_and_a_maildir_are_imported_once_and_in_silence() {
    let desk = desk();
    put_mail(&desk);
    let summary = import(&desk, &["mail/old.mbox", "mail/Maildir"]);
    assert_eq!((&summary["messages"], &summary["known"]), (&5.into(), &0.into()));
    let became = json!([
        {"act": "append", "code": "reply_by_foreign_id", "count": 1},
        {"act": "open", "code": "new_ticket", "count": 4},
    ]);
    assert_eq!(summary["became"], became);
    let again = import(&desk, &["mail/old.mbox", "mail/Maildir"]);
    assert_eq!((&again["messages"], &again["known"], &again["became"]), (&5.into(), &5.into(), &json!([])));
    let journal = rows(&desk, &["journal", "list"]);
    let received: Vec<&Value> = journal.iter().map(|row| &row["received"]).collect();
    assert_eq!(journal.len(), 5);
    assert_eq!(received[..3], ["2026-01-01T00:00:10Z"; 3]);
    assert_eq!(rows(&desk, &["ticket", "list"]).len(), 4);
    assert_eq!(rows(&desk, &["queue", "list"]), Vec::<Value>::new());
    let balance = rows(&desk, &["mailbox", "balance"]);
    assert_eq!((&balance[0]["shown"], &balance[0]["difference"]), (&5.into(), &0.into()));
    let first = desk.json(&["explain", "--arrival", "1", "--json"]);
    assert_eq!(first["text"], "x\n\nFrom the start it rained.\n>From y\n\nFrom now on, too.");
    assert_eq!(files(&desk.folder.path().join("spool")), 0, "a spool file was left behind");
    assert_eq!(files(&desk.folder.path().join("mail/Maildir/new")), 1, "the Maildir was changed");
}

#[test]
fn with_notify_the_team_is_told_and_senders_are_answered() {
    let desk = desk();
    put_mail(&desk);
    assert_eq!(import(&desk, &["--notify", "mail/Maildir"])["notified"], true);
    let purposes: Vec<Value> = rows(&desk, &["queue", "list"]).iter().map(|m| m["purpose"].clone()).collect();
    assert_eq!(purposes, ["notification", "auto_answer", "notification", "auto_answer"]);
}

#[test]
fn a_path_that_cannot_be_read_is_told_and_the_rest_is_done() {
    let desk = desk();
    put_mail(&desk);
    put(&desk, "mail/notes.txt", "no mail");
    put(&desk, "mail/deeper/one.eml", &mail(7, "seven"));
    put(&desk, "mail/17", &mail(8, "eight"));
    let mail = desk.folder.path().join("mail").display().to_string();
    let output = desk.run(&["import", "--mailbox", "archive", "absent.mbox", &mail]);
    assert_eq!(output.code, Some(65));
    let told = &output.stdout;
    assert!(told.starts_with("7 messages for mailbox \"archive\", silently\n"), "{told}");
    assert!(told.contains("absent.mbox: No such file") && told.contains("1 files skipped"), "{told}");
    assert_eq!(rows(&desk, &["journal", "list"]).len(), 7);
    assert_eq!(desk.run(&["import", "--mailbox", "absent", &mail]).code, Some(65));
}

#[test]
fn beside_a_daemon_paths_start_where_the_command_was_typed() {
    let desk = desk();
    put_mail(&desk);
    fs::create_dir_all(desk.folder.path().join("nothing/new")).expect("our own folder");
    fs::create_dir_all(desk.folder.path().join("nothing/cur")).expect("our own folder");
    desk.run(&["migrate"]).ok();
    let mut daemon = desk.spawn(&["run"]);
    let socket = desk.folder.path().join("maildesk.sock");
    crate::support::wait_until("the daemon's socket", std::time::Duration::from_secs(60), || {
        socket.exists().then_some(())
    });
    let words = ["import", "--mailbox", "archive", "--json", "old.mbox"];
    let typed = || desk.command(&words).current_dir(desk.folder.path().join("mail")).output();
    for known in [0, 3] {
        let output = typed().expect("maildesk starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let summary: Value = serde_json::from_slice(&output.stdout).expect("an object");
        assert_eq!((&summary["messages"], &summary["known"]), (&3.into(), &known.into()));
    }
    assert_eq!(rows(&desk, &["queue", "list"]), Vec::<Value>::new());
    assert!(daemon.stop().success());
}
