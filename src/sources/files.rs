//! Old mail in files: .eml, mbox, Maildirs, and folders of these. What lies there is only read.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::maildir::{delivery_order, read_whole, written};
use super::mbox::{Mbox, begins_mbox};
use crate::clock::Micros;
use crate::intake::import::Imported;
use crate::intake::source::Bytes;
use crate::mail;

/// Read from an mbox at a time.
const BUFFER: usize = 256 << 10;
/// Of a message, read to learn when it arrived.
const HEADERS: u64 = 64 << 10;
/// Subfolders of a Maildir with mail that nobody wants as tickets.
const UNWANTED: &[&str] = &["drafts", "junk", "spam", "trash", "deleted items", "deleted messages"];

/// The files to read, in order.
#[derive(Debug, Default)]
pub struct Files {
    files: Vec<PathBuf>,
    /// Files in folders that do not look like mail by their names.
    pub skipped: u64,
    /// Subfolders of Maildirs that were left out.
    pub skipped_folders: Vec<PathBuf>,
    unreadable: Vec<Unreadable>,
}

/// What could not be read, and why.
#[derive(Clone, Debug)]
pub struct Unreadable {
    pub path: PathBuf,
    pub kind: io::ErrorKind,
    pub words: String,
}

/// What is found on the way.
pub enum Found {
    /// All is listed: so many messages will be read.
    Total(u64),
    Message(Imported),
    Unreadable(Unreadable),
}

/// Where a message lies, and when it arrived.
struct Entry {
    file: usize,
    /// None: the file is the message. Else its place in the mbox.
    inside: Option<Inside>,
    received: Option<Micros>,
}

#[derive(Clone, Copy)]
struct Inside {
    start: u64,
    /// The separators of this mbox bear dates.
    is_dated: bool,
}

impl Files {
    /// Lists what the paths name: a file itself; of a Maildir what lies in `new` and `cur`, and its subfolders, as Maildir++
    /// names them or as folders in it, but for drafts, junk and trash; of another folder, and the folders in it, what
    /// looks like mail by its name.
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
        self.files.push(path.to_owned());
        Ok(())
    }

    fn add_folder(&mut self, folder: &Path) -> io::Result<()> {
        if !is_maildir(folder) {
            return self.add_entries(entries(folder)?, is_mail_by_name);
        }
        let mut mail = [entries(&folder.join("new"))?, entries(&folder.join("cur"))?].concat();
        mail.sort_by(|a, b| delivery_order(name(a)).cmp(&delivery_order(name(b))));
        mail.retain(|path| path.is_file() && !name(path).starts_with('.'));
        self.files.extend(mail);
        let mut subfolders = entries(folder)?;
        subfolders.retain(|path| !path.is_symlink() && is_maildir(path));
        subfolders.sort();
        for subfolder in subfolders {
            let own_name = name(&subfolder).rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
            if UNWANTED.contains(&own_name.as_str()) {
                self.skipped_folders.push(subfolder);
                continue;
            }
            let added = self.add_folder(&subfolder);
            self.note(&subfolder, added);
        }
        Ok(())
    }

    fn add_entries(
        &mut self,
        mut entries: Vec<PathBuf>,
        is_wanted: impl Fn(&Path) -> bool,
    ) -> io::Result<()> {
        entries.sort();
        for path in entries {
            if name(&path).starts_with('.') {
                continue;
            }
            // A link may lead round in a circle.
            let is_folder = path.is_dir() && !path.is_symlink();
            if is_folder || path.is_file() && is_wanted(&path) {
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
            self.unreadable.push(unreadable_at(path, &e));
        }
    }

    /// Reads them all, the oldest first, so that a reply finds its parent wherever that lies; `take` says whether to go
    /// on. `spool`: the folder for messages over 1 MiB.
    pub fn read(mut self, spool: &Path, mut take: impl FnMut(Found) -> bool) {
        let entries = self.index(spool);
        let unreadable = std::mem::take(&mut self.unreadable);
        if !unreadable.into_iter().all(|one| take(Found::Unreadable(one)))
            || !take(Found::Total(entries.len() as u64))
        {
            return;
        }
        let mut open = None;
        for entry in &entries {
            let found = match self.read_entry(entry, spool, &mut open) {
                Ok(Some(message)) => Found::Message(message),
                // The file has become shorter since.
                Ok(None) => continue,
                Err(e) => Found::Unreadable(unreadable_at(&self.files[entry.file], &e)),
            };
            if !take(found) {
                return;
            }
        }
    }

    /// Every message, in order of arrival. All that is read is read twice; memory holds a line for each message.
    fn index(&mut self, spool: &Path) -> Vec<Entry> {
        let mut entries = vec![];
        for file in 0..self.files.len() {
            let indexed = index_file(&self.files[file], file, spool, &mut entries);
            let path = self.files[file].clone();
            self.note(&path, indexed);
        }
        // What has no date stays behind what stands before it.
        let mut last = None;
        for entry in &mut entries {
            last = entry.received.or(last);
            entry.received = last;
        }
        entries.sort_by_key(|entry| entry.received);
        entries
    }

    fn read_entry(
        &self,
        entry: &Entry,
        spool: &Path,
        open: &mut Option<(usize, Mbox<BufReader<File>>)>,
    ) -> io::Result<Option<Imported>> {
        let path = &self.files[entry.file];
        let Some(inside) = entry.inside else {
            let (_, bytes) = read_whole(path)?;
            return Ok(Some(Imported { bytes, received: entry.received }));
        };
        let is_next =
            |(file, mbox): &(usize, Mbox<_>)| *file == entry.file && mbox.next_start() == inside.start;
        if !open.as_ref().is_some_and(is_next) {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(inside.start))?;
            let reader = BufReader::with_capacity(BUFFER, file);
            *open = Some((entry.file, Mbox::at(reader, spool.to_owned(), inside.start, inside.is_dated)));
        }
        let Some((_, mbox)) = open else { return Ok(None) };
        let message = mbox.next()?;
        Ok(message.map(|message| Imported { received: entry.received.or(message.received), ..message }))
    }
}

