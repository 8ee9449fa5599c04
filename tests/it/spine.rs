//! The main job on mixed mail: a mailbox becomes tickets, each message where it belongs, every mail owed once. By IMAP,
//! and again by POP3 and from a Maildir in which another client moves and flags the mail meanwhile.
//!
//! The mail comes from gen.py: seeds first, which become tickets, then new enquiries, replies, attachments, bounces,
//! automatic answers and broken messages, with what each should become in its manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Deserialize;

use crate::support::inbox::{self, Inbox, Way};
use crate::support::listing::{JournalRow, TicketRow, assert_same, has_ended_busy};
use crate::support::program::{Desk, Store};
use crate::support::smtp::{SmtpSink, Sunk};
use crate::support::{bench_folder, find_program, long_tier, say, setting, skipped};

#[test]
fn mixed_mail_becomes_tickets_sqlite() {
    mixed_mail(Way::Imap, Store::Sqlite, Replies::AsMade);
}

#[test]
fn mixed_mail_becomes_tickets_postgres() {
    mixed_mail(Way::Imap, Store::Postgres, Replies::AsMade);
}

#[test]
fn mixed_mail_without_references_sqlite() {
    mixed_mail(Way::Imap, Store::Sqlite, Replies::NoReferences);
}

#[test]
fn mixed_mail_without_references_postgres() {
    mixed_mail(Way::Imap, Store::Postgres, Replies::NoReferences);
}

#[test]
fn mixed_mail_without_tags_sqlite() {
    mixed_mail(Way::Imap, Store::Sqlite, Replies::NoTags);
}

#[test]
fn mixed_mail_without_tags_postgres() {
    mixed_mail(Way::Imap, Store::Postgres, Replies::NoTags);
}

#[test]
fn twenty_kills_lose_and_double_nothing_sqlite() {
    mixed_mail_under_kills(Way::Imap, Store::Sqlite);
}

#[test]
fn twenty_kills_lose_and_double_nothing_postgres() {
    mixed_mail_under_kills(Way::Imap, Store::Postgres);
}

/// The same by another way.
macro_rules! by_way {
    ($module:ident, $way:expr) => {
        mod $module {
            use super::*;

            by_way!(mixed_mail_becomes_tickets, mixed_mail, $way, Replies::AsMade);
            by_way!(mixed_mail_without_references, mixed_mail, $way, Replies::NoReferences);
            by_way!(mixed_mail_without_tags, mixed_mail, $way, Replies::NoTags);
            by_way!(kills_lose_and_double_nothing, mixed_mail_under_kills, $way);
        }
    };
    ($name:ident, $run:ident, $way:expr $(, $replies:expr)?) => {
        mod $name {
            use super::*;

            #[test]
            fn sqlite() {
                $run($way, Store::Sqlite $(, $replies)?);
            }

            #[test]
            fn postgres() {
                $run($way, Store::Postgres $(, $replies)?);
            }
        }
    };
}

by_way!(by_pop3, Way::Pop3);
by_way!(by_maildir, Way::Maildir);

/// What the replies of a run carry to be known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    AsMade,
    NoReferences,
    NoTags,
}

impl Replies {
    fn flag(self) -> Option<&'static str> {
        match self {
            Replies::AsMade => None,
            Replies::NoReferences => Some("--no-refs"),
            Replies::NoTags => Some("--no-tags"),
        }
    }
}

fn mixed_mail(way: Way, store: Store, replies: Replies) {
    let Some(spine) = Spine::set_up(way, store) else { return };
    let (main, _) = spine.take_seeds(replies);
    for message in main.messages() {
        spine.inbox().deliver(&main.bytes(message));
    }
    let begun = Instant::now();
    let other = spine.inbox().restless_client();
    spine.desk.run(&["poll", "--json"]).ok();
    drop(other);
    let words =
        format!("{way:?}, {store:?}, {replies:?}: {} messages in {:?}", spine.size.messages, begun.elapsed());
    spine.check(&main, replies, &words);
}

