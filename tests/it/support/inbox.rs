//! What the big tests need of a mailbox: put mail in, count what is left, say how it is read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::dovecot::{self, Account, Dovecot, PASSWORD};
use super::program::{Imap, imap_section};
use super::trial::make_maildir;

/// How a mailbox is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Imap,
    Pop3,
    Maildir,
}

/// An empty mailbox of its own.
pub struct Inbox {
    way: Way,
    place: Place,
}

enum Place {
    Server(&'static Dovecot, Account),
    Folder(tempfile::TempDir),
}

/// On a real server, to be read by IMAP. `None` where there is no server: the reason has been printed.
pub fn new() -> Option<Inbox> {
    by(Way::Imap)
}

/// To be read in this way. `None` where it cannot be had: the reason has been printed.
pub fn by(way: Way) -> Option<Inbox> {
    let place = match way {
        Way::Imap | Way::Pop3 => {
            let server = dovecot::dovecot()?;
            Place::Server(server, server.account())
        }
        Way::Maildir => {
            let folder = tempfile::tempdir().expect("a folder for the mail");
            make_maildir(folder.path());
            Place::Folder(folder)
        }
    };
    Some(Inbox { way, place })
}

impl Inbox {
    /// Puts one message, in wire form, behind those that are there.
    pub fn deliver(&self, bytes: &[u8]) {
        match &self.place {
            Place::Server(_, account) => drop(account.deliver(bytes)),
            Place::Folder(folder) => deliver_file(folder.path(), bytes),
        }
    }

    /// How many messages are left.
    pub fn remaining(&self) -> usize {
        let count = |sub: &str| std::fs::read_dir(self.folder().join(sub)).map_or(0, Iterator::count);
        count("new") + count("cur")
    }

    pub fn account(&self) -> Imap {
        match &self.place {
            Place::Server(server, account) => Imap {
                port: if self.way == Way::Pop3 { server.pop3 } else { server.imap },
                username: account.user.clone(),
                password: PASSWORD.to_owned(),
            },
            Place::Folder(_) => panic!("nobody signs in to a Maildir"),
        }
    }

    /// Its section in config.toml. The password is in the file `password`.
    pub fn section(&self) -> String {
        match self.way {
            Way::Imap => imap_section(&self.account()),
            Way::Pop3 => imap_section(&self.account()).replace("\"imap\"", "\"pop3\""),
            Way::Maildir => format!(
                "[[mailbox]]\nname = \"support\"\nprotocol = \"maildir\"\npath = \"{}\"\n",
                self.folder().display()
            ),
        }
    }

    /// Has another client look after a Maildir for as long as the answer lives: it moves mail to `cur`, and flags it.
    pub fn restless_client(&self) -> Option<RestlessClient> {
        (self.way == Way::Maildir).then(|| RestlessClient::start(self.folder().to_owned()))
    }

    fn folder(&self) -> &Path {
        match &self.place {
            Place::Server(_, account) => &account.maildir,
            Place::Folder(folder) => folder.path(),
        }
    }
}

/// As an MTA does: written aside, and then moved in whole.
fn deliver_file(maildir: &Path, bytes: &[u8]) {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let name = format!("1700000000.M{:06}P1.test", LAST.fetch_add(1, Ordering::Relaxed));
    let tmp = maildir.join("tmp").join(&name);
    std::fs::write(&tmp, bytes).expect("our own folder");
    std::fs::rename(&tmp, maildir.join("new").join(&name)).expect("our own folder");
}

pub struct RestlessClient {
    is_done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RestlessClient {
    pub fn start(maildir: PathBuf) -> RestlessClient {
        let is_done = Arc::new(AtomicBool::new(false));
        let done = is_done.clone();
        let thread = std::thread::spawn(move || {
            let mut turn = 0;
            while !done.load(Ordering::Relaxed) {
                turn += 1;
                touch(&maildir, turn);
                // Its pace: it leaves the machine to others in between.
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        RestlessClient { is_done, thread: Some(thread) }
    }
}

/// Moves and flags some of the mail, in each turn other files.
fn touch(maildir: &Path, turn: usize) {
    let flags = ["", "S", "FS", "RS"][turn / 8 % 4];
    for sub in ["new", "cur"] {
        let Ok(entries) = std::fs::read_dir(maildir.join(sub)) else { continue };
        for entry in entries.flatten().skip(turn % 8).step_by(8).take(50) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let base = name.split(':').next().unwrap_or_default();
            // It may be gone by now: then there is nothing to move.
            drop(std::fs::rename(entry.path(), maildir.join("cur").join(format!("{base}:2,{flags}"))));
        }
    }
}

impl Drop for RestlessClient {
    fn drop(&mut self) {
        self.is_done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the other client does not panic");
        }
    }
}
