//! What the scenarios stand on: a database of each engine, and a desk with one of each setting.

use std::sync::LazyLock;

use maildesk::clock::Micros;
use maildesk::config::{Config, Declared, Env};
use maildesk::mail::compose::{Composed, Segment};
use maildesk::mail::{Address, MailKeys, MessageId, NamedAddress};
use maildesk::seal::{SealingKey, random};
use maildesk::store::arrival::{ArrivalState, NewArrival, Place};
use maildesk::store::clue::TicketAsked;
use maildesk::store::journal::{Fate, MailKey, NewJournal};
use maildesk::store::queue::{NewError, NewInvalid};
use maildesk::store::raw::chunks;
use maildesk::store::ticket::{EntryKind, NewEntry, NewTicket};
use maildesk::store::{Counter, Error, PasswordChange, Stamp, Store, Tx};
use maildesk::ticket::{
    AccountId, ArrivalId, ContactId, EventNumber, LogEntryId, MailboxId, RelayId, TicketId, TypeId,
};
use maildesk::triage::clues::TicketClue;
use maildesk::triage::{Act, Code, Decision, Effects, Kind, Step};
use sha2::{Digest, Sha256};
use sqlx::Connection as _;

use crate::support::postgres;
use crate::support::trial::{support_type, with_help};

/// Makes each scenario a test for each engine.
macro_rules! on_both {
    ($($scenario:ident),+ $(,)?) => {$(
        mod $scenario {
            #[tokio::test]
            async fn sqlite() {
                $crate::store_contract::world::on_sqlite(super::$scenario).await;
            }

            #[tokio::test]
            async fn postgres() {
                $crate::store_contract::world::on_postgres(super::$scenario).await;
            }
        }
    )+};
}

pub async fn on_sqlite(scenario: impl AsyncFnOnce(&Store)) {
    // In memory where that is to be had: what survives the power is not asked here, and each commit waits for the disk.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    run(&format!("sqlite:{}", folder.path().join("desk.db").display()), scenario).await;
}

pub async fn on_postgres(scenario: impl AsyncFnOnce(&Store)) {
    let Some(url) = postgres::database() else { return };
    run(&url, scenario).await;
}

async fn run(url: &str, scenario: impl AsyncFnOnce(&Store)) {
    let store = Store::connect(url).await.unwrap_or_else(|e| panic!("{e}"));
    store.migrate().await.unwrap();
    URL.scope(url.to_owned(), scenario(&store)).await;
    store.close().await;
}

tokio::task_local! {
    static URL: String;
}

/// The scenario's database.
pub fn here() -> String {
    URL.get()
}

/// As `run_sql`, on the scenario's database.
pub async fn run_sql_here(statement: &str) {
    run_sql(&here(), &[statement]).await;
}

/// Runs statements that no function of the store has, on a connection of its own.
pub async fn run_sql(url: &str, statements: &[&str]) {
    sqlx::any::install_default_drivers();
    let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
    for sql in statements {
        let done = sqlx::query(sqlx::AssertSqlSafe(sql.to_string())).execute(&mut connection).await;
        done.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    connection.close().await.unwrap();
}

/// Writes may wait until the next look, so that many go together; their errors come with it.
pub async fn flushed(tx: &mut Tx) -> Result<(), Error> {
    tx.setting("anything").await.map(drop)
}

/// A moment; `at(1)` is a second later than `at(0)`.
pub const fn at(second: i64) -> Micros {
    Micros(1_700_000_000_000_000 + second * Micros::SECOND)
}

pub fn key() -> SealingKey {
    SealingKey::new([7; 32])
}

pub fn stamp(key: &SealingKey) -> Stamp<'_> {
    Stamp { key, now: at(0), random: random::<32> }
}

pub fn keys() -> MailKeys {
    MailKeys::new(vec![(1, [1; 32])], [2; 32])
}

pub fn address(text: &str) -> Address {
    Address::parse(text).unwrap_or_else(|| panic!("{text} is no address"))
}

