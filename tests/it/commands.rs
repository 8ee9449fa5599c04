//! What people do to tickets, invalid mail and the queue on the command line, alone and beside a running daemon.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::inbox;
use crate::support::program::{Desk, Running, Store};
use crate::support::smtp::SmtpSink;
use crate::support::wait_until;

/// A desk on a Maildir, whose mails become files; with a daemon or without one.
struct Bench {
    desk: Desk,
    daemon: Option<Running>,
}

const SECTIONS: &str = r#"
[[relay]]
name = "out"
kind = "folder"
path = "sent"
sender = "support@example.com"

[[mailbox]]
name = "support"
protocol = "maildir"
path = "inbox"
size_limit_mb = 1

[[account]]
login = "ann"
name = "Agent Ann"
addresses = ["ann@team.test"]

[[type]]
name = "Support"
tag = "Support"
mailbox = "support"
relay = "out"
addresses = ["support@example.com"]
admin = "admin@team.test"

[[type]]
name = "Sales"
tag = "Sales"
mailbox = "support"
relay = "out"
addresses = ["sales@example.com"]
admin = "seller@team.test"
"#;

impl Bench {
    fn new(store: Store, is_beside_daemon: bool) -> Option<Bench> {
        let desk = Desk::new(store)?;
        for folder in ["inbox/new", "inbox/cur", "inbox/tmp"] {
            fs::create_dir_all(desk.folder.path().join(folder)).unwrap();
        }
        desk.configure(SECTIONS);
        desk.run(&["migrate"]).ok();
        let daemon = is_beside_daemon.then(|| {
            let daemon = desk.spawn(&["run"]);
            let socket = desk.folder.path().join("maildesk.sock");
            wait_until("the daemon's socket", Duration::from_secs(30), || socket.exists().then_some(()));
            daemon
        });
        Some(Bench { desk, daemon })
    }

    /// Takes a mail in: `name` is its file and its Message-ID.
    fn take_in(&self, name: &str, from: &str, subject: &str) {
        self.take_in_with(name, from, subject, "");
    }

    fn take_in_with(&self, name: &str, from: &str, subject: &str, more: &str) {
        let mail = format!(
            "From: {from}\r\nTo: support@example.com\r\nSubject: {subject}\r\nMessage-ID: <{name}@mail.test>\r\n\
             Date: Thu, 1 Jan 2026 10:00:00 +0000\r\n{more}\r\nThe words of {name}.\r\n"
        );
        fs::write(self.desk.folder.path().join("inbox/new").join(name), mail).unwrap();
        self.desk.run(&["poll"]).ok();
    }

    /// Does it with an exit code of 0, and reads its JSON.
    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        self.desk.json(&[words, &["--json"]].concat())
    }

    #[track_caller]
    fn refused(&self, code: i32, words: &[&str], said: &str) {
        let output = self.desk.run(words);
        assert_eq!(output.code, Some(code), "{words:?}: {}{}", output.stdout, output.stderr);
        assert!(output.stderr.contains(said), "{said:?} is not in {:?}", output.stderr);
    }

    #[track_caller]
    fn with_text(&self, words: &[&str], text: &str) -> Value {
        fs::write(self.desk.folder.path().join("text"), text).unwrap();
        let path = self.desk.folder.path().join("text").display().to_string();
        self.json(&[words, &["--file", &path]].concat())
    }

    /// The queued mails of a purpose.
    #[track_caller]
    fn mails(&self, purpose: &str) -> Vec<Value> {
        self.desk.rows(&["queue", "list", "--purpose", purpose, "--json"])
    }

    /// The mail with this id as it went out.
    #[track_caller]
    fn sent(&self, mail: &Value) -> String {
        let path = self.desk.folder.path().join(format!("sent/{mail}.eml"));
        if self.daemon.is_none() {
            self.json(&["queue", "send"]);
        }
        let read = || fs::read(&path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        wait_until(&format!("{}", path.display()), Duration::from_secs(20), read)
    }

    fn end(mut self) {
        if let Some(daemon) = &mut self.daemon {
            let end = daemon.stop();
            assert!(end.success(), "{}", daemon.log());
        }
    }
}

