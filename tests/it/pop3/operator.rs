//! POP3 as an operator meets it: settings, the connection test, doctor, and the memory that a large message takes.

use std::time::Duration;

use crate::support::inbox::{self, Way};
use crate::support::peer::Peer;
use crate::support::program::{Desk, Store, sections_around};
use crate::support::say;

const MIB: usize = 1 << 20;

#[test]
fn a_mailbox_by_pop3_is_added_edited_and_tested() {
    let Some(inbox) = inbox::by(Way::Pop3) else { return };
    let account = inbox.account();
    let desk = Desk::new(Store::usual()).expect("a store");
    std::fs::write(desk.folder.path().join("password"), &account.password)
        .expect("the password file is written");
    let password = desk.folder.path().join("password").display().to_string();
    let port = account.port.to_string();
    let add = |more: &[&str]| {
        let known = [
            "mailbox",
            "add",
            "--name",
            "a",
            "--protocol",
            "pop3",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "--tls",
            "plain",
            "--username",
            &account.username,
            "--password-file",
            &password,
        ];
        desk.run(&[&known[..], more].concat())
    };
    for handled in ["move", "seen"] {
        let refused = add(&["--handled", handled, "--move-to", "Done"]);
        assert_ne!(refused.code, Some(0));
        assert!(refused.stderr.contains("POP3 can only delete"), "{}", refused.stderr);
    }
    add(&[]).ok();
    inbox.deliver(b"Subject: x\r\n\r\nx\r\n");
    let tested = desk.run(&["mailbox", "test", "a"]).ok();
    assert!(tested.stdout.contains("1 messages") && tested.stdout.contains("UIDL"), "{}", tested.stdout);
    assert_eq!(desk.json(&["mailbox", "test", "a", "--json"])["messages"], 1);
    assert_eq!(inbox.remaining(), 1);
    desk.run(&["mailbox", "edit", "a", "--tls", "tls", "--port", "0"]).ok();
    let shown = desk.json(&["mailbox", "show", "a", "--json"]);
    assert_eq!((&shown["protocol"], &shown["port"]), (&"pop3".into(), &995.into()), "{shown}");
}

/// What doctor says of the mailbox, a finding a line.
fn findings(desk: &Desk) -> Vec<String> {
    let output = desk.run(&["doctor", "--json"]);
    let found = output.json();
    let of_mailbox = found.as_array().expect("findings").iter().filter(|f| f["about"] == "mailbox support");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    of_mailbox
        .map(|f| format!("{} {}. {}", text(&f["level"]), text(&f["words"]), text(&f["advice"])))
        .collect()
}

fn desk_at(host: &str, port: u16, username: &str) -> Desk {
    let desk = Desk::new(Store::usual()).expect("a store");
    std::fs::write(desk.folder.path().join("password"), "hunter2").expect("the password file is written");
    let mailbox = format!(
        "[[mailbox]]\nname = \"support\"\nprotocol = \"pop3\"\nhost = \"{host}\"\nport = {port}\ntls = \"plain\"\n\
         username = \"{username}\"\npassword_file = \"password\"\n"
    );
    desk.configure(&sections_around(&mailbox, 1));
    desk
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_tells_what_a_server_lacks() {
    let capa = |more: &str| format!("C: CAPA\nS: +OK\nS: USER\n{more}S: .\n");
    let first = capa("S: LOGIN-DELAY 900\nS: EXPIRE 30 USER\n");
    let script = format!(
        "S: +OK POP3 of old\n{first}C: USER joe\nS: +OK\nC: PASS *\nS: +OK\n{first}C: STAT\nS: +OK 3 30\nC: STAT\n\
         S: +OK 3 30\nC: UIDL\nS: -ERR unknown command\nC: QUIT\nS: +OK"
    );
    let peer = Peer::start(&script).await;
    let desk = desk_at("127.0.0.1", peer.port, "joe");
    let found = tokio::task::spawn_blocking(move || findings(&desk)).await.expect("doctor ends").join("\n");
    peer.finish().await;
    for words in [
        "ok signed in as joe by USER; the server says: POP3 of old",
        "fail the server refused UIDL: -ERR unknown command. A server without UIDL",
        "warn the server has no TOP",
        "warn the server wants 900 s between two logins, and the mailbox is read every 600 s",
        "warn the server removes mail by itself after 30 days",
    ] {
        assert!(found.contains(words), "{words} is not in\n{found}");
    }
}

#[test]
fn a_large_message_takes_no_memory() {
    let Some(inbox) = inbox::by(Way::Pop3) else { return };
    let Some(desk) = Desk::with_mailbox(Store::usual(), &inbox, 1) else { return };
    let peak = |desk: &Desk| {
        let mut running = desk.spawn(&["poll"]);
        let mut peak = 0;
        let end = crate::support::wait_until("the end of the poll", Duration::from_secs(60), || {
            peak = running.peak_kb().unwrap_or(0).max(peak);
            running.ended()
        });
        assert!(end.success(), "{end}: {}", running.log());
        peak as usize >> 10
    };
    let message = |size: usize| {
        let line = "All work and no play makes a dull mail, and a long one, too.\r\n";
        let head =
            format!("From: jo@x.test\r\nTo: support@example.com\r\nMessage-ID: <{size}@x.test>\r\n\r\n");
        (head + &line.repeat(size / line.len())).into_bytes()
    };
    inbox.deliver(&message(1000));
    let small = peak(&desk);
    inbox.deliver(&message(30 * MIB));
    let large = peak(&desk);
    say(&format!(
        "a round by POP3: at most {small} MiB with a small message, {large} MiB with one of 30 MiB\n"
    ));
    assert_eq!((inbox.remaining(), desk.tickets().len()), (0, 2));
    assert!(large < small + 24, "{small} MiB, then {large} MiB");
}
