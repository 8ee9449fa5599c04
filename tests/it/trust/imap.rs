//! A reply on a closed ticket through a real IMAP server, graded by the word of the server in front.

use crate::support::dovecot::{PASSWORD, dovecot};
use crate::support::program::{Desk, Store};

#[test]
fn what_the_server_in_front_says_decides_whether_a_ticket_reopens() {
    let Some(dovecot) = dovecot() else { return };
    let account = dovecot.account();
    let desk = Desk::new(Store::usual()).expect("a store");
    std::fs::write(desk.folder.path().join("password"), PASSWORD).expect("written");
    let sections = |trust: &str| {
        format!(
            "[[relay]]\nname = \"out\"\nkind = \"folder\"\npath = \"out\"\nsender = \"desk@example.com\"\n\
             [[mailbox]]\nname = \"one\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"plain\"\nusername = \"{}\"\n\
             password_file = \"password\"\n[[type]]\nname = \"Support\"\ntag = \"Support\"\nmailbox = \"one\"\n\
             relay = \"out\"\naddresses = [\"support@example.com\"]\nadmin = \"admin@example.net\"\n\
             [trust]\nrelays = [\"mx.example.com\"]\nauthserv_id = \"mx.example.com\"\n{trust}",
            dovecot.imap, account.user
        )
    };
    // dmarc's word, and whether the sender has written it himself.
    let mail = |n: usize, id: &str, dmarc: &str, is_forged: bool| {
        let results =
            format!("Authentication-Results: mx.example.com; dmarc={dmarc} header.from=example.org\r\n");
        let received = "Received: from out.example.org (out.example.org [192.0.2.9]) by mx.example.com; \
                        Sun, 22 Nov 2026 10:00:00 +0000\r\n";
        let head = if is_forged { [received, &results] } else { [&results, received] }.concat();
        let answers =
            if id == "open" { String::new() } else { format!("In-Reply-To: <open.{n}@example.org>\r\n") };
        format!(
            "{head}From: Jo <jo@example.org>\r\nTo: support@example.com\r\nMessage-ID: <{id}.{n}@example.org>\r\n\
             {answers}Subject: printer\r\n\r\nHello {id}\r\n"
        )
        .into_bytes()
    };
    desk.configure(&sections(""));
    let cases = [
        ("pass", false, "append", "open"),
        ("none", false, "append", "closed"),
        ("pass", true, "append", "closed"),
        ("fail (p=reject)", false, "invalid", "closed"),
        ("fail (p=none)", false, "append", "closed"),
    ];
    for n in 1..=cases.len() {
        account.deliver(&mail(n, "open", "pass", false));
    }
    desk.run(&["poll"]).ok();
    for n in 1..=cases.len() {
        desk.run(&["ticket", "close", &n.to_string()]).ok();
    }
    for (n, (dmarc, is_forged, ..)) in (1..).zip(&cases) {
        account.deliver(&mail(n, "reply", dmarc, *is_forged));
    }
    desk.run(&["poll"]).ok();
    let journal = desk.rows(&["journal", "list", "--json"]);
    let tickets = desk.rows(&["ticket", "list", "--json"]);
    for (n, (dmarc, _, act, status)) in (1..).zip(&cases) {
        let id = format!("<reply.{n}@example.org>");
        let explained = desk.json(&["explain", "--message-id", &id, "--json"]);
        assert_eq!(explained["act"], *act, "{dmarc}: {explained:#} {journal:#?}");
        let ticket = tickets.iter().find(|t| t["id"] == n).unwrap_or_else(|| panic!("{tickets:#?}"));
        assert_eq!(ticket["status"], *status, "{dmarc}: {explained:#}");
    }
    // Kept in its place without any effect, if that is what is wanted.
    desk.configure(&sections("fail = \"quiet\"\n"));
    let told = desk.rows(&["queue", "list", "--json"]).len();
    account.deliver(&mail(2, "again", "fail (p=quarantine)", false));
    desk.run(&["poll"]).ok();
    let explained = desk.json(&["explain", "--message-id", "<again.2@example.org>", "--json"]);
    assert_eq!(
        (&explained["act"], &explained["trust"]["grade"]),
        (&"append".into(), &"fail".into()),
        "{explained:#}"
    );
    assert_eq!(desk.rows(&["queue", "list", "--json"]).len(), told, "nobody is told");
}