pub fn person(name: &str, text: &str) -> NamedAddress {
    NamedAddress { name: name.to_owned(), address: address(text) }
}

/// One of each setting, relay and mailbox with passwords.
pub static CONFIG: LazyLock<String> =
    LazyLock::new(|| [RELAY_AND_MAILBOX, &with_help(support_type()), AGENT].concat());

const RELAY_AND_MAILBOX: &str = r#"
[[relay]]
name = "out"
host = "127.0.0.1"
sender = "support@example.com"
password = "relay-hunter2"
[[mailbox]]
name = "support"
host = "127.0.0.1"
username = "support"
password = "hunter2"
"#;

const AGENT: &str = r#"
[[account]]
login = "agent"
addresses = ["agent@example.com", "agent@home.example"]
"#;

pub fn declared(text: &str) -> Declared {
    let config = Config::of_text("/etc/maildesk.toml".into(), text.to_owned(), &Env::default());
    config.unwrap_or_else(|e| panic!("{e}")).declared().unwrap()
}

/// One of each setting.
#[derive(Clone, Copy, Debug)]
pub struct Laid {
    pub mailbox: MailboxId,
    pub relay: RelayId,
    pub support: TypeId,
    pub agent: AccountId,
}

pub async fn lay_down(store: &Store) -> Laid {
    let declared = declared(&CONFIG);
    let key = key();
    let stamp = stamp(&key);
    let mut tx = store.write().await.unwrap();
    let (relay, password) = &declared.relays[0];
    let relay = tx.create_relay(relay, &PasswordChange::from(password.clone()), &stamp).await.unwrap();
    let (mailbox, password) = &declared.mailboxes[0];
    let mailbox = tx.create_mailbox(mailbox, &PasswordChange::from(password.clone()), &stamp).await.unwrap();
    let support = tx.create_type(&declared.types[0], &stamp).await.unwrap();
    let agent = tx.create_account(&declared.accounts[0], &stamp).await.unwrap();
    tx.commit().await.unwrap();
    Laid { mailbox, relay, support, agent }
}

pub fn place(mailbox: MailboxId) -> Place {
    Place { mailbox, epoch: 1, folder: "INBOX".into(), validity: 7 }
}

pub fn digest(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

pub fn new_arrival(source_id: &str, bytes: &[u8]) -> NewArrival {
    NewArrival {
        source_id: source_id.to_owned(),
        state: ArrivalState::Kept,
        announced_size: bytes.len() as u64,
        size: bytes.len() as u64,
        digest: digest(bytes),
        envelope_to: String::new(),
        received: at(0),
        is_silent: false,
    }
}

/// A message of which nothing is known but that it fits no type.
pub fn new_invalid(arrival: ArrivalId, number: EventNumber) -> NewInvalid<'static> {
    NewInvalid {
        arrival,
        code: "no_type",
        is_shown: true,
        is_again: false,
        named_ticket: None,
        sender_address: "",
        sender_name: "",
        subject: "",
        number,
    }
}

pub fn new_error(arrival: ArrivalId, number: EventNumber) -> NewError<'static> {
    NewError { arrival, code: "poison", words: "", sender_address: "", subject: "", headers: b"", number }
}

/// A message that the mailbox has shown and that is kept.
pub async fn arrive(tx: &mut Tx, mailbox: MailboxId, source_id: &str, bytes: &[u8]) -> ArrivalId {
    let new = new_arrival(source_id, bytes);
    let id = tx.insert_arrivals(&place(mailbox), &[new], at(1)).await.unwrap()[0];
    tx.insert_raw(&chunks(id, bytes).collect::<Vec<_>>()).await.unwrap();
    tx.add_shown(mailbox, 1).await.unwrap();
    id
}

pub fn mail_key(message_id: &str) -> MailKey {
    let keys = keys();
    MailKey {
        message_id: MessageId::parse(message_id),
        key: keys.hash(&[b"mail", message_id.as_bytes()]),
        id_hash: Some(id_hash(message_id)),
    }
}

