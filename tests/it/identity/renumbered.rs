//! The server gives its messages other numbers, or the mailbox is another one now.

use maildesk::sources::imap::ImapSource;

use crate::support::dovecot::{Account, Dovecot, PASSWORD, dovecot};
use crate::support::shelf::{Refuses, Shelf};
use crate::support::trial::{Letter, Trial, on_both_stores, support_at};

on_both_stores!(
    another_uidvalidity_doubles_nothing,
    stale_acknowledgements_are_dropped,
    acknowledgements_of_a_folder_no_longer_read_are_dropped,
    a_second_folder_has_the_same_numbers,
    an_edited_host_doubles_nothing,
);

/// A user on the real server, and the sections that read his mailbox.
pub struct Imap {
    dovecot: &'static Dovecot,
    pub account: Account,
    handled: &'static str,
}

impl Imap {
    pub fn new(handled: &'static str) -> Option<Imap> {
        let dovecot = dovecot()?;
        Some(Imap { dovecot, account: dovecot.account(), handled })
    }

    pub fn port(&self) -> u16 {
        self.dovecot.imap
    }

    pub fn sections(&self, host: &str) -> String {
        let mailbox = format!(
            "protocol = \"imap\"\nhost = \"{host}\"\nport = {}\ntls = \"plain\"\nusername = \"{}\"\npassword = '{PASSWORD}'\n\
             folders = [\"INBOX\"]\nhandled = \"{}\"\n",
            self.dovecot.imap, self.account.user, self.handled
        );
        support_at(&mailbox)
    }

    /// Another client of the same mailbox.
    pub async fn client(&self, trial: &Trial) -> ImapSource {
        let settings = trial.works.server_settings(&trial.mailbox("support").await).await.expect("settings");
        ImapSource::connect(settings).await.expect("the login works")
    }
}

async fn another_uidvalidity_doubles_nothing(url: String) {
    let Some(imap) = Imap::new("seen") else { return };
    let trial = Trial::with(&url, &imap.sections("localhost")).await;
    for id in ["a", "b", "c"] {
        imap.account.deliver(&Letter::new(id).bytes());
    }
    trial.poll().await;
    let (tickets, owed) = (trial.tickets().await.len(), trial.owed().await);
    assert_eq!((tickets, owed.len()), (3, 3));
    renumber(&imap.account);
    imap.account.deliver(&Letter::new("d").bytes());
    let report = trial.poll().await;
    assert_eq!(report.fetched, 4);
    let again =
        ["discard duplicate #1", "discard duplicate #2", "discard duplicate #3", "open new_ticket #4"];
    assert_eq!(trial.fates().await[3..], again);
    assert_eq!(trial.owed().await.len(), 4);
    assert_eq!(imap.account.files("").len(), 4, "nothing is removed where mail is only marked as seen");
    assert_eq!(trial.poll().await.fetched, 0);
    trial.assert_balanced().await;
}

/// Dovecot forgets its numbers: another UIDVALIDITY, and new UIDs.
pub fn renumber(account: &Account) {
    let list = account.maildir.join("dovecot-uidlist");
    let text = std::fs::read_to_string(&list).expect("Dovecot keeps its UIDs there");
    let (head, _) = text.split_once('\n').expect("a first line");
    let renumbered = |word: &str| match word.strip_prefix('V') {
        Some(validity) => format!("V{}", validity.parse::<u64>().expect("a number") + 1000),
        None if word.starts_with('N') => "N1".to_owned(),
        None => word.to_owned(),
    };
    let head: Vec<String> = head.split(' ').map(renumbered).collect();
    std::fs::write(&list, head.join(" ") + "\n").expect("written");
    for entry in std::fs::read_dir(&account.maildir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("dovecot.index")) {
            std::fs::remove_file(path).expect("removed");
        }
    }
}