/// `kill -9` at random moments, of `poll` and of the daemon in turn; then all of it must be as if nothing had been.
fn mixed_mail_under_kills(way: Way, store: Store) {
    let Some(spine) = Spine::set_up(way, store) else { return };
    let (main, seeds_took) = spine.take_seeds(Replies::AsMade);
    let begun = Instant::now();
    spine.desk.run(&["poll"]).ok();
    let start_takes = begun.elapsed();
    for message in main.messages() {
        spine.inbox().deliver(&main.bytes(message));
    }
    // So that the kills fall all over the work: what it should take, shared out among them.
    let of_seeds = seeds_took.saturating_sub(start_takes);
    let work = of_seeds.mul_f64(spine.size.messages as f64 / spine.size.seeds as f64);
    let begun = Instant::now();
    let other = spine.inbox().restless_client();
    let kills = spine.kill_often(start_takes, work);
    let all = spine.size.messages + spine.size.seeds;
    spine.desk.run_until_settled(spine.inbox(), all, Duration::from_secs(300));
    drop(other);
    let took = begun.elapsed();
    let words = format!("{way:?}, {store:?}, {kills} kills: {} messages in {took:?}", spine.size.messages);
    spine.check(&main, Replies::AsMade, &words);
    check_sent(&spine.sink.received(), spine.desk.queue().len(), kills);
}

/// How much mail: `MAILDESK_SPINE_MESSAGES`, else 2,000 in the long tier, and in the landing tier 300 by IMAP and a few
/// by the others.
#[derive(Clone, Copy)]
pub struct Size {
    pub messages: usize,
    pub seeds: usize,
    kills: usize,
}

impl Size {
    /// `landing`: how many in the landing tier.
    fn of_this_run(landing: usize) -> Size {
        let asked = setting("MAILDESK_SPINE_MESSAGES").map(|n| n.parse().expect("a number of messages"));
        let messages = asked.unwrap_or(if long_tier() { 2000 } else { landing });
        let kills = if messages < 100 { 5 } else { 20 };
        Size { messages, seeds: (messages / 10).clamp(10, 200), kills }
    }
}

pub struct Spine {
    pub size: Size,
    folder: tempfile::TempDir,
    generator: PathBuf,
    /// None: what comes in is brought by `deliver`.
    inbox: Option<Inbox>,
    pub sink: SmtpSink,
    pub desk: Desk,
}

impl Spine {
    /// `None` where something of it cannot be had here: the reason has been printed.
    fn set_up(way: Way, store: Store) -> Option<Spine> {
        let inbox = inbox::by(way)?;
        let landing = if way == Way::Imap { 300 } else { 60 };
        let mut spine = Spine::with_desk(landing, |port| Desk::with_mailbox(store, &inbox, port))?;
        spine.inbox = Some(inbox);
        Some(spine)
    }

    /// On a desk of type Support whose mailbox is an MTA's pipe. `landing`: messages in the landing tier.
    pub fn on_pipe(store: Store, landing: usize) -> Option<Spine> {
        Spine::with_desk(landing, |port| Desk::with_pipe(store, port))
    }

    fn with_desk(landing: usize, desk: impl FnOnce(u16) -> Option<Desk>) -> Option<Spine> {
        let Some(bench) = bench_folder() else {
            skipped("no gen.py in ../shared/bench; MAILDESK_BENCH names its folder");
            return None;
        };
        if find_program("python3").is_none() {
            skipped("no python3 here, which gen.py needs");
            return None;
        }
        let sink = SmtpSink::start()?;
        let desk = desk(sink.port)?;
        let folder = tempfile::tempdir().expect("a folder for the mail");
        let size = Size::of_this_run(landing);
        Some(Spine { size, folder, generator: bench.join("gen.py"), inbox: None, sink, desk })
    }

