//! Backup and restore (M12): taken while mail comes in, brought back elsewhere, nothing lost that can be had, nothing
//! sent twice, no number given twice.

mod across;
mod again;
mod daily;
mod damage;
mod keys;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::inbox::{self, Inbox};
use crate::support::program::{Desk, Store, support_sections};
use crate::support::scripted_smtp::ScriptedSmtp;
use crate::support::{long_tier, setting, wait_until};

const DEADLINE: Duration = Duration::from_secs(120);

#[test]
fn a_backup_under_way_comes_back_sqlite() {
    comes_back(Store::Sqlite, Store::Sqlite);
}

#[test]
fn a_backup_under_way_comes_back_postgres() {
    comes_back(Store::Postgres, Store::Postgres);
}

#[test]
fn a_backup_of_sqlite_comes_back_in_postgres() {
    comes_back(Store::Sqlite, Store::Postgres);
}

/// How much mail: `MAILDESK_BACKUP_MESSAGES`, else 200 in the landing tier and 2,000 in the long one.
fn messages() -> usize {
    let asked = setting("MAILDESK_BACKUP_MESSAGES").map(|n| n.parse().expect("a number of messages"));
    asked.unwrap_or(if long_tier() { 2000 } else { 200 })
}

fn comes_back(from: Store, to: Store) {
    let Some(inbox) = inbox::new() else { return };
    let relay = ScriptedSmtp::start();
    let Some(first) = desk(from, &inbox, relay.port) else { return };
    let backup = first.folder.path().join("desk.backup");
    let all = messages();
    deliver(&inbox, 0..all / 2);
    first.run(&["migrate"]).ok();
    let mut daemon = first.spawn(&["run"]);
    wait_until("a part of the mail", DEADLINE, || {
        assert!(daemon.ended().is_none(), "the daemon ended: {}", daemon.log());
        (first.journal().len() >= all / 8).then_some(())
    });

    // The other half comes in while the backup is taken.
    let passphrase = passphrase(&first);
    let arguments =
        ["backup", backup.to_str().unwrap(), "--passphrase-file", passphrase.to_str().unwrap(), "--json"];
    let mut command = first.command(&arguments);
    let taking = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("maildesk starts");
    deliver(&inbox, all / 2..all * 3 / 4);
    let taken = taking.wait_with_output().expect("the backup ends");
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    let taken: Value = serde_json::from_slice(&taken.stdout).expect("JSON");
    assert_eq!(taken["has_key"], true, "{taken}");

    // The first desk lives on for a while, and is lost.
    deliver(&inbox, all * 3 / 4..all);
    wait_until("all of the mail", DEADLINE, || first.is_settled(&inbox, all).then_some(()));
    assert!(daemon.stop().success());
    let sent_before = sent(&relay);
    assert_eq!(sent_before.len(), all, "mails of the first life");
    // What comes now is still at the source when the second takes over.
    let late = all..all + 10;
    deliver(&inbox, late.clone());

    let Some(second) = desk(to, &inbox, relay.port) else { return };
    let restored = restore(&second, &backup, &passphrase);
    check_held(&second, &inbox, &restored);
    let journal = second.journal();
    assert!(journal.len() <= all * 3 / 4, "{} of {all} are in the backup", journal.len());
    check_consistent(&second);
    check_rows(&second, to);

    let live = second.json(&["restore", "--go-live", "--json"]);
    assert_eq!(live["gap"]["lost"], serde_json::json!(["support"]), "{live}");
    second.run_until_settled_but_held(&inbox, journal.len() + late.len());
    let after = second.journal();
    let ids: Vec<String> = after.iter().filter_map(|row| row.message_id.clone()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "taken in twice");
    let new = after.iter().filter(|row| row.arrival > 1_000_000).count();
    assert_eq!(new, late.len(), "what was still at the source");
    check_consistent(&second);
    check_sent(&relay, &sent_before, late);
    check_ids(&first, &second);
    check_release(&second, &relay, &sent_before);
}

/// It takes nothing in and sends nothing, and everything says so.
fn check_held(desk: &Desk, inbox: &Inbox, restored: &Value) {
    assert_eq!((&restored["held"], &restored["backup_has_key"]), (&true.into(), &true.into()), "{restored}");
    let waiting = inbox.remaining();
    let poll = desk.run(&["poll"]);
    assert!(poll.stderr.contains("is held"), "{}", poll.stderr);
    let send = desk.run(&["queue", "send", "--json"]).ok();
    assert_eq!(send.json()["sent"], 0);
    let mut daemon = desk.spawn(&["run"]);
    wait_until("the daemon's socket", DEADLINE, || {
        desk.folder.path().join("maildesk.sock").exists().then_some(())
    });
    let listed = desk.run(&["ticket", "list"]).ok();
    assert!(
        listed.stderr.contains("note: this desk was restored from a backup and is held"),
        "{}",
        listed.stderr
    );
    assert!(daemon.stop().success());
    assert_eq!(inbox.remaining(), waiting);
}

/// Each decision that is on record has its rows, and each message is accounted for.
fn check_consistent(desk: &Desk) {
    let (journal, tickets) = (desk.journal(), desk.tickets());
    let decided = journal.iter().filter(|row| !row.act.is_empty());
    let opened: BTreeSet<i64> =
        decided.clone().filter(|row| row.act == "open").map(|row| row.ticket.expect("a ticket")).collect();
    assert_eq!(opened, tickets.iter().map(|t| t.id).collect(), "tickets and the decisions that opened them");
    let entries = decided.filter(|row| row.log_entry.is_some()).count();
    assert_eq!(entries, tickets.iter().map(|t| t.entries).sum::<usize>(), "log entries");
    let owed: BTreeSet<Option<i64>> =
        journal.iter().filter(|row| row.is_notified()).map(|row| row.log_entry).collect();
    let queued: BTreeSet<Option<i64>> = desk.queue().iter().map(|mail| mail.log_entry).collect();
    assert_eq!(owed, queued, "mails owed");
    assert!(desk.balance().values().all(|difference| *difference == 0), "{:?}", desk.balance());
}