/// On each store, alone and beside a daemon.
fn everywhere(store: Store, check: impl Fn(&Bench)) {
    for is_beside_daemon in [false, true] {
        let Some(bench) = Bench::new(store, is_beside_daemon) else { return };
        check(&bench);
        bench.end();
    }
}

fn only(list: &Value) -> &Value {
    match list.as_array().map(Vec::as_slice) {
        Some([one]) => one,
        _ => panic!("not a list of one: {list}"),
    }
}

#[test]
fn a_stranger_on_a_ticket_waits_for_an_admin_sqlite() {
    everywhere(Store::Sqlite, a_stranger_on_a_ticket_waits_for_an_admin);
}

#[test]
fn a_stranger_on_a_ticket_waits_for_an_admin_postgres() {
    everywhere(Store::Postgres, a_stranger_on_a_ticket_waits_for_an_admin);
}

fn a_stranger_on_a_ticket_waits_for_an_admin(bench: &Bench) {
    bench.take_in("first", "Cara <cara@home.test>", "printer on fire");
    bench.take_in("claim", "Eve <eve@else.test>", "Re: [Support #1-1] printer on fire");
    let invalid = bench.json(&["invalid", "list"]);
    let it = only(&invalid);
    assert_eq!((&it["code"], &it["named_ticket"]), (&json!("stranger_on_ticket"), &json!(1)));
    assert!(it["evidence"].as_str().unwrap().contains("eve@else.test"), "{it}");
    assert_eq!(bench.mails("notification").len(), 1, "only the first mail is told");

    // Accepted once, it is on the ticket, and the next one waits again.
    let done = bench.json(&["invalid", "accept", "1"]);
    assert_eq!(*only(&done), json!({ "id": 1, "ok": true, "error": null, "ticket": 1 }));
    let shown = bench.json(&["ticket", "show", "1"]);
    assert_eq!(shown["entries"][1]["author"], "eve@else.test");
    assert_eq!(shown["entries"][1]["code"], "accepted_by_admin");
    assert_eq!(bench.mails("notification").len(), 2);
    bench.refused(65, &["invalid", "accept", "1"], "invalid ticket #1 is accepted already");
    bench.take_in("claim2", "Eve <eve@else.test>", "Re: [Support #1-1] and again");
    assert_eq!(bench.desk.count("invalid"), 1);

    // Remembered, her address is the contact's, and what she sends is trusted.
    bench.json(&["invalid", "accept", "2", "--remember"]);
    bench.take_in("claim3", "Eve <eve@else.test>", "Re: [Support #1-1] and once more");
    assert_eq!(bench.desk.count("invalid"), 0);
    assert_eq!(bench.json(&["ticket", "show", "1"])["entries"].as_array().unwrap().len(), 4);

    // One that was never let through becomes the contact's with the first accept.
    bench.take_in("claim4", "Cara at work <cara@work.test>", "Re: [Support #1-1] from work");
    bench.json(&["invalid", "accept", "3", "--remember"]);
    let contact = bench.json(&["contact", "show", "cara@work.test"]);
    assert_eq!(contact["addresses"][0]["address"], "cara@home.test");

    // Made a ticket of its own: only then its mails are queued.
    bench.take_in("claim5", "Mallory <mallory@else.test>", "Re: [Support #1-1] mine");
    let before = bench.desk.count("queue");
    let done = bench.desk.run(&["invalid", "reassign", "4", "99", "--type", "Sales", "--json"]);
    // One of the two is not there.
    assert_eq!((done.code, done.json()[1]["ok"].as_bool()), (Some(65), Some(false)), "{}", done.stdout);
    assert_eq!((&done.json()[0]["ok"], &done.json()[0]["ticket"]), (&json!(true), &json!(2)));
    let queued = bench.desk.rows(&["queue", "list", "--ticket", "2", "--json"]);
    assert_eq!((before + 1, queued.len()), (bench.desk.count("queue"), 1));
    let told = bench.sent(&queued[0]["id"]);
    assert!(told.contains("To: seller@team.test") && told.contains("[Sales #2-"), "{told}");
    let listed = bench.desk.rows(&["invalid", "list", "--state", "reassigned", "--json"]);
    assert_eq!((&listed[0]["ticket"], listed[0]["settled"].is_string()), (&json!(2), true));
}

