//! `[backup]`: the daemon's own backups.

use std::path::{Path, PathBuf};

use super::section::{Wrong, section};
use super::{read_secret, under};
use crate::schedule::Schedule;
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
    /// None: no backup by itself.
    pub schedule: Option<Schedule>,
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
            schedule: daily_at(&self.schedule)?,
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

/// Every day at a time of day, UTC.
fn daily_at(time: &str) -> Result<Option<Schedule>, Wrong> {
    if time.trim().is_empty() {
        return Ok(None);
    }
    let parts = time.trim().split_once(':');
    let parts = parts.and_then(|(h, m)| Some((h.parse::<u32>().ok()?, m.parse::<u32>().ok()?)));
    let schedule = parts.and_then(|(h, m)| Schedule::parse(&format!("{m} {h} * * *"), "UTC").ok());
    let wrong = || Wrong::new("schedule", format!("{time:?} must be a time of day such as 03:15, or empty"));
    schedule.map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_a_time_of_day_or_nothing() {
        let at = |text: &str| text.parse::<crate::clock::Micros>().unwrap();
        let daily = daily_at("03:15").unwrap().unwrap();
        let next = daily.next_after(at("2026-11-22T03:15:00Z")).unwrap();
        assert_eq!(next.rfc3339(), "2026-11-23T03:15:00Z");
        assert_eq!(daily_at("").unwrap(), None);
        for bad in ["24:00", "3", "03:60", "daily", "-1:00"] {
            assert_eq!(daily_at(bad).unwrap_err().key, "schedule", "{bad}");
        }
    }
}