    fn bring(&self, bytes: &[u8]) {
        match &self.inbox {
            Some(inbox) => inbox.deliver(bytes),
            None => drop(self.desk.run_with_input(&["deliver"], bytes).ok()),
        }
    }

    fn inbox(&self) -> &Inbox {
        self.inbox.as_ref().expect("a mailbox on a server")
    }

    /// Takes the seeds in, closes half of their tickets, answers some of the others, and makes the main mail with the
    /// tag lines as they are then. Answers with that mail, and how long the seeds took to come in.
    pub fn take_seeds(&self, replies: Replies) -> (Mail, Duration) {
        let seeds = self.generate("seeds", &[]);
        for seed in seeds.seeds() {
            self.bring(&seeds.bytes(seed));
        }
        let begun = Instant::now();
        self.desk.run(&["poll", "--json"]).ok();
        let took = begun.elapsed();
        for (ordinal, ticket) in seed_tickets(&seeds, &self.desk.tickets()) {
            let id = ticket.id.to_string();
            if is_closed(ordinal) {
                self.desk.run(&["ticket", "close", &id]).ok();
            } else if is_answered(ordinal) {
                self.desk.run(&["ticket", "answer", &id, "--text", "We are looking into it."]).ok();
            }
        }
        let mut arguments: Vec<&str> = replies.flag().into_iter().collect();
        let tags = self.folder.path().join("tags");
        let lines = seed_tickets(&seeds, &self.desk.tickets());
        let lines: Vec<&str> = lines.values().map(|ticket| ticket.tag_line.as_str()).collect();
        std::fs::write(&tags, lines.join("\n") + "\n").expect("the tags file is written");
        let tags = tags.display().to_string();
        if replies != Replies::NoTags {
            arguments.extend(["--tags", &tags]);
        }
        let main = self.generate("main", &arguments);
        // The same generator with the same seed: its seeds are the ones taken in already.
        let of_seeds = |mail: &Mail| mail.seeds().map(|m| m.subject.clone()).collect::<Vec<_>>();
        assert_eq!(of_seeds(&seeds), of_seeds(&main));
        (main, took)
    }