#[test]
fn a_ticket_is_worked_on_sqlite() {
    everywhere(Store::Sqlite, a_ticket_is_worked_on);
}

#[test]
fn a_ticket_is_worked_on_postgres() {
    everywhere(Store::Postgres, a_ticket_is_worked_on);
}

fn a_ticket_is_worked_on(bench: &Bench) {
    bench.take_in("first", "Cara <cara@home.test>", "printer on fire");
    let said =
        bench.with_text(&["ticket", "answer", "1", "--agent", "ann", "--status", "pending"], "Use water.\n");
    let expected =
        json!({ "ticket": 1, "log_entry": 2, "mail": 2, "status": "pending", "tag_line": "[Support #1-2]" });
    assert_eq!(said, expected);
    let answer = bench.sent(&said["mail"]);
    for line in [
        "Subject: [Support #1-2] Re: printer on fire",
        "To: Cara <cara@home.test>",
        "In-Reply-To: <first@mail.test>",
        "<first@mail.test>",
        "Use water.",
    ] {
        assert!(answer.contains(line), "{line:?} is not in {answer}");
    }
    assert!(!answer.contains("Auto-Submitted"), "a person said it: {answer}");
    bench.refused(65, &["ticket", "answer", "1", "--file", "/absent"], "/absent: No such file");

    // A reply with the tag line is on the ticket; a note is not sent.
    bench.take_in("reply", "Cara <cara@home.test>", "Re: [Support #1-2] printer on fire");
    bench.with_text(&["ticket", "note", "1", "--agent", "ann"], "She is angry.");
    let shown = bench.json(&["ticket", "show", "1"]);
    let entries: Vec<(&str, &str)> = shown["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["kind"].as_str().unwrap(), e["author_name"].as_str().unwrap()))
        .collect();
    assert_eq!(
        entries,
        [("inbound", "Cara"), ("outbound", "Agent Ann"), ("inbound", "Cara"), ("note", "Agent Ann")]
    );
    assert_eq!(shown["participants"][0]["address"], "cara@home.test");
    assert!(shown["events"].as_array().unwrap().iter().any(|e| e["kind"] == "answer_queued"));
    let read = bench.desk.run(&["ticket", "show", "1"]).ok().stdout;
    assert!(
        read.contains("── #2 outbound  Agent Ann <support@example.com>") && read.contains("   Use water."),
        "{read}"
    );

    // Its own fields, guarded by its version.
    let edit =
        ["ticket", "edit", "1", "--subject", "fire", "--priority", "urgent", "--due", "2026-02-01T00:00:00Z"];
    let edited = bench.json(&edit);
    assert_eq!((&edited["subject"], &edited["due"]), (&json!("fire"), &json!("2026-02-01T00:00:00Z")));
    assert_eq!(bench.json(&["ticket", "edit", "1", "--due", "none"])["due"], Value::Null);
    bench.refused(
        65,
        &[&edit[..], &["--at-version", "1"]].concat(),
        "was changed by somebody else meanwhile",
    );
    bench.refused(64, &["ticket", "edit", "1"], "nothing to change");
    bench.refused(64, &["ticket", "edit", "1", "--due", "tomorrow"], "is not a time such as");
    assert_eq!(bench.json(&["ticket", "assign", "1", "ann"])["assignee"], "ann");
    bench.refused(65, &["ticket", "assign", "1", "bob"], "there is no account \"bob\"");
    assert_eq!(bench.json(&["ticket", "assign", "1", "nobody"])["assignee"], Value::Null);
    assert_eq!(bench.json(&["ticket", "type", "1", "Sales"])["type"], "Sales");
    let closed = bench.json(&["ticket", "close", "1"]);
    assert_eq!((&only(&closed)["ok"], &only(&closed)["status"]), (&json!(true), &json!("closed")));
    bench.refused(65, &["ticket", "edit", "1", "--status", "pending"], "is closed: it cannot become pending");
    assert_eq!(only(&bench.json(&["ticket", "reopen", "1"]))["status"], "open");
}

#[test]
fn tickets_are_merged_deleted_and_restored_sqlite() {
    everywhere(Store::Sqlite, tickets_are_merged_deleted_and_restored);
}

#[test]
fn tickets_are_merged_deleted_and_restored_postgres() {
    everywhere(Store::Postgres, tickets_are_merged_deleted_and_restored);
}

fn tickets_are_merged_deleted_and_restored(bench: &Bench) {
    bench.take_in("one", "Cara <cara@home.test>", "printer on fire");
    bench.take_in("two", "Cara <cara@home.test>", "the printer again");
    assert_eq!(bench.json(&["ticket", "merge", "2", "--into", "1"]), json!({ "id": 2, "merged_into": 1 }));
    bench.refused(65, &["ticket", "merge", "2", "--into", "1"], "was merged into #1 before");
    bench.refused(65, &["ticket", "merge", "1", "--into", "1"], "cannot be merged into itself");
    bench.take_in("three", "Cara <cara@home.test>", "Re: [Support #2-2] the printer again");
    let shown = bench.json(&["ticket", "show", "1"]);
    let of: Vec<i64> =
        shown["entries"].as_array().unwrap().iter().map(|e| e["ticket"].as_i64().unwrap()).collect();
    assert_eq!(of, [1, 2, 1], "the target shows all that was said");

    assert_eq!(only(&bench.json(&["ticket", "delete", "1"]))["deleted"], true);
    assert!(bench.desk.rows(&["ticket", "list", "--json"]).iter().all(|t| t["id"] != 1));
    assert_eq!(bench.json(&["ticket", "show", "1"])["deleted"], true);
    bench.refused(65, &["ticket", "close", "1"], "`maildesk ticket restore 1` brings it back");
    bench.take_in("four", "Cara <cara@home.test>", "Re: [Support #1-1] hello?");
    assert_eq!(bench.desk.rows(&["invalid", "list", "--json"])[0]["code"], "deleted_ticket");
    bench.refused(65, &["invalid", "accept", "1"], "restore it first");
    assert_eq!(only(&bench.json(&["ticket", "restore", "1"]))["deleted"], false);
    assert_eq!(only(&bench.json(&["invalid", "accept", "1"]))["ticket"], 1);
}

#[test]
fn unwanted_mail_is_dismissed_and_taken_back_sqlite() {
    everywhere(Store::Sqlite, unwanted_mail_is_dismissed_and_taken_back);
}

#[test]
fn unwanted_mail_is_dismissed_and_taken_back_postgres() {
    everywhere(Store::Postgres, unwanted_mail_is_dismissed_and_taken_back);
}

fn unwanted_mail_is_dismissed_and_taken_back(bench: &Bench) {
    bench.take_in("first", "Cara <cara@home.test>", "printer on fire");
    bench.take_in("claim", "Eve <eve@else.test>", "Re: [Support #1-1] pills");
    for verb in ["reject", "delete"] {
        assert_eq!(only(&bench.json(&["invalid", verb, "1"]))["ok"], true);
        assert_eq!(bench.desk.count("invalid"), 0);
        bench.json(&["invalid", "undo", "1"]);
        assert_eq!(bench.desk.count("invalid"), 1);
    }
    bench.refused(65, &["invalid", "undo", "1"], "only reject, delete and block can be undone");
    let blocked = bench.json(&["invalid", "block", "1", "--domain"]);
    assert_eq!(only(&blocked)["blocked"], "@else.test");
    assert_eq!(bench.json(&["contact", "blocked"])[0]["pattern"], "@else.test");
    bench.take_in("other", "Mallory <mallory@else.test>", "cheap pills");
    assert_eq!(only(&bench.json(&["invalid", "list"]))["code"], "blocked_sender");
    bench.json(&["invalid", "undo", "1"]);
    assert_eq!(bench.json(&["contact", "blocked"]), json!([]));
    bench.json(&["contact", "block", "Spam@bad.test", "@worse.test"]);
    assert_eq!(bench.json(&["contact", "unblock", "spam@bad.test"])["changed"], json!(["spam@bad.test"]));
    bench.refused(64, &["contact", "block", "spam"], "neither an address nor a domain");
}

#[test]
fn mail_on_its_way_is_held_and_let_go_sqlite() {
    everywhere(Store::Sqlite, mail_on_its_way_is_held_and_let_go);
}

#[test]
fn mail_on_its_way_is_held_and_let_go_postgres() {
    everywhere(Store::Postgres, mail_on_its_way_is_held_and_let_go);
}

fn mail_on_its_way_is_held_and_let_go(bench: &Bench) {
    assert_eq!(bench.json(&["queue", "pause"]), json!({ "relays": ["out"], "paused": true }));
    bench.take_in("one", "Cara <cara@home.test>", "printer on fire");
    bench.take_in("two", "Cara <cara@home.test>", "printer on fire again");
    assert_eq!(bench.json(&["queue", "send"])["sent"], 0);
    assert!(bench.mails("notification").iter().all(|mail| mail["state"] == "queued"));
    assert_eq!(only(&bench.json(&["queue", "cancel", "1"]))["ok"], true);
    bench.refused(65, &["queue", "cancel", "1"], "outbox mail 1 is cancelled already");
    let events = &bench.json(&["ticket", "show", "1"])["events"];
    assert!(events.as_array().unwrap().iter().any(|e| e["kind"] == "mail_cancelled"), "{events}");
    bench.json(&["queue", "resume", "--relay", "out"]);
    bench.sent(&json!(2));
    let done = || (bench.mails("notification")[1]["state"] == "done").then_some(());
    wait_until("the mail to be done", Duration::from_secs(30), done);
    let shown = bench.json(&["queue", "show", "2"]);
    assert_eq!(
        (&shown["attempts"][0]["relay"], &shown["recipients"][0]["state"]),
        (&json!("out"), &json!("sent"))
    );
    let human = bench.desk.run(&["queue", "show", "2"]).ok().stdout;
    assert!(human.contains("ATTEMPT\n"), "{human}");
    assert_eq!(bench.mails("notification")[0]["state"], "cancelled");
    bench.refused(65, &["queue", "retry", "2"], "nothing is left to send");
}

#[test]
fn what_came_with_a_mail_comes_out_as_it_was_sqlite() {
    everywhere(Store::Sqlite, what_came_with_a_mail_comes_out_as_it_was);
}

#[test]
fn what_came_with_a_mail_comes_out_as_it_was_postgres() {
    everywhere(Store::Postgres, what_came_with_a_mail_comes_out_as_it_was);
}

fn what_came_with_a_mail_comes_out_as_it_was(bench: &Bench) {
    let parts = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nwords\r\n\
        --b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nAAEC/w==\r\n--b--\r\n";
    bench.take_in_with("one", "Cara <cara@home.test>", "a file", parts);
    let shown = bench.json(&["ticket", "show", "1"]);
    let attachment = &shown["entries"][0]["attachments"][0];
    assert_eq!((&attachment["name"], &attachment["size"]), (&json!("a.pdf"), &json!(4)));
    let raw = bench.desk.command(&["ticket", "attachment", "1", "0"]).output().unwrap();
    assert_eq!(raw.stdout, [0, 1, 2, 255]);
    bench.refused(65, &["ticket", "attachment", "1", "7"], "there is no attachment 7 of entry #1");
    let to = bench.desk.folder.path().join("a.pdf").display().to_string();
    assert_eq!(bench.json(&["ticket", "attachment", "1", "0", "--to", &to])["bytes"], 4);
    bench.refused(65, &["ticket", "attachment", "1", "0", "--to", &to], "File exists");
}

#[test]
fn what_cannot_be_read_is_handed_out_or_fetched_sqlite() {
    everywhere(Store::Sqlite, what_cannot_be_read_is_handed_out_or_fetched);
}

#[test]
fn what_cannot_be_read_is_handed_out_or_fetched_postgres() {
    everywhere(Store::Postgres, what_cannot_be_read_is_handed_out_or_fetched);
}

fn what_cannot_be_read_is_handed_out_or_fetched(bench: &Bench) {
    let inbox = bench.desk.folder.path().join("inbox/new");
    let broken = b"X-Nothing: here\xff\r\n\r\n \r\n";
    fs::write(inbox.join("broken"), broken).unwrap();
    bench.desk.run(&["poll"]).ok();
    assert_eq!(only(&bench.json(&["error", "list"]))["code"], "unreadable");
    let raw = || bench.desk.command(&["error", "export", "1"]).output().unwrap().stdout;
    assert_eq!(raw(), broken);
    // Nothing was mended: it ends as it was, under the same number.
    let retried = bench.json(&["error", "retry", "1"]);
    assert_eq!((&only(&retried)["act"], &only(&retried)["code"]), (&json!("error"), &json!("unreadable")));
    bench.refused(65, &["error", "retry", "7"], "there is no error ticket #7");
    bench.refused(65, &["error", "fetch", "1"], "`maildesk error retry 1`");
    assert_eq!(only(&bench.json(&["error", "discard", "1"]))["state"], "discarded");
    bench.refused(65, &["error", "discard", "1"], "error ticket #1 is discarded already");

    // Too big for the mailbox: its headers are here, the rest comes when it is asked for.
    let head = "From: Cara <cara@home.test>\r\nTo: support@example.com\r\nSubject: big\r\n\
                Message-ID: <big@mail.test>\r\n\r\n";
    fs::write(inbox.join("big"), format!("{head}{}", "words \r\n".repeat(200_000))).unwrap();
    bench.desk.run(&["poll"]).ok();
    let listed = bench.json(&["error", "list"]);
    assert_eq!(only(&listed)["code"], "too_big");
    let id = only(&listed)["id"].to_string();
    assert_eq!(
        bench.json(&["error", "show", &id])["headers"].as_str().map(str::trim_end),
        Some(head.trim_end())
    );
    let headers = bench.desk.command(&["error", "export", &id]).output().unwrap().stdout;
    assert!(headers.starts_with(b"From: Cara") && headers.len() < 300);
    bench.refused(65, &["error", "retry", &id], &format!("`maildesk error fetch {id}`"));
    assert_eq!(only(&bench.json(&["error", "fetch", &id]))["state"], "fetch");
    bench.desk.run(&["poll"]).ok();
    assert_eq!(bench.json(&["error", "list"]), json!([]));
    assert_eq!(bench.json(&["ticket", "show", "1"])["subject"], "big");
    assert_eq!(only(&bench.json(&["mailbox", "balance"]))["difference"], 0);
}

#[test]
fn a_bounce_is_seen_and_resolved() {
    everywhere(Store::Sqlite, |bench| {
        bench.take_in("first", "Cara <cara@home.test>", "printer on fire");
        let report = "From: <mailer-daemon@home.test>\r\nTo: support@example.com\r\nSubject: failure\r\n\
            Message-ID: <dsn@home.test>\r\nReturn-Path: <>\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nsorry\r\n\
            --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.home.test\r\n\r\n\
            Final-Recipient: rfc822; cara@home.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n\
            --b\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: [Support #1-1] printer on fire\r\n\r\n--b--\r\n";
        fs::write(bench.desk.folder.path().join("inbox/new/dsn"), report).unwrap();
        bench.desk.run(&["poll"]).ok();
        let shown = bench.json(&["bounce", "show", "1"]);
        assert_eq!((&shown["code"], &shown["status"]), (&json!("bounce_by_tag"), &json!("5.1.1")));
        assert_eq!(bench.json(&["ticket", "show", "1"])["bounces"][0]["ticket"], 1);
        assert_eq!(only(&bench.json(&["bounce", "resolve", "1"]))["ok"], true);
        assert_eq!(bench.json(&["bounce", "list"]), json!([]));
        bench.refused(65, &["bounce", "resolve", "1"], "there is no unresolved bounce #1");
    });
}

#[test]
fn doctor_says_what_is_right_sqlite() {
    everywhere(Store::Sqlite, doctor_says_what_is_right);
}

/// A test's PostgreSQL runs without fsync, and doctor says so.
#[test]
fn doctor_sees_a_database_without_fsync() {
    let Some(bench) = Bench::new(Store::Postgres, false) else { return };
    let output = bench.desk.run(&["doctor"]);
    let is_without = output.stdout.contains("FAIL  store: PostgreSQL runs with fsync off. mail may get lost");
    assert!(is_without && output.code == Some(69), "{}", output.stdout);
}

fn doctor_says_what_is_right(bench: &Bench) {
    let findings = bench.json(&["doctor"]);
    // No daemon has run yet, which would have taken one.
    let is_right = |f: &Value| f["level"] == "ok" || f["words"] == "no daily backup was taken yet";
    assert!(findings.as_array().unwrap().iter().all(is_right), "{findings}");
    let said = bench.desk.run(&["doctor"]).ok().stdout;
    for line in [
        "ok    store: SQLite's quick_check says ok\n",
        "inbox: 0 messages\n",
        "ok    relay out: mail is written",
    ] {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
    assert_eq!(bench.json(&["mailbox", "test", "support"])["messages"], 0);
}

#[test]
fn doctor_says_what_is_wrong_and_no_password() {
    let Some(bench) = Bench::new(Store::Sqlite, false) else { return };
    let folder = bench.desk.folder.path();
    fs::create_dir_all(folder.join("templates/new_ticket")).unwrap();
    fs::write(folder.join("templates/new_ticket/body.txt.j2"), "{% if").unwrap();
    fs::write(folder.join("password"), "hunter2-and-more").unwrap();
    let port = crate::support::server::free_port();
    bench.desk.configure(&format!(
        "templates = \"templates\"\n{SECTIONS}
[[mailbox]]
name = \"gone\"
host = \"127.0.0.1\"
port = {port}
tls = \"plain\"
username = \"u\"
password_file = \"password\"

[[relay]]
name = \"smtp\"
host = \"127.0.0.1\"
port = {port}
tls = \"plain\"
username = \"u\"
password_file = \"password\"
sender = \"x@example.com\"

[[type]]
name = \"Lost\"
addresses = [\"lost@example.com\"]
"
    ));
    fs::remove_dir_all(folder.join("inbox/cur")).unwrap();
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
    has("fail", "mailbox support", "inbox/cur cannot be read");
    has("fail", "mailbox gone", &port.to_string());
    has("warn", "mailbox gone", "no active type answers to it");
    has("fail", "relay smtp", &port.to_string());
    has("fail", "type Lost", "it has no relay");
    has("warn", "type Lost", "it has no mailbox");
    has("fail", "templates", "new_ticket/body.txt.j2");
    let test = bench.desk.run(&["mailbox", "test", "gone"]);
    assert_eq!(test.code, Some(69));
    assert!(!format!("{}{}{}", output.stdout, output.stderr, test.stderr).contains("hunter2"));
}

#[test]
fn real_servers_are_looked_at_and_left_as_they_were() {
    let (Some(inbox), Some(sink)) = (inbox::new(), SmtpSink::start()) else { return };
    inbox.deliver(b"From: a@b.test\r\nSubject: waits\r\n\r\nwords\r\n");
    let Some(desk) = Desk::with_support(Store::Sqlite, &inbox.account(), sink.port) else { return };
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