async fn stale_acknowledgements_are_dropped(url: String) {
    let trial = Trial::new(&url).await;
    let shelf = Shelf::default();
    shelf.put("INBOX", "1", &Letter::new("a").bytes());
    shelf.put("INBOX", "2", &Letter::new("b").bytes());
    shelf.refuse(Some(Refuses::ToAcknowledge));
    trial.round(shelf.session()).await.expect_err("they are not let go");
    assert_eq!(trial.states().await, ["ack_pending", "ack_pending"]);

    // Under the new numbers 1 is a mail that nobody has read yet.
    shelf.remove("INBOX", "1");
    shelf.put("INBOX", "0", &Letter::new("c").bytes());
    shelf.put("INBOX", "3", &Letter::new("a").bytes());
    shelf.remove("INBOX", "2");
    shelf.put("INBOX", "4", &Letter::new("b").bytes());
    shelf.renumber("INBOX", 8);
    shelf.refuse(Some(Refuses::ToFetch));
    trial.round(shelf.session()).await.expect_err("nothing can be fetched");
    assert_eq!((trial.states().await, shelf.acknowledged()), (vec!["acked".to_owned(); 2], vec![]));
    assert_eq!(shelf.ids("INBOX"), ["1", "2", "3"]);

    shelf.refuse(None);
    trial.round(shelf.session()).await.expect("a round");
    let again = ["open new_ticket #3", "discard duplicate #1", "discard duplicate #2"];
    assert_eq!(trial.fates().await[2..], again);
    assert_eq!(shelf.acknowledged(), ["INBOX/8/1", "INBOX/8/2", "INBOX/8/3"]);
    trial.assert_balanced().await;
}

async fn acknowledgements_of_a_folder_no_longer_read_are_dropped(url: String) {
    let trial = Trial::new(&url).await;
    let shelf = Shelf::default();
    shelf.put("Old", "1", &Letter::new("a").bytes());
    shelf.refuse(Some(Refuses::ToAcknowledge));
    trial.round(shelf.session()).await.expect_err("it is not let go");
    shelf.refuse(None);
    shelf.forget("Old");
    shelf.put("INBOX", "1", &Letter::new("b").bytes());
    trial.round(shelf.session()).await.expect("a round");
    assert_eq!(trial.fates().await, ["open new_ticket #1", "open new_ticket #2"]);
    assert_eq!(trial.states().await, ["acked", "acked"]);
    assert_eq!(shelf.acknowledged(), ["INBOX/7/1"]);
    trial.assert_balanced().await;
}

async fn a_second_folder_has_the_same_numbers(url: String) {
    let Some(imap) = Imap::new("delete") else { return };
    imap.account.make_folder("Second");
    let sections = imap.sections("localhost").replace("[\"INBOX\"]", "[\"INBOX\", \"Second\"]");
    let trial = Trial::with(&url, &sections).await;
    let first = [Letter::new("a"), Letter::new("b").subject("scanner")];
    let second = [Letter::new("c").subject("screen"), Letter::new("a")];
    for letter in first {
        imap.account.deliver(&letter.bytes());
    }
    for letter in second {
        imap.account.deliver_into("Second", &letter.bytes());
    }
    trial.poll().await;
    let fates = ["open new_ticket #1", "open new_ticket #2", "open new_ticket #3", "discard duplicate #1"];
    assert_eq!(trial.fates().await, fates);
    let numbers: Vec<String> = trial
        .journal()
        .await
        .iter()
        .map(|l| l.identity.rsplit('/').next().unwrap_or_default().into())
        .collect();
    assert_eq!(numbers, ["1", "2", "1", "2"]);
    assert!(imap.account.files("").is_empty() && imap.account.files("Second").is_empty());
    trial.assert_balanced().await;
}

async fn an_edited_host_doubles_nothing(url: String) {
    let Some(imap) = Imap::new("seen") else { return };
    let mut trial = Trial::with(&url, &imap.sections("localhost")).await;
    for id in ["a", "b"] {
        imap.account.deliver(&Letter::new(id).bytes());
    }
    trial.poll().await;
    let before = trial.mailbox("support").await.epoch;
    trial.configure(&imap.sections("127.0.0.1")).await;
    assert_eq!(trial.mailbox("support").await.epoch, before + 1);
    imap.account.deliver(&Letter::new("c").bytes());
    trial.poll().await;
    let again = ["discard duplicate #1", "discard duplicate #2", "open new_ticket #3"];
    assert_eq!(trial.fates().await[2..], again);
    assert_eq!(trial.owed().await.len(), 3);
    // And back: that is another account once more, for all that maildesk knows.
    trial.configure(&imap.sections("localhost")).await;
    trial.poll().await;
    assert_eq!((trial.tickets().await.len(), trial.owed().await.len()), (3, 3));
    trial.assert_balanced().await;
}
