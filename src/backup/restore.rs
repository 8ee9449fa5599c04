//! A backup on its way back: opened, its key found, everything checked, before a store is touched.

use std::path::Path;

use super::take::Told;
use crate::failure::Failure;
use crate::seal::{SealError, SealingKey, Secret};
use crate::store::{BackupFile, Copied, Error, Header};

/// How the sealing key of a backup is come by.
#[derive(Clone, Debug)]
pub enum Unlock {
    /// The key itself, from a file or the environment.
    Key(SealingKey),
    /// Under which the key lies in the backup.
    Passphrase(Secret),
    Nothing,
}

/// A backup that is whole, unchanged, and whose key is known.
pub struct Opened {
    pub file: BackupFile,
    pub header: Header,
    pub key: SealingKey,
}

/// Checks all of a backup. Every refusal says what is wrong with it, and what to give or to do.
pub async fn open(path: &Path, unlock: Unlock, mut told: Told) -> Result<Opened, Failure> {
    let mut file = BackupFile::open(path).await?;
    let header = file.header().await?;
    let key = key_of(&header, unlock, path).await?;
    file.check_key(&key).await.map_err(|e| match e {
        Error::WrongKey => Failure::permanent(format!(
            "this is not the sealing key of {}: it opens none of its secrets; nothing was restored",
            path.display()
        )),
        other => other.into(),
    })?;
    let rows = header.rows();
    file.check_rows(&header, &mut |copied: Copied<'_>| told(copied.rows, rows)).await?;
    Ok(Opened { file, header, key })
}

async fn key_of(header: &Header, unlock: Unlock, path: &Path) -> Result<SealingKey, Failure> {
    let named = path.display();
    match (unlock, &header.key) {
        (Unlock::Key(key), _) => Ok(key),
        (Unlock::Passphrase(passphrase), Some(wrapped)) => {
            let wrapped = wrapped.clone();
            let opening = tokio::task::spawn_blocking(move || wrapped.open(&passphrase));
            let opened = opening.await.map_err(|e| Failure::temporary("opening the key").because(e))?;
            opened.map_err(|e: SealError| {
                Failure::permanent(format!(
                    "the passphrase does not open the key in {named}; nothing was restored"
                ))
                .because(e)
            })
        }
        (Unlock::Passphrase(_), None) => Err(Failure::permanent(format!(
            "{named} was taken without its key, so no passphrase opens it: give the key file with --key-file"
        ))),
        (Unlock::Nothing, Some(_)) => Err(Failure::permanent(format!(
            "{named} has its key under a passphrase: give it with --passphrase-file or --ask-passphrase, or the key \
             itself with --key-file"
        ))),
        (Unlock::Nothing, None) => Err(Failure::permanent(format!(
            "{named} was taken without its key: give the key file of that desk with --key-file"
        ))),
    }
}
