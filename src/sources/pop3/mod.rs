//! Mail from a POP3 server (RFC 1939), with what RFC 2449 lets it announce.
//!
//! Reading starts here: a session lists by UIDL, fetches by RETR, and marks with DELE; the server deletes only once it
//! has answered QUIT, so nothing counts as acknowledged before `close`. A session is kept short for that reason. No APOP,
//! no LAST, no RSET. After a failure the session is of no more use; the caller drops it, and the server deletes nothing.

mod examine;
mod fetch;
mod list;
mod login;
mod session;
mod wire;

use std::collections::HashMap;

pub use examine::{Report, examine};

use self::session::{Command, Session};
use super::ServerSettings;
use crate::failure::Failure;
use crate::intake::source::{Acknowledged, Fetched, Handled, Item, Listing, SessionLimit, Source};
use crate::store::Store;

/// What a lost QUIT may cost: so many messages are marked once more, none is fetched again.
const SESSION_LIMIT: SessionLimit = SessionLimit { messages: 500, bytes: 100_000_000 };

/// DELEs or RETRs sent ahead of their answers, where the server allows that: some hundred bytes, which any buffer takes.
const AHEAD: usize = 50;

/// A session that is signed in.
pub struct Pop3Source {
    settings: ServerSettings,
    under: Option<Store>,
    session: Session,
    /// The number that each id has in this session.
    numbers: HashMap<String, u32>,
    has_deleted: bool,
}

impl Pop3Source {
    pub async fn connect(settings: ServerSettings) -> Result<Pop3Source, Failure> {
        let (session, _) = login::log_in(&settings).await?;
        Ok(Pop3Source { settings, under: None, session, numbers: HashMap::new(), has_deleted: false })
    }

    /// The store under the mailbox's lease, asked before a QUIT in the midst of a round: that deletes what was marked before.
    pub fn under(self, store: Store) -> Pop3Source {
        Pop3Source { under: Some(store), ..self }
    }

    /// Lists anew, in a session of its own: in one session a server's list does not change. What was marked before is
    /// deleted by then.
    async fn renew(&mut self) -> Result<(), Failure> {
        if let Some(store) = self.under.as_ref().filter(|_| self.has_deleted) {
            store.require_lease().await?;
        }
        self.quit().await?;
        (self.session, _) = login::log_in(&self.settings).await?;
        self.open("").await.map(drop)
    }

    async fn quit(&mut self) -> Result<(), Failure> {
        let ended = self.session.tell(Command::new("QUIT")).await;
        self.session.hang_up().await;
        let has_deleted = std::mem::take(&mut self.has_deleted);
        ended.map(drop).map_err(|failure| match has_deleted {
            true => failure.of("whether the server has deleted what it was told shows in the next session"),
            false => failure,
        })
    }

    async fn delete(&mut self, ids: &[String]) -> Result<(), Failure> {
        // What another client has removed meanwhile needs no DELE.
        let numbers: Vec<u32> = ids.iter().filter_map(|id| self.numbers.get(id)).copied().collect();
        for ahead in numbers.chunks(self.ahead()) {
            self.has_deleted = true;
            let commands: Vec<Command> = ahead.iter().map(|n| Command::new("DELE").word(n)).collect();
            self.session.send(&commands).await?;
            for number in ahead {
                let reply = self.session.line_of("DELE").await?;
                reply.or_failure("DELE").map_err(|f| f.of(format!("message {number}")))?;
            }
        }
        Ok(())
    }

    fn ahead(&self) -> usize {
        if self.session.has_pipelining() { AHEAD } else { 1 }
    }
}

impl Source for Pop3Source {
    fn folders(&self) -> Vec<String> {
        vec![String::new()]
    }

    fn session_limit(&self) -> Option<SessionLimit> {
        // A second session right behind this one would be refused: one has to do.
        let has_delay = self.session.capabilities.as_ref().is_some_and(|c| c.login_delay_s() > 0);
        (!has_delay).then_some(SESSION_LIMIT)
    }

    fn may_give_ids_again(&self) -> bool {
        true
    }

    async fn open(&mut self, folder: &str) -> Result<Listing, Failure> {
        let listed = list::list(&mut self.session).await?;
        self.numbers = listed.iter().map(|m| (m.item.source_id.clone(), m.number)).collect();
        let items = listed.into_iter().map(|m| m.item).collect();
        Ok(Listing { folder: folder.to_owned(), validity: 0, items })
    }

    async fn fetch(&mut self, items: &[Item]) -> Result<Vec<Fetched>, Failure> {
        fetch::fetch(self, items).await
    }

    async fn fetch_headers(&mut self, item: &Item, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        fetch::headers(self, item, limit).await
    }

    async fn acknowledge(&mut self, ids: &[String], handled: &Handled) -> Result<Acknowledged, Failure> {
        if *handled != Handled::Delete {
            return Err(Failure::permanent("POP3 can do nothing with handled mail but delete it"));
        }
        self.delete(ids).await?;
        Ok(Acknowledged { holds_after_close: true, ..Acknowledged::default() })
    }

    async fn close(mut self) -> Result<(), Failure> {
        self.quit().await
    }
}
