//! `maildesk import`

use std::io::ErrorKind;
use std::path::PathBuf;

use serde::Serialize;
use tokio::sync::mpsc;

use super::output::{CliError, Output, json};
use super::start::own_actor;
use super::table::{Table, clean};
use super::{Context, code};
use crate::intake::Fates;
use crate::intake::import::Imported;
use crate::intake::source::{Bytes, SPOOL_FROM};
use crate::sources::files::{Files, Found, Unreadable};
use crate::store::MailboxRow;

/// Take old mail in from .eml files, an mbox or a Maildir, silently
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing is sent for what is imported, unless --notify is given. What is known already is not taken in again, so an\n\
    import that was broken off is simply given once more. Folders are searched for *.eml, *.mbox and MH's numbered\n\
    files; of a Maildir its own mail is read, not that of its subfolders: name those too. Beside a running daemon it is\n\
    the daemon that reads the files.\n\n\
    Example:\n  maildesk import --mailbox support archive.mbox"
)]
pub struct Args {
    /// The mailbox that it counts as arrived in
    #[arg(long, value_name = "NAME")]
    pub mailbox: String,
    /// Tell the team and answer, as for mail that has just arrived
    #[arg(long)]
    pub notify: bool,
    /// Files or folders
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// Messages in one batch, however small they are.
const BATCH_MESSAGES: usize = 200;
/// Messages that are read ahead, up to 1 MiB each.
const AHEAD: usize = 4;

pub async fn run(args: Args, context: &Context) -> Result<Output, CliError> {
    let mailbox = context.store.read().await?.find_mailbox(&args.mailbox).await?;
    let paths: Vec<PathBuf> = args.paths.iter().map(|path| context.cwd.join(path)).collect();
    let mut import = Import {
        context,
        mailbox: &mailbox,
        is_silent: !args.notify,
        batch: vec![],
        batch_bytes: 0,
        fates: Fates::default(),
        summary: Summary { mailbox: mailbox.spec.name.clone(), notified: args.notify, ..Summary::default() },
    };
    let (sender, found) = mpsc::channel(AHEAD);
    let spool = context.works.intake.settings.spool.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let files = Files::list(&paths);
        let (size, skipped) = (files.size, files.skipped);
        // Whoever listens no more has failed, and says so.
        files.read(&spool, |found| sender.blocking_send((found, size)).is_ok());
        skipped
    });
    import.take_in(found).await?;
    let skipped = reading.await;
    import.summary.skipped = skipped.map_err(|e| CliError::data(format!("the reading broke off: {e}")))?;
    import.end()
}

struct Import<'a> {
    context: &'a Context,
    mailbox: &'a MailboxRow,
    is_silent: bool,
    batch: Vec<Imported>,
    batch_bytes: u64,
    fates: Fates,
    summary: Summary,
}

#[derive(Default, Serialize)]
struct Summary {
    mailbox: String,
    notified: bool,
    /// Read from the files.
    messages: u64,
    became: Vec<Became>,
    /// Imported before, or there twice.
    known: u64,
    /// Kept, and decided later: the parser died of them, and they have tries left.
    waiting: u64,
    /// Files in folders that do not look like mail.
    skipped: u64,
    unreadable: Vec<Unread>,
}

#[derive(Serialize)]
struct Became {
    act: &'static str,
    code: &'static str,
    count: u64,
}

#[derive(Serialize)]
struct Unread {
    path: PathBuf,
    error: String,
}

impl Import<'_> {
    async fn take_in(&mut self, mut found: mpsc::Receiver<(Found, u64)>) -> Result<(), CliError> {
        let limit = self.context.works.intake.settings.batch_bytes;
        let mut read = 0;
        while let Some((found, size)) = found.recv().await {
            match found {
                Found::Message(message) => {
                    let cost = weight(&message.bytes);
                    if self.batch_bytes + cost > limit || self.batch.len() >= BATCH_MESSAGES {
                        self.settle(read, size).await?;
                    }
                    self.batch.push(message);
                    self.batch_bytes += cost;
                    self.summary.messages += 1;
                }
                Found::Unreadable(one) => self.summary.unreadable.push(self.unread(one)),
                Found::Read(bytes) => read = bytes,
            }
        }
        self.settle(read, read).await
    }

    /// Takes in what has been gathered.
    async fn settle(&mut self, read: u64, size: u64) -> Result<(), CliError> {
        const MB: u64 = 1_000_000;
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        let report = self.context.works.import(self.mailbox, batch, self.is_silent).await?;
        self.fates.merge(&report.fates);
        self.summary.known += report.known;
        self.summary.waiting += report.waiting;
        let words = format!("MB read, {} messages", self.summary.messages);
        self.context.tell(read.div_ceil(MB), size.div_ceil(MB), words);
        Ok(())
    }

    fn unread(&self, one: Unreadable) -> Unread {
        // The daemon's user reads, who need not be the one that asks.
        let reader = own_actor();
        let is_others = one.kind == ErrorKind::PermissionDenied && reader != self.context.actor;
        let hint = match is_others {
            true => {
                format!(": the daemon reads it, as {reader}, and may not; put it where the daemon may read")
            }
            false => String::new(),
        };
        Unread { path: one.path, error: one.words + &hint }
    }

    fn end(mut self) -> Result<Output, CliError> {
        let became = self.fates.0.iter().map(|((act, code), count)| Became { act, code, count: *count });
        self.summary.became = became.collect();
        let exit_code = if self.summary.unreadable.is_empty() { code::OK } else { code::DATA };
        Ok(Output { human: self.summary.text(), json: json(&self.summary)?, code: exit_code })
    }
}

/// A spooled message counts as much as it may hold in memory.
fn weight(bytes: &Bytes) -> u64 {
    match bytes {
        Bytes::Memory(bytes) => bytes.len() as u64,
        Bytes::Spool(..) => SPOOL_FROM,
        Bytes::Gone => 0,
    }
}

impl Summary {
    fn text(&self) -> String {
        let how = if self.notified { "with notifications" } else { "silently" };
        let mut text = format!("{} messages for mailbox {:?}, {how}\n", self.messages, self.mailbox);
        if !self.became.is_empty() {
            let table = Table::of(["ACT", "CODE", "MESSAGES"], "", &self.became, |b| {
                [b.act.into(), b.code.into(), b.count.to_string()]
            });
            text.push_str(&table.to_string());
        }
        for (count, words) in [
            (self.known, "known already"),
            (self.waiting, "kept, to be decided in a later round"),
            (self.skipped, "files skipped in folders: not named like mail"),
        ] {
            if count > 0 {
                text.push_str(&format!("{count} {words}\n"));
            }
        }
        for one in &self.unreadable {
            let path = clean(&one.path.to_string_lossy());
            text.push_str(&format!("not read: {path}: {}\n", one.error));
        }
        text
    }
}
