//! `maildesk key …`

use std::path::{Path, PathBuf};

use serde_json::json;

use super::Context;
use super::context::{read_key, sync_folder, write_key};
use super::output::{CliError, Output};
use crate::clock::Micros;
use crate::config::KeySource;
use crate::seal::{SealingKey, random};
use crate::store::{Error, Store};

#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    Rotate(RotateArgs),
}

/// A new sealing key, and a new key for Message-IDs and return paths
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every secret is sealed anew with one commit. The old key file stays beside the new one under a name with the\n\
    date: backups that were taken without their key open with it. Old Message-IDs stay known."
)]
pub struct RotateArgs {
    /// Only the key for Message-IDs and return paths; the sealing key stays
    #[arg(long)]
    pub mail_only: bool,
}

pub async fn run(verb: Verb, context: &Context) -> Result<Output, CliError> {
    require_alone(context).await?;
    match verb {
        Verb::Rotate(args) if args.mail_only => {
            let mut tx = context.store.write().await?;
            let mail_key = tx.add_mail_key(&context.stamp()).await?;
            tx.commit().await?;
            renew_mail_keys(context).await?;
            let words = format!("Message-IDs and return paths are made with key {mail_key} from now on.");
            Ok(Output::said(words, json!({ "mail_key": mail_key, "secrets": 0, "old_key_file": null })))
        }
        Verb::Rotate(_) => rotate(context).await,
    }
}

/// Another daemon would go on with the old keys.
async fn require_alone(context: &Context) -> Result<(), CliError> {
    let leases = &context.works.leases;
    let ours = leases.life().map(|life| life.id.clone());
    let others = leases.sight().await?.daemons;
    let others: Vec<String> =
        others.iter().filter(|daemon| Some(&daemon.id) != ours.as_ref()).map(ToString::to_string).collect();
    if others.is_empty() {
        return Ok(());
    }
    let others = others.join("; ");
    Err(CliError::unavailable(format!(
        "other daemons work with the keys of this desk: {others}. Stop them, rotate, put the new key file where they have \
         theirs, and start them"
    )))
}

async fn rotate(context: &Context) -> Result<Output, CliError> {
    let path = key_file(&context.config.keys)?;
    let next = next_of(path);
    if next.exists() {
        settle(path, &context.key, context.clock.now())?;
    }
    let new = SealingKey::new(random());
    write_key(&next, &new)?;
    let (secrets, mail_key) = reseal(context, &new, &next).await?;
    let old = settle(path, &context.key, context.clock.now())?;
    context.key.forget_old();
    renew_mail_keys(context).await?;
    let kept = old.as_deref().map_or(String::new(), |old| {
        format!(
            "\nThe old key is {}: keep it as long as backups that were taken without their key, then destroy it.",
            old.display()
        )
    });
    let words = format!(
        "{secrets} secrets are sealed under a new key in {}; Message-IDs are made with key {mail_key} from now on.\n\
         Keep a copy of the new key apart from the store.{kept}",
        path.display()
    );
    Ok(Output::said(words, json!({ "mail_key": mail_key, "secrets": secrets, "old_key_file": old })))
}

/// One commit: before it the old key holds, after it the new one, and both lie on the disk.
async fn reseal(context: &Context, new: &SealingKey, next: &Path) -> Result<(u64, i64), CliError> {
    context.key.turn_to(new);
    let resealed = async {
        let mut tx = context.store.write().await?;
        let secrets = tx.reseal(&context.stamp()).await?;
        let mail_key = tx.add_mail_key(&context.stamp()).await?;
        Ok::<_, Error>((tx, secrets, mail_key))
    };
    let (tx, secrets, mail_key) = match resealed.await {
        Ok(done) => done,
        Err(error) => {
            context.key.turn_back();
            // A leftover is known as such at the next start.
            drop(std::fs::remove_file(next));
            return Err(error.into());
        }
    };
    // Whether a commit that fails was carried out nobody knows: both keys stay, and the next start finds the right one.
    tx.commit().await.map_err(|e| {
        CliError::unavailable(format!(
            "{e}; whether the new key holds is not known: start maildesk again, it finds the right one of {} and {}",
            next.display(),
            next.with_extension("").display()
        ))
    })?;
    Ok((secrets, mail_key))
}

async fn renew_mail_keys(context: &Context) -> Result<(), CliError> {
    let keys = context.store.read().await?.mail_keys(&context.key).await?;
    context.works.desk.keys.replace(&keys);
    Ok(())
}

/// The file that a rotation may write; where there is none, what to do instead.
fn key_file(source: &KeySource) -> Result<&Path, CliError> {
    let (place, back) = match source {
        KeySource::Made(path) => return Ok(path),
        KeySource::Text(_) => {
            ("the variable MAILDESK_KEY".to_owned(), "set the variable to what that file holds then")
        }
        KeySource::Given(path) => {
            (format!("the credential {}", path.display()), "make the credential of what that file holds then")
        }
    };
    Err(CliError::config(format!(
        "the sealing key comes from {place}, which maildesk cannot write: stop the daemon, put the key into a file that \
         `file` in [keys] names, run `maildesk key rotate`, and {back}; `key rotate --mail-only` works as it is"
    )))
}

fn next_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    name.into()
}

/// The key that the store is sealed under, where a rotation was cut off between its commit and its end.
pub(super) async fn after_a_cut(path: &Path, key: SealingKey, store: &Store) -> Result<SealingKey, CliError> {
    let next = next_of(path);
    if !next.exists() || store.read().await?.opens_with(&key).await? {
        return Ok(key);
    }
    let new = read_key(&next)?;
    if !store.read().await?.opens_with(&new).await? {
        return Ok(key);
    }
    settle(path, &new, crate::clock::Clock::system().now())?;
    Ok(new)
}

/// Puts the file with the key that holds now in its place, if it lies beside it; a file with another key goes. Gives the
/// name of the old key's file.
fn settle(path: &Path, key: &SealingKey, now: Micros) -> Result<Option<PathBuf>, CliError> {
    let next = next_of(path);
    let failed = |e: std::io::Error| {
        CliError::unavailable(format!("{}: {e}; the key that holds is in {}", path.display(), next.display()))
    };
    if read_key(&next)?.to_text() != key.to_text() {
        std::fs::remove_file(&next).map_err(failed)?;
        return Ok(None);
    }
    let stamp: String = now.rfc3339().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let mut old = path.as_os_str().to_owned();
    old.push(format!(".old-{stamp}"));
    let old = PathBuf::from(old);
    match std::fs::hard_link(path, &old) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(e)),
        _ => {}
    }
    std::fs::rename(&next, path).and_then(|()| sync_folder(path)).map_err(failed)?;
    Ok(Some(old))
}