    fn generate(&self, name: &str, arguments: &[&str]) -> Mail {
        let folder = self.folder.path().join(name);
        let made = Command::new("python3")
            .arg(&self.generator)
            .arg(&folder)
            .args(["-n", &self.size.messages.to_string(), "--seeds", &self.size.seeds.to_string()])
            .args(arguments)
            .output()
            .expect("python3 starts");
        assert!(made.status.success(), "gen.py: {}", String::from_utf8_lossy(&made.stderr));
        let manifest =
            std::fs::read_to_string(folder.join("manifest.jsonl")).expect("gen.py wrote a manifest");
        let read =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("manifest: {e} in {line}"));
        Mail { manifest: manifest.lines().map(read).collect(), folder }
    }

    /// Kills at random moments until enough of them have met the program alive. Answers with their number.
    fn kill_often(&self, start_takes: Duration, work: Duration) -> usize {
        let mut random = StdRng::seed_from_u64(11);
        let mut kills = 0;
        for attempt in 0.. {
            let mut running = self.desk.spawn(&[if attempt % 2 == 0 { "poll" } else { "run" }]);
            let start = start_takes.mul_f64(random.random_range(0.2..1.0));
            let moment = start + work.mul_f64(random.random_range(0.0..2.0) / self.size.kills as f64);
            std::thread::sleep(moment);
            match running.ended() {
                None => {
                    running.kill();
                    kills += 1;
                }
                // A poll may be done before its moment, or find the desk still held by the one killed before.
                Some(end) if end.success() => {}
                Some(_) => assert!(has_ended_busy(&mut running)),
            }
            if kills == self.size.kills {
                break;
            }
            assert!(
                attempt < 10 * self.size.kills,
                "{kills} kills only in {attempt} attempts: {}",
                running.log()
            );
        }
        kills
    }

    /// Holds the desk against the manifest.
    pub fn check(&self, main: &Mail, replies: Replies, words: &str) {
        let journal = self.desk.journal();
        let tickets = self.desk.tickets();
        let seeds = seed_tickets(main, &tickets);
        let fates = fates(main, &journal, &tickets);
        say(&table(main, &fates, words));

        let expected: BTreeMap<&str, Fate> =
            main.manifest.iter().map(|m| (m.key.as_str(), m.expected(replies, &seeds))).collect();
        let found = fates.iter().map(|(key, row)| (*key, Fate::of(row, &expected[*key]))).collect();
        assert_same("fates", &expected, &found);

        let all = main.manifest.len();
        assert_eq!(journal.len(), all, "one row of the journal for each message");
        let identities: BTreeSet<String> = journal.iter().map(|row| row.identity.to_string()).collect();
        assert_eq!(identities.len(), all, "distinct identities at the source");
        let arrivals: BTreeSet<i64> = journal.iter().map(|row| row.arrival).collect();
        assert_eq!(arrivals.len(), all, "distinct arrivals");
        let remaining = self.inbox.as_ref().map_or(0, Inbox::remaining);
        assert_eq!(remaining, 0, "messages left in the mailbox");
        // A pipe's messages are acknowledged when they are kept, by the exit code.
        let end = if self.inbox.is_some() { "acked" } else { "decided" };
        let left: Vec<&JournalRow> = journal.iter().filter(|row| row.state != end).collect();
        assert!(left.is_empty(), "not acknowledged: {left:?}");
        assert!(self.desk.balance().values().all(|difference| *difference == 0), "{:?}", self.desk.balance());
        assert_eq!(
            (self.desk.count("error"), self.desk.count("invalid")),
            (0, 0),
            "error and invalid tickets"
        );

        self.check_tickets(main, replies, &seeds, &tickets);
        self.check_broken(main, &fates);
        self.check_queue(&journal);
    }

    /// Each ticket once, with as many entries as messages belong to it; closed ones are still closed, since what came
    /// rests on the From address alone or is automatic.
    fn check_tickets(&self, main: &Mail, replies: Replies, seeds: &SeedTickets, tickets: &[TicketRow]) {
        let opened = main.manifest.iter().filter(|m| m.expect == Expect::Ticket).count();
        assert_eq!(tickets.len(), opened, "tickets");
        let mut expected = BTreeMap::new();
        for (ordinal, ticket) in seeds {
            let of_it = main.messages().filter(|m| m.seed == Some(*ordinal));
            let on_it = of_it.filter(|m| m.expect != Expect::Bounce || replies != Replies::NoTags);
            expected.insert(ticket.id, 1 + usize::from(is_answered(*ordinal)) + on_it.count());
        }
        let found = seeds.values().map(|ticket| (ticket.id, ticket.entries)).collect();
        assert_same("entries of the seeds' tickets", &expected, &found);
        let of_seed = |ordinal: &usize| seeds[ordinal].status.as_str();
        let reopened: Vec<usize> =
            seeds.keys().copied().filter(|n| is_closed(*n) && of_seed(n) != "closed").collect();
        assert!(reopened.is_empty(), "reopened: the tickets of seeds {reopened:?}");
    }

    /// Broken messages are readable: the token that stands in each is shown on its ticket.
    fn check_broken(&self, main: &Mail, fates: &BTreeMap<&str, &JournalRow>) {
        for message in main.messages().filter(|m| m.kind == "broken") {
            let ticket = fates[message.key.as_str()].ticket.expect("checked before").to_string();
            let shown = self.desk.run(&["ticket", "show", &ticket, "--json"]).ok();
            assert!(shown.stdout.contains(&message.key), "{} is not readable: {}", message.sub, shown.stdout);
        }
    }

    /// The mails owed: a notification for each ticket and comment, the answers given, and nothing else.
    fn check_queue(&self, journal: &[JournalRow]) {
        let queue = self.desk.queue();
        let mut expected: BTreeMap<(String, Option<i64>, Option<i64>), usize> = BTreeMap::new();
        for row in journal.iter().filter(|row| row.is_notified()) {
            *expected.entry(("notification".to_owned(), row.ticket, row.log_entry)).or_default() += 1;
        }
        let mut found = BTreeMap::new();
        for mail in queue.iter().filter(|mail| mail.purpose != "answer") {
            *found.entry((mail.purpose.clone(), mail.ticket, mail.log_entry)).or_default() += 1;
        }
        assert_same("mails owed (purpose, ticket, log entry)", &expected, &found);
        let answers = queue.iter().filter(|mail| mail.purpose == "answer").count();
        assert_eq!(answers, (1..=self.size.seeds).filter(|n| is_answered(*n)).count(), "answers");
        let nobody: Vec<i64> = queue.iter().filter(|m| m.recipients.is_empty()).map(|m| m.id).collect();
        assert!(nobody.is_empty(), "mails to nobody: {nobody:?}");
    }
}

