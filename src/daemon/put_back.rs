//! A message of an error ticket goes back into the mailbox that it came from (B2), and is known there: it gets a row of
//! the kind that start-from-now writes, before it is written, so that no crash has it taken in again as new.

use std::path::Path;

use super::Works;
use crate::config::{Handled, Protocol};
use crate::failure::Failure;
use crate::intake::ADRIFT;
use crate::mail;
use crate::sources::maildir;
use crate::store::arrival::{ArrivalState, NewArrival, Place};
use crate::store::journal::MailKey;
use crate::store::{Cause, Error, MailboxRow};
use crate::ticket::{ArrivalId, ErrorId};

/// Larger messages are exported instead: one is in memory whole on its way back.
const LARGEST: u64 = 64 << 20;

impl Works {
    /// Gives in words where it is now.
    pub async fn put_back(&self, id: ErrorId, cause: &Cause) -> Result<String, Error> {
        let arrival = self.desk.open_error(id).await?;
        let (place, known) = self.store.read().await?.arrival_at_source(arrival).await?;
        let mailbox = self.store.read().await?.mailbox(place.mailbox).await?;
        // No round takes it for new while it is on its way.
        let turn = self.turn(&mailbox);
        let _turn = turn.lock().await;
        // Nor a round of another daemon.
        let elsewhere = |failure: Failure| Error::InUse(failure.to_string());
        self.on_mailbox(&mailbox).await.map_err(elsewhere)?;
        let folder = &place.folder;
        let words = match (known.state, mailbox.spec.handled) {
            _ if place.epoch == 0 => {
                return Err(refused(id, "came from a file that was imported"));
            }
            (ArrivalState::Left, _) => {
                format!("it is still in its mailbox, folder {folder:?}, and stays there")
            }
            (ArrivalState::AckPending | ArrivalState::Kept, _) => {
                let words = "is to be removed from its mailbox with the next round: try again after that";
                return Err(Error::InUse(format!("the message of error ticket #{id} {words}")));
            }
            (_, Handled::Seen) => format!("it is still in its mailbox, folder {folder:?}, marked as seen"),
            (_, Handled::Move) => {
                format!("it is still in its mailbox, folder {:?}", mailbox.spec.move_to)
            }
            (_, Handled::Delete) => {
                return self.write_back(id, arrival, &mailbox, cause).await;
            }
        };
        let mut tx = self.store.desk().await?;
        self.desk.settle_returned(&mut tx, id, cause).await?;
        tx.commit().await?;
        Ok(words)
    }

    async fn write_back(
        &self,
        id: ErrorId,
        arrival: ArrivalId,
        mailbox: &MailboxRow,
        cause: &Cause,
    ) -> Result<String, Error> {
        let bytes = self.whole(id, arrival).await?;
        let (at, _) = self.store.read().await?.arrival_at_source(arrival).await?;
        let (at, name) = match mailbox.spec.protocol {
            Protocol::Imap => {
                (Place { epoch: mailbox.epoch, validity: ADRIFT, ..at }, format!("returned-{arrival}"))
            }
            Protocol::Maildir => {
                let seconds = self.clock.now().0 / 1_000_000;
                (Place { epoch: mailbox.epoch, ..at }, format!("{seconds}.returned{arrival}.maildesk"))
            }
            other => return Err(refused(id, &format!("came by {other}, which takes nothing back"))),
        };
        let row = self.row_there(arrival, &at, &name, bytes.len() as u64).await?;
        let size = bytes.len() as u64;
        let uid = match mailbox.spec.protocol {
            Protocol::Maildir => {
                maildir::put(Path::new(&mailbox.spec.host), name, bytes).await.map(|()| None)
            }
            _ => self.append(mailbox, &at.folder, bytes).await,
        };
        let failed = |f: Failure| Error::InUse(f.of(format!("mailbox {:?}", mailbox.spec.name)).to_string());
        let uid = uid.map_err(failed)?;
        let mut tx = self.store.desk().await?;
        // Without its number the next round knows it by its key.
        if let Some((validity, uid)) = uid {
            let here = Place { validity: i64::from(validity), ..at };
            tx.renumber_arrival(row, &here, &uid.to_string(), size).await?;
        }
        self.desk.settle_returned(&mut tx, id, cause).await?;
        tx.commit().await?;
        Ok(format!("it is back in mailbox {:?}, and is not taken in again", mailbox.spec.name))
    }

    async fn append(
        &self,
        mailbox: &MailboxRow,
        folder: &str,
        bytes: Vec<u8>,
    ) -> Result<Option<(u32, u32)>, Failure> {
        let mut source = self.old_folders(mailbox, &[folder.to_owned()]).await?;
        let uid = source.append(folder, bytes).await?;
        crate::intake::source::Source::close(source).await?;
        Ok(uid)
    }

    /// The row of the message that will lie there; one that an earlier try has left is taken.
    async fn row_there(
        &self,
        arrival: ArrivalId,
        at: &Place,
        name: &str,
        size: u64,
    ) -> Result<ArrivalId, Error> {
        if let Some(known) = self.store.read().await?.known_arrivals(at, &[name]).await?.pop() {
            return Ok(known.id);
        }
        let skeleton = self.store.skeleton(arrival).await?;
        // The parser may have died of this very message: then it is known by its number alone.
        let parsing = tokio::task::spawn_blocking(move || mail::parse(&skeleton));
        let key = parsing.await.ok().map(|message| MailKey::of_headers(&message, &self.desk.keys).key);
        let now = self.clock.now();
        let row = NewArrival {
            source_id: name.to_owned(),
            state: ArrivalState::BeforeStart,
            announced_size: size,
            size: 0,
            digest: vec![],
            envelope_to: String::new(),
            received: now,
            is_silent: false,
        };
        let mut tx = self.store.write().await?;
        let id = tx.insert_arrivals(at, &[row], now).await?[0];
        tx.add_shown(at.mailbox, 1).await?;
        if let Some(key) = key {
            tx.set_key(id, &key, None).await?;
        }
        tx.commit().await?;
        Ok(id)
    }

    async fn whole(&self, id: ErrorId, arrival: ArrivalId) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![];
        let mut number = 0;
        while let Some(chunk) = self.store.read().await?.raw_chunk(arrival, number).await? {
            bytes.extend_from_slice(&chunk);
            number += 1;
            if bytes.len() as u64 > LARGEST {
                return Err(refused(id, "is too large for that"));
            }
        }
        match number {
            0 => Err(Error::InUse(format!("nothing of the message of error ticket #{id} is here"))),
            _ => Ok(bytes),
        }
    }
}

fn refused(id: ErrorId, why: &str) -> Error {
    Error::InUse(format!(
        "the message of error ticket #{id} {why}: `maildesk error export {id}` writes it into a file"
    ))
}
