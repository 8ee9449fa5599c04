//! The main job on mixed mail: a mailbox becomes tickets, each message where it belongs, every mail owed once. By IMAP,
//! and again by POP3 and from a Maildir in which another client moves and flags the mail meanwhile.
//!
//! The mail comes from gen.py: seeds first, which become tickets, then new enquiries, replies, attachments, bounces,
//! automatic answers and broken messages, with what each should become in its manifest.

mod check;

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

pub use check::{check_sent, message_id};

use self::check::seed_tickets;
use crate::support::gen_mail::{Generator, Mail};
use crate::support::inbox::{self, Inbox, Way};
use crate::support::listing::has_ended_busy;
use crate::support::program::{Desk, Store};
use crate::support::smtp::SmtpSink;
use crate::support::{long_tier, say, setting};

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
    generator: Generator,
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
        let size = Size::of_this_run(landing);
        let generator = Generator::find(size.messages, size.seeds)?;
        let sink = SmtpSink::start()?;
        let desk = desk(sink.port)?;
        // These kills are the fault of no message, however often they meet the same one on a slow machine. Of what a
        // message is to blame for, identity::poison tells.
        desk.set_run("tries = 100");
        Some(Spine { size, generator, inbox: None, sink, desk })
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
        let seeds = self.generator.make("seeds", &[]);
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
        let lines = seed_tickets(&seeds, &self.desk.tickets()).into_values();
        let tags = self.generator.tags(&lines.map(|ticket| ticket.tag_line).collect::<Vec<_>>());
        if replies != Replies::NoTags {
            arguments.extend(["--tags", &tags]);
        }
        let main = self.generator.make("main", &arguments);
        // The same generator with the same seed: its seeds are the ones taken in already.
        let of_seeds = |mail: &Mail| mail.seeds().map(|m| m.subject.clone()).collect::<Vec<_>>();
        assert_eq!(of_seeds(&seeds), of_seeds(&main));
        (main, took)
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
