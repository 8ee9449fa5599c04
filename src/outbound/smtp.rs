//! One mail over a session: envelope, content, the final dot held back until it is on record (RFC 5321 §3.3).

use std::collections::VecDeque;

use super::content::Content;
use super::reply::{Reply, Step, Verdict};
use super::session::Session;
use super::wire::DotStuffing;
use crate::crash;
use crate::failure::{self, Failure};
use crate::mail::Address;
use crate::store::delivery::{Attempt, Claimed};
use crate::store::{Error, Store};

/// What a relay said to one recipient of a mail, or to the mail as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Sent(Reply),
    Deferred(Reply),
    Refused(Reply),
    /// Cut after the final dot: taken or not, nobody knows.
    Unknown(Reply),
}

/// How a mail's transaction ended.
#[derive(Debug)]
pub enum Transaction {
    /// Each due recipient with what was said, and the reply that ended it.
    Ended { said: Vec<(String, Said)>, end: Reply },
    /// Nothing of it began, as the connection had died while it was idle: try on a new one.
    Stale,
    /// The relay takes no mail at all now.
    Relay(Failure),
    /// The mail belongs to somebody else by now; the final dot was not sent.
    Lost,
}

/// A mail, and what its sending needs.
pub struct Delivery<'a> {
    pub store: &'a Store,
    pub mail: &'a Claimed,
    pub attempt: Attempt,
    said: Vec<(String, Said)>,
}

