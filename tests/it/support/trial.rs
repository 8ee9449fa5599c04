//! The rooms put together as the daemon does, in this process: a desk on either store, with what a test asks of it.

use std::path::Path;

use maildesk::clock::Clock;
use maildesk::config::{Config, Env};
use maildesk::daemon::Works;
use maildesk::failure::Failure;
use maildesk::intake::RoundReport;
use maildesk::intake::source::Source;
use maildesk::seal::SealingKey;
use maildesk::store::listing::{
    ALL, ErrorLine, InvalidLine, JournalFilter, JournalLine, QueueFilter, QueueLine, TicketFilter, TicketLine,
};
use maildesk::store::{Cause, MailboxRow, Stamp, Store};
use maildesk::ticket::{Status, TicketId};

use super::program;

/// One mailbox, `support`, in the folder `Maildir`; one type; mails go out into a folder.
pub const SUPPORT: &str = r#"
[[relay]]
name = "out"
kind = "folder"
path = "out"
sender = "support@example.com"
[[mailbox]]
name = "support"
protocol = "maildir"
path = "Maildir"
[[type]]
name = "Support"
tag = "Support"
mailbox = "support"
relay = "out"
addresses = ["support@example.com"]
admin = "admin@example.net"
"#;

/// `SUPPORT` with more keys of its mailbox, a line each.
pub fn support_with(keys: &str) -> String {
    with_keys(SUPPORT, keys)
}

/// `SUPPORT` with its mailbox elsewhere: `place` is the lines from its protocol on.
pub fn support_at(place: &str) -> String {
    SUPPORT.replace("protocol = \"maildir\"\npath = \"Maildir\"\n", place)
}

/// The type of `SUPPORT` alone, for a test with another relay and mailbox of these names.
pub fn support_type() -> &'static str {
    &SUPPORT[SUPPORT.find("[[type]]").expect("SUPPORT has a type")..]
}

/// Sections made of `SUPPORT`, whose type also takes what is written to `help-` and anything.
pub fn with_help(sections: &str) -> String {
    let address = "\"support@example.com\"]";
    sections.replace(address, "\"support@example.com\", \"help-*@example.com\"]")
}

/// Sections made of `SUPPORT`, with more keys of their mailbox.
pub fn with_keys(sections: &str, keys: &str) -> String {
    sections.replace("[[type]]", &format!("{keys}\n[[type]]"))
}

/// The same test on both stores: `on_both_stores!(name, …)` makes `sqlite::name` and `postgres::name` of
/// `async fn name(url: String)`.
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name("sqlite:desk.db".to_owned()).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(url) = crate::support::postgres::database() else { return };
                super::$name(url).await;
            })+
        }
    };
}
pub(crate) use on_both_stores;

/// The store of a test to which it does not matter.
pub fn usual_url() -> String {
    match program::Store::usual() {
        program::Store::Sqlite => "sqlite:desk.db".to_owned(),
        program::Store::Postgres => {
            super::postgres::database().expect("MAILDESK_TEST_STORE asks for PostgreSQL")
        }
    }
}

/// A desk in a temporary folder.
pub struct Trial {
    pub folder: tempfile::TempDir,
    pub works: Works,
    url: String,
}

impl Trial {
    pub async fn new(url: &str) -> Trial {
        Trial::with(url, SUPPORT).await
    }

    pub async fn with(url: &str, sections: &str) -> Trial {
        let folder = tempfile::tempdir().expect("a folder");
        make_maildir(&folder.path().join("Maildir"));
        let config = config(folder.path(), url, sections);
        let store = Store::connect(&config.store_url().unwrap()).await.expect("a store");
        store.migrate().await.expect("a schema");
        let works = open(store, &config).await;
        Trial { folder, works, url: url.to_owned() }
    }

    /// The configuration is edited, and the daemon started again.
    pub async fn configure(&mut self, sections: &str) {
        let config = config(self.folder.path(), &self.url, sections);
        self.works = open(self.works.store.clone(), &config).await;
    }

    /// The same desk on another connection to its store, at another time.
    pub async fn works_on(&self, store: Store, clock: Clock) -> Works {
        let config = config(self.folder.path(), &self.url, SUPPORT);
        Works::open(store, SealingKey::new([7; 32]), &config.run, clock).await.expect("works")
    }

