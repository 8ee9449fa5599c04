//! The process dies at each named point, of keeping, deciding, acknowledging and sending: nothing is lost or doubled.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use maildesk::crash;

use crate::spine::message_id;
use crate::support::dovecot::{self, PASSWORD};
use crate::support::inbox::{self, Inbox, Way};
use crate::support::listing::{assert_same, has_ended_busy};
use crate::support::program::{Desk, Imap, Store};
use crate::support::scripted_smtp::{ScriptedSmtp, Transaction};
use crate::support::trial::Letter;
use crate::support::{long_tier, skipped, wait_until};

/// Points after which the relay may have taken a mail whose end we do not know: it may get the same bytes once more.
const MAY_REPEAT: &[&str] = &["send.after_dot", "send.before_outcome"];
/// SIGABRT, by which a crash point ends the process.
const ABORTED: i32 = 6;
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn a_crash_at_every_point_loses_and_doubles_nothing_sqlite() {
    crash_everywhere(Store::Sqlite);
}

#[test]
fn a_crash_at_every_point_loses_and_doubles_nothing_postgres() {
    crash_everywhere(Store::Postgres);
}

#[test]
fn a_crash_around_the_end_of_a_pop3_session_loses_and_doubles_nothing_sqlite() {
    crash_at_acknowledgement(Way::Pop3, Store::Sqlite);
}

#[test]
fn a_crash_around_the_end_of_a_pop3_session_loses_and_doubles_nothing_postgres() {
    crash_at_acknowledgement(Way::Pop3, Store::Postgres);
}

/// By IMAP a message is flagged `\Deleted` and then expunged. A daemon that dies between the two has not removed it: found
/// by `scripts/torture`, where such a message stayed in its mailbox, hidden and for good.
#[test]
fn a_removal_cut_off_half_way_is_carried_out() {
    if !cfg!(feature = "crash-points") {
        skipped("built without the feature crash-points, which scripts/test gives");
        return;
    }
    let Some(server) = dovecot::dovecot() else { return };
    let (account, relay) = (server.account(), ScriptedSmtp::start());
    let imap = Imap { port: server.imap, username: account.user.clone(), password: PASSWORD.to_owned() };
    let desk = Desk::with_support(Store::Sqlite, &imap, relay.port).expect("SQLite is there");
    for message in &messages()[..2] {
        account.deliver(&message.bytes());
    }
    let mut daemon = desk.spawn_with(&["poll"], &[("MAILDESK_CRASH_AT", "ack.before_source")]);
    assert_eq!(daemon.wait(DEADLINE).signal(), Some(ABORTED));
    // As the server keeps the flag of one that it was told to flag, and not yet to expunge.
    let [first, second] = &account.files("")[..] else { panic!("two messages") };
    let flagged = format!("{}:2,T", first.split(':').next().unwrap_or(first));
    let (new, cur) = (account.maildir.join("new"), account.maildir.join("cur"));
    let lies = if cur.join(first).exists() { cur.join(first) } else { new.join(first) };
    std::fs::rename(lies, cur.join(flagged)).expect("the same file system");
    desk.run(&["poll"]).ok();
    let left = account.files("");
    assert!(left.is_empty(), "of {first} and {second} there are {left:?}");
    assert!(desk.journal().iter().all(|row| row.state == "acked"));
}

/// The steps in which the ways differ.
fn crash_at_acknowledgement(way: Way, store: Store) {
    if !cfg!(feature = "crash-points") {
        skipped("built without the feature crash-points, which scripts/test gives");
        return;
    }
    for point in crash::POINTS.iter().filter(|point| point.starts_with("ack.")) {
        if crash_at(way, store, point, 1).is_none() {
            return;
        }
    }
}

fn crash_everywhere(store: Store) {
    if !cfg!(feature = "crash-points") {
        skipped("built without the feature crash-points, which scripts/test gives");
        return;
    }
    // Those of leases stand in daemons.rs, those of sign-ins and refreshes in tests/it/oauth.
    let elsewhere = |point: &str| point.starts_with("lease.") || point.starts_with("oauth.");
    for point in crash::POINTS.iter().filter(|point| !elsewhere(point)) {
        if crash_at(Way::Imap, store, point, 1).is_none() {
            return;
        }
        // In the middle of a batch, where the point is met that often.
        for time in if long_tier() { 2..=4 } else { 2..=2 } {
            crash_at(Way::Imap, store, point, time);
        }
    }
}

/// Dies at `point` when it is met for the n-th time, starts again, and looks. `None` where the peers are missing.
fn crash_at(way: Way, store: Store, point: &str, time: u32) -> Option<()> {
    let inbox = inbox::by(way)?;
    let relay = ScriptedSmtp::start();
    let desk = Desk::with_mailbox(store, &inbox, relay.port)?;
    for message in messages() {
        inbox.deliver(&message.bytes());
    }
    let crashed = crash_once(&desk, &inbox, &format!("{point}:{time}"));
    assert!(crashed || time > 1, "{store:?}: the crash point {point} was never met");
    desk.run_until_settled(&inbox, FATES.len(), DEADLINE);

    let words = format!("{way:?}, {store:?}, crash at {point}:{time}");
    check_desk(&desk, &words);
    check_mails(&relay.accepted(), MAY_REPEAT.contains(&point), &words);
    Some(())
}

