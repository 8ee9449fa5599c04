//! `maildesk import`

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use serde::Serialize;
use tokio::sync::mpsc;

use super::output::{CliError, Output, json};
use super::start::own_actor;
use super::table::{Table, clean};
use super::{Context, code};
use crate::clock::Micros;
use crate::failure::Failure;
use crate::intake::Fates;
use crate::intake::import::Imported;
use crate::intake::source::{Bytes, Item, SPOOL_FROM, Source as _};
use crate::intake::work::batches;
use crate::sources::files::{Files, Found, Unreadable};
use crate::store::MailboxRow;
use crate::ticket::{ArrivalId, Status};

/// Take old mail in from .eml files, an mbox, a Maildir or a folder of the mailbox, silently
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing is sent for what is imported, unless --notify is given, and nothing is changed where it lies. The oldest\n\
    comes first, so that replies find their tickets; tickets and entries are as old as their mail. What is known\n\
    already is not taken in again, so an import that was broken off is simply given once more. Folders are searched for\n\
    *.eml, *.mbox and MH's numbered files; of a Maildir its subfolders are read too, but for drafts, junk and trash.\n\
    Beside a running daemon it is the daemon that reads the files.\n\n\
    Examples:\n  maildesk import --mailbox support --status closed archive.mbox\n  \
    maildesk import --mailbox support --folder INBOX --folder Archive/2025"
)]
pub struct Args {
    /// The mailbox that it counts as arrived in
    #[arg(long, value_name = "NAME")]
    pub mailbox: String,
    /// Tell the team and answer, as for mail that has just arrived
    #[arg(long)]
    pub notify: bool,
    /// What becomes of the tickets that it opens: open, pending, on_hold, solved or closed; else they are new
    #[arg(long, value_parser = status)]
    pub status: Option<Status>,
    /// A folder on the mailbox's own IMAP server; may be given more than once, the oldest mail first
    #[arg(long, value_name = "FOLDER")]
    pub folder: Vec<String>,
    /// Files or folders
    #[arg(required_unless_present = "folder", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

fn status(name: &str) -> Result<Status, String> {
    let names = || Status::all().map(Status::as_str).collect::<Vec<_>>().join(", ");
    Status::parse(name).ok_or_else(|| format!("must be one of {}", names()))
}

/// Messages in one batch, however small they are.
const BATCH_MESSAGES: usize = 200;
/// Messages that are read ahead, up to 1 MiB each.
const AHEAD: usize = 4;
/// Messages of a folder on a server that are looked at together.
const LOOKED_AT: usize = 500;

pub async fn run(args: Args, context: &Context) -> Result<Output, CliError> {
    let mailbox = context.store.read().await?.find_mailbox(&args.mailbox).await?;
    let paths: Vec<PathBuf> = args.paths.iter().map(|path| context.cwd.join(path)).collect();
    let mut import = Import {
        context,
        mailbox: &mailbox,
        is_silent: !args.notify,
        batch: vec![],
        batch_bytes: 0,
        total: 0,
        fates: Fates::default(),
        arrivals: vec![],
        summary: Summary { mailbox: mailbox.spec.name.clone(), notified: args.notify, ..Summary::default() },
    };
    if !paths.is_empty() {
        let (sender, found) = mpsc::channel(AHEAD);
        let spool = context.works.intake.settings.spool.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let files = Files::list(&paths);
            let skipped = (files.skipped, files.skipped_folders.clone());
            // Whoever listens no more has failed, and says so.
            files.read(&spool, |found| sender.blocking_send(found).is_ok());
            skipped
        });
        import.take_in(found).await?;
        let skipped = reading.await;
        (import.summary.skipped, import.summary.skipped_folders) =
            skipped.map_err(|e| CliError::data(format!("the reading broke off: {e}")))?;
    }
    if !args.folder.is_empty() {
        import.take_in_folders(&args.folder).await?;
    }
    if let Some(status) = args.status.filter(|status| *status != Status::New) {
        let cause = context.cause("import");
        let settled = context.works.desk.settle_imported(&import.arrivals, status, &cause).await?;
        import.summary.settled = Some(Settled { status: status.as_str(), tickets: settled });
    }
    import.end()
}

