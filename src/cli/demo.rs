//! `maildesk demo`

mod folder;
mod samples;
mod shown;

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use self::folder::Folder;
use self::samples::{ANSWERS, SAMPLES, Sample, Sent};
use super::context::Schema;
use super::output::{CliError, Output, json};
use super::start::{own_actor, print};
use super::{Context, run};
use crate::config::{Config, Env};
use crate::desk::command::Words;
use crate::mail::{self, subject::find_tags};
use crate::store::listing::{ALL, JournalFilter, QueueFilter};
use crate::store::{Manner, Owner};
use crate::ticket::{ArrivalId, LogEntryId, TicketId};
use crate::triage::Decision;

/// All of it on one machine in a minute, without any account or network
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It makes a folder with a Maildir of sample mail, a configuration and a store, takes the mail in, and says what\n\
    became of each message and why. It starts afresh each time and touches no other desk."
)]
pub struct Args {
    /// The folder to work in
    #[arg(long, value_name = "D", default_value = "maildesk-demo")]
    pub dir: PathBuf,
    /// Go on as a daemon afterwards
    #[arg(long)]
    pub serve: bool,
}

/// What became of a sample.
#[derive(Debug, Serialize)]
struct Line {
    message: &'static str,
    /// Where it lies now.
    file: PathBuf,
    arrival: ArrivalId,
    subject: String,
    kind: String,
    act: String,
    code: String,
    reason: String,
    ticket: Option<TicketId>,
    log_entry: Option<LogEntryId>,
}

pub async fn run(args: Args, wants_json: bool, env: &Env) -> Result<Output, CliError> {
    let demo = Demo::open(&args, env).await?;
    let owner = Owner { command: "demo", pid: std::process::id(), since: demo.context.clock.now() };
    let hold = demo.context.store.hold(&owner, Manner::Together).await?;
    demo.deliver(|sample| sample.about.is_none()).await?;
    demo.take_in().await?;
    demo.answer().await?;
    demo.deliver(|sample| sample.about.is_some()).await?;
    demo.take_in().await?;
    let lines = demo.lines().await?;
    let output = match wants_json {
        true => Output { json: json(&lines)?, ..Output::default() },
        false => Output { human: demo.shown(&lines).await?, ..Output::default() },
    };
    if !args.serve {
        return Ok(output);
    }
    print(&Ok(output).into(), wants_json);
    let place = args.dir.join("Maildir").join("new");
    eprintln!("\nThe daemon is running: a mail put into {} is taken in. Ctrl-C ends it.", place.display());
    run::run(run::Args { migrate: false }, demo.context, hold).await
}

struct Demo {
    folder: Folder,
    context: Context,
}

impl Demo {
    async fn open(args: &Args, env: &Env) -> Result<Demo, CliError> {
        let folder = Folder::make(&args.dir)?;
        let config = Config::load(Some(&folder.config()), env)?;
        let context = Context::open(Arc::new(config), Schema::Ready).await?;
        Ok(Demo { folder, context: Context { actor: own_actor(), ..context } })
    }

    /// Puts samples into the Maildir, in their order.
    async fn deliver(&self, is_wanted: fn(&Sample) -> bool) -> Result<(), CliError> {
        let now = self.context.clock.now();
        for sample in SAMPLES.iter().filter(|s| is_wanted(s)) {
            let sent = match sample.about {
                None => None,
                Some((of, purpose)) => Some(self.sent(of, purpose).await?),
            };
            let name = format!("{}.{}.demo", now.0 / 1_000_000 + sample.number() as i64, sample.name);
            self.folder.deliver(&name, sample.message(now, sent.as_ref()).as_bytes())?;
        }
        Ok(())
    }

    /// A round over the mailbox, then everything that is owed goes out.
    async fn take_in(&self) -> Result<(), CliError> {
        let works = &self.context.works;
        for mailbox in works.mailboxes_to_read().await? {
            works.poll(&mailbox).await?;
        }
        works.desk.tell_alerts().await?;
        works.outbound().pass(ALL).await?;
        Ok(())
    }

    /// An agent answers some of the tickets.
    async fn answer(&self) -> Result<(), CliError> {
        for (of, text) in ANSWERS {
            let words = Words { text, agent: "Agent" };
            self.context
                .works
                .desk
                .answer(self.ticket_of(of).await?, &words, None, &self.context.cause("demo"))
                .await?;
        }
        self.context.works.outbound().pass(ALL).await?;
        Ok(())
    }

    async fn ticket_of(&self, sample: &str) -> Result<TicketId, CliError> {
        let lines = self.lines().await?;
        let ticket = lines.iter().find(|line| line.message == sample).and_then(|line| line.ticket);
        ticket.ok_or_else(|| CliError::data(format!("the sample {sample} has become no ticket")))
    }

    /// The mail that we sent about a sample.
    async fn sent(&self, of: &str, purpose: &str) -> Result<Sent, CliError> {
        let filter = QueueFilter {
            ticket: self.ticket_of(of).await?.0,
            purpose: purpose.to_owned(),
            limit: 1,
            ..QueueFilter::default()
        };
        let mut tx = self.context.store.read().await?;
        let mail = tx.list_queue(&filter).await?.pop();
        let mail = mail.ok_or_else(|| CliError::data(format!("nothing was sent about the sample {of}")))?;
        let rules = tx.load_rules().await?;
        let keys = &self.context.works.desk.keys;
        Ok(Sent {
            tag_line: find_tags(&mail.subject).first().map(ToString::to_string).unwrap_or_default(),
            return_path: Some(keys.return_path(mail.id, &rules.bounce_local, &rules.bounce_domain)),
            mail,
        })
    }

    /// What became of the samples so far, in their order.
    async fn lines(&self) -> Result<Vec<Line>, CliError> {
        let mut tx = self.context.store.read().await?;
        let journal = tx.list_journal(&JournalFilter { limit: ALL, ..JournalFilter::default() }).await?;
        let by_name: HashMap<&str, _> =
            journal.iter().filter_map(|j| Some((sample_of(&j.identity)?, j))).collect();
        let files = ["Maildir/new", "Maildir/.Done/cur"].map(|folder| self.folder.files(folder)).concat();
        let mut lines = vec![];
        for sample in SAMPLES {
            let Some(entry) = by_name.get(sample.name) else { continue };
            let Some(row) = tx.journal_row(entry.arrival).await? else { continue };
            let decision: Option<Decision> = serde_json::from_str(&row.decision).ok();
            let file = files.iter().find(|file| sample_of(&file.to_string_lossy()) == Some(sample.name));
            lines.push(Line {
                message: sample.name,
                file: file.cloned().unwrap_or_default(),
                arrival: entry.arrival,
                subject: file.map_or(Ok(String::new()), |file| subject_of(file))?,
                kind: row.kind,
                act: row.act,
                code: row.code,
                reason: decision.map_or(String::new(), |d| d.reason),
                ticket: row.ticket,
                log_entry: row.log_entry,
            });
        }
        Ok(lines)
    }
}

fn subject_of(file: &Path) -> Result<String, CliError> {
    let failed = |e: std::io::Error| CliError::unavailable(format!("{}: {e}", file.display()));
    let skeleton = mail::scan(&mut BufReader::new(File::open(file).map_err(failed)?)).map_err(failed)?;
    Ok(mail::parse(&skeleton).subject)
}

/// Between the dots of a Maildir name.
fn sample_of(name: &str) -> Option<&str> {
    let name = name.rsplit('/').next()?;
    name.split('.').nth(1)
}
