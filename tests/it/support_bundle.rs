//! A support bundle says how a desk fares, and nothing of what people wrote.

use std::fs;
use std::io::Read as _;

use crate::support::program::{Desk, Store};

const SECTIONS: &str = r#"
[[relay]]
name = "out"
host = "127.0.0.1"
port = 1
tls = "plain"
username = "relay-login@example.com"
password = "hunter2-of-the-relay"
sender = "support@example.com"
[[mailbox]]
name = "inbox"
protocol = "maildir"
path = "Maildir"
[[mailbox]]
name = "far"
host = "127.0.0.1"
port = 1
username = "far-login"
password = "hunter3-of-the-mailbox"
[[type]]
name = "Support"
mailbox = "inbox"
relay = "out"
addresses = ["support@example.com"]
admin = "admin@example.net"
[[account]]
login = "ada"
name = "Ada Lovelace"
addresses = ["ada@example.com"]
"#;

/// What must not be in it, each of them in the desk.
const PRIVATE: &[&str] = &[
    "example.com",
    "example.net",
    "customers.test",
    "Printer on fire",
    "Invoice",
    "Jo Doe",
    "Lovelace",
    "hunter2",
    "hunter3",
    "far-login",
    "relay-login",
    "secret words",
    "unique-id",
];

#[test]
fn nothing_private_is_in_a_support_bundle_sqlite() {
    bundle(Store::Sqlite);
}

#[test]
fn nothing_private_is_in_a_support_bundle_postgres() {
    bundle(Store::Postgres);
}

fn bundle(store: Store) {
    let Some(desk) = Desk::on_maildir(store, SECTIONS) else { return };
    let folder = desk.folder.path();
    for (name, to, subject) in
        [("a", "support@example.com", "Printer on fire"), ("b", "no@customers.test", "Invoice")]
    {
        let mail = format!(
            "From: Jo Doe <jo@customers.test>\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <unique-id-{name}@x.test>\r\n\
             Date: Thu, 09 Oct 2025 08:00:00 +0000\r\n\r\nsecret words of Jo\r\n"
        );
        desk.lay(name, mail);
    }
    desk.run(&["poll"]);
    desk.run(&["ticket", "answer", "1", "--text", "secret words of Ada"]).ok();
    desk.run(&["queue", "send"]);
    let path = folder.join("desk.tar.gz");
    let said = desk.json(&["support-bundle", path.to_str().unwrap(), "--json"]);
    let again = desk.run(&["support-bundle", path.to_str().unwrap()]);
    assert!(again.code == Some(65) && again.stderr.contains("is there already"), "{}", again.stderr);
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(&path).unwrap()));
    let mut names = vec![];
    let mut all = String::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        names.push(entry.path().unwrap().file_name().unwrap().to_string_lossy().into_owned());
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).expect("each part is JSON");
        all.push_str(&text);
    }
    assert_eq!(serde_json::json!(names), said["parts"]);
    for private in PRIVATE {
        let at = all.to_lowercase().find(&private.to_lowercase());
        assert!(
            at.is_none(),
            "{private:?} is in it: {}",
            &all[at.unwrap().saturating_sub(200)..at.unwrap() + 80]
        );
    }
    // And it says something: states, codes, what fails, and the same customer under one name.
    for words in
        ["new_ticket", "\"queued\"", "\"deferred\"", "127.0.0.1", "\"schema\": 1", "\"invalid\"", "mac_key"]
    {
        assert!(all.contains(words), "{words:?} is not in it: {all}");
    }
}