impl<'a> Delivery<'a> {
    pub fn new(store: &'a Store, mail: &'a Claimed, attempt: Attempt) -> Delivery<'a> {
        Delivery { store, mail, attempt, said: Vec::new() }
    }

    pub async fn run(mut self, session: &mut Session) -> Transaction {
        let is_fresh = session.mails == 0;
        session.mails += 1;
        let reply = match session.command(&self.mail_command(session), "MAIL FROM").await {
            Ok(reply) => reply,
            Err(_) if !is_fresh => return Transaction::Stale,
            Err(failure) => return Transaction::Relay(failure),
        };
        match reply.verdict(Step::Mail) {
            Verdict::Done => {}
            Verdict::Relay => {
                session.is_broken = true;
                if !is_fresh && reply.code == 421 {
                    return Transaction::Stale;
                }
                let words = reply.to_string();
                let failure = Failure::temporary(format!("the server takes no mail: {words}"));
                return Transaction::Relay(failure.said(failure::Step::Other, &words));
            }
            verdict => {
                let addresses = self.all();
                return self.ended(addresses, &reply, verdict, session).await;
            }
        }
        match self.recipients(session).await {
            Ok(accepted) if accepted.is_empty() => self.nobody(session).await,
            Ok(accepted) => self.data(accepted, session).await,
            Err(transaction) => transaction,
        }
    }

    fn all(&self) -> Vec<String> {
        self.mail.recipients.iter().map(|r| r.address.clone()).collect()
    }

    fn mail_command(&self, session: &Session) -> String {
        let mut line = format!("MAIL FROM:<{}>", self.mail.return_path);
        if session.offers.has_size {
            line.push_str(&format!(" SIZE={}", self.mail.size));
        }
        if session.offers.has_smtputf8 && self.mail.recipients.iter().any(|r| !r.address.is_ascii()) {
            line.push_str(" SMTPUTF8");
        }
        line
    }

    /// Names the recipients; gives those that the relay takes.
    async fn recipients(&mut self, session: &mut Session) -> Result<Vec<String>, Transaction> {
        let mut accepted = Vec::new();
        let mut waiting: VecDeque<String> = self.all().into();
        while let Some(address) = waiting.pop_front() {
            if let Some(reply) = unspeakable(&address, session) {
                self.said.push((address, Said::Refused(reply)));
                continue;
            }
            let reply = session.command(&format!("RCPT TO:<{address}>"), "RCPT TO").await;
            let reply = match reply {
                Ok(reply) if reply.code != 421 => reply,
                cut => {
                    session.is_broken = true;
                    let reply = cut.unwrap_or_else(|failure| Reply::none(failure.to_string()));
                    accepted.push(address);
                    accepted.extend(waiting);
                    return Err(self.deferred(accepted, reply));
                }
            };
            match reply.verdict(Step::Rcpt) {
                Verdict::Done => accepted.push(address),
                verdict => self.said.push((address, said(verdict, reply))),
            }
        }
        Ok(accepted)
    }

    /// Nobody was taken: the transaction is given back, and its end is what the last of them was told.
    async fn nobody(self, session: &mut Session) -> Transaction {
        session.reset().await;
        let end = match self.said.last() {
            Some((_, Said::Refused(reply) | Said::Deferred(reply))) => reply.clone(),
            _ => Reply::none("no recipient was due"),
        };
        Transaction::Ended { said: self.said, end }
    }

    async fn data(mut self, accepted: Vec<String>, session: &mut Session) -> Transaction {
        let reply = match session.command("DATA", "DATA").await {
            Ok(reply) => reply,
            Err(failure) => return self.deferred(accepted, Reply::none(failure.to_string())),
        };
        match reply.verdict(Step::Data) {
            Verdict::Done => {}
            verdict => return self.ended(accepted, &reply, verdict, session).await,
        }
        // From here on the connection is of use only if the dialogue ends as it should.
        session.is_broken = true;
        match self.content(session).await {
            Ok(()) => {}
            Err(NotWritten::Store(error)) => return self.unreadable(accepted, &error),
            Err(NotWritten::Relay(failure)) => return self.cut_off(accepted, failure, session).await,
        }
        crash::point("send.before_dot");
        match self.keep_dot().await {
            Ok(true) => {}
            Ok(false) => return Transaction::Lost,
            Err(error) => return self.unreadable(accepted, &error),
        }
        crash::point("send.dot_committed");
        let deadlines = session.deadlines;
        if let Err(failure) = session.wire.write(b".\r\n", "the final dot", deadlines.block).await {
            return self.unknown(accepted, &failure);
        }
        crash::point("send.after_dot");
        let reply = match session.wire.reply("the final dot", deadlines.end).await {
            Ok(reply) => reply,
            Err(failure) => return self.unknown(accepted, &failure),
        };
        session.is_broken = reply.code == 421;
        let verdict = reply.verdict(Step::End);
        self.said.extend(accepted.into_iter().map(|address| (address, said(verdict, reply.clone()))));
        Transaction::Ended { said: self.said, end: reply }
    }

    /// Everything but the final dot.
    async fn content(&self, session: &mut Session) -> Result<(), NotWritten> {
        let limit = session.deadlines.block;
        let mut content = Content::new(self.store, self.mail);
        let mut stuffing = DotStuffing::new();
        let (mut piece, mut stuffed) = (Vec::new(), Vec::new());
        while content.next(&mut piece).await.map_err(NotWritten::Store)? {
            stuffing.push(&piece, &mut stuffed);
            piece.clear();
            // Small pieces go out together: each write is a packet, and a record of TLS.
            if stuffed.len() >= BLOCK {
                session.wire.write(&stuffed, "the mail", limit).await.map_err(NotWritten::Relay)?;
                stuffed.clear();
            }
        }
        stuffing.finish(&mut stuffed);
        session.wire.write(&stuffed, "the mail", limit).await.map_err(NotWritten::Relay)
    }

    async fn keep_dot(&self) -> Result<bool, Error> {
        let mut tx = self.store.write().await?;
        let is_ours = tx.dot_sent(self.mail, self.attempt).await?;
        tx.commit().await?;
        Ok(is_ours)
    }

    /// All of these get one reply, and the session goes on if it can.
    async fn ended(
        mut self,
        addresses: Vec<String>,
        reply: &Reply,
        verdict: Verdict,
        session: &mut Session,
    ) -> Transaction {
        self.said.extend(addresses.into_iter().map(|address| (address, said(verdict, reply.clone()))));
        match reply.code {
            421 => session.is_broken = true,
            _ => session.reset().await,
        }
        Transaction::Ended { said: self.said, end: reply.clone() }
    }

    fn deferred(&mut self, addresses: Vec<String>, reply: Reply) -> Transaction {
        let mut said = std::mem::take(&mut self.said);
        said.extend(addresses.into_iter().map(|address| (address, Said::Deferred(reply.clone()))));
        Transaction::Ended { said, end: reply }
    }

    /// The store does not give the bytes: for now, or not any more.
    fn unreadable(&mut self, addresses: Vec<String>, error: &Error) -> Transaction {
        let reply = Reply::none(error.to_string());
        match error {
            Error::Missing(_) | Error::Corrupt(_) => {
                let mut said = std::mem::take(&mut self.said);
                said.extend(addresses.into_iter().map(|address| (address, Said::Refused(reply.clone()))));
                Transaction::Ended { said, end: reply }
            }
            _ => self.deferred(addresses, reply),
        }
    }

    /// A relay that does not want a mail may say so before its end, and hang up.
    async fn cut_off(
        &mut self,
        addresses: Vec<String>,
        failure: Failure,
        session: &mut Session,
    ) -> Transaction {
        let limit = session.deadlines.command.min(LAST_WORDS);
        match session.wire.reply("the mail", limit).await {
            Ok(reply) if reply.verdict(Step::End) == Verdict::Permanent => {
                let mut said = std::mem::take(&mut self.said);
                said.extend(addresses.into_iter().map(|address| (address, Said::Refused(reply.clone()))));
                Transaction::Ended { said, end: reply }
            }
            Ok(reply) if !reply.is_positive() => self.deferred(addresses, reply),
            _ => self.deferred(addresses, Reply::none(failure.to_string())),
        }
    }

    fn unknown(mut self, addresses: Vec<String>, failure: &Failure) -> Transaction {
        let reply = Reply::none(format!("{failure}; it may have arrived, and is sent again"));
        self.said.extend(addresses.into_iter().map(|address| (address, Said::Unknown(reply.clone()))));
        Transaction::Ended { said: self.said, end: reply }
    }
}

