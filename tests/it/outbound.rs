//! The sender against a relay that does what a test says, on both engines.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use maildesk::clock::{Clock, Micros};
use maildesk::config::{RelayKind, Tls};
use maildesk::mail::compose::{AttachedSpan, Auto, Draft, compose};
use maildesk::mail::{Address, Encoding, MessageId, NamedAddress, Span};
use maildesk::outbound::{Deadlines, Outbound, RelayBook, RelaySettings, Report};
use maildesk::seal::Secret;
use maildesk::store::delivery::{AttemptRow, Sender};
use maildesk::store::outbox::{NewOutbox, NewRecipient, OutboxRow, Purpose};
use maildesk::store::{Counter, Store};
use maildesk::ticket::{ArrivalId, EventNumber, LogEntryId, OutboxId, RelayId, TicketId};
use sqlx::{AnyConnection, Connection as _, Executor as _};

// ---- the relay

/// What the relay does when something happens to it.
enum Do {
    Say(&'static str),
    SayBytes(&'static [u8]),
    /// Says nothing more, and waits until the client goes.
    Stall,
    Cut,
}

/// What the relay saw.
#[derive(Default)]
struct Seen {
    connections: usize,
    commands: Vec<String>,
    /// Content as it came over the wire, without the final dot, also where no dot came.
    contents: Vec<Vec<u8>>,
    mails: usize,
}

impl Seen {
    fn count(&self, command: &str) -> usize {
        self.commands.iter().filter(|c| c.starts_with(command)).count()
    }
}

type Manners = Arc<dyn Fn(&str, &Seen) -> Do + Send + Sync>;

struct Peer {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

/// Takes everything.
fn polite(event: &str) -> Do {
    match event.split([' ', ':']).next().unwrap_or_default() {
        "connect" => Do::Say("220 ready"),
        "EHLO" => Do::Say("250-hello\r\n250-SIZE 1000000000\r\n250 AUTH PLAIN LOGIN"),
        "AUTH" => Do::Say("235 2.7.0 welcome"),
        "DATA" => Do::Say("354 go"),
        "QUIT" => Do::Say("221 bye"),
        "dot" => Do::Say("250 2.0.0 taken"),
        _ => Do::Say("250 2.1.0 ok"),
    }
}

impl Peer {
    fn start(manners: impl Fn(&str, &Seen) -> Do + Send + Sync + 'static) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let peer = Peer { port: listener.local_addr().expect("it is bound").port(), seen: Arc::default() };
        let (seen, manners): (_, Manners) = (peer.seen.clone(), Arc::new(manners));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, manners) = (seen.clone(), manners.clone());
                // The client may go at any time: that is no failure of the peer.
                std::thread::spawn(move || serve(stream, &seen, &manners).unwrap_or_default());
            }
        });
        peer
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no test panics while it looks")
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Seen>, manners: &Manners) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let mut event = "connect".to_owned();
    loop {
        let (what, is_data) = {
            let mut seen = seen.lock().expect("no test panics while it looks");
            match event.as_str() {
                "connect" => seen.connections += 1,
                "dot" => {}
                command => seen.commands.push(command.to_owned()),
            }
            (manners(&event, &seen), event == "DATA")
        };
        match what {
            Do::Say(text) => writer.write_all(format!("{text}\r\n").as_bytes())?,
            Do::SayBytes(bytes) => writer.write_all(bytes)?,
            Do::Cut => return writer.shutdown(std::net::Shutdown::Both),
            Do::Stall => return std::io::copy(&mut reader, &mut std::io::sink()).map(drop),
        }
        if is_data && matches!(what, Do::Say(text) if text.starts_with("354")) {
            let mut content = Vec::new();
            loop {
                let mut line = Vec::new();
                let is_end = reader.read_until(b'\n', &mut line)? == 0;
                if is_end || line == b".\r\n" {
                    let mut seen = seen.lock().expect("no test panics while it looks");
                    seen.contents.push(content);
                    seen.mails += usize::from(!is_end);
                    break;
                }
                content.extend_from_slice(&line);
            }
            event = "dot".to_owned();
            continue;
        }
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        event = line.trim_end().to_owned();
    }
}

// ---- the desk

