//! `maildesk replay` over a desk of mixed mail: the same rules show no difference, changed ones exactly what they change,
//! and nothing is written or sent. The landing tier takes 300 messages, the long one 20,000.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::program::{Desk, Store};
use crate::support::trial::{Letter, SUPPORT, make_maildir};
use crate::support::{long_tier, say, wait_until};

#[test]
fn a_changed_rule_shows_exactly_what_it_changes_sqlite() {
    changed_rules(Store::Sqlite);
}

#[test]
fn a_changed_rule_shows_exactly_what_it_changes_postgres() {
    changed_rules(Store::Postgres);
}

/// What is written to nobody in particular is for the type, and one agent writes mail too.
fn rules() -> String {
    format!(
        "{SUPPORT}catch_all = true\n\
         [[account]]\nlogin = \"ada\"\nrole = \"agent\"\naddresses = [\"ada@example.net\"]\n"
    )
}

/// Mail to sales has a type of its own, and a relay's verdicts count.
const CHANGE: &str = r#"
[trust]
relays = ["mx.example.com"]
[[type]]
name = "Sales"
mailbox = "support"
relay = "out"
addresses = ["sales@example.com"]
admin = "admin@example.net"
"#;

const KINDS: usize = 10;

/// The nth of the mixed mail. Only kind 0 and kind 1 are what `CHANGE` is about.
fn letter(n: usize) -> Letter {
    let of = |n: usize| Letter::new(&format!("m{n}")).from(&format!("c{}@x.test", n / KINDS));
    let letter = of(n).subject(&format!("printer {}", spelled(n)));
    match n % KINDS {
        0 => letter.to("sales@example.com"),
        1 => letter
            .header("X-Spam-Flag", "YES")
            .header("Received", "from out.x.test by mx.example.com; Mon, 2 Nov 2026 10:00:00 +0000"),
        2 => letter.answering(&format!("m{}@x.test", n - 2)),
        3 => report(letter, n),
        4 => letter.header("Auto-Submitted", "auto-replied"),
        5 => letter.header("List-Id", "<printers.x.test>"),
        6 => letter.from("ada@example.net").answering(&format!("m{}@x.test", n - 6)),
        7 => letter.subject("Re: [Support #1-1] printer"),
        // The same mail again.
        8 => of(n - 8).subject(&format!("printer {}", spelled(n - 8))).to("sales@example.com"),
        _ => {
            letter.body("Hello\r\n\r\nOn Mon, 2 Nov 2026 at 10:00, Ann <ann@example.org> wrote:\r\n> a word")
        }
    }
}

/// Subjects that are alike but for numbers would be one storm.
fn spelled(n: usize) -> String {
    n.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}

fn report(letter: Letter, n: usize) -> Letter {
    letter
        .from("MAILER-DAEMON@x.test")
        .header("MIME-Version", "1.0")
        .header("Content-Type", "multipart/report; report-type=delivery-status; boundary=b")
        .body(&format!(
            "--b\r\n\r\nsorry\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x.test\r\n\r\n\
             Final-Recipient: rfc822; gone{n}@x.test\r\nAction: failed\r\nStatus: 5.1.1\r\n--b--"
        ))
}

fn changed_rules(store: Store) {
    let Some(desk) = Desk::new(store) else { return };
    let messages = if long_tier() { 20_000 } else { 300 };
    take_in(&desk, messages);
    let before = Standing::of(&desk, store);

    let begun = Instant::now();
    let said = desk.run(&["replay"]).ok().stdout;
    let took = begun.elapsed();
    say(&format!("replay of {messages} messages on {store:?}: {:.1} s\n", took.as_secs_f64()));
    assert_eq!(said, format!("{messages} messages decided again: no difference\n"));
    assert_eq!(desk.run(&["replay", "--json"]).ok().stdout, "");
    before.assert_unchanged(&desk, store, "the same rules");

    desk.configure(&(rules() + CHANGE));
    assert_changes(&desk, messages);
    before.assert_unchanged(&desk, store, "changed rules");

    for (since, decided) in [("2000-01-01", messages), ("2999-01-31T12:00:00Z", 0)] {
        let said = desk.run(&["replay", "--since", since]).ok().stdout;
        assert!(said.starts_with(&format!("{decided} messages decided again: ")), "{since}: {said}");
    }
    assert_eq!(desk.run(&["replay", "--since", "yesterday"]).code, Some(64));
    if store == Store::Postgres {
        evidence_that_is_gone(&desk);
    }
    desk.configure(&rules());
    beside_a_daemon(&desk, messages);
}

fn take_in(desk: &Desk, messages: usize) {
    let maildir = desk.folder.path().join("Maildir");
    make_maildir(&maildir);
    desk.configure(&rules());
    for n in 0..messages {
        fs::write(maildir.join("new").join(format!("{n:06}.mail")), letter(n).bytes()).expect("delivered");
    }
    desk.run(&["poll"]).ok();
    assert_eq!(desk.rows(&["journal", "list", "--json", "--limit", "0"]).len(), messages);
    assert!(!desk.rows(&["queue", "list", "--json", "--limit", "0"]).is_empty(), "mails are owed");
}

