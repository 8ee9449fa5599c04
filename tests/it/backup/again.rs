//! Handled mail that still lies at the source is read again for the time of which the backup knows nothing.

use std::path::Path;

use crate::support::dovecot::{Dovecot, PASSWORD, dovecot};
use crate::support::program::{Desk, Imap, Store, support_sections};
use crate::support::scripted_smtp::ScriptedSmtp;

#[test]
fn moved_mail_is_read_again_sqlite() {
    moved(Store::Sqlite);
}

#[test]
fn moved_mail_is_read_again_postgres() {
    moved(Store::Postgres);
}

fn moved(store: Store) {
    let Some(bench) = Bench::new(store, "handled = \"move\"\nmove_to = \"Done\"") else { return };
    bench.deliver("one", "");
    bench.first.run(&["poll"]).ok();
    let backup = bench.backup();
    bench.deliver("two", "");
    bench.deliver("three", "In-Reply-To: <two@x.test>\r\n");
    bench.first.run(&["poll"]).ok();
    bench.deliver("four", "");

    let Some(second) = bench.restored(store, &backup) else { return };
    second.run(&["poll"]).ok();
    // The one before the backup is known; those after it stand on their ticket again; the new one is new.
    assert_eq!(
        fates(&second),
        ["one open", "one discard duplicate", "two open", "three append", "four open"]
    );
    let states: Vec<String> = second.queue().iter().map(|m| m.state.clone()).collect();
    assert_eq!(states, ["held", "held", "held", "queued"], "mails of one, two, three, four");
    second.run(&["poll"]).ok();
    assert_eq!(second.journal().len(), 5, "it is read again once");
    assert_eq!(bench.account.files("Done").len(), 4, "handled mail stays where it is");
    assert!(second.balance().values().all(|difference| *difference == 0));
}

#[test]
fn a_mailbox_that_moved_nothing_yet_goes_on() {
    let store = Store::usual();
    let Some(bench) = Bench::new(store, "handled = \"move\"\nmove_to = \"Done\"") else { return };
    let backup = bench.backup();
    bench.deliver("one", "");
    let Some(second) = bench.restored(store, &backup) else { return };
    second.run(&["poll"]).ok();
    assert_eq!(fates(&second), ["one open"]);
}

#[test]
fn marked_mail_is_read_again_and_its_mails_wait() {
    let store = Store::usual();
    let Some(bench) = Bench::new(store, "handled = \"seen\"") else { return };
    bench.deliver("one", "");
    bench.first.run(&["poll"]).ok();
    let backup = bench.backup();
    bench.deliver("two", "");
    bench.first.run(&["poll"]).ok();
    let Some(second) = bench.restored(store, &backup) else { return };
    second.run(&["poll"]).ok();
    assert_eq!(fates(&second), ["one open", "two open"]);
    let name = bench.deliver("three", "");
    // The server's date of arrival knows whole seconds only: well past the restore.
    let file = std::fs::File::open(bench.account.maildir.join("new").join(name)).unwrap();
    let now = file.metadata().unwrap().modified().unwrap();
    file.set_modified(now + std::time::Duration::from_secs(60)).unwrap();
    second.run(&["poll"]).ok();
    let states: Vec<String> = second.queue().iter().map(|m| m.state.clone()).collect();
    assert_eq!(states, ["held", "held", "queued"], "mails of one, two, three");
}

/// A desk on a mailbox of a real server, and its relay.
struct Bench {
    server: &'static Dovecot,
    account: crate::support::dovecot::Account,
    relay: ScriptedSmtp,
    handled: &'static str,
    first: Desk,
}

impl Bench {
    fn new(store: Store, handled: &'static str) -> Option<Bench> {
        let server = dovecot()?;
        let account = server.account();
        let relay = ScriptedSmtp::start();
        let first = desk(store, &imap(server, &account), relay.port, handled)?;
        Some(Bench { server, account, relay, handled, first })
    }

    /// It arrives now: the file's time is what the server gives as the date of arrival.
    fn deliver(&self, id: &str, more: &str) -> String {
        let message = format!(
            "From: Jo <jo@x.test>\r\nTo: support@example.com\r\nSubject: {id}\r\n\
             Date: Thu, 09 Oct 2025 08:00:00 +0000\r\nMessage-ID: <{id}@x.test>\r\n{more}\r\nWords\r\n"
        );
        self.account.deliver(message.as_bytes())
    }

    fn backup(&self) -> std::path::PathBuf {
        let path = self.first.folder.path().join("desk.backup");
        self.first.run(&["backup", path.to_str().unwrap()]).ok();
        path
    }

    fn restored(&self, store: Store, backup: &Path) -> Option<Desk> {
        let desk = desk(store, &imap(self.server, &self.account), self.relay.port, self.handled)?;
        let key = self.first.folder.path().join("maildesk.key");
        desk.run(&["restore", backup.to_str().unwrap(), "--key-file", key.to_str().unwrap()]).ok();
        let live = desk.json(&["restore", "--go-live", "--json"]);
        assert_eq!(live["gap"]["read_again"], serde_json::json!(["support"]), "{live}");
        Some(desk)
    }
}

fn imap(server: &Dovecot, account: &crate::support::dovecot::Account) -> Imap {
    Imap { port: server.imap, username: account.user.clone(), password: PASSWORD.to_owned() }
}

fn desk(store: Store, imap: &Imap, relay: u16, handled: &str) -> Option<Desk> {
    let desk = Desk::with_support(store, imap, relay)?;
    desk.configure(&support_sections(imap, relay).replace("handled = \"delete\"", handled));
    Some(desk)
}

/// Oldest first: `one open`, with the code of what was discarded.
fn fates(desk: &Desk) -> Vec<String> {
    let fate = |row: &crate::support::listing::JournalRow| {
        let id = row.message_id.clone().unwrap_or_default();
        let id = id.split('@').next().unwrap_or_default().trim_matches('<').to_owned();
        let code = if row.act == "discard" { format!(" {}", row.code) } else { String::new() };
        format!("{id} {}{code}", row.act)
    };
    let mut journal = desk.journal();
    journal.sort_by_key(|row| row.arrival);
    journal.iter().map(fate).collect()
}
