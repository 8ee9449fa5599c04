//! Old mail in files: .eml, mbox, Maildirs, and folders of these. What lies there is only read.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::maildir::{delivery_order, read_whole};
use super::mbox::{Mbox, begins_mbox};
use crate::intake::import::Imported;

/// Read from an mbox at a time.
const BUFFER: usize = 256 << 10;

/// The files to read, in order.
#[derive(Debug, Default)]
pub struct Files {
    files: Vec<PathBuf>,
    /// Of all of them together.
    pub size: u64,
    /// Files in folders that do not look like mail by their names.
    pub skipped: u64,
    unreadable: Vec<Unreadable>,
}

/// What could not be read, and why.
#[derive(Clone, Debug)]
pub struct Unreadable {
    pub path: PathBuf,
    pub kind: io::ErrorKind,
    pub words: String,
}

/// What a file holds.
pub enum Found {
    Message(Imported),
    Unreadable(Unreadable),
    /// So many bytes of `size` have been read.
    Read(u64),
}

impl Found {
    /// Of a file that so many bytes of others were read before.
    fn behind(self, before: u64) -> Found {
        match self {
            Found::Read(bytes) => Found::Read(before + bytes),
            other => other,
        }
    }
}

impl Files {
    /// Lists what the paths name: a file itself; of a Maildir what lies in `new` and `cur`, in order of delivery; of
    /// another folder, and the folders in it, what looks like mail by its name.
    pub fn list(paths: &[PathBuf]) -> Files {
        let mut files = Files::default();
        for path in paths {
            let listed = files.add(path);
            files.note(path, listed);
        }
        files
    }

    fn add(&mut self, path: &Path) -> io::Result<()> {
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            return self.add_folder(path);
        }
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a folder"));
        }
        self.size += metadata.len();
        self.files.push(path.to_owned());
        Ok(())
    }

    fn add_folder(&mut self, folder: &Path) -> io::Result<()> {
        let is_maildir = folder.join("cur").is_dir() && folder.join("new").is_dir();
        let mut entries = match is_maildir {
            true => [entries(&folder.join("new"))?, entries(&folder.join("cur"))?].concat(),
            false => entries(folder)?,
        };
        match is_maildir {
            true => entries.sort_by(|a, b| delivery_order(name(a)).cmp(&delivery_order(name(b)))),
            false => entries.sort(),
        }
        for path in entries {
            // A link may lead round in a circle.
            let is_folder = path.is_dir() && !path.is_symlink();
            if name(&path).starts_with('.') || is_maildir && path.is_dir() {
                continue;
            }
            if is_folder || path.is_file() && (is_maildir || is_mail_by_name(&path)) {
                let added = self.add(&path);
                self.note(&path, added);
            } else {
                self.skipped += 1;
            }
        }
        Ok(())
    }

    fn note(&mut self, path: &Path, result: io::Result<()>) {
        if let Err(e) = result {
            self.unreadable.push(unreadable(path, &e));
        }
    }

    /// Reads them all; `take` says whether to go on. `spool`: the folder for messages over 1 MiB.
    pub fn read(self, spool: &Path, mut take: impl FnMut(Found) -> bool) {
        for one in self.unreadable {
            if !take(Found::Unreadable(one)) {
                return;
            }
        }
        let mut read = 0;
        for path in &self.files {
            let is_wanted = match read_file(path, spool, &mut |found| take(found.behind(read))) {
                Ok(is_wanted) => is_wanted,
                Err(e) => take(Found::Unreadable(unreadable(path, &e))),
            };
            read += fs::metadata(path).map_or(0, |m| m.len());
            if !is_wanted || !take(Found::Read(read)) {
                return;
            }
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Unreadable {
    Unreadable { path: path.to_owned(), kind: error.kind(), words: error.to_string() }
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Mail programs name files so; MH by numbers alone.
fn is_mail_by_name(path: &Path) -> bool {
    let has = |endings: &[&str]| {
        path.extension().is_some_and(|e| endings.iter().any(|ending| e.eq_ignore_ascii_case(ending)))
    };
    let name = name(path);
    has(&["eml", "mbox", "mbx"]) || !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit())
}

/// The one message of a file, or those of an mbox.
fn read_file(path: &Path, spool: &Path, take: &mut impl FnMut(Found) -> bool) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut beginning = Vec::new();
    (&file).take(8).read_to_end(&mut beginning)?;
    if !begins_mbox(&beginning) {
        let (received, bytes) = read_whole(path)?;
        return Ok(take(Found::Message(Imported { bytes, received })));
    }
    file.seek(SeekFrom::Start(0))?;
    let mut mbox = Mbox::new(BufReader::with_capacity(BUFFER, file), spool.to_owned());
    while let Some(message) = mbox.next()? {
        if !take(Found::Message(message)) || !take(Found::Read(mbox.offset)) {
            return Ok(false);
        }
    }
    Ok(true)
}
