//! The daily backup: under which name, and how many are kept. One that fails raises an alert, the next good one
//! clears it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::take::{Source, Taken, take};
use crate::alert::Alerts;
use crate::clock::Micros;
use crate::config::Backups;
use crate::failure::Failure;

/// After a backup that failed, the next try.
const RETRY: Duration = Duration::from_secs(60 * 60);
/// The name of the alert about a backup that failed.
const ALERT: &str = "backup:failing";
/// The setting that says when the last backup was whole.
pub const LAST: &str = "last_backup";

/// What the daemon's own backups need.
#[derive(Clone)]
pub struct Daily {
    pub source: Source,
    pub alerts: Alerts,
    pub settings: Backups,
}

impl Daily {
    /// Takes a backup, again each hour until it is whole; says which file it is.
    pub async fn take_at_last(&self) -> String {
        loop {
            match self.run().await {
                Ok(taken) => return taken.file.display().to_string(),
                Err(failure) => tracing::warn!("backup.failed {failure}"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Takes a backup, and lets go of those that are too many. How it went is an alert.
    pub async fn run(&self) -> Result<Taken, Failure> {
        let taken = self.take_and_prune().await;
        let words = taken.as_ref().err().map(|failure| {
            format!("{failure}. It is tried again each hour; `maildesk backup FILE` tries at once")
        });
        self.alerts.state(ALERT, words.as_deref()).await?;
        if let Ok(taken) = &taken {
            tracing::info!(
                file = %taken.file.display(), bytes = taken.bytes, rows = taken.rows, with_key = taken.has_key,
                "backup.taken"
            );
        }
        taken
    }

    async fn take_and_prune(&self) -> Result<Taken, Failure> {
        let Backups { folder, keep, .. } = &self.settings;
        let failed =
            |e: std::io::Error| Failure::temporary(format!("backups in {}", folder.display())).because(e);
        make_folder(folder).map_err(failed)?;
        sweep(folder).map_err(failed)?;
        let passphrase = self.settings.passphrase();
        let passphrase =
            passphrase.map_err(|words| Failure::permanent(format!("backup.passphrase_file: {words}")))?;
        let now = self.source.clock.now();
        let path = folder.join(name_at(now));
        let taken = take(self.source.clone(), passphrase, &path, Box::new(|_, _| ())).await?;
        self.note(now).await?;
        for old in too_many(files(folder).map_err(failed)?, *keep) {
            std::fs::remove_file(&old).map_err(failed)?;
            tracing::info!(file = %old.display(), "backup.removed");
        }
        Ok(taken)
    }

    async fn note(&self, now: Micros) -> Result<(), Failure> {
        let mut tx = self.source.store.write().await?;
        tx.set_setting(LAST, &now.0.to_string()).await?;
        Ok(tx.commit().await?)
    }

    /// The newest of its files.
    pub fn newest(settings: &Backups) -> Option<PathBuf> {
        files(&settings.folder).ok()?.pop()
    }
}

/// Only its owner looks into it: customers' mail lies there.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

const PREFIX: &str = "maildesk-";
const SUFFIX: &str = ".backup";

/// `maildesk-20261122T031500Z.backup`: by name is by time.
fn name_at(now: Micros) -> String {
    let stamp: String = now.rfc3339().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{PREFIX}{stamp}{SUFFIX}")
}

/// Takes away what a backup that was cut off has left. One at a time is taken into this folder.
fn sweep(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(PREFIX) && name.contains(&format!("{SUFFIX}.part")) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The files of the rotation in a folder, oldest first. Others that lie there are nobody's business.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let stamp = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
        if stamp.is_some_and(|stamp| stamp.len() == 16 && stamp.ends_with('Z')) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn too_many(mut files: Vec<PathBuf>, keep: usize) -> Vec<PathBuf> {
    files.truncate(files.len().saturating_sub(keep));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_rotation_s_own_files_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let day = |n: i64| name_at(Micros(n * 24 * 60 * 60 * Micros::SECOND));
        for name in [&day(3), &day(1), &day(2), "maildesk-mine.backup", "desk.db"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let gone = too_many(files(folder.path()).unwrap(), 2);
        assert_eq!(gone, [folder.path().join(day(1))]);
        assert_eq!(day(1), "maildesk-19700102T000000Z.backup");
    }
}
