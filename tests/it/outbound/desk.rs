//! A desk with one relay and one ticket, on each engine there is.

use std::sync::Arc;
use std::time::Duration;

use maildesk::clock::{Clock, Micros};
use maildesk::config::{RelayKind, Tls};
use maildesk::lease::Leases;
use maildesk::mail::compose::{AttachedSpan, Auto, Draft, compose};
use maildesk::mail::{Address, MessageId, NamedAddress};
use maildesk::outbound::{Outbound, RelayBook, RelaySettings, Report};
use maildesk::store::delivery::AttemptRow;
use maildesk::store::outbox::{NewOutbox, NewRecipient, OutboxRow, Purpose};
use maildesk::store::{Counter, Store};
use maildesk::ticket::{ArrivalId, EventNumber, LogEntryId, OutboxId, RelayId, TicketId};
use sqlx::{AnyConnection, Connection as _, Executor as _};

pub const NOON: Micros = Micros(1_772_366_400_000_000);
const RELAY: RelayId = RelayId(1);

pub struct Desk {
    pub store: Store,
    pub url: String,
    pub clock: Clock,
    pub outbound: Outbound,
    pub dir: tempfile::TempDir,
}

/// A desk on each engine there is, with one relay.
pub async fn desks(relay: RelaySettings) -> Vec<Desk> {
    let mut desks = Vec::new();
    let dir = tempfile::tempdir().expect("a place for files");
    let url = format!("sqlite:{}", dir.path().join("desk.db").display());
    desks.push(desk(url, dir, relay.clone()).await);
    if let Some(url) = crate::support::postgres::database() {
        let dir = tempfile::tempdir().expect("a place for files");
        desks.push(desk(url, dir, relay).await);
    }
    desks
}