struct Import<'a> {
    context: &'a Context,
    mailbox: &'a MailboxRow,
    is_silent: bool,
    batch: Vec<Imported>,
    batch_bytes: u64,
    /// Messages that there are, as far as is known.
    total: u64,
    fates: Fates,
    /// Of all that was taken in, now or before.
    arrivals: Vec<ArrivalId>,
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
    /// Subfolders of a Maildir with drafts, junk or trash.
    skipped_folders: Vec<PathBuf>,
    /// The tickets that were given a status.
    settled: Option<Settled>,
    unreadable: Vec<Unread>,
}

#[derive(Serialize)]
struct Settled {
    status: &'static str,
    tickets: u64,
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
    async fn take_in(&mut self, mut found: mpsc::Receiver<Found>) -> Result<(), CliError> {
        while let Some(found) = found.recv().await {
            match found {
                Found::Message(message) => self.add(message).await?,
                Found::Unreadable(one) => self.summary.unreadable.push(self.unread(one)),
                Found::Total(total) => self.total += total,
            }
        }
        self.settle().await
    }

    /// Folder by folder, in each the oldest first. Nothing is marked or moved there.
    async fn take_in_folders(&mut self, folders: &[String]) -> Result<(), CliError> {
        let unavailable = |e: Failure| {
            CliError::unavailable(e.of(format!("mailbox {:?}", self.mailbox.spec.name)).to_string())
        };
        let mut source = self.context.works.old_folders(self.mailbox, folders).await.map_err(unavailable)?;
        for folder in folders {
            let listing = source.open(folder).await.map_err(unavailable)?;
            self.total += listing.items.len() as u64;
            let sizes: HashMap<&str, u64> =
                listing.items.iter().map(|item| (item.source_id.as_str(), item.size)).collect();
            let mut new = vec![];
            for part in listing.items.chunks(LOOKED_AT) {
                let looks = source.peek(part).await.map_err(unavailable)?;
                let (not_yet, known) = self.context.works.intake.not_imported(self.mailbox.id, looks).await?;
                self.summary.messages += known.len() as u64;
                self.summary.known += known.len() as u64;
                self.arrivals.extend(known);
                new.extend(not_yet);
            }
            new.sort_by_key(|(_, received)| *received);
            let received: HashMap<String, Option<Micros>> =
                new.iter().map(|(look, received)| (look.source_id.clone(), *received)).collect();
            let items = new.into_iter().map(|(look, _)| {
                let size = sizes.get(look.source_id.as_str()).copied().unwrap_or_default();
                Item { source_id: look.source_id, size }
            });
            for batch in batches(items.collect(), self.context.works.intake.settings.batch_bytes) {
                for fetched in source.fetch(&batch).await.map_err(unavailable)? {
                    let received = received.get(&fetched.source_id).copied().flatten();
                    match fetched.bytes {
                        Bytes::Gone => {}
                        Bytes::Refused(error) => {
                            let path = PathBuf::from(format!("{folder}/{}", fetched.source_id));
                            self.summary.unreadable.push(Unread { path, error });
                        }
                        bytes => self.add(Imported { bytes, received }).await?,
                    }
                }
            }
            self.settle().await?;
        }
        source.close().await.map_err(unavailable)
    }

    async fn add(&mut self, message: Imported) -> Result<(), CliError> {
        let limit = self.context.works.intake.settings.batch_bytes;
        let cost = weight(&message.bytes);
        if self.batch_bytes + cost > limit || self.batch.len() >= BATCH_MESSAGES {
            self.settle().await?;
        }
        self.batch.push(message);
        self.batch_bytes += cost;
        self.summary.messages += 1;
        Ok(())
    }

    /// Takes in what has been gathered.
    async fn settle(&mut self) -> Result<(), CliError> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        let report = self.context.works.import(self.mailbox, batch, self.is_silent).await?;
        self.fates.merge(&report.fates);
        self.arrivals.extend(report.arrivals);
        self.summary.known += report.known;
        self.summary.waiting += report.waiting;
        let words = format!("messages, {} known already", self.summary.known);
        self.context.tell(self.summary.messages, self.total, words);
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
        Bytes::Gone | Bytes::Refused(_) => 0,
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
        if let Some(settled) = &self.settled {
            text.push_str(&format!("{} tickets are {} now\n", settled.tickets, settled.status));
        }
        for folder in &self.skipped_folders {
            text.push_str(&format!("left out: {}\n", clean(&folder.to_string_lossy())));
        }
        for one in &self.unreadable {
            let path = clean(&one.path.to_string_lossy());
            text.push_str(&format!("not read: {path}: {}\n", one.error));
        }
        text
    }
}