    /// The address of the store, for a test that meddles with it.
    pub fn store_url(&self) -> String {
        config(self.folder.path(), &self.url, SUPPORT).store_url().unwrap()
    }

    pub fn make_maildir(&self, name: &str) {
        make_maildir(&self.folder.path().join(name));
    }

    pub fn deliver(&self, name: &str, message: &[u8]) {
        self.deliver_to("Maildir", name, message);
    }

    pub fn deliver_to(&self, maildir: &str, name: &str, message: &[u8]) {
        let path = self.folder.path().join(maildir).join("new").join(name);
        std::fs::write(path, message).expect("delivered");
    }

    /// Messages that lie in the Maildir.
    pub fn remaining(&self) -> usize {
        let count = |sub| std::fs::read_dir(self.folder.path().join("Maildir").join(sub)).unwrap().count();
        count("new") + count("cur")
    }

    pub async fn mailbox(&self, name: &str) -> MailboxRow {
        self.works.store.read().await.unwrap().find_mailbox(name).await.expect("the mailbox")
    }

    pub async fn poll(&self) -> RoundReport {
        self.poll_mailbox("support").await
    }

    pub async fn poll_mailbox(&self, name: &str) -> RoundReport {
        self.works.poll(&self.mailbox(name).await).await.expect("a round")
    }

    /// Delivers and polls; what became of this one message.
    pub async fn take_in(&self, letter: Letter) -> String {
        self.deliver(&format!("{}.{}", self.journal().await.len() + 1, letter.name()), &letter.bytes());
        self.poll().await;
        self.fates().await.pop().expect("a fate")
    }

    /// A round over the mailbox `support` from a source of the test's own.
    pub async fn round(&self, source: impl Source) -> Result<RoundReport, Failure> {
        self.works.intake.round(&self.mailbox("support").await, source).await
    }

    /// Oldest first.
    pub async fn journal(&self) -> Vec<JournalLine> {
        let filter = JournalFilter { limit: ALL, ..JournalFilter::default() };
        self.works.store.read().await.unwrap().list_journal(&filter).await.expect("the journal")
    }

    /// What became of each arrival: `open new_ticket #1`, or its state where nothing was decided.
    pub async fn fates(&self) -> Vec<String> {
        self.journal().await.iter().map(fate).collect()
    }

    pub async fn states(&self) -> Vec<String> {
        self.journal().await.into_iter().map(|line| line.state).collect()
    }

    pub async fn tickets(&self) -> Vec<TicketLine> {
        let filter = TicketFilter { limit: ALL, ..TicketFilter::default() };
        self.works.store.read().await.unwrap().list_tickets(&filter).await.expect("tickets")
    }

    pub async fn ticket(&self, id: i64) -> TicketLine {
        self.tickets().await.into_iter().find(|t| t.id.0 == id).expect("the ticket")
    }

    pub async fn queue(&self) -> Vec<QueueLine> {
        let filter = QueueFilter { limit: ALL, ..QueueFilter::default() };
        self.works.store.read().await.unwrap().list_queue(&filter).await.expect("the queue")
    }

    /// The mails owed: `notification #1 admin@example.net`.
    pub async fn owed(&self) -> Vec<String> {
        let to = |mail: &QueueLine| {
            mail.recipients.iter().map(|r| r.address.as_str()).collect::<Vec<_>>().join(",")
        };
        let ticket = |mail: &QueueLine| mail.ticket.map_or("-".to_owned(), |t| t.to_string());
        self.queue().await.iter().map(|m| format!("{} #{} {}", m.purpose, ticket(m), to(m))).collect()
    }

    /// Of this state; all where it is empty.
    pub async fn invalid(&self, state: &str) -> Vec<InvalidLine> {
        self.works.store.read().await.unwrap().list_invalid(state, 0, ALL).await.expect("invalid tickets")
    }

    /// Of this state; all where it is empty.
    pub async fn errors(&self, state: &str) -> Vec<ErrorLine> {
        self.works.store.read().await.unwrap().list_errors(state, 0, ALL).await.expect("error tickets")
    }

    /// The names of the alerts that stand.
    pub async fn alerts(&self) -> Vec<String> {
        let alerts = self.works.store.read().await.unwrap().list_alerts(false, ALL).await.expect("alerts");
        alerts.into_iter().map(|a| a.name).collect()
    }

