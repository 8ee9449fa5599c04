//! The demo's folder: made, known again by its mark, emptied of what an earlier demo made. No other folder is touched.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::super::context::make_key;
use super::super::output::CliError;

const MARK: &str = ".maildesk-demo";
const MARK_WORDS: &str =
    "This folder is `maildesk demo`'s: the next demo deletes what this one made in it.\n";
const CONFIG: &str = include_str!("config.toml");

/// What a demo makes. Anything else in its folder is somebody's own, and stays.
const MADE: &[&str] = &[
    "config.toml",
    "Maildir",
    "outgoing",
    "spool",
    "desk.db",
    "desk.db-wal",
    "desk.db-shm",
    "desk.db.lock",
    "maildesk.key",
    "maildesk.sock",
    "maildesk.sock.new",
];

pub struct Folder {
    pub path: PathBuf,
    /// One demo at a time in a folder: the mark is locked while it works.
    _mark: File,
}

impl Folder {
    /// A fresh one, with a configuration, a key and an empty Maildir.
    pub fn make(path: &Path) -> Result<Folder, CliError> {
        let failed = |e: io::Error| CliError::unavailable(format!("{}: {e}", path.display()));
        require_own(path)?;
        fs::create_dir_all(path).map_err(failed)?;
        let mark =
            File::options().read(true).append(true).create(true).open(path.join(MARK)).map_err(failed)?;
        match mark.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path)),
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        fs::write(path.join(MARK), MARK_WORDS).map_err(failed)?;
        for name in MADE {
            remove(&path.join(name)).map_err(failed)?;
        }
        for name in ["new", "cur", "tmp"] {
            fs::create_dir_all(path.join("Maildir").join(name)).map_err(failed)?;
        }
        fs::create_dir_all(path.join("outgoing")).map_err(failed)?;
        fs::write(path.join("config.toml"), CONFIG).map_err(failed)?;
        make_key(&path.join("maildesk.key"))?;
        Ok(Folder { path: path.to_owned(), _mark: mark })
    }

    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// Delivers a message as a mail server does: written in `tmp`, then moved to `new`.
    pub fn deliver(&self, name: &str, message: &[u8]) -> Result<(), CliError> {
        let maildir = self.path.join("Maildir");
        let (unfinished, delivered) = (maildir.join("tmp").join(name), maildir.join("new").join(name));
        fs::write(&unfinished, message)
            .and_then(|()| fs::rename(&unfinished, &delivered))
            .map_err(|e| CliError::unavailable(format!("{}: {e}", delivered.display())))
    }

    /// The files in one of its folders, by name; none where it is not there.
    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.path.join(folder)) else { return vec![] };
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| file.is_file());
        files.sort();
        files
    }
}

/// An empty folder may become a demo's; another must be one already, and nobody may work in it.
fn require_own(path: &Path) -> Result<(), CliError> {
    let failed = |e: io::Error| CliError::unavailable(format!("{}: {e}", path.display()));
    let mut entries = match fs::read_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    if path.join(MARK).is_file() {
        let is_served = UnixStream::connect(path.join("maildesk.sock")).is_ok();
        return if is_served { Err(in_use(path)) } else { Ok(()) };
    }
    match entries.next() {
        None => Ok(()),
        Some(_) => {
            let words = "is there and was made by no demo, so it is left as it is: `--dir` names another";
            Err(CliError::data(format!("the folder {} {words}", path.display())))
        }
    }
}

fn in_use(path: &Path) -> CliError {
    let words = "is at work in it, or a daemon: stop that one first, or name another folder with `--dir`";
    CliError::unavailable(format!("{}: another demo {words}", path.display()))
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
