//! A desk with one of everything comes back as it was, from either store into either.

use serde_json::Value;

use crate::support::program::{Desk, Store};
use crate::support::trial::SUPPORT;

const ACCOUNT: &str = r#"
[[account]]
login = "ada"
name = "Ada"
addresses = ["ada@example.com"]
"#;

#[test]
fn from_sqlite_into_postgres() {
    across(Store::Sqlite, Store::Postgres);
}

#[test]
fn from_postgres_into_sqlite() {
    across(Store::Postgres, Store::Sqlite);
}

fn across(from: Store, to: Store) {
    let (Some(first), Some(second)) = (desk(from), desk(to)) else { return };
    for (id, subject) in [("a", "one"), ("b", "two"), ("c", "Grüße, 客户 🦀"), ("d", "nul \u{0} here")]
    {
        deliver(&first, id, subject, "support@example.com");
    }
    deliver(&first, "e", "to nobody", "nobody@example.com");
    first.run(&["poll"]).ok();
    // A ticket that refers to one born after it.
    first.run(&["ticket", "merge", "1", "--into", "2"]).ok();
    first.run(&["ticket", "assign", "2", "ada"]).ok();
    first.run(&["ticket", "answer", "3", "--text", "We look into it."]).ok();
    first.run(&["queue", "send"]).ok();
    first.run(&["ticket", "note", "3", "--text", "Not known as sent: the next mail."]).ok();
    let backup = first.folder.path().join("desk.backup");
    first.run(&["backup", backup.to_str().unwrap()]).ok();
    let key = first.folder.path().join("maildesk.key");
    let restore = ["restore", backup.to_str().unwrap(), "--key-file", key.to_str().unwrap()];
    second.run(&restore).ok();
    assert_same(&first, &second);
    // Over what is there, as often as one likes.
    let said = second.run(&[&restore[..], &["--replace"]].concat()).ok();
    assert!(said.stdout.contains("The backup is without its key"), "{}", said.stdout);
    assert_same(&first, &second);
    second.run(&["restore", "--go-live"]).ok();
    let again = second.run(&["restore", "--go-live"]);
    assert!(again.code == Some(65) && again.stderr.contains("is not held"), "{}", again.stderr);
    // A backup of the copy is a backup like any other.
    let third = second.folder.path().join("again.backup");
    second.run(&["backup", third.to_str().unwrap()]).ok();
}

#[track_caller]
fn assert_same(first: &Desk, second: &Desk) {
    for listing in [
        &["ticket", "list"][..],
        &["ticket", "show", "1"],
        &["ticket", "show", "2"],
        &["ticket", "show", "3"],
        &["journal", "list"],
        &["invalid", "list"],
        &["contact", "list"],
        &["account", "list"],
        &["type", "list"],
        &["mailbox", "balance"],
        &["queue", "list"],
    ] {
        let json = |desk: &Desk| -> Value { desk.json(&[listing, &["--json"]].concat()) };
        let (found, expected) = (json(second), json(first));
        // Each desk has its own folder.
        let plain = |value: Value, desk: &Desk| {
            value.to_string().replace(desk.folder.path().to_str().unwrap(), "FOLDER")
        };
        assert_eq!(plain(found, second), plain(expected, first), "{listing:?}");
    }
}

fn desk(store: Store) -> Option<Desk> {
    Desk::on_maildir(store, &format!("{SUPPORT}{ACCOUNT}"))
}

fn deliver(desk: &Desk, id: &str, subject: &str, to: &str) {
    let mail = format!(
        "From: Jo <jo@x.test>\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{id}@x.test>\r\n\
         Date: Thu, 09 Oct 2025 08:00:00 +0000\r\n\r\nWords of {subject}\r\n"
    );
    desk.lay(id, mail);
}