/// What the killed and the last of them had to say, where the test has failed.
impl Drop for Spine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read(self.desk.folder.path().join("spawned.log")).unwrap_or_default();
            say(&String::from_utf8_lossy(&log));
        }
    }
}

fn is_closed(seed: usize) -> bool {
    seed % 2 == 1
}

fn is_answered(seed: usize) -> bool {
    seed.is_multiple_of(10)
}

/// All that gen.py wrote in one go.
pub struct Mail {
    folder: PathBuf,
    manifest: Vec<Message>,
}

impl Mail {
    fn seeds(&self) -> impl Iterator<Item = &Message> {
        self.manifest.iter().filter(|m| m.kind == "seed")
    }

    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.manifest.iter().filter(|m| m.kind != "seed")
    }

    pub fn bytes(&self, message: &Message) -> Vec<u8> {
        let file: &Path = message.file.as_ref();
        std::fs::read(self.folder.join(file)).expect("gen.py wrote the message")
    }
}

/// A line of gen.py's manifest.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    /// The token that stands in its subject and in its text.
    key: String,
    kind: String,
    sub: String,
    msgid: String,
    /// Of which seed it speaks; a seed names itself.
    seed: Option<usize>,
    subject: String,
    file: String,
    expect: Expect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Ticket,
    Comment,
    Note,
    Bounce,
}

/// Where a message should end, or has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fate {
    act: String,
    code: String,
    /// `None` where any will do: a new ticket's id is not known beforehand.
    ticket: Option<i64>,
    has_ticket: bool,
}

impl Fate {
    /// What the journal says, in as much as the expectation says anything.
    fn of(row: &JournalRow, expected: &Fate) -> Fate {
        let ticket = if expected.act == "open" { None } else { row.ticket };
        Fate { act: row.act.clone(), code: row.code.clone(), ticket, has_ticket: row.ticket.is_some() }
    }
}

impl Message {
    fn expected(&self, replies: Replies, seeds: &SeedTickets) -> Fate {
        let (act, code) = match (self.expect, replies) {
            (Expect::Ticket, _) => ("open", "new_ticket"),
            (Expect::Comment, Replies::NoTags) => ("append", "reply_by_foreign_id"),
            (Expect::Comment, _) => ("append", "reply_by_tag"),
            (Expect::Note, _) => ("append", "auto_reply_noted"),
            (Expect::Bounce, Replies::NoTags) => ("bounce", "bounce_unmatched"),
            (Expect::Bounce, _) => ("bounce", "bounce_by_tag"),
        };
        let seed = self.seed.filter(|_| self.kind != "seed" && code != "bounce_unmatched");
        let ticket = seed.map(|ordinal| seeds[&ordinal].id);
        Fate { act: act.to_owned(), code: code.to_owned(), ticket, has_ticket: code != "bounce_unmatched" }
    }
}

