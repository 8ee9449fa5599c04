//! `maildesk replay`: stored mail decided again under today's rules, held against what was decided.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::Context;
use super::context::provision_words;
use super::output::{CliError, Output, json};
use super::table::Table;
use crate::clock::Micros;
use crate::config::{Config, Env};
use crate::intake::replay::{Differing, Replayed};
use crate::store::journal::JournalRow;
use crate::ticket::{ArrivalId, EventNumber, TicketId, TypeId};
use crate::triage::explain::BouncePart;
use crate::triage::{Act, Code, Decision, Effects, Explanation, Kind, Place, Rules};

/// Decide stored mail again under today's rules, and show what would change; nothing is written or sent
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The rules are those of the configuration as it stands in its file, over what the desk has: edit it, replay, and only\n\
    then let the daemon start with it. What the desk knew of each message (copies, tickets, senders) is what it knew when\n\
    it decided. Mail whose evidence was erased is left out, and so is what was set aside unread.\n\
    With --json one object a line for each message that would be decided otherwise, as explain writes it, with `was`\n\
    beside it and in `changed` what differs.\n\n\
    Examples:\n  maildesk replay\n  maildesk replay --since 2026-01-31 --json\n  maildesk replay --config edited.toml"
)]
pub struct Args {
    /// Only mail that was decided since then: 2026-01-31 or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<Micros>,
}

/// Messages that are decided again together.
const PAGE: i64 = 50;
/// Reasons that are told of messages that were left out.
const LEFT_SHOWN: usize = 5;

/// Under the configuration that the command has read.
pub async fn run(args: &Args, context: &Context) -> Result<Output, CliError> {
    let rules = rules(&context.config, context).await?;
    Replay::new(rules, context).await?.run(args.since).await
}

/// In the daemon, which has read its file at its start: it is the file of now that counts.
pub async fn in_daemon(args: &Args, named: Option<&Path>, context: &Context) -> Result<Output, CliError> {
    let path = named.map_or(context.config.path.clone(), |named| context.cwd.join(named));
    let config = Arc::new(Config::load(Some(&path), &Env::read())?);
    run(args, &Context { config, ..context.clone() }).await
}

async fn rules(config: &Config, context: &Context) -> Result<Arc<Rules>, CliError> {
    let rules = context.store.rules_if_declared(&config.declared()?, &context.stamp()).await;
    Ok(Arc::new(rules.map_err(|e| provision_words(e, config))?))
}

struct Replay<'a> {
    context: &'a Context,
    rules: Arc<Rules>,
    /// Of all types, those switched off too.
    types: BTreeMap<i64, String>,
    done: u64,
    differing: Vec<Line>,
    differing_count: u64,
    left: Vec<(ArrivalId, String)>,
}

/// A message that would be decided otherwise, for programs.
#[derive(Serialize)]
struct Shown<'a> {
    arrival: ArrivalId,
    /// What differs.
    changed: &'a [&'static str],
    was: Was,
    effects: Effects,
    #[serde(flatten)]
    explanation: Explanation,
}

/// What stands.
#[derive(Serialize)]
struct Was {
    kind: Kind,
    act: Act,
    code: Code,
    reason: String,
    r#type: Option<String>,
    ticket: Option<TicketId>,
    effects: Effects,
    bounces: Vec<BouncePart>,
}

/// The same for people.
struct Line {
    arrival: ArrivalId,
    from: String,
    subject: String,
    was: String,
    would_be: String,
    changed: String,
}

