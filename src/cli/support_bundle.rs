//! `maildesk support-bundle`

mod blackout;

use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use self::blackout::Blackout;
use super::output::{CliError, Output, json as as_json};
use super::{Context, doctor};
use crate::config::example;
use crate::seal::random;
use crate::store::listing::JournalFilter;
use crate::store::{Schema, Tx};

/// What somebody who helps needs to know, without what is private: a .tar.gz to be looked through and sent
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Addresses, names, subjects, words of mails and Message-IDs are left out or stand as pseudonyms that are the same\n\
    within one bundle and nowhere else. Passwords and keys are not in it. Look through it before you send it.\n\n\
    Example:\n  maildesk support-bundle desk.tar.gz && tar tzf desk.tar.gz"
)]
pub struct Args {
    /// A new file
    pub file: PathBuf,
    /// How many of the newest rows of journal and queue
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub rows: u32,
    /// Do not talk to the servers
    #[arg(long)]
    pub offline: bool,
}

pub async fn run(args: Args, context: &Context) -> Result<Output, CliError> {
    let path = context.cwd.join(&args.file);
    if path.exists() {
        return Err(CliError::data(format!("{} is there already: name a new file", path.display())));
    }
    let mut parts = gather(&args, context).await?;
    let mut tx = context.store.read().await?;
    let blackout = Blackout::new(random(), private_words(&mut tx, context).await?);
    drop(tx);
    for (_, value) in &mut parts {
        blackout.apply(value);
    }
    let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
    let listed = names.join(", ");
    let bytes =
        write(&path, &parts).map_err(|e| CliError::unavailable(format!("{}: {e}", path.display())))?;
    let words = format!(
        "{}: {bytes} bytes: {listed}.\nNo password is in it; addresses and subjects stand as pseudonyms. Look through it \
         before you send it.",
        path.display()
    );
    Ok(Output::said(words, json!({ "file": path, "bytes": bytes, "parts": names })))
}

/// The parts, each a file, not yet blacked out.
async fn gather(args: &Args, context: &Context) -> Result<Vec<(&'static str, Value)>, CliError> {
    let limit = i64::from(args.rows);
    let findings = match args.offline {
        true => Value::Null,
        false => as_json(&doctor::examine(&doctor::Args { mail: false, within: 0 }, context).await?)?,
    };
    let Schema { found, needed } = context.store.schema().await?;
    let mut tx = context.store.read().await?;
    let journal = JournalFilter { limit, ..JournalFilter::default() };
    Ok(vec![
        (
            "about.json",
            json!({
                "version": env!("CARGO_PKG_VERSION"),
                "engine": format!("{:?}", context.store.engine()),
                "schema": found,
                "schema_needed": needed,
                "taken": context.clock.now().rfc3339(),
                "daemon": context.is_daemon,
                "restored": as_json(&tx.restored().await?)?,
            }),
        ),
        ("config.json", example::show_json(&context.config.written)),
        ("counts.json", as_json(&tx.census().await?)?),
        ("alerts.json", as_json(&tx.list_alerts(true, limit).await?)?),
        ("mailboxes.json", as_json(&tx.list_mailboxes().await?)?),
        ("balances.json", as_json(&tx.list_balances().await?)?),
        ("doctor.json", findings),
        ("journal.json", as_json(&tx.list_journal(&journal).await?)?),
        ("queue.json", as_json(&tx.queue_states(limit).await?)?),
    ])
}

/// Names and accounts that the desk knows, wherever they may stand in a sentence.
async fn private_words(tx: &mut Tx, context: &Context) -> Result<Vec<String>, CliError> {
    let mut words = tx.private_words().await?;
    for mailbox in tx.mailboxes().await? {
        words.push(mailbox.spec.username);
    }
    for relay in tx.relays().await? {
        words.push(relay.spec.username);
    }
    for account in &context.config.written.account {
        words.extend([account.login.clone(), account.name.clone()]);
    }
    Ok(words)
}

fn write(path: &Path, parts: &[(&str, Value)]) -> std::io::Result<u64> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path)?;
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    for (name, value) in parts {
        let text = serde_json::to_vec_pretty(value)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_cksum();
        archive.append_data(&mut header, format!("maildesk-support/{name}"), &text[..])?;
    }
    let file = archive.into_inner()?.finish()?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}
