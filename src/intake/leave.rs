//! A message over the size limit: its headers are decided on and told of, its bytes stay at the source (B2).

use super::Intake;
use super::decide::{Fates, set_aside};
use super::source::{Item, Listing};
use super::told::Told;
use crate::desk::apply::{Applied, Applying};
use crate::failure::Failure;
use crate::mail::{self, Message};
use crate::store::arrival::{ArrivalState, NewArrival, Place};
use crate::store::journal::{Fate, MailKey, NewJournal};
use crate::store::{Error, Tx};
use crate::ticket::ArrivalId;
use crate::triage::{Clues, Code};

/// A message that is too big, as its source shows it.
pub(super) struct TooBig<'a> {
    pub item: &'a Item,
    pub headers: Vec<u8>,
    /// Its arrival, where it had vanished and is listed again.
    pub known: Option<ArrivalId>,
}

impl Intake {
    /// Tells of it once. `None` where it was left before, under another number.
    pub(super) async fn leave(&self, place: &Place, big: &TooBig<'_>) -> Result<Option<Fates>, Failure> {
        let skeleton =
            mail::scan(&mut &big.headers[..]).map_err(|e| Failure::temporary("headers").because(e))?;
        let message = mail::parse(&skeleton);
        let mut tx = self.desk.store.desk().await?;
        if big.known.is_none()
            && let Some(id) = tx.left_with_headers(place, &big.headers).await?
        {
            tx.renumber_arrival(id, place, &big.item.source_id, big.item.size).await?;
            tx.commit().await?;
            return Ok(None);
        }
        let id = self.left_arrival(&mut tx, place, big).await?;
        let told = self.keep_headers(&mut tx, id, big, &message).await?;
        let words = format!(
            "a message of {} bytes from {} is over the limit of its mailbox and stays at the source: \
             `maildesk error list` shows it, `maildesk error fetch` takes it in, `maildesk error discard` removes it",
            big.item.size,
            message.from.as_ref().map_or("an unknown sender", |f| f.address.as_str())
        );
        self.desk.alerts.state_in(&mut tx, &alert(id), Some(&words)).await?;
        tx.commit().await?;
        self.tell(&[told]);
        let mut fates = Fates::default();
        fates.count(&set_aside(Code::TooBig));
        Ok(Some(fates))
    }

    async fn left_arrival(&self, tx: &mut Tx, place: &Place, big: &TooBig<'_>) -> Result<ArrivalId, Error> {
        if let Some(id) = big.known {
            tx.reopen_journal(id).await?;
            tx.leave_arrival(id, big.item.size).await?;
            return Ok(id);
        }
        let now = self.clock.now();
        let arrival = NewArrival {
            source_id: big.item.source_id.clone(),
            state: ArrivalState::Left,
            announced_size: big.item.size,
            size: 0,
            digest: vec![],
            envelope_to: String::new(),
            received: now,
            is_silent: false,
        };
        tx.add_shown(place.mailbox, 1).await?;
        Ok(tx.insert_arrivals(place, &[arrival], now).await?[0])
    }

    /// An error ticket with the headers, and the journal's row.
    async fn keep_headers(
        &self,
        tx: &mut Tx,
        id: ArrivalId,
        big: &TooBig<'_>,
        message: &Message,
    ) -> Result<Told, Error> {
        let pending = tx.arrival(id).await?;
        let rules = tx.load_rules().await?;
        let number = tx.draw_decision().await?;
        let clues = Clues { mailbox: Some(pending.mailbox), ..Clues::none() };
        let key = MailKey::of(message, &[], &self.desk.keys);
        let decision = set_aside(Code::TooBig);
        let applying = Applying {
            pending: &pending,
            message,
            decision: &decision,
            rules: &rules,
            clues: &clues,
            key: &key,
            number,
        };
        let words = format!("{} bytes, over the mailbox's limit; it stays at the source", big.item.size);
        self.desk.keep_error(tx, &applying, &words, &big.headers).await?;
        let clues_json = serde_json::to_string(&clues)?;
        let fate = Fate::default();
        let journal = NewJournal { arrival: id, number, decision: &decision, clues_json: &clues_json, fate };
        tx.insert_journal(&journal, self.clock.now()).await?;
        Ok(Told::new(&pending, &decision, Applied::default(), &key))
    }

    /// What was left in this folder and is not there any more, under its number or a new one, has vanished.
    pub(super) async fn settle_gone(&self, place: &Place, listing: &Listing) -> Result<(), Failure> {
        let left = self.desk.store.read().await?.arrivals_in(place.mailbox, ArrivalState::Left).await?;
        let is_listed = |id: &str| listing.items.iter().any(|item| item.source_id == id);
        let is_gone = |at: &Place, id: &str| at.folder == place.folder && (at != place || !is_listed(id));
        let gone: Vec<ArrivalId> =
            left.iter().filter(|(at, known)| is_gone(at, &known.source_id)).map(|(_, k)| k.id).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let mut tx = self.desk.store.desk().await?;
        for id in gone {
            self.settle_vanished(&mut tx, id).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Somebody else has removed it: nobody need decide about it.
    pub(super) async fn settle_vanished(&self, tx: &mut Tx, id: ArrivalId) -> Result<(), Error> {
        tx.mark_vanished(id).await?;
        tx.settle_error_of(id, "vanished", self.clock.now()).await?;
        self.desk.alerts.state_in(tx, &alert(id), None).await
    }

    /// It is here after all.
    pub(super) async fn settle_fetched(&self, tx: &mut Tx, id: ArrivalId) -> Result<(), Error> {
        tx.settle_error_of(id, "fetched", self.clock.now()).await?;
        self.desk.alerts.state_in(tx, &alert(id), None).await
    }
}

fn alert(id: ArrivalId) -> String {
    crate::desk::review::too_big_alert(id)
}