fn index_file(path: &Path, file: usize, spool: &Path, entries: &mut Vec<Entry>) -> io::Result<()> {
    let mut opened = File::open(path)?;
    let mut beginning = Vec::new();
    (&opened).take(HEADERS).read_to_end(&mut beginning)?;
    if !begins_mbox(&beginning) {
        let received = arrived(&beginning).or(Some(written(&opened.metadata()?)));
        entries.push(Entry { file, inside: None, received });
        return Ok(());
    }
    opened.seek(SeekFrom::Start(0))?;
    let mut mbox = Mbox::new(BufReader::with_capacity(BUFFER, opened), spool.to_owned());
    loop {
        let start = mbox.next_start();
        let Some(message) = mbox.next()? else { return Ok(()) };
        let received = message.received.or_else(|| arrived(&beginning_of(message.bytes)));
        let inside = Some(Inside { start, is_dated: mbox.is_dated() });
        entries.push(Entry { file, inside, received });
    }
}

fn beginning_of(bytes: Bytes) -> Vec<u8> {
    match bytes {
        Bytes::Memory(bytes) => bytes,
        Bytes::Spool(file, _) => {
            let mut beginning = Vec::new();
            // Without it the message has no date of its own, which is no harm.
            drop(file.take(HEADERS).read_to_end(&mut beginning));
            beginning
        }
        Bytes::Gone | Bytes::Refused(_) => vec![],
    }
}

/// When a message arrived, as its headers have it: by its first Received, else by its Date.
fn arrived(message: &[u8]) -> Option<Micros> {
    let ends = [&b"\r\n\r\n"[..], b"\n\n"];
    let end = ends.iter().filter_map(|end| memchr::memmem::find(message, end).map(|at| at + end.len())).min();
    let mut headers = &message[..end.unwrap_or(message.len()).min(HEADERS as usize)];
    let message = mail::parse(&mail::scan(&mut headers).ok()?);
    message.delivered().or(message.date)
}

fn unreadable_at(path: &Path, error: &io::Error) -> Unreadable {
    Unreadable { path: path.to_owned(), kind: error.kind(), words: error.to_string() }
}

fn is_maildir(folder: &Path) -> bool {
    folder.join("cur").is_dir() && folder.join("new").is_dir()
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
