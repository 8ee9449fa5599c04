//! A desk held against what gen.py's manifest says should become of each message.

use std::collections::{BTreeMap, BTreeSet};

use super::{Replies, Spine, is_answered, is_closed};
use crate::support::gen_mail::{Expect, Mail, Message};
use crate::support::inbox::Inbox;
use crate::support::listing::{JournalRow, TicketRow, assert_same};
use crate::support::say;
use crate::support::smtp::Sunk;

impl Spine {
    /// Holds the desk against the manifest.
    pub fn check(&self, main: &Mail, replies: Replies, words: &str) {
        let journal = self.desk.journal();
        let tickets = self.desk.tickets();
        let seeds = seed_tickets(main, &tickets);
        let fates = fates(main, &journal, &tickets);
        say(&table(main, &fates, words));

        let expected: BTreeMap<&str, Fate> =
            main.manifest.iter().map(|m| (m.key.as_str(), Fate::expected(m, replies, &seeds))).collect();
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

    /// Where gen.py's manifest says that it should.
    fn expected(message: &Message, replies: Replies, seeds: &SeedTickets) -> Fate {
        let (act, code) = match (message.expect, replies) {
            (Expect::Ticket, _) => ("open", "new_ticket"),
            (Expect::Comment, Replies::NoTags) => ("append", "reply_by_foreign_id"),
            (Expect::Comment, _) => ("append", "reply_by_tag"),
            (Expect::Note, _) => ("append", "auto_reply_noted"),
            (Expect::Bounce, Replies::NoTags) => ("bounce", "bounce_unmatched"),
            (Expect::Bounce, _) => ("bounce", "bounce_by_tag"),
        };
        let seed = message.seed.filter(|_| message.kind != "seed" && code != "bounce_unmatched");
        let ticket = seed.map(|ordinal| seeds[&ordinal].id);
        Fate { act: act.to_owned(), code: code.to_owned(), ticket, has_ticket: code != "bounce_unmatched" }
    }
}

/// The tickets that the seeds became, by the seeds' ordinals.
pub(super) type SeedTickets = BTreeMap<usize, TicketRow>;

/// Known by the token in the subject; replies to them open no tickets, so no other ticket has it.
pub(super) fn seed_tickets(mail: &Mail, tickets: &[TicketRow]) -> SeedTickets {
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
            "rows of the journal for {} ({} {}): {rows:?}; without a Message-ID: {:?}",
            message.key,
            message.kind,
            message.sub,
            by_id.get("")
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
