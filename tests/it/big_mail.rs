//! Messages of 100 MiB: memory does not grow with them, and over the limit they stay at their source (B2).

use std::fs;
use std::io::Read as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value;

use crate::support::inbox::{self, Inbox};
use crate::support::program::{Desk, Store, support_sections};
use crate::support::{say, wait_until};

const SIZE: usize = 100 << 20;
const MEMORY_LIMIT_KB: u64 = 150 << 10;
const DEADLINE: Duration = Duration::from_secs(300);

#[test]
fn big_mail_is_taken_in_within_memory_sqlite() {
    is_taken_in_within_memory(Store::Sqlite);
}

#[test]
fn big_mail_is_taken_in_within_memory_postgres() {
    is_taken_in_within_memory(Store::Postgres);
}

#[test]
fn big_mail_over_the_limit_stays_sqlite() {
    stays_over_the_limit(Store::Sqlite);
}

#[test]
fn big_mail_over_the_limit_stays_postgres() {
    stays_over_the_limit(Store::Postgres);
}

fn is_taken_in_within_memory(store: Store) {
    let Some(bench) = Bench::with_limit(store, 150) else { return };
    bench.deliver_all();
    bench.run_in_memory(&["poll"]);
    assert_eq!(bench.inbox.remaining(), 0, "messages left in the mailbox");
    assert!(bench.desk.balance().values().all(|off| *off == 0), "{:?}", bench.desk.balance());
    let fates = bench.desk.journal().into_iter().map(|row| (row.act, row.code, row.state));
    let opened = ("open".to_owned(), "new_ticket".to_owned(), "acked".to_owned());
    assert_eq!(fates.collect::<Vec<_>>(), vec![opened; 3]);
    assert_eq!((bench.desk.count("error"), bench.desk.count("invalid")), (0, 0));

    let attachment = bench.ticket("attachment");
    let [entry] = &attachment.entries[..] else { panic!("{attachment:?}") };
    assert_eq!(
        (entry["body_truncated"].as_bool(), entry["attachments"][0]["name"].as_str()),
        (Some(false), Some("big.bin"))
    );
    assert_eq!(entry["attachments"][0]["size"].as_u64(), Some(attached_size()));
    bench.assert_exported(entry);

    let text = bench.ticket("text");
    let entry = &text.entries[0];
    let body = entry["body"].as_str().expect("a body");
    assert!(body.starts_with("line 0 of many") && body.len() < 2 << 20, "{} bytes of body", body.len());
    assert_eq!(entry["body_truncated"].as_bool(), Some(true));
    // What is not shown is at hand as an attachment.
    let whole = entry["attachments"][0]["size"].as_u64().expect("the text whole");
    assert!(whole > SIZE as u64 - 1000, "{whole} bytes of text");

    let headers = bench.ticket("headers");
    assert_eq!(headers.entries[0]["body"].as_str().map(str::trim_end), Some("Short words."));

    let queue = bench.desk.rows(&["queue", "list", "--json"]);
    for ticket in [&attachment, &text, &headers] {
        let mut owed = queue.iter().filter(|mail| mail["ticket"].as_i64() == Some(ticket.id));
        let mail = owed.next().unwrap_or_else(|| panic!("nothing is owed about ticket {}", ticket.id));
        assert_eq!(mail["purpose"], "notification");
        assert!(mail["size"].as_u64() < Some(1 << 20), "{mail}");
        assert!(owed.next().is_none(), "told twice of ticket {}", ticket.id);
    }
}

