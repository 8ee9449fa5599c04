//! `maildesk import`: old mail from files, silently, once, and again without a double.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::identity::renumbered::Imap;
use crate::support::dovecot::PASSWORD;
use crate::support::peer::{Peer, SECRET};
use crate::support::program::{Desk, Imap as Account, Store, support_sections};
use crate::support::trial::SUPPORT;

/// A mailbox whose Maildir is not there.
fn sections() -> String {
    SUPPORT.replace("\"support\"", "\"archive\"").replace("\"Maildir\"", "\"nothing\"")
        + "auto_answer = true\n"
}

const FROM: &str = "From one@example.org Thu Jan  1 00:00:10 2026\n";

fn desk() -> Desk {
    let desk = Desk::new(Store::usual()).expect("a store");
    desk.configure(&sections());
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

/// How many; where the desk notes what its store has confirmed is none of them.
fn files(folder: &Path) -> usize {
    let of_mail = |file: &fs::DirEntry| !file.file_name().to_string_lossy().ends_with(".mark");
    fs::read_dir(folder).map_or(0, |found| found.flatten().filter(of_mail).count())
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
    assert_eq!(received[2..], ["2026-01-01T00:00:10Z"; 3], "as the mbox says");
    assert_eq!(received[..2], ["2026-01-01T00:00:04Z", "2026-01-01T00:00:05Z"], "by Date: the oldest first");
    assert_eq!(rows(&desk, &["ticket", "list"]).len(), 4);
    assert_eq!(rows(&desk, &["queue", "list"]), Vec::<Value>::new());
    let balance = rows(&desk, &["mailbox", "balance"]);
    assert_eq!((&balance[0]["shown"], &balance[0]["difference"]), (&5.into(), &0.into()));
    let first = desk.json(&["explain", "--arrival", "3", "--json"]);
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

/// A reply that lies before its parent, a thread of a system before this one, and a Maildir with subfolders.
#[test]
fn the_oldest_comes_first_and_tickets_are_as_old_as_their_mail() {
    let desk = desk();
    let predecessor = "[predecessor]\ntags = [\"[Ticket#{number}]\"]\nfirst_ticket_number = 7000\n";
    desk.configure(&(predecessor.to_owned() + &sections()));
    let tagged = |n: u32, from: u32, subject: &str| {
        mail(n, "x").replace(&format!("Mail {n}"), subject).replace(&format!("c{n}@"), &format!("c{from}@"))
    };
    put(
        &desk,
        "mail/a/1.eml",
        &tagged(2, 1, "Re: Mail 1").replace("Date", "In-Reply-To: <1@example.org>\nDate"),
    );
    put(&desk, "mail/b/1.eml", &mail(1, "x"));
    put(&desk, "mail/c.mbox", &format!("{FROM}{}\n", tagged(4, 3, "RE: [ticket#99] broken")));
    put(&desk, "mail/d.eml", &tagged(3, 3, "[Ticket#99] broken"));
    put(&desk, "mail/Maildir/cur/1.a", &mail(5, "five"));
    put(&desk, "mail/Maildir/new/2.a", &mail(6, "six"));
    for (folder, n) in [(".Archive.2025", 7), (".Trash", 8), ("Later", 9)] {
        put(&desk, &format!("mail/Maildir/{folder}/cur/1.a"), &mail(n, "x"));
        put(&desk, &format!("mail/Maildir/{folder}/new/2.a"), &mail(n + 10, "x"));
    }
    let summary = import(&desk, &["--status", "closed", "mail"]);
    assert_eq!((&summary["messages"], &summary["settled"]["tickets"]), (&10.into(), &8.into()));
    assert_eq!(summary["skipped_folders"].as_array().map(Vec::len), Some(1), "the trash");
    let tickets = rows(&desk, &["ticket", "list"]);
    let oldest: Vec<&Value> = tickets.iter().filter(|t| t["id"].as_i64() <= Some(7001)).collect();
    let told = |t: &Value| format!("{} {} {} {}", t["id"], t["status"], t["entries"], t["created"]);
    let told: std::collections::BTreeSet<String> = oldest.iter().map(|t| told(t)).collect();
    let expected = [
        "7000 \"closed\" 2 \"2026-01-01T00:00:01Z\"".to_owned(),
        "7001 \"closed\" 2 \"2026-01-01T00:00:03Z\"".to_owned(),
    ];
    assert_eq!(told, expected.into());
    assert!(tickets.iter().all(|t| t["status"] == "closed"));
    assert_eq!(rows(&desk, &["queue", "list"]), Vec::<Value>::new());
    // Who touches a ticket keeps it as it is.
    desk.run(&["ticket", "reopen", "7000"]).ok();
    assert_eq!(import(&desk, &["--status", "solved", "mail"])["settled"]["tickets"], 0);
}

#[test]
fn killed_and_run_again_an_import_doubles_nothing_on_sqlite() {
    killed_and_run_again(Store::Sqlite);
}

#[test]
fn killed_and_run_again_an_import_doubles_nothing_on_postgres() {
    killed_and_run_again(Store::Postgres);
}

/// Killed with a batch that is kept and not decided, then with one that is decided and not told of.
fn killed_and_run_again(store: Store) {
    let Some(desk) = Desk::new(store) else { return };
    desk.configure(&sections());
    let count = if crate::support::long_tier() { 10_000 } else { 600 };
    let all: String = (0..count).map(|n| format!("{FROM}{}\n", numbered(n))).collect();
    put(&desk, "old.mbox", &all);
    desk.run(&["migrate"]).ok();
    let words = ["import", "--mailbox", "archive", "--status", "closed", "--json", "old.mbox"];
    let import = |at: &str| {
        let mut command = desk.command(&words);
        command.current_dir(desk.folder.path()).env("MAILDESK_CRASH_AT", at);
        command.output().expect("maildesk starts")
    };
    for at in ["keep.after_commit:2", "decide.after_commit:2"] {
        assert!(!import(at).status.success(), "it was to die at {at}");
    }
    let started = std::time::Instant::now();
    let output = import("");
    println!("{count} messages, of which some were known, in {:?}", started.elapsed());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains(&format!("/{count} messages")), "{told}");
    let summary: Value = serde_json::from_slice(&output.stdout).expect("an object");
    assert_eq!(summary["messages"], count);
    assert!(summary["known"].as_i64() >= Some(400), "{summary}");
    let balance = &rows(&desk, &["mailbox", "balance"])[0];
    assert_eq!((&balance["shown"], &balance["difference"]), (&count.into(), &0.into()));
    assert_eq!((&balance["tickets"], &balance["entries"]), (&(count / 2).into(), &(count / 2).into()));
    assert_eq!(rows(&desk, &["queue", "list", "--limit", "0"]), Vec::<Value>::new());
    assert_eq!(rows(&desk, &["ticket", "list", "--status", "new", "--limit", "0"]), Vec::<Value>::new());
    let again = import("");
    let again: Value = serde_json::from_slice(&again.stdout).expect("an object");
    assert_eq!(again["known"], count);
}

/// Each second one answers the one before it.
fn numbered(n: i64) -> String {
    let (customer, answers) = match n % 2 {
        0 => (n, String::new()),
        _ => (n - 1, format!("In-Reply-To: <{}@example.org>\n", n - 1)),
    };
    format!(
        "From: c{customer}@example.org\nTo: support@example.com\nSubject: Mail {n}\n{answers}\
         Message-ID: <{n}@example.org>\nDate: Thu, 1 Jan 2026 00:00:00 +0000\n\ntext {n}\n"
    )
}

#[test]
fn a_folder_on_the_server_is_imported_and_not_touched() {
    let Some(imap) = Imap::new("delete") else { return };
    let account =
        Account { port: imap.port(), username: imap.account.user.clone(), password: PASSWORD.to_owned() };
    let Some(desk) = Desk::with_support(Store::usual(), &account, 1) else { return };
    let sections = support_sections(&account, 1).replace("[[type]]", "start = \"now\"\n[[type]]");
    desk.configure(&sections);
    imap.account.make_folder("Archive");
    imap.account.deliver_into("Archive", numbered(1).as_bytes());
    imap.account.deliver_into("Archive", numbered(0).as_bytes());
    for n in 2..5 {
        imap.account.deliver(numbered(n).as_bytes());
    }
    desk.run(&["poll"]).ok();
    let words = ["import", "--mailbox", "support", "--folder", "Archive", "--folder", "INBOX", "--json"];
    for known in [0, 5] {
        let summary = desk.json(&words);
        assert_eq!((&summary["messages"], &summary["known"]), (&5.into(), &known.into()));
    }
    assert_eq!((imap.account.files("").len(), imap.account.files("Archive").len()), (3, 2));
    assert_eq!(rows(&desk, &["queue", "list"]), Vec::<Value>::new());
    let polled = rows(&desk, &["poll"]);
    assert_eq!((&polled[0]["fetched"], &polled[0]["difference"]), (&0.into(), &0.into()));
    let balance = &rows(&desk, &["mailbox", "balance"])[0];
    let counts = ["before_start", "tickets", "entries"].map(|key| balance[key].as_i64().unwrap_or_default());
    assert_eq!((counts[0], counts[1] + counts[2]), (3, 5));
    let maildir = desk.run(&["import", "--mailbox", "support"]);
    assert_eq!(maildir.code, Some(64), "neither a path nor a folder");
}

/// The others are taken in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_the_server_does_not_give_is_named() {
    let empty = "S: * 1 FETCH (UID 1 BODY[]<0> \"\")\n";
    let script = format!(
        "S: * OK [CAPABILITY IMAP4rev1] ready
        C: $tag LOGIN *
        S: $tag OK [CAPABILITY IMAP4rev1 UIDPLUS] welcome
        C: $tag SELECT \"Old\"
        S: * 2 EXISTS
        S: * OK [UIDVALIDITY 7] fine
        S: $tag OK [READ-WRITE] selected
        C: $tag UID FETCH 1:* *
        S: * 1 FETCH (UID 1 RFC822.SIZE 9)
        S: * 2 FETCH (UID 2 RFC822.SIZE 14)
        S: $tag OK
        C: $tag UID FETCH 1:2 *
        S: * 1 FETCH (UID 1 BODY[HEADER.FIELDS (FROM)]<0> \"From: c@d.test\")
        S: * 2 FETCH (UID 2 BODY[HEADER.FIELDS (FROM)]<0> \"From: a@b.test\")
        S: $tag OK
        C: $tag UID FETCH 1:2 *
        {empty}        S: * 2 FETCH (UID 2 BODY[]<0> \"From: a@b.test\")
        S: $tag OK
        C: $tag UID FETCH 1 *
        {empty}        S: $tag OK
        C: $tag LOGOUT
        S: * BYE
        S: $tag OK bye"
    );
    let peer = Peer::start(&script).await;
    let account = Account { port: peer.port, username: "joe".into(), password: SECRET.into() };
    let Some(desk) = Desk::with_support(Store::usual(), &account, 1) else { return };
    let output = desk.run(&["import", "--mailbox", "support", "--folder", "Old", "--json"]);
    peer.finish().await;
    assert_eq!(output.code, Some(65), "{}", output.stderr);
    let summary = output.json();
    assert_eq!((&summary["messages"], &summary["unreadable"][0]["path"]), (&1.into(), &"Old/1".into()));
    let error = summary["unreadable"][0]["error"].as_str().expect("words");
    assert!(error.contains("it gives nothing of the 9 bytes"), "{error}");
}
