//! Many mailboxes in one daemon: each keeps its time, whatever the others do.

use std::time::Duration;

use crate::support::dovecot::{Account, PASSWORD, dovecot};
use crate::support::peer::Peer;
use crate::support::program::{Desk, Running, Store};
use crate::support::trial::make_maildir;
use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_secs(20);

const RELAY: &str =
    "[[relay]]\nname = \"out\"\nkind = \"folder\"\npath = \"out\"\nsender = \"desk@example.com\"\n";

/// A mailbox, and a type that it is read for.
fn section(name: &str, (port, user): (u16, &str), more: &str) -> String {
    format!(
        "[[mailbox]]\nname = \"{name}\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"plain\"\nusername = \"{user}\"\n\
         password_file = \"password\"\n{more}\n\
         [[type]]\nname = \"{name}\"\ntag = \"{name}\"\nmailbox = \"{name}\"\nrelay = \"out\"\naddresses = [\"{name}@example.com\"]\n"
    )
}

fn message(to: &str, n: usize) -> Vec<u8> {
    format!("From: joe@example.net\r\nTo: {to}@example.com\r\nMessage-ID: <{n}.{to}@example.net>\r\nSubject: {n}\r\n\r\nHello\r\n")
        .into_bytes()
}

fn desk(sections: &str) -> Desk {
    let desk = Desk::new(Store::Sqlite).expect("SQLite is always there");
    std::fs::write(desk.folder.path().join("password"), PASSWORD).expect("written");
    desk.configure(&format!("{RELAY}{sections}"));
    desk
}

#[track_caller]
fn start(desk: &Desk) -> Running {
    let daemon = desk.spawn(&["run"]);
    let socket = desk.folder.path().join("maildesk.sock");
    wait_until("the daemon's socket", PATIENCE, || socket.exists().then_some(()));
    daemon
}

#[track_caller]
fn wait_for_tickets(desk: &Desk, count: usize) {
    wait_until(&format!("{count} tickets"), PATIENCE, || {
        (desk.rows(&["ticket", "list", "--json"]).len() == count).then_some(())
    });
}

#[test]
fn mail_is_taken_in_at_once_in_the_session_that_is_open() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    let desk = desk(&section("one", (dovecot.imap, &account.user), "interval_s = 3600"));
    account.deliver(&message("one", 0));
    let mut daemon = start(&desk);
    for n in 1..=4 {
        wait_for_tickets(&desk, n);
        account.deliver(&message("one", n));
    }
    wait_for_tickets(&desk, 5);
    assert_eq!(dovecot.said(&account, "Login:"), 1, "one login for all");
    assert!(daemon.stop().success());
    wait_until("DONE and LOGOUT", PATIENCE, || (dovecot.said(&account, "Logged out") == 1).then_some(()));
}

#[test]
fn a_session_that_is_cut_is_replaced_and_the_schedule_goes_on() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    let desk = desk(&section("one", (dovecot.imap, &account.user), "interval_s = 2"));
    let mut daemon = start(&desk);
    for n in 1..=3 {
        account.deliver(&message("one", n));
        wait_for_tickets(&desk, n);
        dovecot.kick(&account);
    }
    wait_until("IDLE ends in the log", PATIENCE, || daemon.log().contains("intake.idle_ended").then_some(()));
    assert!(desk.rows(&["alert", "list", "--json"]).is_empty(), "nobody need be told");
    assert!(daemon.stop().success());
}

#[test]
fn without_idle_the_schedule_alone_counts() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    let more = "idle = false\nschedule = \"*/2 * * * * *\"\ntimezone = \"Europe/Berlin\"";
    let desk = desk(&section("one", (dovecot.imap, &account.user), more));
    let mut daemon = start(&desk);
    for n in 1..=2 {
        account.deliver(&message("one", n));
        wait_for_tickets(&desk, n);
    }
    let logins = dovecot.said(&account, "Login:");
    assert!(logins >= 2 && dovecot.said(&account, "Logged out") >= logins - 1, "a session for each round");
    assert_eq!(desk.rows(&["mailbox", "list", "--json"])[0]["schedule"], "*/2 * * * * *");
    assert!(daemon.stop().success());
}

/// What servers that hang have said before, and the last that is heard of us.
const HANGS: &[(&str, &str)] = &[
    ("!stall", ""),
    ("S: * OK [CAPABILITY IMAP4rev1] ready\nC: $tag LOGIN *\n!stall", "LOGIN"),
    ("LOGGED_IN\nC: $tag SELECT \"INBOX\"\nS: * 1 EXISTS\n!stall", "SELECT"),
    ("LOGGED_IN\nSELECTED\nC: $tag UID FETCH 1:* *\nS: * 1 FETCH (UID 1\n!stall", "UID FETCH"),
    (
        "LOGGED_IN\nSELECTED\nLISTED\nC: $tag UID FETCH 1 *\n!half \"* 1 FETCH (UID 1 BODY[]<0> {90}\\r\\nFrom: \"\n!stall",
        "BODY.PEEK",
    ),
    ("LOGGED_IN\nSELECTED\nLISTED\nFETCHED\nC: $tag UID STORE *\n!stall", "UID STORE"),
    ("LOGGED_IN\nSELECTED\nLISTED\nFETCHED\nREMOVED\nC: $tag LOGOUT\n!stall", "LOGOUT"),
    ("LOGGED_IN_IDLE\nSELECTED\nLISTED\nFETCHED\nREMOVED\nC: $tag IDLE\n!stall", "IDLE"),
    (
        "LOGGED_IN_IDLE\nSELECTED\nLISTED\nFETCHED\nREMOVED\nC: $tag IDLE\nS: + idling\nS: * 1 EXISTS\nC: DONE\n!stall",
        "DONE",
    ),
    ("S: * OK [CAPABILITY IMAP4rev1] ready\nC: $tag LOGIN *\n!half \"* OK so\"\n!stall", "LOGIN"),
];