fn stays_over_the_limit(store: Store) {
    let Some(bench) = Bench::with_limit(store, 10) else { return };
    bench.deliver_all();
    // The second round has nothing to add.
    for _ in 0..2 {
        bench.run_in_memory(&["poll"]);
        assert_eq!((bench.inbox.remaining(), bench.desk.tickets().len()), (3, 0));
        let errors = bench.errors();
        let mut subjects: Vec<&str> = errors.iter().filter_map(|error| error["subject"].as_str()).collect();
        subjects.sort_unstable();
        assert_eq!(subjects, ["attachment", "headers", "text"]);
        for error in &errors {
            assert_eq!((&error["code"], &error["from"]), (&"too_big".into(), &"cara@home.test".into()));
            assert!(error["size"].as_u64() >= Some(SIZE as u64 - 1000), "{error}");
        }
        assert_eq!(bench.alerts(), 3, "told of once");
        assert!(bench.desk.balance().values().all(|off| *off == 0), "{:?}", bench.desk.balance());
    }

    bench.desk.run(&["error", "fetch", &bench.error("headers")]).ok();
    bench.desk.run(&["error", "discard", &bench.error("text")]).ok();
    bench.run_in_memory(&["poll"]);
    assert_eq!(bench.ticket("headers").entries.len(), 1);
    assert_eq!((bench.desk.tickets().len(), bench.inbox.remaining()), (1, 1));
    assert_eq!((bench.errors().len(), bench.alerts()), (1, 1));
    bench.error("attachment");
    assert!(bench.desk.balance().values().all(|off| *off == 0), "{:?}", bench.desk.balance());
}

/// A desk on a real mailbox, whose program is weighed.
struct Bench {
    store: Store,
    inbox: Inbox,
    desk: Desk,
}

#[derive(Debug)]
struct Ticket {
    id: i64,
    entries: Vec<Value>,
}

impl Bench {
    fn with_limit(store: Store, mb: u32) -> Option<Bench> {
        let inbox = inbox::new()?;
        let imap = inbox.account();
        // No mail is sent here.
        let desk = Desk::with_support(store, &imap, 1)?;
        let limit = format!("size_limit_mb = {mb}");
        desk.configure(&support_sections(&imap, 1).replace("size_limit_mb = 50", &limit));
        Some(Bench { store, inbox, desk })
    }

    /// One after the other, so that this process stays small too.
    fn deliver_all(&self) {
        for message in [with_attachment, with_text, with_headers] {
            self.inbox.deliver(&message());
        }
    }

