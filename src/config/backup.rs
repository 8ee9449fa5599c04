//! `[backup]`: the daemon's own backups.

use std::path::{Path, PathBuf};

use super::section::{Wrong, section};
use super::{read_secret, under};
use crate::seal::Secret;

section! {
    /// The daemon takes a backup every day. `maildesk backup FILE` takes one at any time.
    BackupSection {
        /// The folder that they are written into; it is made if it is absent. Where none is given: `backups` beside the
        /// SQLite file, or with PostgreSQL beside the spool. Better on another disk than the store.
        folder: String = String::new(), example "\"/mnt/other-disk/maildesk\"";
        /// When, as `HH:MM` in UTC; empty: never.
        schedule: String = "03:15".into();
        /// So many are kept; older ones are deleted once a new one is whole.
        keep: u64 = 7;
        /// A file with the passphrase under which the sealing key goes along. Without it a backup has no key, and is of
        /// use only together with the key file: keep a copy of that elsewhere.
        passphrase_file: String = String::new(), example "\"backup.passphrase\"";
    }
}

/// `[backup]`, resolved.
#[derive(Clone, Debug)]
pub struct Backups {
    pub folder: PathBuf,
    /// Minutes past midnight, UTC; none: no backup by itself.
    pub minute: Option<u32>,
    pub keep: usize,
    pub passphrase_file: Option<PathBuf>,
}

impl BackupSection {
    /// `beside`: the folder of the desk's own files.
    pub fn resolve(&self, folder: &Path, beside: &Path) -> Result<Backups, Wrong> {
        if !(1..=1000).contains(&self.keep) {
            return Err(Wrong::new("keep", "must be between 1 and 1000"));
        }
        Ok(Backups {
            folder: match self.folder.as_str() {
                "" => beside.join("backups"),
                named => under(folder, named),
            },
            minute: minute_of(&self.schedule)?,
            keep: usize::try_from(self.keep).unwrap_or(7),
            passphrase_file: (!self.passphrase_file.is_empty()).then(|| under(folder, &self.passphrase_file)),
        })
    }
}

impl Backups {
    /// Read when it is needed; none where no file is named.
    pub fn passphrase(&self) -> Result<Option<Secret>, String> {
        self.passphrase_file.as_deref().map(read_secret).transpose()
    }
}

fn minute_of(schedule: &str) -> Result<Option<u32>, Wrong> {
    if schedule.trim().is_empty() {
        return Ok(None);
    }
    let parts = schedule.trim().split_once(':');
    let minute = parts.and_then(|(h, m)| Some((h.parse::<u32>().ok()?, m.parse::<u32>().ok()?)));
    match minute {
        Some((hours @ 0..24, minutes @ 0..60)) => Ok(Some(hours * 60 + minutes)),
        _ => {
            Err(Wrong::new("schedule", format!("{schedule:?} must be a time of day such as 03:15, or empty")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_a_time_of_day_or_nothing() {
        assert_eq!(minute_of("03:15").unwrap(), Some(195));
        assert_eq!(minute_of("").unwrap(), None);
        for bad in ["24:00", "3", "03:60", "daily", "-1:00"] {
            assert_eq!(minute_of(bad).unwrap_err().key, "schedule", "{bad}");
        }
    }
}
