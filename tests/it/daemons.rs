//! Several daemons on one PostgreSQL: they share the mailboxes, and nobody talks to anybody but the database.

use std::time::Duration;

use crate::support::dovecot::{Account, Dovecot, PASSWORD, dovecot};
use crate::support::program::{Desk, Running, Store};
use crate::support::scripted_smtp::ScriptedSmtp;
use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_secs(30);

/// A desk whose mailboxes lie on one server, each with a type of its own.
struct Many {
    dovecot: &'static Dovecot,
    accounts: Vec<Account>,
    relay: ScriptedSmtp,
    desk: Desk,
    delivered: usize,
}

impl Many {
    /// With this lease, in seconds. `None` where the peers are missing.
    fn new(mailboxes: usize, lease_s: u64) -> Option<Many> {
        let dovecot = dovecot()?;
        let desk = Desk::new(Store::Postgres)?;
        let relay = ScriptedSmtp::start();
        std::fs::write(desk.folder.path().join("password"), PASSWORD).expect("written");
        let accounts: Vec<Account> = (0..mailboxes).map(|_| dovecot.account()).collect();
        let mut sections = format!(
            "lease_s = {lease_s}\n\n[[relay]]\nname = \"out\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"plain\"\n\
             sender = \"desk@example.com\"\n",
            relay.port
        );
        for (n, account) in accounts.iter().enumerate() {
            sections += &format!(
                "[[mailbox]]\nname = \"m{n}\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"plain\"\nusername = \"{}\"\n\
                 password_file = \"password\"\ninterval_s = 1\n\
                 [[type]]\nname = \"t{n}\"\ntag = \"T{n}\"\nmailbox = \"m{n}\"\nrelay = \"out\"\n\
                 addresses = [\"t{n}@example.com\"]\nadmin = \"admin@example.org\"\n",
                dovecot.imap, account.user
            );
        }
        desk.configure(&sections);
        desk.run(&["migrate"]).ok();
        Some(Many { dovecot, accounts, relay, desk, delivered: 0 })
    }

    fn deliver_to(&mut self, n: usize) {
        self.delivered += 1;
        let id = self.delivered;
        let mail = format!(
            "From: joe@example.net\r\nTo: t{n}@example.com\r\nMessage-ID: <{id}.{n}@example.net>\r\nSubject: {id}\r\n\r\nHello\r\n"
        );
        self.accounts[n].deliver(mail.as_bytes());
    }

    fn deliver_to_all(&mut self) {
        for n in 0..self.accounts.len() {
            self.deliver_to(n);
        }
    }

    /// How many mailboxes each process has, by its process number.
    fn held(&self) -> Vec<(u32, usize)> {
        let sql = "SELECT d.pid, count(l.name) FROM daemon d LEFT JOIN lease l ON l.owner = d.id AND l.name LIKE 'mailbox:%' \
                   WHERE d.command = 'run' AND d.until_us > extract(epoch from clock_timestamp()) * 1000000 \
                   GROUP BY d.pid ORDER BY d.pid";
        let read = |line: &String| {
            let (pid, count) = line.split_once('|').expect("two columns");
            (pid.parse().expect("a number"), count.parse().expect("a number"))
        };
        self.desk.query(sql).iter().map(read).collect()
    }

    #[track_caller]
    fn wait_for_held(&self, expected: &[(&Running, usize)]) {
        let mut expected: Vec<(u32, usize)> =
            expected.iter().map(|(daemon, count)| (daemon.pid(), *count)).collect();
        expected.sort_unstable();
        wait_until(&format!("mailboxes to be held as {expected:?}"), PATIENCE, || {
            (self.held() == expected).then_some(())
        });
    }

    /// Every message is decided once and has left its mailbox.
    #[track_caller]
    fn wait_until_settled(&self) {
        wait_until("all mail to be in, and gone from the server", PATIENCE, || {
            let settled = self.desk.query("SELECT count(*) FROM arrival WHERE state = 'acked'");
            let is_empty = self.accounts.iter().all(|account| account.files("").is_empty());
            (settled == [self.delivered.to_string()] && is_empty).then_some(())
        });
        assert_eq!(self.desk.query("SELECT count(*) FROM ticket"), [self.delivered.to_string()]);
        assert_eq!(self.desk.query("SELECT count(*) FROM arrival"), [self.delivered.to_string()]);
    }

    /// Each mail left once.
    #[track_caller]
    fn wait_until_sent(&self) {
        wait_until("all mails to be sent", PATIENCE, || {
            let open = self.desk.query("SELECT count(*) FROM outbox WHERE state <> 'done'");
            (open == ["0"]).then_some(())
        });
        assert_eq!(self.relay.accepted().len(), self.delivered, "one notification a ticket");
    }

    /// How often somebody was signed in to one mailbox while somebody else was, by the server's log.
    fn overlaps(&self, account: &Account) -> usize {
        let (mut open, mut overlaps) = (0, 0);
        for line in self.dovecot.log().lines() {
            if line.contains("Login:") && line.contains(&format!("user=<{}>", account.user)) {
                overlaps += usize::from(open > 0);
                open += 1;
            }
            let has_left =
                ["Logged out", "Disconnected", "Connection closed"].iter().any(|w| line.contains(w));
            if has_left && line.contains(&format!("imap({})", account.user)) {
                open -= 1;
            }
        }
        overlaps
    }
}

#[test]
fn daemons_share_the_mailboxes_and_hand_them_over_at_once() {
    // A lease that nobody waits for here.
    let Some(mut many) = Many::new(5, 120) else { return };
    many.deliver_to_all();
    let mut first = many.desk.spawn(&["run"]);
    many.wait_for_held(&[(&first, 5)]);
    many.wait_until_settled();
    let (two, three) = (many.desk.beside(), many.desk.beside());
    let second = two.spawn(&["run"]);
    many.wait_for_held(&[(&first, 3), (&second, 2)]);
    many.deliver_to_all();
    many.wait_until_settled();
    let third = three.spawn(&["run"]);
    many.wait_for_held(&[(&first, 2), (&second, 2), (&third, 1)]);
    many.deliver_to_all();
    assert!(first.stop().success());
    many.wait_for_held(&[(&second, 3), (&third, 2)]);
    many.deliver_to_all();
    many.wait_until_settled();
    many.wait_until_sent();
    for account in &many.accounts {
        assert_eq!(many.overlaps(account), 0, "two daemons in one mailbox: {}", account.user);
    }
}

#[test]
fn what_a_killed_daemon_held_is_taken_over_after_its_lease() {
    let Some(mut many) = Many::new(2, 4) else { return };
    let mut first = many.desk.spawn(&["run"]);
    many.wait_for_held(&[(&first, 2)]);
    let two = many.desk.beside();
    let second = two.spawn(&["run"]);
    many.wait_for_held(&[(&first, 1), (&second, 1)]);
    first.kill();
    many.deliver_to_all();
    many.wait_for_held(&[(&second, 2)]);
    many.wait_until_settled();
    many.wait_until_sent();
}
