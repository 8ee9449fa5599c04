//! `maildesk restore`

use std::path::{Path, PathBuf};

use serde_json::json;

use super::context::{connect, read_key, write_key};
use super::input::{PassphraseInput, secret_of};
use super::output::{CliError, Output};
use super::sink::Shown;
use super::{Context, code};
use crate::backup::{self, Opened, Unlock};
use crate::clock::{Clock, Micros};
use crate::config::{Config, Handled, KeySource, MailboxSpec};
use crate::control::Progress;
use crate::seal::SealingKey;
use crate::store::{Manner, Owner, Restoring, Store};

/// Bring a backup back into an empty store; the desk is held until --go-live
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The restored desk takes nothing in and sends nothing until it goes live: look around first, with `maildesk doctor`.\n\
    Mail that the backup does not know as sent waits in hold until `maildesk queue release`. No daemon may run on the\n\
    store.\n\n\
    Example:\n  maildesk restore --ask-passphrase desk.backup\n  maildesk doctor\n  maildesk restore --go-live"
)]
pub struct Args {
    #[arg(required_unless_present = "go_live", conflicts_with = "go_live")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub passphrase: PassphraseInput,
    /// The sealing key of that desk, where the backup is without it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["passphrase_file", "ask_passphrase"])]
    pub key_file: Option<PathBuf>,
    /// Throw away what the store holds
    #[arg(long)]
    pub replace: bool,
    /// Only look whether the backup is whole and its key opens it
    #[arg(long)]
    pub check: bool,
    /// Let the restored desk take mail in and send
    #[arg(long)]
    pub go_live: bool,
}

/// On no desk yet: there is none before this is done.
pub async fn run_alone(
    args: &Args,
    file: &Path,
    (config, stdin): (&Config, &[u8]),
) -> Result<Output, CliError> {
    let mut bar = Shown::default();
    let shown = move |done: u64, total: u64| {
        bar.show(&Progress { done, total, words: "rows checked".into() });
    };
    let unlock = unlock(args, config, stdin)?;
    let mut opened = backup::open(file, unlock, Box::new(shown)).await?;
    if args.check {
        let words = format!(
            "{} is whole: {} rows, as of {}, and its key is known.",
            file.display(),
            opened.header.rows(),
            opened.header.taken.rfc3339()
        );
        let found = json!({
            "file": file, "rows": opened.header.rows(), "taken": opened.header.taken.rfc3339(),
            "has_key": opened.header.key.is_some(),
        });
        return Ok(Output::said(words, found));
    }
    let store = connect(config).await?;
    if store.schema().await?.found == 0 {
        store.migrate().await?;
    }
    store.require_ready().await?;
    let clock = Clock::system();
    let owner = Owner { command: "restore", pid: std::process::id(), since: clock.now() };
    let hold = store.hold(&owner, Manner::Alone).await?;
    let key_words = place_key(&config.keys, &opened.key)?;
    let restored = bring_back(&store, &mut opened, args.replace, clock.now()).await;
    if let (Err(_), Some(made)) = (&restored, &key_words) {
        // It belongs to a desk that is not here.
        drop(std::fs::remove_file(made));
    }
    restored?;
    drop(hold);
    summary(&store, file, &opened, key_words.as_deref()).await
}

async fn bring_back(store: &Store, opened: &mut Opened, replaces: bool, now: Micros) -> Result<(), CliError> {
    let rows = opened.header.rows();
    let mut bar = Shown::default();
    let mut told = |copied: crate::store::Copied<'_>| {
        let words = format!("rows restored, {}", copied.table);
        bar.show(&Progress { done: copied.rows, total: rows, words });
    };
    let how = Restoring { header: &opened.header, replaces, now };
    Ok(store.restore(&mut opened.file, how, &mut told).await?)
}

/// A passphrase or key that was given; else the key that the configuration has.
fn unlock(args: &Args, config: &Config, stdin: &[u8]) -> Result<Unlock, CliError> {
    if let Some(path) = &args.key_file {
        return Ok(Unlock::Key(read_key(path)?));
    }
    if let Some(passphrase) = secret_of(stdin)? {
        return Ok(Unlock::Passphrase(passphrase));
    }
    Ok(match configured_key(&config.keys)? {
        Some(key) => Unlock::Key(key),
        None => match config.backup.passphrase().map_err(CliError::config)? {
            Some(passphrase) => Unlock::Passphrase(passphrase),
            None => Unlock::Nothing,
        },
    })
}

fn configured_key(source: &KeySource) -> Result<Option<SealingKey>, CliError> {
    match source {
        KeySource::Text(text) => SealingKey::from_text(text.expose())
            .map(Some)
            .map_err(|e| CliError::config(format!("the variable MAILDESK_KEY: {e}"))),
        KeySource::Made(path) if !path.exists() => Ok(None),
        KeySource::Given(path) | KeySource::Made(path) => read_key(path).map(Some),
    }
}