    /// Runs a command and holds its peak memory against the limit.
    #[track_caller]
    fn run_in_memory(&self, arguments: &[&str]) {
        let begun = Instant::now();
        let mut running = self.desk.spawn(arguments);
        let mut peak = 0;
        let end = loop {
            // The kernel's own high-water mark: nothing is missed between two looks but the last milliseconds.
            peak = running.peak_kb().unwrap_or(0).max(peak);
            if let Some(end) = running.ended() {
                break end;
            }
            assert!(begun.elapsed() < DEADLINE, "{}: no end in {DEADLINE:?}", arguments.join(" "));
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(end.success(), "{}: {end}: {}", arguments.join(" "), running.log());
        self.weigh(&arguments[..arguments.len().min(2)].join(" "), peak, begun);
    }

    #[track_caller]
    fn weigh(&self, what: &str, peak: u64, begun: Instant) {
        let took = begun.elapsed();
        let words = format!("{:?}, {what}: at most {} MiB in {took:.1?}\n", self.store, peak >> 10);
        say(&words);
        assert!(peak > 0 && peak < MEMORY_LIMIT_KB, "{words}");
    }

    #[track_caller]
    fn ticket(&self, subject: &str) -> Ticket {
        let id = self.desk.tickets().into_iter().find(|ticket| ticket.subject == subject);
        let id = id.unwrap_or_else(|| panic!("no ticket about {subject}")).id;
        let mut shown = self.desk.json(&["ticket", "show", &id.to_string(), "--json"]);
        let Value::Array(entries) = shown["entries"].take() else { panic!("no entries: {shown}") };
        Ticket { id, entries }
    }

    /// The attachment comes out as it went in, within the memory of the daemon and of who asks.
    fn assert_exported(&self, entry: &Value) {
        let to = self.desk.folder.path().join("big.bin");
        let (id, to) = (entry["id"].to_string(), to.display().to_string());
        let mut daemon = self.desk.spawn(&["run"]);
        let socket = self.desk.folder.path().join("maildesk.sock");
        wait_until("the daemon's socket", DEADLINE, || socket.exists().then_some(()));
        let begun = Instant::now();
        self.run_in_memory(&["ticket", "attachment", &id, "0", "--to", &to]);
        self.weigh("the daemon meanwhile", daemon.peak_kb().expect("it runs"), begun);
        daemon.stop();
        let mut file = fs::File::open(&to).expect("the attachment was written");
        assert_eq!(file.metadata().map(|m| m.len()).ok(), Some(attached_size()));
        let mut found = vec![0; BLOCK_LINES * LINE];
        for number in 0..blocks() {
            file.read_exact(&mut found).expect("the attachment is as long as it says");
            assert!(found == block(number), "block {number} of the attachment is another");
        }
    }

    fn errors(&self) -> Vec<Value> {
        self.desk.rows(&["error", "list", "--json"])
    }

    #[track_caller]
    fn error(&self, subject: &str) -> String {
        let errors = self.errors();
        let found = errors.iter().find(|error| error["subject"] == subject);
        found.unwrap_or_else(|| panic!("no error about {subject}: {errors:?}"))["id"].to_string()
    }

    fn alerts(&self) -> usize {
        let alerts = self.desk.rows(&["alert", "list", "--json"]);
        alerts
            .iter()
            .filter(|alert| alert["name"].as_str().is_some_and(|n| n.starts_with("too_big:")))
            .count()
    }
}

/// Bytes that make a line of base64, and lines in a block, each of which begins with its number.
const LINE: usize = 57;
const BLOCK_LINES: usize = 4096;
const ENCODED_LINE: usize = LINE / 3 * 4 + 2;

fn blocks() -> usize {
    SIZE / (BLOCK_LINES * ENCODED_LINE) + 1
}

fn attached_size() -> u64 {
    (blocks() * BLOCK_LINES * LINE) as u64
}

/// A block of the attachment, decoded.
fn block(number: usize) -> Vec<u8> {
    let mut block: Vec<u8> = (0..LINE as u8).map(|n| n * 4).collect::<Vec<_>>().repeat(BLOCK_LINES);
    block[..8].copy_from_slice(&number.to_be_bytes());
    block
}

fn head(subject: &str) -> String {
    format!(
        "From: Cara <cara@home.test>\r\nTo: support@example.com\r\nSubject: {subject}\r\n\
         Message-ID: <{subject}@home.test>\r\nMIME-Version: 1.0\r\n"
    )
}

fn with_attachment() -> Vec<u8> {
    let encode = |line: &[u8]| base64::engine::general_purpose::STANDARD.encode(line) + "\r\n";
    let head = head("attachment")
        + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee the file.\r\n--b\r\n\
           Content-Type: application/octet-stream; name=big.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let mut message = Vec::with_capacity(SIZE + (1 << 20));
    message.extend_from_slice(head.as_bytes());
    let rest = encode(&block(0)[LINE..2 * LINE]).repeat(BLOCK_LINES - 1);
    for number in 0..blocks() {
        message.extend_from_slice(encode(&block(number)[..LINE]).as_bytes());
        message.extend_from_slice(rest.as_bytes());
    }
    message.extend_from_slice(b"--b--\r\n");
    message
}

fn with_text() -> Vec<u8> {
    let lines: String =
        (0..1000).map(|n| format!("line {n} of many that say nothing at all, at length\r\n")).collect();
    (head("text") + "\r\n" + &lines.repeat(SIZE / lines.len() + 1)).into_bytes()
}

fn with_headers() -> Vec<u8> {
    let lines = format!("X-Filler: {}\r\n", "nothing ".repeat(8)).repeat(1000);
    (head("headers") + &lines.repeat(SIZE / lines.len() + 1) + "\r\nShort words.\r\n").into_bytes()
}
