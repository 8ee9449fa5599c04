//! A message that stays at its source, because it is over the size limit (B2) or its server will not give it: its headers
//! are told of.

use super::Intake;
use super::decide::set_aside;
use super::fates::Fates;
use super::source::{Item, Listing};
use super::told::Told;
use crate::clock::Micros;
use crate::desk::apply::{Applied, Applying};
use crate::desk::review::{refused_alert, too_big_alert};
use crate::failure::Failure;
use crate::mail::{self, Message};
use crate::store::arrival::{ArrivalState, NewArrival, Place};
use crate::store::journal::{Fate, MailKey, NewJournal};
use crate::store::{Error, Tx};
use crate::ticket::ArrivalId;
use crate::triage::{Clues, Code};

/// A message that is left at its source, as that shows it.
pub(super) struct Left<'a> {
    pub item: &'a Item,
    pub headers: Vec<u8>,
    /// Its arrival, where it has one.
    pub known: Option<ArrivalId>,
    pub why: Why,
}

pub(super) enum Why {
    TooBig,
    /// In the server's words.
    Refused(String),
}

impl Left<'_> {
    /// Its arrival in this state: nothing of it is kept.
    pub fn arrival(&self, state: ArrivalState, now: Micros) -> NewArrival {
        NewArrival {
            source_id: self.item.source_id.clone(),
            state,
            announced_size: self.item.size,
            size: 0,
            digest: vec![],
            envelope_to: String::new(),
            received: now,
            is_silent: false,
        }
    }

    fn code(&self) -> Code {
        match self.why {
            Why::TooBig => Code::TooBig,
            Why::Refused(_) => Code::Refused,
        }
    }

    /// As the error ticket says it.
    pub(super) fn words(&self) -> String {
        let size = self.item.size;
        match &self.why {
            Why::TooBig => format!("{size} bytes, over the mailbox's limit; it stays at the source"),
            Why::Refused(said) => {
                format!(
                    "{size} bytes; its server lists it and will not give it: {said}; it stays at the source"
                )
            }
        }
    }

    /// The alert that stands meanwhile, and its words.
    fn alert(&self, id: ArrivalId, from: &str) -> (String, String) {
        let size = self.item.size;
        match &self.why {
            Why::TooBig => (
                too_big_alert(id),
                format!(
                    "a message of {size} bytes from {from} is over the limit of its mailbox and stays at the source: \
                     `maildesk error list` shows it, `maildesk error fetch` takes it in, `maildesk error discard` removes it"
                ),
            ),
            Why::Refused(said) => (
                refused_alert(id),
                format!(
                    "a message of {size} bytes from {from} stays at the source, for its server lists it and will not give \
                     it ({said}); ask the server's operator, or look at it with another program: `maildesk error fetch` \
                     asks for it once more, `maildesk error discard` removes it there"
                ),
            ),
        }
    }
}

impl Intake {
    /// Tells of it once. `None` where it was left before, under another number.
    pub(super) async fn leave(&self, place: &Place, big: &Left<'_>) -> Result<Option<Fates>, Failure> {
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
        let from = message.from.as_ref().map_or("an unknown sender", |f| f.address.as_str());
        let (name, words) = big.alert(id, from);
        self.desk.alerts.state_in(&mut tx, &name, Some(&words)).await?;
        tx.commit().await?;
        self.tell(&[told]);
        let mut fates = Fates::default();
        fates.count(&set_aside(big.code(), big.words()));
        Ok(Some(fates))
    }

    async fn left_arrival(&self, tx: &mut Tx, place: &Place, big: &Left<'_>) -> Result<ArrivalId, Error> {
        if let Some(id) = big.known {
            tx.reopen_journal(id).await?;
            tx.leave_arrival(id, big.item.size).await?;
            return Ok(id);
        }
        let now = self.clock.now();
        let arrival = big.arrival(ArrivalState::Left, now);
        tx.add_shown(place.mailbox, 1).await?;
        Ok(tx.insert_arrivals(place, &[arrival], now).await?[0])
    }

    /// An error ticket with the headers, and the journal's row.
    async fn keep_headers(
        &self,
        tx: &mut Tx,
        id: ArrivalId,
        big: &Left<'_>,
        message: &Message,
    ) -> Result<Told, Error> {
        let pending = tx.arrival(id).await?;
        let rules = tx.load_rules().await?;
        let number = tx.draw_decision().await?;
        let clues = Clues { mailbox: Some(pending.mailbox), ..Clues::none() };
        let key = MailKey::of(message, &[], &self.desk.keys);
        let decision = set_aside(big.code(), big.words());
        let applying = Applying {
            pending: &pending,
            message,
            decision: &decision,
            rules: &rules,
            clues: &clues,
            key: &key,
            number,
        };
        self.desk.keep_error(tx, &applying, &big.words(), &big.headers).await?;
        let clues_json = serde_json::to_string(&clues)?;
        let fate = Fate::default();
        let journal = NewJournal { arrival: id, number, decision: &decision, clues_json: &clues_json, fate };
        tx.insert_journal(&journal, self.clock.now()).await?;
        Ok(Told::new(&pending, &decision, Applied::default(), &key))
    }

    /// What was left in this folder and is not there any more, under its number or a new one, has vanished.
    pub(super) async fn settle_gone(&self, place: &Place, listing: &Listing) -> Result<(), Failure> {
        let mut tx = self.desk.store.read().await?;
        let mut left = tx.arrivals_in(place.mailbox, ArrivalState::Left).await?;
        left.extend(tx.arrivals_in(place.mailbox, ArrivalState::Refused).await?);
        drop(tx);
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
        self.desk.clear_left_alerts(tx, id).await
    }

    /// It is here after all.
    pub(super) async fn settle_fetched(&self, tx: &mut Tx, id: ArrivalId) -> Result<(), Error> {
        tx.settle_error_of(id, "fetched", self.clock.now()).await?;
        self.desk.clear_left_alerts(tx, id).await
    }
}