const NOON: Micros = Micros(1_772_366_400_000_000);
const RELAY: RelayId = RelayId(1);

struct Desk {
    store: Store,
    url: String,
    clock: Clock,
    outbound: Outbound,
    dir: tempfile::TempDir,
}

/// A desk on each engine there is, with one relay.
async fn desks(relay: RelaySettings) -> Vec<Desk> {
    let mut desks = Vec::new();
    let dir = tempfile::tempdir().expect("a place for files");
    let url = format!("sqlite:{}", dir.path().join("desk.db").display());
    desks.push(desk(url, dir, relay.clone()).await);
    #[expect(clippy::disallowed_methods, reason = "where the test's server is")]
    if let Ok(server) = std::env::var("MAILDESK_TEST_POSTGRES") {
        let dir = tempfile::tempdir().expect("a place for files");
        desks.push(desk(database(server.trim_end_matches('/')).await, dir, relay).await);
    }
    desks
}

async fn database(server: &str) -> String {
    static LAST: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let n = LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("outbound_{}_{n}", std::process::id());
    sql(&format!("{server}/postgres"), &[&format!("CREATE DATABASE {name} TEMPLATE template0")]).await;
    format!("{server}/{name}")
}

async fn sql(url: &str, statements: &[&str]) {
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
    let outbound = Outbound::new(store.clone(), clock.clone(), "test", relays);
    Desk { store, url, clock, outbound, dir }
}