/// Kinds 0 and 1, each as it was and as it would be, and nothing else.
fn assert_changes(desk: &Desk, messages: usize) {
    let said = desk.run(&["replay", "--json"]).ok().stdout;
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let shown: BTreeMap<String, &Value> = lines
        .iter()
        .map(|line| (line["message_id"].as_str().expect("a Message-ID").to_owned(), line))
        .collect();
    let expected: BTreeMap<String, usize> =
        (0..messages).filter(|n| n % KINDS < 2).map(|n| (format!("m{n}@x.test"), n % KINDS)).collect();
    let of = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(lines.len(), expected.len());
    for (id, kind) in &expected {
        let line = shown.get(id).unwrap_or_else(|| panic!("{id} is not shown as changed"));
        let was = &line["was"];
        assert_eq!((of(was, "act"), of(was, "code")), ("open".into(), "new_ticket".into()), "{id}");
        assert_eq!(of(was, "type"), "Support", "{id}");
        assert!(line["arrival"].is_i64() && was["ticket"].is_i64(), "{id}: {line}");
        assert!(line["trace"].as_array().is_some_and(|trace| !trace.is_empty()), "{id}");
        match kind {
            0 => {
                assert_eq!((of(line, "act"), of(line, "type")), ("open".into(), "Sales".into()), "{id}");
                assert_eq!(line["changed"], serde_json::json!(["type"]), "{id}");
            }
            _ => {
                assert_eq!((of(line, "act"), of(line, "code")), ("invalid".into(), "spam_verdict".into()));
                assert_eq!(line["changed"], serde_json::json!(["act", "code", "type", "effects"]), "{id}");
            }
        }
    }
    let text = desk.run(&["replay"]).ok().stdout;
    let head = format!("{messages} messages decided again: {} would be decided otherwise", expected.len());
    assert_eq!(text.lines().next(), Some(head.as_str()));
    assert_eq!(text.lines().count(), 2 + expected.len(), "a line for each, below a head");
}

/// Beside a running daemon the daemon decides, by the file as it stands now; it goes on by the rules of its start.
fn beside_a_daemon(desk: &Desk, messages: usize) {
    let mut daemon = desk.spawn(&["run"]);
    let deadline = Duration::from_secs(if long_tier() { 600 } else { 30 });
    let is_sent = || {
        let queue = desk.rows(&["queue", "list", "--json", "--limit", "0"]);
        queue.iter().all(|mail| mail["state"] == "done").then_some(())
    };
    wait_until("all mails to be sent", deadline, is_sent);
    let before = listings(desk);
    desk.configure(&(rules() + CHANGE));
    assert_changes_or_left(desk, messages);
    assert_eq!(listings(desk), before, "a replay beside the daemon changed something");
    assert!(daemon.ended().is_none(), "the daemon goes on");
    daemon.stop();
}

/// On PostgreSQL one message's evidence is gone by then.
fn assert_changes_or_left(desk: &Desk, messages: usize) {
    let said = desk.run(&["replay"]).ok().stdout;
    let expected = (0..messages).filter(|n| n % KINDS < 2).count();
    let is_whole = said.starts_with(&format!("{messages} messages decided again: {expected} would be"));
    let without_first = format!("{messages} messages decided again: {} would be", expected - 1);
    assert!(is_whole || said.starts_with(&without_first), "{}", said.lines().next().unwrap_or_default());
}

fn evidence_that_is_gone(desk: &Desk) {
    let first = desk.query("SELECT min(arrival_id) FROM journal").concat();
    desk.psql(&format!("DELETE FROM evidence WHERE arrival_id = {first}"));
    let said = desk.run(&["replay"]).ok().stdout;
    assert!(said.contains(&format!("left out: arrival {first}: ")), "{said}");
    assert!(said.contains("it was erased"), "{said}");
}

/// All that a desk is: its rows, and the folder that its mail goes out into.
#[derive(PartialEq)]
struct Standing {
    rows: Vec<u8>,
    sent: usize,
}

impl Standing {
    fn of(desk: &Desk, store: Store) -> Standing {
        let rows = match store {
            Store::Sqlite => ["desk.db", "desk.db-wal"]
                .iter()
                .flat_map(|name| fs::read(desk.folder.path().join(name)).unwrap_or_default())
                .collect(),
            Store::Postgres => rows_of_all_tables(desk).into_bytes(),
        };
        Standing { rows, sent: fs::read_dir(desk.folder.path().join("out")).map_or(0, Iterator::count) }
    }

    #[track_caller]
    fn assert_unchanged(&self, desk: &Desk, store: Store, under: &str) {
        let now = Standing::of(desk, store);
        assert!(!now.rows.is_empty(), "nothing to compare");
        assert!(now.rows == self.rows, "replay under {under} changed the store");
        assert_eq!(now.sent, self.sent, "replay under {under} sent something");
    }
}

fn rows_of_all_tables(desk: &Desk) -> String {
    let tables = desk.query("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1");
    let digest = |table: &String| {
        let all = desk.query(&format!(
            "SELECT count(*), md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) FROM \"{table}\" t"
        ));
        format!("{table} {}\n", all.concat())
    };
    tables.iter().map(digest).collect()
}

fn listings(desk: &Desk) -> BTreeMap<&'static str, Vec<Value>> {
    let names = ["ticket", "journal", "queue", "invalid", "error", "bounce", "contact"];
    let mut found: BTreeMap<&str, Vec<Value>> =
        names.iter().map(|name| (*name, desk.rows(&[name, "list", "--json", "--limit", "0"]))).collect();
    found.insert("type", desk.rows(&["type", "list", "--json"]));
    found
}
