//! What the big tests need of a mailbox on a real server: put mail in, count what is left.

use super::dovecot::{self, Account, Dovecot, PASSWORD};
use super::program::Imap;

/// An empty INBOX of a user of its own.
pub struct Inbox {
    server: &'static Dovecot,
    account: Account,
}

/// `None` where there is no server: the reason has been printed.
pub fn new() -> Option<Inbox> {
    let server = dovecot::dovecot()?;
    Some(Inbox { server, account: server.account() })
}

impl Inbox {
    /// Puts one message, in wire form, behind those that are there.
    pub fn deliver(&self, bytes: &[u8]) {
        self.account.deliver(bytes);
    }

    /// How many messages are left.
    pub fn remaining(&self) -> usize {
        let count = |sub: &str| std::fs::read_dir(self.account.maildir.join(sub)).map_or(0, Iterator::count);
        count("new") + count("cur")
    }

    pub fn account(&self) -> Imap {
        Imap { port: self.server.imap, username: self.account.user.clone(), password: PASSWORD.to_owned() }
    }
}
