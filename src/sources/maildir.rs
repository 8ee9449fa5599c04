//! Mail from a Maildir: files in `new/` and `cur/`, each named once and for all up to the ':'
//! (https://cr.yp.to/proto/maildir.html).
//!
//! Other clients may move a file from `new/` to `cur/` or change its flags at any time, so a file is looked up by its
//! name before the ':' whenever it is not where it was. Locks there are none, nor needed. But a directory that is read
//! while a file in it is renamed may show neither name, so nothing counts as gone that one reading alone has not shown.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::clock::Micros;
use crate::failure::{Failure, Kind};
use crate::intake::source::{
    Acknowledged, Bytes, Fetched, Handled, Item, Listing, PEEKED_LIMIT, Peeked, SPOOL_FROM, Source,
};

/// A file that is renamed all the time is missed by one reading now and then, but not by so many in a row.
const READINGS: u32 = 10;
/// Of these, so many that showed nothing new and no change are enough: a directory's time is no finer than the kernel's
/// tick, so one alone proves little.
const CALM_READINGS: u32 = 2;
/// How often a file is looked up anew that was renamed before it could be opened.
const LOOKUPS: u32 = 50;

/// A Maildir and what was last seen in it.
#[derive(Debug)]
pub struct MaildirSource {
    root: PathBuf,
    /// Where each message was last seen, by its name before the ':'.
    seen: HashMap<String, PathBuf>,
}

impl MaildirSource {
    pub fn new(root: impl Into<PathBuf>) -> MaildirSource {
        MaildirSource { root: root.into(), seen: HashMap::new() }
    }

    /// The Maildir that handled mail of `root` is moved to, by the name that `move_to` gives it.
    pub fn beside(root: impl Into<PathBuf>, folder: &str) -> MaildirSource {
        MaildirSource::new(beside(&root.into(), folder))
    }

    /// Runs a step on the disk away from the async threads; what was seen goes with it and comes back.
    async fn on_disk<T: Send + 'static>(
        &mut self,
        step: impl FnOnce(&mut Folder) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let mut folder = Folder { root: self.root.clone(), seen: std::mem::take(&mut self.seen) };
        let worked = tokio::task::spawn_blocking(move || {
            let result = step(&mut folder);
            (folder, result)
        });
        let (folder, result) =
            worked.await.map_err(|e| Failure::temporary("reading the Maildir failed").because(e))?;
        self.seen = folder.seen;
        result
    }
}

/// Delivers a message under this name, durably; one of that name that is there is the same.
pub async fn put(root: &Path, name: String, message: Vec<u8>) -> Result<(), Failure> {
    let root = root.to_owned();
    let worked = tokio::task::spawn_blocking(move || {
        let (tmp, new) = (root.join("tmp").join(&name), root.join("new").join(&name));
        let write = || {
            let mut file = File::create(&tmp)?;
            io::Write::write_all(&mut file, &message)?;
            file.sync_all()?;
            fs::rename(&tmp, &new)
        };
        write().map_err(|e| unreadable(&new, e))?;
        sync(&root.join("new"))
    });
    worked.await.map_err(|e| Failure::temporary("writing into the Maildir failed").because(e))?
}

impl Source for MaildirSource {
    fn folders(&self) -> Vec<String> {
        vec![String::new()]
    }

    async fn open(&mut self, folder: &str) -> Result<Listing, Failure> {
        let items = self.on_disk(Folder::list).await?;
        Ok(Listing { folder: folder.to_owned(), validity: 0, items })
    }

    async fn fetch(&mut self, items: &[Item]) -> Result<Vec<Fetched>, Failure> {
        let items = items.to_vec();
        self.on_disk(move |folder| items.into_iter().map(|item| folder.fetch(item)).collect()).await
    }

    async fn fetch_headers(&mut self, item: &Item, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        let id = item.source_id.clone();
        self.on_disk(move |folder| folder.headers(&id, limit)).await
    }