pub fn id_hash(message_id: &str) -> Vec<u8> {
    keys().hash(&[b"id", message_id.as_bytes()])
}

pub fn decision(act: Act, code: Code) -> Decision {
    Decision {
        kind: Kind::Person,
        act,
        code,
        reason: code.words().to_owned(),
        type_id: None,
        ticket: None,
        follows: None,
        original: None,
        supersedes: vec![],
        effects: Effects::default(),
        bounces: vec![],
        trust: None,
        trace: vec![Step { rule: "r".into(), evidence: "seen".into(), verdict: "v".into() }],
    }
}

/// Writes a decision and settles its arrival, as intake does.
pub async fn decide(tx: &mut Tx, arrival: ArrivalId, decision: &Decision, fate: Fate) -> EventNumber {
    let number = tx.draw_decision().await.unwrap();
    decide_as(tx, arrival, decision, fate, number).await;
    number
}

pub async fn decide_as(
    tx: &mut Tx,
    arrival: ArrivalId,
    decision: &Decision,
    fate: Fate,
    number: EventNumber,
) {
    let entry = NewJournal { arrival, number, decision, clues_json: "{}", fate };
    tx.insert_journal(&entry, at(2)).await.unwrap();
    tx.settle_arrival(arrival, &mail_key(&format!("{arrival}@x.test")), true).await.unwrap();
}

/// A ticket of a contact, with its first entry.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    pub ticket: TicketId,
    pub entry: LogEntryId,
    pub contact: ContactId,
    pub number: EventNumber,
}

/// A ticket as a decision sees it.
pub async fn ticket_clue(
    tx: &mut Tx,
    ticket: TicketId,
    sender: Option<&Address>,
    contact: Option<ContactId>,
    as_of: EventNumber,
) -> Option<TicketClue> {
    tx.ticket_clues(&[TicketAsked { ticket, sender, contact }], as_of).await.unwrap().remove(0)
}

pub async fn open_ticket(tx: &mut Tx, laid: &Laid, from: &str, subject: &str) -> Opened {
    let number = tx.draw_decision().await.unwrap();
    let from = address(from);
    let contact = match tx.contact_of(&from).await.unwrap() {
        Some(contact) => contact,
        None => {
            let person = NamedAddress { name: "Ann".into(), address: from.clone() };
            tx.insert_contact(&person, number, at(1)).await.unwrap()
        }
    };
    let new = NewTicket {
        type_id: laid.support,
        tag: "Support",
        subject,
        contact: Some(contact),
        follows: None,
        number,
    };
    let ticket = tx.insert_ticket(&new, at(1)).await.unwrap();
    tx.add_participants(ticket, &[(from, "contact", Some(contact))], number).await.unwrap();
    let entry = write_entry(tx, ticket, EntryKind::Inbound, None, number).await;
    Opened { ticket, entry, contact, number }
}

pub async fn write_entry(
    tx: &mut Tx,
    ticket: TicketId,
    kind: EntryKind,
    arrival: Option<ArrivalId>,
    number: EventNumber,
) -> LogEntryId {
    let id = LogEntryId(tx.draw(Counter::LogEntry).await.unwrap());
    let author = person("Ann", "ann@x.test");
    let message_id = format!("entry{id}@x.test");
    let entry = NewEntry {
        id,
        ticket,
        kind,
        arrival,
        author: Some(&author),
        subject: "printer",
        body: "on fire",
        body_truncated: false,
        pieces: &[],
        message_id: &message_id,
        id_hash: Some(&id_hash(&message_id)),
        receivers: &[],
        code: "new_ticket",
        number,
        sent: Some(at(0)),
    };
    tx.insert_entry(&entry, at(1)).await.unwrap();
    id
}

pub fn composed(words: &str) -> Composed {
    Composed {
        literal: words.as_bytes().to_vec(),
        segments: vec![Segment::Literal(words.len() as u64)],
        size: words.len() as u64,
        digest: Sha256::digest(words.as_bytes()).into(),
    }
}