fn hang(script: &str, name: &str) -> String {
    let mail = format!("From: a@example.org\\r\\nTo: {name}@example.com\\r\\nSubject: a\\r\\n\\r\\nb\\r\\n");
    let size = mail.replace("\\r\\n", "12").len();
    let ready = "S: * OK [CAPABILITY IMAP4rev1] ready\nC: $tag LOGIN *\n";
    script
        .replace("LOGGED_IN_IDLE", &format!("{ready}S: $tag OK [CAPABILITY IMAP4rev1 UIDPLUS IDLE] in"))
        .replace("LOGGED_IN", &format!("{ready}S: $tag OK [CAPABILITY IMAP4rev1 UIDPLUS] in"))
        .replace("SELECTED", "C: $tag SELECT \"INBOX\"\nS: * 1 EXISTS\nS: * OK [UIDVALIDITY 7] fine\nS: $tag OK open")
        .replace(
            "LISTED",
            &format!("C: $tag UID FETCH 1:* *\nS: * 1 FETCH (UID 1 FLAGS () RFC822.SIZE {size})\nS: $tag OK listed"),
        )
        .replace(
            "FETCHED",
            &format!("C: $tag UID FETCH 1 *\n!half \"* 1 FETCH (UID 1 BODY[]<0> {{{size}}}\\r\\n{mail})\\r\\n\"\nS: $tag OK fetched"),
        )
        .replace("REMOVED", "C: $tag UID STORE *\nS: $tag OK stored\nC: $tag UID EXPUNGE 1\nS: * 1 EXPUNGE\nS: $tag OK gone")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nine_keep_their_schedule_beside_ten_that_hang_in_every_phase() {
    let Some(dovecot) = dovecot() else { return };
    let mut peers = vec![];
    let mut sections = String::new();
    for (n, (script, last)) in HANGS.iter().enumerate() {
        let name = format!("hanging{n}");
        let peer = Peer::start(&hang(script, &name)).await;
        sections += &section(&name, (peer.port, "joe"), "interval_s = 1");
        peers.push((peer, *last));
    }
    let accounts: Vec<Account> = (0..9).map(|_| dovecot.account()).collect();
    for (n, account) in accounts.iter().enumerate() {
        // Some are told by the server, some are polled.
        let more = if n % 2 == 0 { "interval_s = 1\nidle = false" } else { "interval_s = 2" };
        sections += &section(&format!("healthy{n}"), (dovecot.imap, &account.user), more);
    }
    let desk = desk(&sections);
    let mut daemon = start(&desk);
    // Four of the scripts let their one message through.
    let from_hanging = HANGS.iter().filter(|(script, _)| script.contains("FETCHED")).count();
    wait_for_tickets_of(&desk, "hanging", from_hanging);
    for round in 1..=3 {
        for (n, account) in accounts.iter().enumerate() {
            account.deliver(&message(&format!("healthy{n}"), round));
        }
        wait_for_tickets_of(&desk, "healthy", 9 * round);
    }
    for line in desk.rows(&["mailbox", "list", "--json"]) {
        let is_healthy = line["name"].as_str().expect("a name").starts_with("healthy");
        assert!(!is_healthy || line["state"] == "ok", "{line}");
    }
    daemon.kill();
    for (peer, last) in peers {
        let heard = peer.finish().await;
        assert!(heard.last().map_or(last.is_empty(), |line| line.contains(last)), "{last}: {heard:?}");
    }
}

#[track_caller]
fn wait_for_tickets_of(desk: &Desk, kind: &str, count: usize) {
    let of_kind = |t: &serde_json::Value| t["type"].as_str().is_some_and(|name| name.starts_with(kind));
    wait_until(&format!("{count} tickets of {kind}"), PATIENCE, || {
        let rows = desk.rows(&["ticket", "list", "--json"]);
        (rows.iter().filter(|t| of_kind(t)).count() == count).then_some(())
    });
}

#[test]
fn bounce_mailboxes_come_first() {
    let maildir = |name: &str, more: &str| {
        format!(
            "[[mailbox]]\nname = \"{name}\"\nprotocol = \"maildir\"\npath = \"{name}\"\ninterval_s = 1\n\
             [[type]]\nname = \"{name}\"\ntag = \"{name}\"\nmailbox = \"{name}\"\nrelay = \"out\"\naddresses = [\"{name}@example.com\"]\n{more}"
        )
    };
    let desk =
        desk(&(maildir("support", "") + &maildir("sales", "") + &maildir("bounces", "flow = \"bounce\"\n")));
    for name in ["support", "sales", "bounces"] {
        let path = desk.folder.path().join(name);
        make_maildir(&path);
        for n in 0..40 {
            std::fs::write(path.join("new").join(format!("{n}.M1P1.x")), message(name, n))
                .expect("delivered");
        }
    }
    let mut daemon = start(&desk);
    wait_until("all decided", PATIENCE, || {
        (desk.rows(&["journal", "list", "--limit", "1000", "--json"]).len() == 120).then_some(())
    });
    let mut rows = desk.rows(&["journal", "list", "--limit", "1000", "--json"]);
    rows.sort_by_key(|row| row["arrival"].as_i64());
    let first: Vec<&str> = rows.iter().take(40).map(|row| row["mailbox"].as_str().expect("a name")).collect();
    assert!(first.iter().all(|name| *name == "bounces"), "{first:?}");
    assert!(daemon.stop().success());
}