fn relay(port: u16) -> RelaySettings {
    RelaySettings {
        id: RELAY,
        name: "out".into(),
        kind: RelayKind::Smtp,
        host: "127.0.0.1".into(),
        port,
        tls: Tls::Plain,
        username: String::new(),
        password: Secret::default(),
        ca_file: None,
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

impl Desk {
    async fn queue(&self, to: &[&str]) -> OutboxId {
        self.queue_with(to, "Hello,\n\n.\n..two\nbye\n", Vec::new()).await
    }

    async fn queue_with(&self, to: &[&str], text: &str, attachments: Vec<AttachedSpan>) -> OutboxId {
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
            id_hash: b"h",
            return_path: Some(&address("bounce+1@example.com")),
            sender: &address("support@example.com"),
            subject: "x",
            composed: &composed,
            operation: &format!("test:{id}"),
            number,
            recipients: &recipients,
        };
        assert!(tx.enqueue(&new, self.clock.now()).await.unwrap());
        assert!(!tx.enqueue(&NewOutbox { id: OutboxId(id.0 + 1000), ..new }, NOON).await.unwrap());
        tx.commit().await.unwrap();
        id
    }

    async fn pass(&self) -> Report {
        self.outbound.pass(100).await.unwrap()
    }

    fn forward(&self, minutes: i64) {
        self.clock.set(Micros(self.clock.now().0 + minutes * 60 * Micros::SECOND));
    }

    async fn mail(&self, id: OutboxId) -> OutboxRow {
        self.store.read().await.unwrap().outbox_show(id).await.unwrap()
    }

    async fn attempts(&self, id: OutboxId) -> Vec<AttemptRow> {
        self.store.read().await.unwrap().attempts_of(id).await.unwrap()
    }

    /// `address state attempts code` of each recipient.
    async fn fates(&self, id: OutboxId) -> Vec<String> {
        let mail = self.mail(id).await;
        let fate = |r: &maildesk::store::outbox::RecipientRow| {
            format!("{} {} {} {}", r.address, r.state, r.attempts, r.code)
        };
        mail.recipients.iter().map(fate).collect()
    }

    async fn events(&self) -> Vec<String> {
        let events = self.store.read().await.unwrap().events_of(TicketId(1)).await.unwrap();
        events.into_iter().map(|e| format!("{} {}", e.kind, e.detail)).collect()
    }

    /// Raw mail of an arrival, in chunks as the store keeps them.
    async fn keep_raw(&self, bytes: &[u8]) -> ArrivalId {
        sql(
            &self.url,
            &["INSERT INTO arrival (id, mailbox_id, epoch, folder, validity, source_id, state, announced_size, size, \
               digest, mail_key, id_hash, received_us, kept_us) \
               VALUES (1, 1, 1, '', 0, '1', 'kept', 0, 0, '', '', '', 0, 0)"],
        )
        .await;
        let mut tx = self.store.write().await.unwrap();
        tx.insert_raw(maildesk::store::raw::chunks(ArrivalId(1), bytes)).await.unwrap();
        tx.commit().await.unwrap();
        ArrivalId(1)
    }
}

fn unstuffed(content: &[u8]) -> Vec<u8> {
    content
        .split_inclusive(|b| *b == b'\n')
        .flat_map(|line| line.strip_prefix(b".").unwrap_or(line))
        .copied()
        .collect()
}

// ---- what is promised

#[tokio::test]
async fn each_recipient_has_its_own_fate() {
    let peer = Peer::start(|event, seen| match event {
        "RCPT TO:<gone@x.test>" => Do::Say("550-5.1.1 no such\r\n550 5.1.1 user"),
        "RCPT TO:<grey@x.test>" if seen.count("RCPT TO:<grey") == 1 => Do::Say("451 4.7.1 come later"),
        other => polite(other),
    });
    for desk in desks(relay(peer.port)).await {
        *peer.seen() = Seen::default();
        let id = desk.queue(&["ok@x.test", "gone@x.test", "grey@x.test"]).await;
        let report = desk.pass().await;
        assert_eq!((report.sent, report.deferred, report.failed), (1, 1, 1));
        let expected = ["gone@x.test failed 1 550", "grey@x.test deferred 1 451", "ok@x.test sent 1 250"];
        assert_eq!(desk.fates(id).await, expected);
        let mail = desk.mail(id).await;
        assert_eq!(
            (mail.recipients[0].enhanced.as_str(), mail.recipients[0].words.as_str()),
            ("5.1.1", "no such user")
        );
        assert_eq!(desk.events().await, [format!("delivery_failed outbox:{id}")]);
        assert_eq!(mail.state, "queued");

        // Not before its time.
        let report = desk.pass().await;
        assert_eq!((report.sent, report.deferred), (0, 0));
        desk.forward(2);
        assert_eq!(desk.pass().await.sent, 1);
        desk.forward(1000);
        assert_eq!(desk.pass().await.sent, 0);
        assert_eq!(desk.mail(id).await.state, "done");
        let seen = peer.seen();
        assert_eq!((seen.mails, seen.count("RCPT TO:<ok"), seen.count("RCPT TO:<grey")), (2, 1, 2));
        assert!(seen.contents[0] == seen.contents[1]);
        assert!(seen.commands.iter().any(|c| c.starts_with("MAIL FROM:<bounce+1@example.com> SIZE=")));
        drop(seen);
        let repeated: Vec<bool> = desk.attempts(id).await.iter().map(|a| a.is_possibly_repeated).collect();
        assert_eq!(repeated, [false, false]);
    }
}

#[tokio::test]
async fn a_mail_cut_after_its_final_dot_is_sent_again_and_marked() {
    let peer = Peer::start(|event, seen| match event {
        "dot" if seen.mails == 1 => Do::Cut,
        other => polite(other),
    });
    for desk in desks(relay(peer.port)).await {
        *peer.seen() = Seen::default();
        let id = desk.queue(&["a@x.test"]).await;
        let report = desk.pass().await;
        assert_eq!((report.sent, report.deferred), (0, 1));
        let first = &desk.attempts(id).await[0];
        assert_eq!(
            (first.state.as_str(), first.ended, first.is_possibly_repeated),
            ("dot_sent", None, false)
        );
        desk.forward(2);
        assert_eq!(desk.pass().await.sent, 1);
        let attempts = desk.attempts(id).await;
        assert_eq!((attempts.len(), attempts[1].state.as_str()), (2, "ended"));
        assert!(attempts[1].is_possibly_repeated && attempts[1].code == 250);
        let seen = peer.seen();
        assert!(seen.contents.len() == 2 && seen.contents[0] == seen.contents[1]);
        assert!(
            String::from_utf8_lossy(&seen.contents[0])
                .contains(&format!("Message-ID: <md.{id}@example.com>"))
        );
    }
}

#[tokio::test]
async fn a_crash_before_the_dot_repeats_unmarked_and_after_it_marked() {
    let peer = Peer::start(|event, _| polite(event));
    for desk in desks(relay(peer.port)).await {
        for (is_dot_sent, expected) in [(false, false), (true, true)] {
            let id = desk.queue(&["a@x.test"]).await;
            // The process dies here, with the attempt as it stands.
            let mut tx = desk.store.write().await.unwrap();
            let sender = Sender { owner: "test", now: desk.clock.now() };
            let mail = tx.claim(id, sender).await.unwrap().unwrap();
            let attempt = tx.start_attempt(&mail, "out", sender.now).await.unwrap();
            if is_dot_sent {
                assert!(tx.dot_sent(&mail, attempt, sender.now).await.unwrap());
            }
            tx.commit().await.unwrap();
            assert_eq!(desk.pass().await.sent, 1);
            assert_eq!(desk.attempts(id).await[1].is_possibly_repeated, expected);
        }
    }
}

#[tokio::test]
async fn a_mail_belongs_to_the_last_who_claimed_it() {
    for desk in desks(relay(1)).await {
        let id = desk.queue(&["a@x.test"]).await;
        let mut tx = desk.store.write().await.unwrap();
        let now = desk.clock.now();
        let (one, other) = (Sender { owner: "one", now }, Sender { owner: "other", now });
        let mail = tx.claim(id, one).await.unwrap().unwrap();
        let attempt = tx.start_attempt(&mail, "out", now).await.unwrap();
        assert!(tx.claim(id, other).await.unwrap().is_none());
        assert!(tx.relays_due(other).await.unwrap().is_empty());
        // The lease runs out, and nobody else came: the outcome counts.
        let late = now.plus(Duration::from_secs(3600));
        assert!(tx.dot_sent(&mail, attempt, late).await.unwrap());
        let later = late.plus(Duration::from_secs(3600));
        let theirs = tx.claim(id, Sender { now: later, ..other }).await.unwrap().unwrap();
        assert!(theirs.fence > mail.fence);
        assert!(!tx.dot_sent(&mail, attempt, later).await.unwrap());
        assert!(!tx.record(&mail, &[], later).await.unwrap());
        assert!(tx.start_attempt(&theirs, "out", later).await.unwrap().is_possibly_repeated);
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_relay_that_stalls_is_left_at_the_deadline() {
    for stall_at in ["connect", "EHLO", "MAIL", "RCPT", "DATA", "dot"] {
        let peer =
            Peer::start(move |event, _| if event.starts_with(stall_at) { Do::Stall } else { polite(event) });
        for mut desk in desks(relay(peer.port)).await {
            let short = Duration::from_millis(300);
            desk.outbound.deadlines =
                Deadlines { connect: short, command: short, envelope: short, block: short, end: short };
            let id = desk.queue(&["a@x.test"]).await;
            let began = std::time::Instant::now();
            assert_eq!(desk.pass().await.sent, 0);
            assert!(began.elapsed() < Duration::from_secs(5), "stalled at {stall_at}");
            assert_eq!(desk.fates(id).await, ["a@x.test deferred 1 0"], "stalled at {stall_at}");
            let words = desk.mail(id).await.recipients[0].words.clone();
            assert!(words.contains("within 300ms"), "{words}");
        }
    }
}

#[tokio::test]
async fn a_relay_that_is_away_defers_all_its_mail_at_once() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for desk in desks(relay(free)).await {
        let (a, b) = (desk.queue(&["a@x.test", "b@x.test"]).await, desk.queue(&["c@x.test"]).await);
        let report = desk.pass().await;
        assert_eq!(report.failing.len(), 1, "{report:?}");
        assert_eq!(desk.fates(a).await, ["a@x.test deferred 1 0", "b@x.test deferred 1 0"]);
        assert_eq!(desk.fates(b).await, ["c@x.test deferred 1 0"]);
        assert!(desk.attempts(a).await.is_empty());
        let mail = desk.mail(b).await;
        assert!(
            mail.recipients[0].words.contains("refuses the connection"),
            "{:?}",
            mail.recipients[0].words
        );
        assert!(mail.next > desk.clock.now());
        // And again until nobody believes in it any more.
        for _ in 0..60 {
            desk.forward(5 * 60);
            desk.pass().await;
        }
        assert_eq!(desk.mail(b).await.state, "done");
        let recipient = &desk.mail(b).await.recipients[0];
        assert_eq!(recipient.state, "failed");
        assert!(recipient.words.starts_with("given up after 2"), "{}", recipient.words);
        assert_eq!(desk.events().await.len(), 3);
    }
}

#[tokio::test]
async fn pause_cancel_and_retry_are_obeyed() {
    let peer = Peer::start(|event, seen| match event {
        "RCPT TO:<no@x.test>" if seen.count("RCPT TO:<no") == 1 => Do::Say("550 no"),
        other => polite(other),
    });
    for desk in desks(relay(peer.port)).await {
        *peer.seen() = Seen::default();
        let (a, b) = (desk.queue(&["a@x.test"]).await, desk.queue(&["no@x.test"]).await);
        sql(&desk.url, &["UPDATE relay SET paused = 1"]).await;
        assert_eq!(desk.pass().await.sent, 0);
        assert_eq!(peer.seen().connections, 0);
        let mut tx = desk.store.write().await.unwrap();
        tx.cancel(a, desk.clock.now()).await.unwrap();
        assert!(tx.cancel(a, desk.clock.now()).await.is_err());
        assert!(tx.retry(a, desk.clock.now()).await.is_err());
        tx.commit().await.unwrap();
        sql(&desk.url, &["UPDATE relay SET paused = 0"]).await;
        assert_eq!(desk.pass().await.failed, 1);
        assert_eq!(desk.fates(a).await, ["a@x.test cancelled 0 0"]);
        let mut tx = desk.store.write().await.unwrap();
        tx.retry(b, desk.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(desk.pass().await.sent, 1);
        assert_eq!(desk.fates(b).await, ["no@x.test sent 1 250"]);
        assert_eq!(peer.seen().count("RCPT TO:<a@"), 0);
    }
}

#[tokio::test]
async fn a_mail_at_its_final_dot_cannot_be_cancelled_and_one_before_it_holds_the_dot() {
    for desk in desks(relay(1)).await {
        let now = desk.clock.now();
        for is_dot_sent in [true, false] {
            let id = desk.queue(&["a@x.test"]).await;
            let mut tx = desk.store.write().await.unwrap();
            let mail = tx.claim(id, Sender { owner: "test", now }).await.unwrap().unwrap();
            let attempt = tx.start_attempt(&mail, "out", now).await.unwrap();
            if is_dot_sent {
                assert!(tx.dot_sent(&mail, attempt, now).await.unwrap());
            }
            assert_eq!(tx.cancel(id, now).await.is_err(), is_dot_sent);
            assert_eq!(tx.dot_sent(&mail, attempt, now).await.unwrap(), is_dot_sent);
            tx.commit().await.unwrap();
        }
    }
}

#[tokio::test]
async fn content_goes_out_exactly_with_its_dots_stuffed() {
    let peer = Peer::start(|event, _| polite(event));
    for desk in desks(relay(peer.port)).await {
        *peer.seen() = Seen::default();
        let id = desk.queue(&["a@x.test"]).await;
        desk.pass().await;
        let mut tx = desk.store.write().await.unwrap();
        tx.retry(id, NOON).await.unwrap_err();
        drop(tx);
        let content = peer.seen().contents[0].clone();
        let text = String::from_utf8(content).unwrap();
        assert!(text.ends_with("\r\n\r\nHello,\r\n\r\n..\r\n...two\r\nbye\r\n\r\n"), "{text:?}");
    }
}

#[tokio::test]
async fn big_attachments_are_streamed_from_the_store() {
    use base64::Engine as _;
    let peer = Peer::start(|event, _| polite(event));
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let encoded = base64::engine::general_purpose::STANDARD.encode(&bytes);
    // Lines as some mail programs break them: too long, and by LF alone.
    let lines: String =
        encoded.as_bytes().chunks(120).map(|l| format!("{}\n", String::from_utf8_lossy(l))).collect();
    let raw = [b"head\r\n".as_slice(), lines.as_bytes(), b"--\r\n", &bytes].concat();
    let spans = [
        Span { offset: 6, length: lines.len() as u64, encoding: Encoding::Base64 },
        Span { offset: 6 + lines.len() as u64 + 4, length: bytes.len() as u64, encoding: Encoding::Identity },
    ];
    for desk in desks(relay(peer.port)).await {
        *peer.seen() = Seen::default();
        let arrival = desk.keep_raw(&raw).await;
        let attached = |span: Span| AttachedSpan {
            name: "big.bin".into(),
            content_type: "application/octet-stream".into(),
            is_inline: false,
            arrival,
            span,
            size: bytes.len() as u64,
        };
        desk.queue_with(&["a@x.test"], "see below", spans.into_iter().map(attached).collect()).await;
        assert_eq!(desk.pass().await.sent, 1);
        let content = unstuffed(&peer.seen().contents[0]);
        assert!(content.split(|b| *b == b'\n').all(|line| line.len() <= 200));
        let mail = mail_parser::MessageParser::default().parse(&content).unwrap();
        assert_eq!(mail.attachment_count(), 2);
        assert!(mail.attachments().all(|a| a.contents() == bytes));
        // The bytes are gone: no later try brings them back.
        let id =
            desk.queue_with(&["a@x.test"], "x", vec![attached(Span { offset: 1 << 40, ..spans[0] })]).await;
        assert_eq!(desk.pass().await.failed, 1);
        assert!(desk.mail(id).await.recipients[0].words.contains("raw mail of arrival"));
        let seen = peer.seen();
        assert_eq!((seen.mails, seen.contents.len()), (1, 2), "no final dot for half a mail");
    }
}

#[tokio::test]
async fn many_mails_share_a_connection() {
    let peer = Peer::start(|event, _| polite(event));
    for desk in desks(relay(peer.port)).await {
        *peer.seen() = Seen::default();
        for _ in 0..120 {
            desk.queue(&["a@x.test"]).await;
        }
        assert_eq!(desk.outbound.pass(10).await.unwrap().sent, 10);
        assert_eq!(desk.pass().await.sent, 100);
        assert_eq!(desk.pass().await.sent, 10);
        let seen = peer.seen();
        assert_eq!((seen.mails, seen.connections, seen.count("QUIT")), (120, 3, 3));
    }
}

#[tokio::test]
async fn a_connection_that_died_between_mails_is_replaced_unnoticed() {
    for farewell in ["cut", "421"] {
        let peer = Peer::start(move |event, seen| match event {
            // The second mail of a connection is refused by closing it.
            e if e.starts_with("MAIL") && seen.mails % 2 == 1 && seen.count("MAIL") == 2 * seen.mails => {
                match farewell {
                    "cut" => Do::Cut,
                    _ => Do::Say("421 4.7.0 one mail is enough"),
                }
            }
            other => polite(other),
        });
        for desk in desks(relay(peer.port)).await {
            *peer.seen() = Seen::default();
            let ids = [desk.queue(&["a@x.test"]).await, desk.queue(&["b@x.test"]).await];
            assert_eq!(desk.pass().await.sent, 2, "{farewell}");
            assert_eq!(peer.seen().connections, 2);
            for id in ids {
                assert_eq!(desk.attempts(id).await.len(), 1);
            }
        }
    }
}

#[tokio::test]
async fn a_refused_login_defers_and_tells_no_password() {
    for offered in ["250 AUTH PLAIN", "250-AUTH LOGIN\r\n250 ok", "250 nothing"] {
        let peer = Peer::start(move |event, _| match event {
            e if e.starts_with("EHLO") => Do::Say(offered),
            "AUTH LOGIN" => Do::Say("334 VXNlcm5hbWU6"),
            // "hunter2", and "\0me\0hunter2", in base64.
            "bWU=" => Do::Say("334 UGFzc3dvcmQ6"),
            "aHVudGVyMg==" | "AUTH PLAIN AG1lAGh1bnRlcjI=" => {
                Do::Say("535 5.7.8 bad login AG1lAGh1bnRlcjI= aHVudGVyMg== hunter2")
            }
            other => polite(other),
        });
        let settings =
            RelaySettings { username: "me".into(), password: Secret::new("hunter2"), ..relay(peer.port) };
        assert!(!format!("{settings:?}").contains("hunter2"));
        for desk in desks(settings).await {
            let id = desk.queue(&["a@x.test"]).await;
            let report = desk.pass().await;
            assert_eq!(desk.fates(id).await, ["a@x.test deferred 1 0"]);
            let words = desk.mail(id).await.recipients[0].words.clone();
            let expected =
                if offered.contains("AUTH") { "refuses the login of \"me\"" } else { "offers neither" };
            assert!(words.contains(expected), "{words}");
            for secret in ["hunter2", "aHVudGVyMg", "AG1lAGh1bnRlcjI"] {
                assert!(!words.contains(secret) && !format!("{report:?}").contains(secret), "{words}");
            }
        }
    }
}

#[tokio::test]
async fn odd_replies_are_taken_for_what_they_say() {
    for (at, reply, fate) in [
        ("dot", &b"250 Gr\xfc\xdfe\r\n"[..], "sent 1 250"),
        ("dot", b"250-a\r\n250 b\r\n", "sent 1 250"),
        ("dot", b"554 5.7.1 spam\r\n", "failed 1 554"),
        ("dot", b"452 4.3.1 full\r\n", "deferred 1 452"),
        ("DATA", b"554 no\r\n", "failed 1 554"),
        ("MAIL", b"552 5.3.4 too big\r\n", "failed 1 552"),
        ("MAIL", b"530 5.7.0 login first\r\n", "deferred 1 0"),
        ("RCPT", b"421 closing\r\n", "deferred 1 421"),
        ("RCPT", b"hello there\r\n", "deferred 1 0"),
        ("connect", b"554 no service\r\n", "deferred 1 0"),
        ("connect", b"220", "deferred 1 0"),
    ] {
        let peer = Peer::start(move |event, seen| match event.starts_with(at) {
            true if reply == b"220" && seen.commands.is_empty() => Do::Cut,
            true => Do::SayBytes(reply),
            false => polite(event),
        });
        for desk in desks(relay(peer.port)).await {
            *peer.seen() = Seen::default();
            let id = desk.queue(&["a@x.test"]).await;
            desk.pass().await;
            assert_eq!(desk.fates(id).await, [format!("a@x.test {fate}")], "{at} {}", reply.escape_ascii());
        }
    }
}

#[tokio::test]
async fn a_folder_takes_mail_as_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sent");
    let settings = RelaySettings { kind: RelayKind::Folder, host: path.display().to_string(), ..relay(0) };
    for desk in desks(settings).await {
        let id = desk.queue(&["a@x.test", "b@x.test"]).await;
        assert_eq!(desk.pass().await.sent, 2);
        let files: Vec<_> = std::fs::read_dir(&path).unwrap().flatten().map(|f| f.file_name()).collect();
        assert_eq!(files, [format!("{id}.eml").as_str()]);
        let bytes = std::fs::read(path.join(format!("{id}.eml"))).unwrap();
        assert!(String::from_utf8(bytes).unwrap().contains("\r\n\r\nHello,\r\n\r\n.\r\n..two\r\n"));
        assert_eq!(desk.attempts(id).await[0].state, "ended");
    }
}

#[tokio::test]
async fn the_running_sender_wakes_sends_and_stops() {
    let peer = Peer::start(|event, _| polite(event));
    for desk in desks(relay(peer.port)).await {
        *peer.seen() = Seen::default();
        let stop = tokio_util::sync::CancellationToken::new();
        let wake = Arc::new(tokio::sync::Notify::new());
        let told = Mutex::new(0);
        let running = desk.outbound.clone().run(stop.clone(), wake.clone(), |report| {
            *told.lock().unwrap() += report.sent;
        });
        let watching = async {
            for n in 1..=3 {
                desk.queue(&["a@x.test"]).await;
                wake.notify_one();
                while peer.seen().mails < n {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            stop.cancel();
        };
        let both = async { tokio::join!(running, watching) };
        tokio::time::timeout(Duration::from_secs(20), both).await.expect("three mails in twenty seconds");
        assert_eq!(*told.lock().unwrap(), 3);
        assert!(desk.dir.path().exists());
    }
}