/// The tickets that the seeds became, by the seeds' ordinals.
type SeedTickets = BTreeMap<usize, TicketRow>;

/// Known by the token in the subject; replies to them open no tickets, so no other ticket has it.
fn seed_tickets(mail: &Mail, tickets: &[TicketRow]) -> SeedTickets {
    let of = |seed: &Message| {
        let mut with_token = tickets.iter().filter(|t| t.subject.contains(&seed.key));
        let ticket = with_token.next().unwrap_or_else(|| panic!("no ticket for {}", seed.key));
        assert!(with_token.next().is_none(), "two tickets for {}", seed.key);
        (seed.seed.expect("a seed has its ordinal"), ticket.clone())
    };
    mail.seeds().map(of).collect()
}

/// The journal's row of each message: by its Message-ID, or by the ticket with its token for those that have none.
fn fates<'a>(
    mail: &'a Mail,
    journal: &'a [JournalRow],
    tickets: &[TicketRow],
) -> BTreeMap<&'a str, &'a JournalRow> {
    let mut by_id: BTreeMap<&str, Vec<&JournalRow>> = BTreeMap::new();
    for row in journal {
        let id = row.message_id.as_deref().unwrap_or_default();
        by_id.entry(id.trim_matches(['<', '>'])).or_default().push(row);
    }
    let of = |message: &'a Message| {
        let rows: Vec<&JournalRow> = if message.sub == "no-message-id" {
            let ticket = tickets.iter().find(|t| t.subject.contains(&message.key)).map(|t| t.id);
            by_id.get("").into_iter().flatten().filter(|row| row.ticket == ticket).copied().collect()
        } else {
            by_id.get(message.msgid.trim_matches(['<', '>'])).cloned().unwrap_or_default()
        };
        assert_eq!(
            rows.len(),
            1,
            "rows of the journal for {} ({} {}): {rows:?}",
            message.key,
            message.kind,
            message.sub
        );
        (message.key.as_str(), rows[0])
    };
    mail.manifest.iter().map(of).collect()
}

/// Kinds down, fates across.
fn table(mail: &Mail, fates: &BTreeMap<&str, &JournalRow>, words: &str) -> String {
    let mut counts: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
    for message in &mail.manifest {
        let row = fates[message.key.as_str()];
        let of_kind = counts.entry(&message.kind).or_default();
        *of_kind.entry(format!("{} {}", row.act, row.code)).or_default() += 1;
    }
    let mut lines = format!("\n{words}\n");
    for (kind, of_kind) in counts {
        let cells: Vec<String> = of_kind.iter().map(|(fate, count)| format!("{count} {fate}")).collect();
        lines.push_str(&format!("  {kind:<8} {}\n", cells.join(", ")));
    }
    lines
}

/// Every mail of the queue went out. A second copy is one whose end a kill has hidden: same Message-ID, same bytes.
pub fn check_sent(received: &[Sunk], owed: usize, kills: usize) {
    let mut by_id: BTreeMap<String, Vec<&Sunk>> = BTreeMap::new();
    for mail in received {
        by_id.entry(message_id(&mail.bytes)).or_default().push(mail);
    }
    assert_eq!(by_id.len(), owed, "distinct mails sent");
    let repeated = received.len() - by_id.len();
    assert!(repeated <= kills, "{repeated} mails sent again after {kills} kills");
    for (id, copies) in by_id {
        assert!(copies.iter().all(|copy| copy.bytes == copies[0].bytes), "copies of {id} differ");
    }
}

/// The Message-ID of a mail of ours.
pub fn message_id(mail: &[u8]) -> String {
    let text = String::from_utf8_lossy(mail);
    let line = text
        .lines()
        .take_while(|l| !l.is_empty())
        .find(|l| l.to_ascii_lowercase().starts_with("message-id:"));
    line.and_then(|l| l.split_once(':')).expect("a mail of ours has a Message-ID").1.trim().to_owned()
}