/// Bytes that are collected before they are written.
const BLOCK: usize = 64 << 10;
/// How long a relay that cut us off may take for saying why.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(5);

enum NotWritten {
    Store(Error),
    Relay(Failure),
}

impl Session {
    async fn command(&mut self, line: &str, shown: &str) -> Result<Reply, Failure> {
        let reply = self.wire.command(line, shown, self.deadlines.envelope).await;
        self.is_broken |= reply.is_err();
        reply
    }

    /// Gives a transaction back, for the next mail.
    async fn reset(&mut self) {
        match self.wire.command("RSET", "RSET", self.deadlines.command).await {
            Ok(reply) if reply.is_positive() => {}
            _ => self.is_broken = true,
        }
    }
}

fn said(verdict: Verdict, reply: Reply) -> Said {
    match verdict {
        Verdict::Done => Said::Sent(reply),
        Verdict::Permanent => Said::Refused(reply),
        Verdict::Temporary | Verdict::Relay => Said::Deferred(reply),
    }
}

/// Recipients that cannot even be asked for.
fn unspeakable(address: &str, session: &Session) -> Option<Reply> {
    let reply =
        |enhanced: &str, words: &str| Reply { code: 553, enhanced: enhanced.into(), words: words.into() };
    if Address::parse(address).is_none() {
        return Some(reply("5.1.3", "this is not an address"));
    }
    // RFC 6531 §3.4: without SMTPUTF8 such an address cannot be named.
    (!address.is_ascii() && !session.offers.has_smtputf8)
        .then(|| reply("5.6.7", "the relay takes no addresses beyond ASCII (it does not offer SMTPUTF8)"))
}