impl<'a> Replay<'a> {
    async fn new(rules: Arc<Rules>, context: &'a Context) -> Result<Replay<'a>, CliError> {
        let types = context.store.read().await?.types().await?;
        let mut types: BTreeMap<i64, String> = types.into_iter().map(|t| (t.id.0, t.spec.name)).collect();
        types.extend(rules.types.iter().map(|rule| (rule.id.0, rule.name.clone())));
        Ok(Replay { context, rules, types, done: 0, differing: vec![], differing_count: 0, left: vec![] })
    }

    /// In the order of the decisions. What is decided meanwhile is not looked at.
    async fn run(mut self, since: Option<Micros>) -> Result<Output, CliError> {
        let since = since.unwrap_or(Micros(i64::MIN));
        let (mut from, last, total) = self.context.store.read().await?.decided_since(since).await?;
        loop {
            let mut rows = self.context.store.read().await?.journal_from(from, PAGE).await?;
            rows.retain(|row| row.number <= last);
            let Some(end) = rows.last().map(|row| row.number) else { break };
            from = EventNumber(end.0 + 1);
            self.page(rows).await?;
            let words = format!("messages, {} differ", self.differing_count);
            self.context.tell(self.done, total.max(self.done), words);
        }
        Ok(Output {
            human: if self.context.wants_json { String::new() } else { self.text() },
            ..Output::default()
        })
    }

    async fn page(&mut self, rows: Vec<JournalRow>) -> Result<(), CliError> {
        self.done += rows.len() as u64;
        for one in self.context.works.intake.replay(rows, &self.rules).await? {
            match one {
                Replayed::Same => {}
                Replayed::Left(arrival, words) => self.left.push((arrival, words)),
                Replayed::Differs(differing) => self.show(&differing).await?,
            }
        }
        Ok(())
    }

    /// Programs are told at once, however many there are; people get a table in the end.
    async fn show(&mut self, differing: &Differing) -> Result<(), CliError> {
        self.differing_count += 1;
        let Differing { again, before, in_what } = differing;
        if !self.context.wants_json {
            let message = &again.message;
            self.differing.push(Line {
                arrival: again.row.arrival,
                from: message.from.as_ref().map(|f| f.address.to_string()).unwrap_or_default(),
                subject: message.subject.clone(),
                was: self.words(before),
                would_be: self.words(&again.decision),
                changed: in_what.join(", "),
            });
            return Ok(());
        }
        let explained = |decision: &Decision| {
            let place = Place { type_name: self.type_name(decision.type_id), ..Place::default() };
            Explanation::of(&again.message, decision, &place)
        };
        let was = explained(before);
        let shown = Shown {
            arrival: again.row.arrival,
            changed: in_what,
            was: Was {
                kind: was.kind,
                act: was.act,
                code: was.code,
                reason: was.reason,
                r#type: was.r#type,
                ticket: again.row.ticket.or(was.ticket),
                effects: before.effects,
                bounces: was.bounces,
            },
            effects: again.decision.effects,
            explanation: explained(&again.decision),
        };
        self.context.hand_out(format!("{}\n", json(&shown)?).into_bytes()).await
    }

    fn type_name(&self, id: Option<TypeId>) -> Option<&str> {
        id.and_then(|id| self.types.get(&id.0)).map(String::as_str)
    }

    fn words(&self, decision: &Decision) -> String {
        let of_type = self.type_name(decision.type_id).map(|name| format!(", {name}")).unwrap_or_default();
        let ticket = decision.ticket.map(|id| format!(" #{id}")).unwrap_or_default();
        format!("{} {}{ticket}{of_type}", decision.act.as_str(), decision.code.as_str())
    }

    fn text(&self) -> String {
        let mut text = match (self.differing_count, self.done) {
            (0, done) => format!("{done} messages decided again: no difference\n"),
            (differ, done) => format!("{done} messages decided again: {differ} would be decided otherwise\n"),
        };
        for (arrival, words) in self.left.iter().take(LEFT_SHOWN) {
            text.push_str(&format!("left out: arrival {arrival}: {words}\n"));
        }
        if self.left.len() > LEFT_SHOWN {
            text.push_str(&format!("left out: {} messages in all\n", self.left.len()));
        }
        if !self.differing.is_empty() {
            let heads = ["ARRIVAL", "FROM", "SUBJECT", "WAS", "WOULD BE", "CHANGED"];
            let table = Table::of(heads, "", &self.differing, |line| {
                let Line { arrival, from, subject, was, would_be, changed } = line;
                [
                    arrival.to_string(),
                    from.clone(),
                    subject.clone(),
                    was.clone(),
                    would_be.clone(),
                    changed.clone(),
                ]
            });
            text.push_str(&table.to_string());
        }
        text
    }
}