    async fn peek(&mut self, items: &[Item]) -> Result<Vec<Peeked>, Failure> {
        let ids: Vec<String> = items.iter().map(|item| item.source_id.clone()).collect();
        self.on_disk(move |folder| folder.peek(ids)).await
    }

    async fn acknowledge(&mut self, ids: &[String], handled: &Handled) -> Result<Acknowledged, Failure> {
        let (ids, handled) = (ids.to_vec(), handled.clone());
        self.on_disk(move |folder| folder.acknowledge(&ids, &handled)).await
    }

    async fn close(self) -> Result<(), Failure> {
        Ok(())
    }
}

/// An absolute path, or a folder of this Maildir as Maildir++ names it.
fn beside(root: &Path, folder: &str) -> PathBuf {
    match Path::new(folder).is_absolute() {
        true => PathBuf::from(folder),
        false => root.join(format!(".{}", folder.replace('/', "."))),
    }
}

/// The blocking half.
struct Folder {
    root: PathBuf,
    seen: HashMap<String, PathBuf>,
}

impl Folder {
    /// Reads both directories anew, in order of delivery; again and again while they change under the reading.
    fn list(&mut self) -> Result<Vec<Item>, Failure> {
        self.seen.clear();
        let mut sizes: HashMap<String, Option<u64>> = HashMap::new();
        let mut calm = Calm::default();
        while calm.wants_another() {
            let before = self.changed()?;
            let mut is_news = false;
            for (id, path) in self.read()? {
                if !sizes.contains_key(&id) {
                    is_news = true;
                    match fs::symlink_metadata(&path) {
                        Ok(found) => drop(sizes.insert(id.clone(), found.is_file().then_some(found.len()))),
                        // Renamed again, and found by the next reading; or removed.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                        Err(_) => drop(sizes.insert(id.clone(), None)),
                    }
                }
                self.seen.insert(id, path);
            }
            calm.note(!is_news && self.changed()? == before);
        }
        let is_message = |(id, size): (String, Option<u64>)| Some(Item { source_id: id, size: size? });
        let mut items: Vec<Item> = sizes.into_iter().filter_map(is_message).collect();
        items.sort_by(|a, b| delivery_order(&a.source_id).cmp(&delivery_order(&b.source_id)));
        Ok(items)
    }

    /// Names and paths as one reading shows them.
    fn read(&self) -> Result<Vec<(String, PathBuf)>, Failure> {
        let mut found = vec![];
        // `new` first: clients move files from there to `cur`, and one that moves meanwhile is then seen at least once.
        for name in ["new", "cur"] {
            let dir = self.root.join(name);
            for entry in fs::read_dir(&dir).map_err(|e| unreadable(&dir, e))? {
                let entry = entry.map_err(|e| unreadable(&dir, e))?;
                let id = before_colon(&entry.file_name().to_string_lossy()).to_owned();
                if !id.starts_with('.') {
                    found.push((id, entry.path()));
                }
            }
        }
        Ok(found)
    }

    /// When each directory last changed.
    fn changed(&self) -> Result<Vec<(i64, i64)>, Failure> {
        let of = |name: &str| {
            let dir = self.root.join(name);
            let found = fs::metadata(&dir).map_err(|e| unreadable(&dir, e))?;
            Ok((found.mtime(), found.mtime_nsec()))
        };
        ["new", "cur"].into_iter().map(of).collect()
    }