    /// Every message that a server has shown is accounted for.
    #[track_caller]
    pub fn assert_balanced(&self) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let mut tx = self.works.store.read().await.unwrap();
            for line in tx.list_balances().await.expect("balances") {
                assert_eq!(line.difference, 0, "at {place}: {line:?}");
                assert_eq!(line.counts.pending, 0, "at {place}: {line:?}");
            }
        }
    }

    pub async fn set_status(&self, ticket: i64, status: Status) {
        self.works.desk.set_status(TicketId(ticket), status, &by_hand()).await.expect("the status changes");
    }

    /// Answers, and gives the mail that goes to the contact.
    pub async fn answer(&self, ticket: i64) -> QueueLine {
        let words = maildesk::desk::command::Words { text: "We look into it.", agent: "Ada" };
        self.works.desk.answer(TicketId(ticket), &words, None, &by_hand()).await.expect("an answer");
        self.queue().await.pop().expect("the answer's mail")
    }
}

/// Somebody at the command line.
pub fn by_hand() -> Cause {
    Cause { actor: "uid:0".into(), origin: "command", operation: "test".into() }
}

fn fate(line: &JournalLine) -> String {
    let (Some(act), Some(code)) = (&line.act, &line.code) else { return line.state.clone() };
    match line.ticket {
        Some(ticket) => format!("{act} {code} #{ticket}"),
        None => format!("{act} {code}"),
    }
}

pub fn make_maildir(root: &Path) {
    for sub in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(root.join(sub)).expect("a Maildir");
    }
}

fn config(folder: &Path, url: &str, sections: &str) -> Config {
    // Some tests work on a disk that is too small for the mark of free space.
    let run = if sections.contains("[run]") { "" } else { "[run]\nmin_free_mb = 0\n" };
    let text = format!("[store]\nurl = \"{url}\"\n{run}{sections}");
    Config::of_text(folder.join("config.toml"), text, &Env::default()).expect("a config")
}

async fn open(store: Store, config: &Config) -> Works {
    let key = SealingKey::new([7; 32]);
    let stamp = Stamp { key: &key, now: Clock::system().now(), random: maildesk::seal::random };
    store.provision(&config.declared().unwrap(), &stamp).await.expect("provisioned");
    let works = Works::open(store, key, &config.run, Clock::system()).await.expect("works");
    works.with_scanner(config.virus_scanner.clone()).with_verifier(config).expect("a verifier")
}

/// A message in the making.
#[derive(Clone)]
pub struct Letter {
    id: String,
    from: String,
    to: String,
    subject: String,
    date: String,
    more: String,
    body: String,
}

impl Letter {
    /// A mail of jo to support about a printer, with the Message-ID `<id@x.test>`; without one where `id` is empty.
    pub fn new(id: &str) -> Letter {
        Letter {
            id: id.to_owned(),
            from: "Jo <jo@x.test>".to_owned(),
            to: "support@example.com".to_owned(),
            subject: "printer".to_owned(),
            date: "Mon, 2 Nov 2026 10:00:00 +0000".to_owned(),
            more: String::new(),
            body: "Hello".to_owned(),
        }
    }

    pub fn from(self, from: &str) -> Letter {
        Letter { from: from.to_owned(), ..self }
    }

    pub fn to(self, to: &str) -> Letter {
        Letter { to: to.to_owned(), ..self }
    }

    pub fn subject(self, subject: &str) -> Letter {
        Letter { subject: subject.to_owned(), ..self }
    }

    pub fn date(self, date: &str) -> Letter {
        Letter { date: date.to_owned(), ..self }
    }

    pub fn body(self, body: &str) -> Letter {
        Letter { body: body.to_owned(), ..self }
    }

    pub fn header(self, name: &str, value: &str) -> Letter {
        let more = format!("{}{name}: {value}\r\n", self.more);
        Letter { more, ..self }
    }

    /// Answers the mail with this Message-ID.
    pub fn answering(self, message_id: &str) -> Letter {
        let bare = message_id.trim_matches(['<', '>']);
        let value = format!("<{bare}>");
        self.header("In-Reply-To", &value)
    }

    fn name(&self) -> &str {
        if self.id.is_empty() { "anonymous" } else { &self.id }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let Letter { id, from, to, subject, date, more, body } = self;
        let id = if id.is_empty() { String::new() } else { format!("Message-ID: <{id}@x.test>\r\n") };
        format!("From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\n{id}Date: {date}\r\n{more}\r\n{body}\r\n")
            .into_bytes()
    }
}
