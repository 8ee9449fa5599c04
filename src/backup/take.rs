//! One backup: written beside its place, checked, synced, and only then moved there.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::clock::Clock;
use crate::failure::Failure;
use crate::seal::{NONCE_BYTES, SealingKey, Secret, WrappedKey, random};
use crate::store::{BackupFile, Copied, Header, Store};

/// What is backed up: a desk, its key, and the time.
#[derive(Clone)]
pub struct Source {
    pub store: Store,
    pub key: SealingKey,
    pub clock: Clock,
}

/// Hears the rows done, and the rows in all.
pub type Told = Box<dyn FnMut(u64, u64) + Send>;

/// A backup that is whole and durable.
#[derive(Clone, Debug, Serialize)]
pub struct Taken {
    pub file: PathBuf,
    pub bytes: u64,
    pub rows: u64,
    /// Nothing that was committed before this moment is missing.
    pub taken: String,
    /// The sealing key goes along, under the passphrase.
    pub has_key: bool,
}

/// Takes a backup of a desk that may be at work. The file must not be there yet; only its owner can read it. `told` hears
/// the rows done and the rows in all, twice: written, then read again.
pub async fn take(
    desk: Source,
    passphrase: Option<Secret>,
    path: &Path,
    told: Told,
) -> Result<Taken, Failure> {
    if path.exists() {
        return Err(Failure::permanent(format!("{} is there already: name a new file", path.display())));
    }
    let part = part_of(path);
    let failed = |e: std::io::Error| Failure::temporary(format!("{}", part.display())).because(e);
    remove_if_there(&part).map_err(failed)?;
    File::options().write(true).create_new(true).mode(0o600).open(&part).map_err(failed)?;
    let taken = write(desk, passphrase, &part, told).await;
    let taken = match taken {
        Ok(header) => settle(&part, path).map(|bytes| (header, bytes)),
        Err(failure) => Err(failure),
    };
    match taken {
        Ok((header, bytes)) => Ok(Taken {
            file: path.to_owned(),
            bytes,
            rows: header.rows(),
            taken: header.taken.rfc3339(),
            has_key: header.key.is_some(),
        }),
        Err(failure) => {
            // What is wrong has been said; a half one is of no use to anybody.
            drop(std::fs::remove_file(&part));
            Err(failure.of(format!("no backup was taken, {}", path.display())))
        }
    }
}

async fn write(
    Source { store, key, clock }: Source,
    passphrase: Option<Secret>,
    part: &Path,
    mut told: Told,
) -> Result<Header, Failure> {
    let wrapped = match passphrase {
        Some(passphrase) => Some(wrap(key.clone(), passphrase).await?),
        None => None,
    };
    let mut file = BackupFile::create(part).await?;
    let rows = store.count_rows(&mut file).await?;
    let header = Header {
        format: 1,
        // Before the snapshot: what is committed in between is in the backup, and may be looked at twice.
        taken: clock.now(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        schema: store.schema().await?.found,
        engine: format!("{:?}", store.engine()).to_lowercase(),
        key: wrapped,
        tables: vec![],
    };
    let mut nonce = [0; NONCE_BYTES];
    nonce.copy_from_slice(&random::<32>()[..NONCE_BYTES]);
    let mut filled = |copied: Copied<'_>| told(copied.rows, rows * 2);
    let header = file.fill(&store, header, (&key, nonce), &mut filled).await?;
    let mut checked = |copied: Copied<'_>| told(rows + copied.rows, rows * 2);
    file.check_whole().await?;
    file.check_rows(&header, &mut checked).await?;
    // A key that was rotated in the middle of it would leave a backup that nobody can open.
    file.check_key(&key).await?;
    file.close().await?;
    Ok(header)
}

async fn wrap(key: SealingKey, passphrase: Secret) -> Result<WrappedKey, Failure> {
    let wrapping = tokio::task::spawn_blocking(move || WrappedKey::wrap(&key, &passphrase, random()));
    let wrapped = wrapping.await.map_err(|e| Failure::temporary("wrapping the key").because(e))?;
    wrapped.map_err(|e| Failure::temporary("wrapping the key").because(e))
}

/// Durable, under its name; gives its length.
fn settle(part: &Path, path: &Path) -> Result<u64, Failure> {
    let failed = |e: std::io::Error| Failure::temporary(path.display().to_string()).because(e);
    let file = File::open(part).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    std::fs::rename(part, path).map_err(failed)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(bytes)
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