    /// Does something with the file of a message, looking it up anew if it is not where it was; nothing if it is gone.
    fn with_file<T>(
        &mut self,
        id: &str,
        work: impl Fn(&Path) -> io::Result<T>,
    ) -> Result<Option<T>, Failure> {
        for _ in 0..LOOKUPS {
            if let Some(path) = self.seen.get(id) {
                match work(path) {
                    Ok(done) => return Ok(Some(done)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(unreadable(path, error)),
                }
            }
            if !self.look_up(id)? {
                return Ok(None);
            }
        }
        let words = format!("message {id} is renamed by another client faster than it can be opened");
        Err(Failure::temporary(words))
    }

    /// Whether a message is there at all; where all of them are is noted.
    fn look_up(&mut self, id: &str) -> Result<bool, Failure> {
        let mut calm = Calm::default();
        while calm.wants_another() {
            let before = self.changed()?;
            self.seen.remove(id);
            self.seen.extend(self.read()?);
            if self.seen.contains_key(id) {
                return Ok(true);
            }
            calm.note(self.changed()? == before);
        }
        Ok(false)
    }

    fn fetch(&mut self, item: Item) -> Result<Fetched, Failure> {
        let found = self.with_file(&item.source_id, read_whole)?;
        let (received, bytes) = found.unwrap_or((None, Bytes::Gone));
        Ok(Fetched { source_id: item.source_id, announced_size: item.size, received, bytes })
    }

    fn headers(&mut self, id: &str, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        self.with_file(id, |path| read_headers(path, limit))
    }

    fn peek(&mut self, ids: Vec<String>) -> Result<Vec<Peeked>, Failure> {
        let mut peeked = Vec::with_capacity(ids.len());
        for source_id in ids {
            let look = |path: &Path| {
                Ok((written(&File::open(path)?.metadata()?), read_headers(path, PEEKED_LIMIT)?))
            };
            let Some((received, headers)) = self.with_file(&source_id, look)? else { continue };
            peeked.push(Peeked { source_id, received: Some(received), headers });
        }
        Ok(peeked)
    }

    fn acknowledge(&mut self, ids: &[String], handled: &Handled) -> Result<Acknowledged, Failure> {
        let target = match handled {
            Handled::Move(folder) => Some(self.target(folder)?),
            Handled::Delete | Handled::Seen => None,
        };
        let own_cur = self.root.join("cur");
        let work = |path: &Path| match (handled, &target) {
            (Handled::Delete, _) => fs::remove_file(path),
            (Handled::Seen, _) => rename(path, &own_cur.join(with_flag(path, 'S'))),
            (Handled::Move(_), Some(target)) => rename(path, &target.join("cur").join(with_info(path))),
            (Handled::Move(_), None) => Err(io::ErrorKind::InvalidInput.into()),
        };
        for id in ids {
            // A message that is gone has been handled by another's hand: nothing is left to do.
            self.with_file(id, work)?;
        }
        for dir in [Some(&self.root), target.as_ref()].into_iter().flatten() {
            sync(&dir.join("new"))?;
            sync(&dir.join("cur"))?;
        }
        Ok(Acknowledged::default())
    }

    /// The Maildir to move to, created if need be: an absolute path, or a folder of this one as Maildir++ names it.
    fn target(&self, folder: &str) -> Result<PathBuf, Failure> {
        let is_absolute = Path::new(folder).is_absolute();
        if folder.split('/').any(|part| part == "..")
            || !is_absolute && folder.split(['/', '.']).any(str::is_empty)
        {
            let words = format!("{folder:?} names no folder of a Maildir");
            return Err(Failure::permanent(words).kind(Kind::TargetMissing));
        }
        let target = beside(&self.root, folder);
        for name in ["cur", "new", "tmp"] {
            let dir = target.join(name);
            fs::create_dir_all(&dir).map_err(|e| {
                let words = format!("cannot create {}", dir.display());
                Failure::temporary(words).kind(Kind::TargetMissing).because(e)
            })?;
        }
        sync(&target)?;
        if let Some(parent) = target.parent() {
            sync(parent)?;
        }
        Ok(target)
    }
}

/// Whether the directories have been read often enough.
#[derive(Default)]
struct Calm {
    readings: u32,
    calm: u32,
}

impl Calm {
    fn wants_another(&self) -> bool {
        self.readings < READINGS && self.calm < CALM_READINGS
    }