/// No row without its parent. PostgreSQL would not have taken it.
fn check_rows(desk: &Desk, store: Store) {
    if store == Store::Sqlite {
        let loose = damage::select(&desk.folder.path().join("desk.db"), "PRAGMA foreign_key_check");
        assert_eq!(loose, 0, "rows without their parent");
    }
}

/// By the token in the subject: which messages were told of.
fn sent(relay: &ScriptedSmtp) -> Vec<String> {
    let token = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let from = text.find("token-").expect("a token in each mail");
        text[from..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
    };
    relay.accepted().iter().map(|mail| token(&mail.bytes)).collect()
}

/// The second life told of what it took in new, and of nothing that the first life had told of.
fn check_sent(relay: &ScriptedSmtp, before: &[String], late: std::ops::Range<usize>) {
    let all = sent(relay);
    let new: BTreeSet<String> = all[before.len()..].iter().cloned().collect();
    assert_eq!(new, late.map(token).collect(), "mails of the second life");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "a message was told of twice");
}

/// No ticket, entry or outbound mail of the second life has a number of the first.
fn check_ids(first: &Desk, second: &Desk) {
    let highest = |ids: Vec<i64>| ids.into_iter().max().expect("some");
    let journal =
        |desk: &Desk| desk.journal().into_iter().filter_map(|row| row.log_entry).collect::<Vec<_>>();
    let tickets = |desk: &Desk| desk.tickets().iter().map(|t| t.id).collect::<Vec<_>>();
    let mails = |desk: &Desk| desk.queue().iter().map(|m| m.id).collect::<Vec<_>>();
    for (what, before, after) in
        [("ticket", tickets(first), tickets(second)), ("outbound mail", mails(first), mails(second))]
    {
        let last = highest(before);
        assert!(last < 1_000_000 && after.iter().any(|id| *id > 1_000_000), "{what}: {last}, {after:?}");
    }
    assert!(highest(journal(first)) < 1_000_000 && highest(journal(second)) > 1_000_000, "log entries");
    let newest = second.tickets().into_iter().max_by_key(|t| t.id).expect("a ticket");
    assert!(newest.tag_line.starts_with("[Support #100"), "{}", newest.tag_line);
}

/// What waits in hold goes out when an admin says so.
fn check_release(desk: &Desk, relay: &ScriptedSmtp, before: &[String]) {
    let held: Vec<i64> = desk.queue().iter().filter(|m| m.state == "held").map(|m| m.id).collect();
    let refused = desk.run(&["queue", "release", "99999"]);
    assert_eq!(refused.code, Some(65), "{}", refused.stderr);
    let Some(one) = held.first() else { return };
    let sent_so_far = relay.accepted().len();
    desk.run(&["queue", "release", &one.to_string()]).ok();
    desk.run(&["queue", "send"]).ok();
    let sent = sent(relay);
    assert_eq!(sent.len(), sent_so_far + 1);
    assert!(before.contains(sent.last().expect("one")), "a mail of the first life");
}

impl Desk {
    /// As `run_until_settled`, with mails that wait in hold.
    #[track_caller]
    fn run_until_settled_but_held(&self, inbox: &Inbox, messages: usize) {
        let mut daemon = self.spawn(&["run"]);
        wait_until("the desk to settle", DEADLINE, || {
            let journal = self.journal();
            let is_done = inbox.remaining() == 0
                && journal.len() >= messages
                && journal.iter().all(|row| row.state == "acked" || row.state == "decided")
                && self.queue().iter().all(|mail| mail.state != "queued");
            is_done.then_some(())
        });
        assert!(daemon.stop().success(), "{}", daemon.log());
    }
}

/// The desk of these tests looks into its mailbox each second.
fn desk(store: Store, inbox: &Inbox, relay: u16) -> Option<Desk> {
    let desk = Desk::with_support(store, &inbox.account(), relay)?;
    let sections = support_sections(&inbox.account(), relay);
    desk.configure(&sections.replace("handled = \"delete\"", "handled = \"delete\"\ninterval_s = 1"));
    Some(desk)
}

fn passphrase(desk: &Desk) -> PathBuf {
    let path = desk.folder.path().join("passphrase");
    std::fs::write(&path, "correct horse battery\n").expect("the passphrase file is written");
    path
}

fn restore(desk: &Desk, backup: &std::path::Path, passphrase: &std::path::Path) -> Value {
    let (backup, passphrase) = (backup.to_str().unwrap(), passphrase.to_str().unwrap());
    desk.json(&["restore", backup, "--passphrase-file", passphrase, "--json"])
}

fn token(n: usize) -> String {
    format!("token-{n}")
}

/// Every fifth message answers the one before it.
fn deliver(inbox: &Inbox, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let answers = match n % 5 {
            4 => format!("In-Reply-To: <{}@customers.test>\r\n", n - 1),
            _ => String::new(),
        };
        // A reply comes from whom it replies to.
        let sender = if n % 5 == 4 { n - 1 } else { n };
        let message = format!(
            "From: Customer <customer{sender}@customers.test>\r\nTo: support@example.com\r\nSubject: {}\r\n\
             Date: Thu, 09 Oct 2025 08:00:00 +0000\r\nMessage-ID: <{n}@customers.test>\r\n{answers}\r\nWords {n}\r\n",
            token(n)
        );
        inbox.deliver(message.as_bytes());
    }
}