/// First by `poll`, which only takes in, then by the daemon. Whether either of them died where it should.
fn crash_once(desk: &Desk, inbox: &Inbox, at: &str) -> bool {
    for arguments in [["poll"], ["run"]] {
        let mut running = desk.spawn_with(&arguments, &[("MAILDESK_CRASH_AT", at)]);
        let crashed = wait_until(&format!("maildesk to die at {at} or to be done"), DEADLINE, || {
            use std::os::unix::process::ExitStatusExt as _;
            match running.ended() {
                Some(end) if end.signal() == Some(ABORTED) => Some(true),
                Some(end) if end.success() => Some(false),
                Some(_) => {
                    assert!(has_ended_busy(&mut running));
                    running = desk.spawn_with(&arguments, &[("MAILDESK_CRASH_AT", at)]);
                    None
                }
                // A daemon goes on; it has missed the point if there is nothing left to do.
                None => (arguments == ["run"] && is_settled(desk, inbox)).then_some(false),
            }
        });
        if crashed {
            return true;
        }
    }
    false
}

/// The same question to a daemon that may die while it is asked.
fn is_settled(desk: &Desk, inbox: &Inbox) -> bool {
    let answers = |what: &str| desk.run(&[what, "list", "--json"]);
    let queue = answers("queue");
    let has_waiting =
        |rows: serde_json::Value| rows.as_array().is_none_or(|r| r.iter().any(|m| m["state"] != "done"));
    let journal = answers("journal");
    if queue.code != Some(0) || journal.code != Some(0) || has_waiting(queue.json()) {
        return false;
    }
    let rows = journal.json();
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    inbox.remaining() == 0 && rows.len() == FATES.len() && rows.iter().all(|r| r["state"] == "acked")
}

fn check_desk(desk: &Desk, words: &str) {
    let journal = desk.journal();
    let expected: BTreeMap<&str, (String, String)> =
        FATES.iter().map(|(id, act, code)| (*id, ((*act).to_owned(), (*code).to_owned()))).collect();
    let id = |row: &'_ crate::support::listing::JournalRow| {
        row.message_id.clone().unwrap_or_default().trim_matches(['<', '>']).to_owned()
    };
    let ids: Vec<String> = journal.iter().map(id).collect();
    let found = ids
        .iter()
        .zip(&journal)
        .map(|(id, row)| (id.as_str(), (row.act.clone(), row.code.clone())))
        .collect();
    assert_same(words, &expected, &found);
    assert_eq!(journal.len(), FATES.len(), "{words}: rows of the journal");
    assert!(desk.balance().values().all(|difference| *difference == 0), "{words}: {:?}", desk.balance());

    let tickets = desk.tickets();
    let mut entries: Vec<usize> = tickets.iter().map(|t| t.entries).collect();
    entries.sort_unstable();
    assert_eq!(entries, [1, 3], "{words}: entries of the tickets");

    let owed: BTreeMap<Option<i64>, usize> =
        journal.iter().filter(|row| row.is_notified()).map(|row| (row.log_entry, 1)).collect();
    let mut queued = BTreeMap::new();
    for mail in desk.queue() {
        assert_eq!(mail.purpose, "notification", "{words}");
        *queued.entry(mail.log_entry).or_default() += 1;
    }
    assert_same(words, &owed, &queued);
}

fn check_mails(accepted: &[Transaction], may_repeat: bool, words: &str) {
    let mut by_id: BTreeMap<String, Vec<&Transaction>> = BTreeMap::new();
    for mail in accepted {
        by_id.entry(message_id(&mail.bytes)).or_default().push(mail);
    }
    let owed = FATES.iter().filter(|(_, act, code)| *act == "open" || *code == "reply_by_foreign_id").count();
    assert_eq!(by_id.len(), owed, "{words}: distinct mails sent");
    let repeated = accepted.len() - owed;
    assert!(repeated <= usize::from(may_repeat), "{words}: {repeated} mails sent twice");
    for (id, copies) in by_id {
        let first = copies[0];
        let same = |copy: &&Transaction| copy.bytes == first.bytes && copy.recipients == first.recipients;
        assert!(copies.iter().all(same), "{words}: the copies of {id} differ");
    }
}

/// What becomes of each, by Message-ID.
const FATES: &[(&str, &str, &str)] = &[
    ("printer@x.test", "open", "new_ticket"),
    ("again@x.test", "append", "reply_by_foreign_id"),
    ("away@x.test", "append", "auto_reply_noted"),
    ("invoice@x.test", "open", "new_ticket"),
];

/// An enquiry, a reply to it and an automatic answer to it in the same batch, and an enquiry with an attachment.
fn messages() -> [Letter; 4] {
    let of_ann = |id, subject| Letter::new(id).from("Ann <ann@customers.test>").subject(subject);
    let with_file = "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nSee the file.\r\n\
                     --b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\
                     Content-Disposition: attachment; filename=\"invoice.bin\"\r\n\r\n\
                     AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v\r\n--b--";
    [
        of_ann("printer", "Printer offline").body("It says offline, and it is not."),
        of_ann("again", "Re: Printer offline").answering("printer@x.test").body("Now it says on fire."),
        of_ann("away", "Automatic reply: Printer offline")
            .answering("printer@x.test")
            .header("Return-Path", "<>")
            .header("Auto-Submitted", "auto-replied")
            .body("I am out of the office."),
        Letter::new("invoice")
            .from("Bob <bob@customers.test>")
            .subject("Invoice wrong")
            .header("MIME-Version", "1.0")
            .header("Content-Type", "multipart/mixed; boundary=\"b\"")
            .body(with_file),
    ]
}
