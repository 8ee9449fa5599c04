//! A mail server in memory that does what no honest server should: it lies about sizes, renumbers its messages, loses
//! them between two commands, and refuses to let them go.

use std::sync::{Arc, Mutex, MutexGuard};

use maildesk::failure::{Failure, Kind};
use maildesk::intake::source::{Acknowledged, Bytes, Fetched, Handled, Item, Listing, Source};

#[derive(Clone, Default)]
pub struct Shelf(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    folders: Vec<Folder>,
    /// What it was told to let go: `INBOX/7/1`, folder, validity and id.
    acknowledged: Vec<String>,
    refuses: Option<Refuses>,
    /// Messages that were asked for.
    fetched: usize,
}

struct Folder {
    name: String,
    validity: i64,
    mails: Vec<Mail>,
}

#[derive(Clone)]
struct Mail {
    id: String,
    announced: u64,
    bytes: Vec<u8>,
    goes: Option<Goes>,
}

/// When somebody else removes a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Goes {
    /// It is listed, and gone when it is asked for.
    BeforeFetch,
    /// It is gone when it is to be let go.
    BeforeAcknowledgement,
    /// Never: it is listed, and not given.
    Withheld,
}

/// What the server fails to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Refuses {
    ToFetch,
    Headers,
    ToAcknowledge,
}

impl Shelf {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the shelf")
    }

    /// Puts a message into a folder, which is made under UIDVALIDITY 7, or in the place of the one with this id.
    pub fn put(&self, folder: &str, id: &str, bytes: &[u8]) {
        self.announce(folder, id, bytes, bytes.len() as u64);
    }

    /// The same, with a size that may be a lie.
    pub fn announce(&self, folder: &str, id: &str, bytes: &[u8], announced: u64) {
        let mut state = self.state();
        if !state.folders.iter().any(|f| f.name == folder) {
            state.folders.push(Folder { name: folder.to_owned(), validity: 7, mails: vec![] });
        }
        let mails = &mut state.folder(folder).mails;
        mails.retain(|mail| mail.id != id);
        mails.push(Mail { id: id.to_owned(), announced, bytes: bytes.to_vec(), goes: None });
    }

    pub fn remove(&self, folder: &str, id: &str) {
        self.state().folder(folder).mails.retain(|mail| mail.id != id);
    }

    pub fn goes(&self, folder: &str, id: &str, goes: Option<Goes>) {
        let mut state = self.state();
        let mail = state.folder(folder).mails.iter_mut().find(|mail| mail.id == id);
        mail.expect("the message").goes = goes;
    }

    /// The server gives its messages new numbers, from 1 on, under a new UIDVALIDITY.
    pub fn renumber(&self, folder: &str, validity: i64) {
        let mut state = self.state();
        let folder = state.folder(folder);
        folder.validity = validity;
        for (n, mail) in folder.mails.iter_mut().enumerate() {
            mail.id = (n + 1).to_string();
        }
    }

    /// The folder is not read any more; what lies in it stays there.
    pub fn forget(&self, folder: &str) {
        self.state().folders.retain(|f| f.name != folder);
    }

    pub fn refuse(&self, refuses: Option<Refuses>) {
        self.state().refuses = refuses;
    }

    pub fn acknowledged(&self) -> Vec<String> {
        self.state().acknowledged.clone()
    }

    /// How often messages were asked for.
    pub fn fetched(&self) -> usize {
        self.state().fetched
    }

    /// The ids in a folder.
    pub fn ids(&self, folder: &str) -> Vec<String> {
        self.state().folder(folder).mails.iter().map(|mail| mail.id.clone()).collect()
    }

    pub fn session(&self) -> Session {
        Session { shelf: self.clone(), open: String::new() }
    }
}

impl State {
    fn folder(&mut self, name: &str) -> &mut Folder {
        self.folders.iter_mut().find(|f| f.name == name).expect("the folder")
    }
}

pub struct Session {
    shelf: Shelf,
    open: String,
}

impl Session {
    fn fetch_one(&self, item: &Item) -> Fetched {
        let mut state = self.shelf.state();
        let mails = &state.folder(&self.open).mails;
        let found =
            mails.iter().find(|mail| mail.id == item.source_id && mail.goes != Some(Goes::BeforeFetch));
        let bytes = match found {
            Some(mail) if mail.goes == Some(Goes::Withheld) => Bytes::Refused("NO cannot read it".into()),
            Some(mail) => Bytes::Memory(mail.bytes.clone()),
            None => Bytes::Gone,
        };
        state.fetched += 1;
        Fetched { source_id: item.source_id.clone(), announced_size: item.size, received: None, bytes }
    }
}

impl Source for Session {
    fn folders(&self) -> Vec<String> {
        self.shelf.state().folders.iter().map(|f| f.name.clone()).collect()
    }

    async fn open(&mut self, folder: &str) -> Result<Listing, Failure> {
        folder.clone_into(&mut self.open);
        let mut state = self.shelf.state();
        let found = state.folder(folder);
        let item = |mail: &Mail| Item { source_id: mail.id.clone(), size: mail.announced };
        let items = found.mails.iter().map(item).collect();
        Ok(Listing { folder: folder.to_owned(), validity: found.validity, items })
    }

    async fn fetch(&mut self, items: &[Item]) -> Result<Vec<Fetched>, Failure> {
        if self.shelf.state().refuses == Some(Refuses::ToFetch) {
            return Err(Failure::temporary("the connection is cut"));
        }
        Ok(items.iter().map(|item| self.fetch_one(item)).collect())
    }

    async fn fetch_headers(&mut self, item: &Item, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        if self.shelf.state().refuses == Some(Refuses::Headers) {
            return Err(Failure::temporary("the connection is cut"));
        }
        let bytes = match self.fetch_one(item).bytes {
            Bytes::Memory(bytes) => bytes,
            Bytes::Refused(words) => return Err(Failure::temporary(words).kind(Kind::Refused)),
            _ => return Ok(None),
        };
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
        Ok(Some(bytes[..end.min(limit)].to_vec()))
    }

    async fn acknowledge(&mut self, ids: &[String], handled: &Handled) -> Result<Acknowledged, Failure> {
        let mut state = self.shelf.state();
        if state.refuses == Some(Refuses::ToAcknowledge) {
            return Err(Failure::temporary("the connection is cut"));
        }
        let folder = state.folder(&self.open);
        let told: Vec<String> =
            ids.iter().map(|id| format!("{}/{}/{id}", folder.name, folder.validity)).collect();
        folder.mails.retain(|mail| {
            let is_removed = ids.contains(&mail.id) && *handled != Handled::Seen;
            !is_removed && mail.goes != Some(Goes::BeforeAcknowledgement)
        });
        state.acknowledged.extend(told);
        Ok(Acknowledged::default())
    }

    async fn close(self) -> Result<(), Failure> {
        Ok(())
    }
}
