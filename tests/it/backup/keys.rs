//! `key rotate`: every secret under a new key, old Message-IDs still known, and a cut in between heals itself.

use serde_json::Value;

use crate::support::program::{Desk, Store};
use crate::support::trial::{SUPPORT, support_with};
use crate::support::wait_until;

const FAR: &str = r#"
[[mailbox]]
name = "far"
host = "127.0.0.1"
port = 1
username = "u"
password_file = "password"
"#;

fn desk(store: Store) -> Option<Desk> {
    let desk = Desk::on_maildir(store, &(support_with("interval_s = 1") + FAR))?;
    std::fs::write(desk.folder.path().join("password"), "hunter2-and-more").unwrap();
    Some(desk)
}

fn deliver(desk: &Desk, id: &str, answers: &str) {
    let answers = if answers.is_empty() { String::new() } else { format!("In-Reply-To: {answers}\r\n") };
    let mail = format!(
        "From: Jo <jo@x.test>\r\nTo: support@example.com\r\nSubject: {id}\r\nMessage-ID: <{id}@x.test>\r\n\
         Date: Thu, 09 Oct 2025 08:00:00 +0000\r\n{answers}\r\nWords\r\n"
    );
    desk.lay(id, mail);
}

fn key(desk: &Desk) -> String {
    std::fs::read_to_string(desk.folder.path().join("maildesk.key")).unwrap()
}

fn answer_id(desk: &Desk, ticket: i64) -> String {
    desk.run(&["ticket", "answer", &ticket.to_string(), "--text", "We look into it."]).ok();
    let mails = desk.rows(&["queue", "list", "--purpose", "answer", "--json"]);
    let newest = mails.iter().max_by_key(|m| m["id"].as_i64()).expect("an answer");
    newest["message_id"].as_str().unwrap().to_owned()
}

#[test]
fn keys_rotate_beside_the_daemon_sqlite() {
    rotates(Store::Sqlite);
}

#[test]
fn keys_rotate_beside_the_daemon_postgres() {
    rotates(Store::Postgres);
}

fn rotates(store: Store) {
    let Some(desk) = desk(store) else { return };
    let mut daemon = desk.spawn(&["run"]);
    let socket = desk.folder.path().join("maildesk.sock");
    wait_until("the daemon", std::time::Duration::from_secs(60), || socket.exists().then_some(()));
    deliver(&desk, "one", "");
    desk.run(&["poll"]).ok();
    let before = answer_id(&desk, 1);
    let old_key = key(&desk);
    let said: Value = desk.json(&["key", "rotate", "--json"]);
    assert_eq!((&said["mail_key"], &said["secrets"]), (&2.into(), &3.into()), "{said}");
    assert_ne!(key(&desk), old_key);
    assert_eq!(std::fs::read_to_string(said["old_key_file"].as_str().unwrap()).unwrap(), old_key);
    let after = answer_id(&desk, 1);
    assert!(before.contains(".1.") && after.contains(".2."), "{before} {after}");
    // The daemon goes on with both: a password opens, and answers to either id find their ticket.
    let test = desk.run(&["mailbox", "test", "far"]);
    assert!(test.stderr.contains("127.0.0.1:1"), "the password opens, the server is away: {}", test.stderr);
    deliver(&desk, "two", &before);
    deliver(&desk, "three", &after);
    desk.run(&["poll"]).ok();
    let codes: Vec<String> = desk.journal().into_iter().map(|row| row.code).collect();
    assert_eq!(codes.iter().filter(|code| *code == "reply_by_our_id").count(), 2, "{codes:?}");
    assert!(daemon.stop().success());
    // And so does the next one, with the new file alone.
    std::fs::remove_file(said["old_key_file"].as_str().unwrap()).unwrap();
    assert_eq!(desk.run(&["mailbox", "list"]).ok().stderr, "");
    assert_eq!(desk.json(&["key", "rotate", "--mail-only", "--json"])["mail_key"], 3);
}

#[test]
fn a_rotation_that_was_cut_off_heals_itself() {
    let Some(desk) = desk(Store::usual()) else { return };
    desk.run(&["migrate"]).ok();
    let path = |name: &str| desk.folder.path().join(name);
    let old_key = key(&desk);
    let said = desk.json(&["key", "rotate", "--json"]);
    let new_key = key(&desk);
    // Cut after the commit: the file still holds the old key, the new one lies beside it.
    std::fs::rename(path("maildesk.key"), path("maildesk.key.next")).unwrap();
    std::fs::rename(said["old_key_file"].as_str().unwrap(), path("maildesk.key")).unwrap();
    desk.run(&["mailbox", "list"]).ok();
    assert_eq!(key(&desk), new_key);
    assert!(!path("maildesk.key.next").exists());
    // Cut before the commit: what lies beside it is nobody's key.
    std::fs::write(path("maildesk.key.next"), &old_key).unwrap();
    desk.run(&["mailbox", "list"]).ok();
    assert_eq!(key(&desk), new_key);
    desk.run(&["key", "rotate"]).ok();
    desk.run(&["mailbox", "list"]).ok();
    assert!(!path("maildesk.key.next").exists());
}

#[test]
fn a_key_that_maildesk_cannot_write_is_rotated_by_hand() {
    let Some(desk) = desk(Store::Sqlite) else { return };
    let text = format!("[store]\nurl = \"sqlite:desk.db\"\n{SUPPORT}{FAR}");
    std::fs::write(desk.config(), text).unwrap();
    let mut command = desk.command(&["key", "rotate"]);
    let said = command.env("MAILDESK_KEY", "ab".repeat(32)).output().unwrap();
    let words = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.code() == Some(78) && words.contains("the variable MAILDESK_KEY, which"), "{words}");
}
