//! `maildesk demo`: one command from nothing to tickets, the same each time, and never in a folder that is not its own.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::wait_until;

fn maildesk(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maildesk"));
    // A key of the machine's is not the demo's.
    command.args(words).current_dir(folder).env("MAILDESK_KEY", "no key at all").stdin(Stdio::null());
    command
}

fn run(folder: &Path, words: &[&str]) -> Output {
    maildesk(folder, words).output().expect("maildesk starts")
}

#[track_caller]
fn said(folder: &Path, words: &[&str]) -> String {
    let output = run(folder, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[track_caller]
fn rows(folder: &Path, words: &[&str]) -> Vec<Value> {
    let words = [&["--config", "maildesk-demo/config.toml"], words, &["--json"]].concat();
    serde_json::from_str(&said(folder, &words)).expect("a list")
}

/// What a demo came to, without its times.
fn tickets(folder: &Path) -> Vec<String> {
    let line = |t: &Value| {
        format!(
            "{} {} {} {} {}",
            t["id"],
            t["type"],
            t["status"],
            t["entries"],
            t["subject"].as_str().unwrap_or("?")
        )
    };
    rows(folder, &["ticket", "list"]).iter().map(line).collect()
}

#[test]
fn a_demo_shows_what_became_of_each_and_a_second_one_starts_afresh() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    let first = said(folder, &["demo"]);
    let table: Vec<&str> = first.lines().skip(2).take_while(|line| !line.is_empty()).collect();
    insta::assert_snapshot!(table.join("\n"), @r"
    ARRIVAL  MESSAGE              IT IS       BECAME   CODE                TICKET  WHY
    2        new-enquiry          person      open     new_ticket          #1      addressed to an active type and answers nothing we know
    3        html-only            person      open     new_ticket          #2      addressed to an active type and answers nothing we know
    4        odd-charset          person      open     new_ticket          #3      addressed to an active type and answers nothing we know
    5        broken-mime          person      open     new_ticket          #4      addressed to an active type and answers nothing we know
    1        oversize             unreadable  error    too_big             -       over the mailbox's size limit
    6        list-mail            list        invalid  list_mail           -       mailing-list or bulk mail, and its type opens no tickets for it
    7        duplicate            person      discard  duplicate           #1      the same mail again
    8        reply-by-references  person      append   reply_by_our_id     #1      answers a message of ours
    9        reply-by-tag         person      append   reply_by_tag        #3      the tag line names the ticket, and the sender belongs to it
    10       reply-by-a-stranger  person      invalid  stranger_on_ticket  -       names a ticket that its sender does not belong to
    11       out-of-office        auto_reply  append   auto_reply_noted    #2      an automatic answer, noted on its ticket
    12       bounce               bounce      bounce   bounce_by_verp      #4      a delivery report to the return path of a mail of ours
    ");
    let tickets_of_first = tickets(folder);
    insta::assert_snapshot!(tickets_of_first.join("\n"), @r#"
    1 "Support" "open" 3 The garden gate does not open
    2 "Support" "open" 3 Invoice for March
    3 "Support" "new" 2 Где мой заказ?
    4 "Support" "open" 3 A photo of the damage
    "#);
    fs::write(folder.join("maildesk-demo/mine.txt"), "mine").expect("our own folder");
    assert_eq!(said(folder, &["demo"]), first);
    assert_eq!(tickets(folder), tickets_of_first);
    assert!(folder.join("maildesk-demo/mine.txt").exists(), "it deleted what it had not made");
}

#[test]
fn the_table_as_json_names_tickets_and_files_that_are_there() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    let lines: Vec<Value> = serde_json::from_str(&said(folder, &["demo", "--json"])).expect("a list");
    assert_eq!(lines.len(), 12);
    let mut files: Vec<&str> = vec![];
    for line in &lines {
        files.push(line["file"].as_str().expect("a path"));
        let explained = said(folder, &["explain", "--json", files.last().expect("just pushed")]);
        let explained: Value = serde_json::from_str(&explained).expect("an object");
        assert_eq!(explained["subject"], line["subject"]);
    }
    // Mail that was owed lies in the folder: each outbox mail is a file.
    let queue = rows(folder, &["queue", "list"]);
    assert_eq!(fs::read_dir(folder.join("maildesk-demo/outgoing")).expect("a folder").count(), queue.len());
    assert!(queue.iter().all(|mail| mail["state"] == "done"), "{queue:?}");
    let balance = rows(folder, &["mailbox", "balance"]);
    assert_eq!((&balance[0]["shown"], &balance[0]["difference"]), (&12.into(), &0.into()));
}

#[test]
fn stored_mail_is_explained_as_it_was_decided() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    let lines: Vec<Value> = serde_json::from_str(&said(folder, &["demo", "--json"])).expect("a list");
    let explain = |words: &[&str]| -> Vec<Value> {
        let words = [&["--config", "maildesk-demo/config.toml", "explain", "--json"], words].concat();
        let text = said(folder, &words);
        text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
    };
    for line in &lines {
        let arrival = line["arrival"].to_string();
        let stored = explain(&["--arrival", &arrival]).remove(0);
        for key in ["arrival", "kind", "act", "code", "reason", "ticket", "log_entry", "subject"] {
            assert_eq!(stored[key], line[key], "{key} of {}", line["message"]);
        }
        if line["code"] != "too_big" {
            let anew = explain(&["--arrival", &arrival, "--anew"]).remove(0);
            assert_eq!((&anew["act"], &anew["code"]), (&line["act"], &line["code"]), "{}", line["message"]);
            assert_eq!(anew["trace"], stored["trace"], "{}", line["message"]);
        }
    }
    // The duplicate bears the same Message-ID.
    let both = explain(&["--message-id", "<new-enquiry@customer.example.org>"]);
    let codes: Vec<&Value> = both.iter().map(|e| &e["code"]).collect();
    assert_eq!(codes, ["new_ticket", "duplicate"]);
    let absent = run(folder, &["--config", "maildesk-demo/config.toml", "explain", "--arrival", "99"]);
    assert_eq!(absent.status.code(), Some(65));
}

#[test]
fn a_folder_that_is_no_demos_is_left_as_it_is() {
    let folder = TempDir::new().expect("a folder");
    let desk = folder.path().join("maildesk-demo");
    fs::create_dir(&desk).expect("our own folder");
    fs::write(desk.join("desk.db"), "tickets").expect("our own folder");
    let output = run(folder.path(), &["demo"]);
    assert_eq!(output.status.code(), Some(65));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("was made by no demo") && told.contains("--dir"), "{told}");
    assert_eq!(fs::read_to_string(desk.join("desk.db")).expect("it is there"), "tickets");
    assert_eq!(fs::read_dir(&desk).expect("it is there").count(), 1);
    said(folder.path(), &["demo", "--dir", "another/one"]);
}

#[test]
fn a_demo_that_serves_takes_in_what_is_put_there() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    let mut daemon = maildesk(folder, &["demo", "--serve"]);
    let mut daemon = daemon.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("maildesk starts");
    let socket = folder.join("maildesk-demo/maildesk.sock");
    wait_until("the socket of the demo", Duration::from_secs(60), || socket.exists().then_some(()));
    let mail = "From: six@customer.example.org\nTo: support@example.com\nSubject: One more\n\nwords\n";
    fs::write(folder.join("maildesk-demo/Maildir/new/one.more"), mail).expect("our own folder");
    wait_until("the fifth ticket", Duration::from_secs(60), || (tickets(folder).len() == 5).then_some(()));
    let second = run(folder, &["demo"]);
    assert_eq!(second.status.code(), Some(69), "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(tickets(folder).len(), 5);
    let interrupt = Command::new("kill").args(["-INT", &daemon.id().to_string()]).status();
    assert!(interrupt.expect("kill starts").success());
    let ended = daemon.wait().expect("a child of ours");
    assert_eq!((ended.code(), ended.signal()), (Some(0), None));
    said(folder, &["demo"]);
    assert_eq!(tickets(folder).len(), 4);
}