    fn note(&mut self, was_calm: bool) {
        self.readings += 1;
        self.calm = if was_calm { self.calm + 1 } else { 0 };
    }
}

fn before_colon(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

/// Maildir names begin with the seconds of delivery, and not all with as many digits.
pub(super) fn delivery_order(id: &str) -> (u64, &str) {
    let digits = id.len() - id.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    (id[..digits].parse().unwrap_or(u64::MAX), id)
}

/// A file's bytes, or the file itself where it is big, and when it was written.
pub(super) fn read_whole(path: &Path) -> io::Result<(Option<Micros>, Bytes)> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let received = Some(written(&metadata));
    if metadata.len() > SPOOL_FROM {
        return Ok((received, Bytes::Spool(file, metadata.len())));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    io::Read::read_to_end(&mut file, &mut bytes)?;
    Ok((received, Bytes::Memory(bytes)))
}

pub(super) fn written(metadata: &fs::Metadata) -> Micros {
    Micros(Micros::from_seconds(metadata.mtime()).0 + metadata.mtime_nsec() / 1_000)
}

fn read_headers(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(File::open(path)?, limit as u64), &mut bytes)?;
    let end = [&b"\r\n\r\n"[..], b"\n\n"]
        .iter()
        .filter_map(|blank| memchr::memmem::find(&bytes, blank).map(|at| at + blank.len()))
        .min();
    bytes.truncate(end.unwrap_or(bytes.len()));
    Ok(bytes)
}

/// The file's name for `cur/`, where each has its info.
fn with_info(path: &Path) -> std::ffi::OsString {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    if !name.as_encoded_bytes().contains(&b':') {
        name.push(":2,");
    }
    name
}

/// The same, flagged; flags stand in ASCII order. Info of another kind than "2," is experimental, and left as it is.
fn with_flag(path: &Path, flag: char) -> std::ffi::OsString {
    let mut name = with_info(path);
    let Some((base, flags)) = name.to_str().and_then(|name| name.split_once(":2,")) else { return name };
    if !flags.contains(flag) {
        let at = flags.find(|c| c > flag).unwrap_or(flags.len());
        let (before, after) = flags.split_at(at);
        name = format!("{base}:2,{before}{flag}{after}").into();
    }
    name
}

/// Rename would overwrite without a word; names are unique, so a file of the same name is the same message or an accident.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    if from == to {
        return Ok(());
    }
    match fs::symlink_metadata(to) {
        Ok(_) => {
            // A file that has moved there itself is looked up anew.
            fs::symlink_metadata(from)?;
            let words = format!("{} is there already", to.display());
            Err(io::Error::new(io::ErrorKind::AlreadyExists, words))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
    }
}

/// A rename or removal is durable once its directory is.
fn sync(dir: &Path) -> Result<(), Failure> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| unreadable(dir, e))
}

fn unreadable(path: &Path, error: io::Error) -> Failure {
    let words = match error.kind() {
        io::ErrorKind::NotFound => format!("{} is not there: is this a Maildir?", path.display()),
        io::ErrorKind::PermissionDenied => format!("no permission for {}", path.display()),
        io::ErrorKind::CrossesDevices => {
            format!("cannot move {}: the target lies on another file system", path.display())
        }
        _ => format!("cannot use {}", path.display()),
    };
    let kind = match error.kind() {
        io::ErrorKind::NotFound => Kind::FolderMissing,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Kind::NoRights,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Quota,
        io::ErrorKind::CrossesDevices => Kind::TargetMissing,
        _ => Kind::Other,
    };
    Failure::temporary(words).kind(kind).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_in_order() {
        for (name, flagged) in [
            ("new/1.a", "1.a:2,S"),
            ("cur/1.a:2,", "1.a:2,S"),
            ("cur/1.a:2,RT", "1.a:2,RST"),
            ("cur/1.a:2,FS", "1.a:2,FS"),
            ("cur/1.a:1,x", "1.a:1,x"),
        ] {
            assert_eq!(with_flag(Path::new(name), 'S'), flagged);
        }
    }

    #[test]
    fn messages_come_in_order_of_delivery() {
        let mut names = ["1000000000.b", "999999999.z", "x", "1000000000.a"];
        names.sort_by(|a, b| delivery_order(a).cmp(&delivery_order(b)));
        assert_eq!(names, ["999999999.z", "1000000000.a", "1000000000.b", "x"]);
    }
}
