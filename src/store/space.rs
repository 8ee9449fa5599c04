//! Is there room to write? The free disk where the desk's data lies, held against what the operator wants kept free (L7).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Store;
use super::refusal::sqlite_path;
use crate::failure::Failure;

const MB: u64 = 1_000_000;

/// Bytes that are free for us on the file system of a path.
pub type FreeBytes = Arc<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// Asks the file system.
pub fn free_bytes() -> FreeBytes {
    Arc::new(|path| {
        let found = rustix::fs::statvfs(path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    })
}

/// Watches file systems. Cheap to clone; the clones share what they have seen.
#[derive(Clone)]
pub struct Space {
    folders: Vec<PathBuf>,
    min_free: u64,
    free: FreeBytes,
    /// It was short when last looked at.
    was_short: Arc<AtomicBool>,
}

/// Where there is too little, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    pub folder: PathBuf,
    pub free: u64,
    pub needed: u64,
}

impl Space {
    /// `min_free`: bytes; 0 switches it off. PostgreSQL looks after its own disk: of it only the spool is watched.
    pub fn of(store: &Store, spool: &Path, min_free: u64, free: FreeBytes) -> Space {
        let mut folders = vec![spool.to_owned()];
        if store.engine == super::Engine::Sqlite
            && let Some(folder) = sqlite_path(&store.options).parent()
        {
            folders.insert(0, folder.to_owned());
        }
        Space { folders, min_free, free, was_short: Arc::default() }
    }

    /// The first shortage. Once short, a tenth more must be free than else: what wavers around the mark would raise and
    /// clear its alert all day. A file system that cannot be asked stops nothing.
    pub fn shortage(&self) -> Option<Shortage> {
        let more = if self.was_short.load(Ordering::Relaxed) { self.min_free / 10 } else { 0 };
        let needed = self.min_free.saturating_add(more);
        let short = self.folders.iter().filter(|_| self.min_free > 0).find_map(|folder| {
            let free = match (self.free)(folder) {
                Ok(free) => free,
                Err(error) => {
                    tracing::warn!(%error, folder = %folder.display(), "store.space_unknown");
                    return None;
                }
            };
            (free < needed).then(|| Shortage { folder: folder.clone(), free, needed })
        });
        self.was_short.store(short.is_some(), Ordering::Relaxed);
        short
    }

    /// Before anything is taken in.
    pub fn require(&self) -> Result<(), Failure> {
        self.shortage().map_or(Ok(()), |short| Err(Failure::temporary(short.to_string())))
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (free, needed) = (self.free / MB, self.needed.div_ceil(MB));
        let folder = self.folder.display();
        write!(
            f,
            "the disk is nearly full: {free} MB are free at {folder}, {needed} MB are needed to take mail in"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn once_short_a_tenth_more_is_needed() {
        let free = Arc::new(AtomicU64::new(100));
        let told = free.clone();
        let mut space = Space {
            folders: vec!["/a".into(), "/b".into()],
            min_free: 100,
            free: Arc::new(move |path| match path.to_str() {
                Some("/b") => Ok(told.load(Ordering::Relaxed)),
                _ => Err(io::ErrorKind::NotFound.into()),
            }),
            was_short: Arc::default(),
        };
        for (now, expected) in [(100, None), (99, Some(100)), (105, Some(110)), (110, None), (105, None)] {
            free.store(now, Ordering::Relaxed);
            assert_eq!(space.shortage().map(|short| short.needed), expected, "{now} free");
        }
        space.min_free = 0;
        free.store(0, Ordering::Relaxed);
        assert_eq!(space.shortage(), None);
    }

    #[test]
    fn the_file_system_says_how_much_is_free() {
        assert!(free_bytes()(&std::env::temp_dir()).unwrap() > 0);
        assert!(free_bytes()(Path::new("/no/such/folder")).is_err());
    }

    #[test]
    fn the_words_name_the_place_and_the_figures() {
        let short = Shortage { folder: "/var/desk".into(), free: 119_999_999, needed: 500_000_000 };
        let words =
            "the disk is nearly full: 119 MB are free at /var/desk, 500 MB are needed to take mail in";
        assert_eq!(short.to_string(), words);
    }
}