pub async fn sql(url: &str, statements: &[&str]) {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await.expect("the database answers");
    for statement in statements {
        let query = sqlx::AssertSqlSafe((*statement).to_owned());
        connection.execute(query).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
    connection.close().await.expect("the database answers");
}

async fn desk(url: String, dir: tempfile::TempDir, relay: RelaySettings) -> Desk {
    let store = Store::connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    sql(
        &url,
        &[
            "INSERT INTO relay (id, name, kind, host, port, tls, username, sender, verp, created_us) \
             VALUES (1, 'out', 'smtp', '', 0, 'plain', '', '', 0, 0)",
            "INSERT INTO ticket_type (id, name, description, tag, flow, address, admin_address, forward_addresses, \
             created_us) VALUES (1, 'Support', '', 'Support', 'simple', '', '', '[]', 0)",
            "INSERT INTO ticket (id, type_id, status, subject, number, created_us, updated_us) \
             VALUES (1, 1, 'open', '', 0, 0, 0)",
            "INSERT INTO mailbox (id, name, protocol, host, port, tls, username, folders, handled, move_to, \
             size_limit_bytes, interval_s, created_us) VALUES (1, 'in', 'imap', '', 0, 'plain', '', '[]', 'seen', '', 0, 0, 0)",
        ],
    )
    .await;
    let clock = Clock::fixed(NOON);
    let book = RelayBook::from([(relay.id, relay)]);
    let relays = Arc::new(move || {
        let book = book.clone();
        Box::pin(async move { Ok(book) }) as futures_util::future::BoxFuture<'static, _>
    });
    let outbound =
        Outbound::new(store.clone(), clock.clone(), Leases::new(&store, Duration::from_secs(30)), relays);
    Desk { store, url, clock, outbound, dir }
}

pub fn relay(port: u16) -> RelaySettings {
    RelaySettings {
        id: RELAY,
        name: "out".into(),
        kind: RelayKind::Smtp,
        host: "127.0.0.1".into(),
        port,
        tls: Tls::Plain,
        login: None,
        ca_file: None,
    }
}

pub fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

impl Desk {
    pub async fn queue(&self, to: &[&str]) -> OutboxId {
        self.queue_with(to, "Hello,\n\n.\n..two\nbye\n", Vec::new()).await
    }

    pub async fn queue_with(&self, to: &[&str], text: &str, attachments: Vec<AttachedSpan>) -> OutboxId {
        let mut tx = self.store.desk().await.unwrap();
        let id = OutboxId(tx.draw(Counter::Outbox).await.unwrap());
        let number = EventNumber(tx.draw(Counter::Event).await.unwrap());
        let to: Vec<NamedAddress> = to.iter().map(|a| address(a).into()).collect();
        let message_id = MessageId::parse(&format!("<md.{id}@example.com>")).unwrap();
        let composed = compose(&Draft {
            from: address("support@example.com").into(),
            to: to.clone(),
            reply_to: None,
            subject: "[Support #1-1] x".into(),
            text: text.into(),
            html: String::new(),
            message_id: message_id.clone(),
            in_reply_to: None,
            references: Vec::new(),
            date: NOON,
            boundary_seed: [1; 16],
            auto: Auto::Generated,
            desk_mark: "desk".into(),
            attachments,
        });
        let recipients: Vec<NewRecipient> = to
            .into_iter()
            .map(|who| NewRecipient { address: who.address, name: who.name, contact: None })
            .collect();
        let new = NewOutbox {
            id,
            purpose: Purpose::Notification,
            ticket: Some(TicketId(1)),
            log_entry: None::<LogEntryId>,
            relay: Some(RELAY),
            message_id: &message_id,
            return_path: Some(&address("bounce+1@example.com")),
            sender: &address("support@example.com"),
            subject: "x",
            composed: &composed,
            operation: &format!("test:{id}"),
            number,
            recipients: &recipients,
            held_by: None,
        };
        tx.enqueue(&new, self.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    pub async fn pass(&self) -> Report {
        self.outbound.pass(100).await.unwrap()
    }

    pub fn forward(&self, minutes: i64) {
        self.clock.set(Micros(self.clock.now().0 + minutes * 60 * Micros::SECOND));
    }

    pub async fn mail(&self, id: OutboxId) -> OutboxRow {
        self.store.read().await.unwrap().outbox_show(id).await.unwrap()
    }

    pub async fn attempts(&self, id: OutboxId) -> Vec<AttemptRow> {
        self.store.read().await.unwrap().attempts_of(id).await.unwrap()
    }

    /// `address state attempts code` of each recipient.
    pub async fn fates(&self, id: OutboxId) -> Vec<String> {
        let mail = self.mail(id).await;
        let fate = |r: &maildesk::store::outbox::RecipientRow| {
            format!("{} {} {} {}", r.address, r.state, r.attempts, r.code)
        };
        mail.recipients.iter().map(fate).collect()
    }

    pub async fn events(&self) -> Vec<String> {
        let events = self.store.read().await.unwrap().events_of(TicketId(1)).await.unwrap();
        events.into_iter().map(|e| format!("{} {}", e.kind, e.detail)).collect()
    }

    /// Raw mail of an arrival, in chunks as the store keeps them.
    pub async fn keep_raw(&self, bytes: &[u8]) -> ArrivalId {
        sql(
            &self.url,
            &["INSERT INTO arrival (id, mailbox_id, epoch, folder, validity, source_id, state, announced_size, size, \
               digest, mail_key, id_hash, received_us, kept_us) \
               VALUES (1, 1, 1, '', 0, '1', 'kept', 0, 0, '', '', '', 0, 0)"],
        )
        .await;
        let mut tx = self.store.write().await.unwrap();
        let chunks: Vec<_> = maildesk::store::raw::chunks(ArrivalId(1), bytes).collect();
        tx.insert_raw(&chunks).await.unwrap();
        tx.commit().await.unwrap();
        ArrivalId(1)
    }
}

pub fn unstuffed(content: &[u8]) -> Vec<u8> {
    content
        .split_inclusive(|b| *b == b'\n')
        .flat_map(|line| line.strip_prefix(b".").unwrap_or(line))
        .copied()
        .collect()
}