/// The key has to be where the daemon looks for it. Gives the file that was made for it.
fn place_key(source: &KeySource, key: &SealingKey) -> Result<Option<PathBuf>, CliError> {
    match (configured_key(source)?, source) {
        (Some(there), _) if there.to_text() == key.to_text() => Ok(None),
        (None, KeySource::Made(path)) => write_key(path, key).map(|()| Some(path.clone())),
        (_, KeySource::Text(_)) => Err(CliError::config(
            "the variable MAILDESK_KEY holds another key than the backup's: set it to that one",
        )),
        (_, KeySource::Given(path) | KeySource::Made(path)) => Err(CliError::config(format!(
            "{} holds another key than the backup's: move it away, or put the backup's key there",
            path.display()
        ))),
    }
}

async fn summary(
    store: &Store,
    file: &Path,
    opened: &Opened,
    made: Option<&Path>,
) -> Result<Output, CliError> {
    let mut tx = store.read().await?;
    let held = tx.held_mails().await?.len();
    let specs: Vec<MailboxSpec> = tx.mailboxes().await?.into_iter().map(|m| m.spec).collect();
    let restored = tx.restored().await?.ok_or_else(|| CliError::data("the restore left no mark"))?;
    drop(tx);
    let gap = Gap { from: restored.taken, to: restored.restored, specs: &specs };
    let mut human = format!(
        "{}: {} rows restored, as of {}.\n",
        file.display(),
        opened.header.rows(),
        restored.taken.rfc3339()
    );
    if opened.header.key.is_none() {
        human.push_str("The backup is without its key; the key given opens it.\n");
    }
    if let Some(path) = made {
        human.push_str(&format!("The sealing key was written to {}.\n", path.display()));
    }
    human.push_str(&format!(
        "The desk is held: it takes nothing in and sends nothing. {held} mails that it does not know as sent wait in \
         hold.\n{}Look around (`maildesk doctor`), then `maildesk restore --go-live`.\n",
        gap.words()
    ));
    let json = json!({
        "file": file,
        "rows": opened.header.rows(),
        "taken": restored.taken.rfc3339(),
        "restored": restored.restored.rfc3339(),
        "held": true,
        "held_mails": held,
        "key_file": made,
        "backup_has_key": opened.header.key.is_some(),
        "gap": gap.json(),
    });
    Ok(Output { human, json, code: code::OK })
}

/// On the restored desk, here or in its daemon.
pub async fn go_live(context: &Context) -> Result<Output, CliError> {
    let now = context.clock.now();
    let mut tx = context.store.write().await?;
    let Some(restored) = tx.go_live(now).await? else {
        return Err(CliError::data("this desk is not held: there is nothing to let go"));
    };
    let held = tx.held_mails().await?.len();
    let specs: Vec<MailboxSpec> = tx.mailboxes().await?.into_iter().map(|m| m.spec).collect();
    tx.commit().await?;
    context.works.wake.notify_one();
    let gap = Gap { from: restored.taken, to: now, specs: &specs };
    let human = format!(
        "The desk is live: mail is taken in and new mail is sent.\n{held} mails wait in hold: `maildesk queue list \
         --state held` shows them, `maildesk queue release` sends, `maildesk queue cancel` does not.\n{}",
        gap.words()
    );
    let json = json!({
        "live": now.rfc3339(), "taken": restored.taken.rfc3339(), "held_mails": held, "gap": gap.json(),
    });
    Ok(Output { human, json, code: code::OK })
}

/// The time of which the restored desk knows nothing, and what of it can be had again.
struct Gap<'a> {
    from: Micros,
    to: Micros,
    specs: &'a [MailboxSpec],
}

impl Gap<'_> {
    fn named(&self, handled: Handled) -> Vec<&str> {
        self.specs.iter().filter(|s| s.handled == handled).map(|s| s.name.as_str()).collect()
    }

    fn words(&self) -> String {
        let (from, to) = (self.from.rfc3339(), self.to.rfc3339());
        let mut words = String::new();
        let lost = self.named(Handled::Delete);
        if !lost.is_empty() {
            words.push_str(&format!(
                "From {from} to {to} the source can no longer help for {}: mail that was handled then was deleted \
                 there. What still lies in the mailbox is taken in.\n",
                lost.join(", ")
            ));
        }
        let again = [self.named(Handled::Move), self.named(Handled::Seen)].concat();
        if !again.is_empty() {
            words.push_str(&format!(
                "Handled mail of that time is read again for {}; what follows from it waits in hold.\n",
                again.join(", ")
            ));
        }
        words.push_str("What people did on tickets in that time is not in the backup.\n");
        words
    }

    fn json(&self) -> serde_json::Value {
        let read_again = [self.named(Handled::Move), self.named(Handled::Seen)].concat();
        json!({
            "from": self.from.rfc3339(),
            "to": self.to.rfc3339(),
            "lost": self.named(Handled::Delete),
            "read_again": read_again,
        })
    }
}
