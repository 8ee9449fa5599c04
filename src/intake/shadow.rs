//! Shadow mode (M5): a message is decided as always, from what the store knows and from what was decided in shadow before
//! it, and only the decision is kept. No number is drawn, no ticket, contact or mail is made, and the source is not told.
//!
//! A ticket that a message in shadow would have opened is named by that message: in the clues it bears the arrival's
//! number with a minus sign, as its entry does. So a reply finds its parent, and a copy its first copy.

use super::Intake;
use super::acknowledge::Owed;
use super::decide::set_aside;
use super::fates::{Decided, Fates};
use super::keep::{Held, Kept};
use super::leave::Left;
use super::lookup::{Asked, InHand, Sight, look_up};
use super::parsed::Parsed;
use crate::failure::Failure;
use crate::mail::{self, Address, Message};
use crate::store::arrival::{ArrivalState, Pending, Place};
use crate::store::clue::TicketAsked;
use crate::store::journal::MailKey;
use crate::store::shadow::{NewShadow, ShadowRow};
use crate::store::{Counter, Error, Tx};
use crate::ticket::{ArrivalId, EventNumber, LogEntryId, Status, TicketId};
use crate::triage::clues::{Copy, ForeignEntry, TicketClue};
use crate::triage::{self, Act, Clues, Code, Decision, Rules};

/// Who comes to belong to a ticket, at most.
const MAX_ADDRESSES: usize = 50;

impl Intake {
    /// Decides messages in shadow, in order of arrival, with one commit.
    pub(super) async fn decide_in_shadow(&self, parsed: Vec<Parsed>) -> Result<Decided, Failure> {
        let mut decided = Decided::default();
        if parsed.is_empty() {
            return Ok(decided);
        }
        let mut tx = self.desk.store.desk().await?;
        let rules = tx.load_rules().await?;
        let ids: Vec<ArrivalId> = parsed.iter().map(|p| p.pending.id).collect();
        let still_kept = tx.still_kept(&ids).await?;
        for one in parsed.iter().filter(|p| still_kept.contains(&p.pending.id)) {
            let decision = match &one.message {
                Some(message) => self.decide_one_in_shadow(&mut tx, &rules, one, message).await?,
                // Nothing waits for it: the parser died of it, and that is what is shown.
                None => {
                    let decision = set_aside(Code::Poison, "not to be parsed");
                    self.keep_shadow(
                        &mut tx,
                        &Shadowed {
                            pending: &one.pending,
                            message: &Message::default(),
                            clues: &Clues::none(),
                            decision: &decision,
                        },
                    )
                    .await?;
                    decision
                }
            };
            decided.fates.count(&decision);
        }
        tx.commit().await?;
        Ok(decided)
    }

    async fn decide_one_in_shadow(
        &self,
        tx: &mut Tx,
        rules: &Rules,
        one: &Parsed,
        message: &Message,
    ) -> Result<Decision, Error> {
        let (pending, in_hand) = (&one.pending, InHand::of(one));
        let as_of = EventNumber(tx.last_drawn(Counter::Event));
        let sight = Sight { rules, keys: &self.desk.keys, as_of };
        let mut clues = look_up(tx, message, &in_hand, sight).await?;
        let asked = Asked::of(message, &in_hand, rules, &self.desk.keys);
        add_shadows(tx, &asked, pending, &mut clues).await?;
        let decision = triage::decide(message, rules, &clues);
        self.keep_shadow(tx, &Shadowed { pending, message, clues: &clues, decision: &decision }).await?;
        tracing::info!(
            arrival.id = pending.id.0,
            "intake.decided_in_shadow act={} code={}",
            decision.act.as_str(),
            decision.code.as_str(),
        );
        Ok(decision)
    }

    async fn keep_shadow(&self, tx: &mut Tx, it: &Shadowed<'_>) -> Result<(), Error> {
        let Shadowed { pending, message, clues, decision } = *it;
        let key = MailKey::of(message, &pending.digest, &self.desk.keys);
        let (ticket, root) = match (decision.act, decision.ticket) {
            (Act::Open, _) => (None, Some(pending.id)),
            (_, Some(ticket)) if ticket.0 < 0 => (None, Some(ArrivalId(-ticket.0))),
            (_, ticket) => (ticket, None),
        };
        let addresses: Vec<Address> = match decision.act {
            Act::Open => {
                let others = message.to.iter().chain(&message.cc);
                message.from.iter().chain(others).map(|n| n.address.clone()).take(MAX_ADDRESSES).collect()
            }
            _ => vec![],
        };
        let new = NewShadow {
            arrival: pending.id,
            key: &key,
            decision,
            ticket,
            root,
            addresses: &addresses,
            clues_json: &serde_json::to_string(clues)?,
        };
        tx.insert_shadow(&new, self.clock.now()).await
    }

    /// A message over the size limit, by its headers alone.
    pub(super) async fn leave_in_shadow(&self, place: &Place, big: &Left<'_>) -> Result<Fates, Failure> {
        let unread = |e| Failure::temporary("cannot read a message's headers").because(e);
        let message = mail::parse(&mail::scan(&mut &big.headers[..]).map_err(unread)?);
        let now = self.clock.now();
        let arrival = big.arrival(ArrivalState::ShadowKept, now);
        let mut tx = self.desk.store.desk().await?;
        let id = tx.insert_arrivals(place, &[arrival], now).await?[0];
        tx.add_shown(place.mailbox, 1).await?;
        let pending = tx.arrival(id).await?;
        let decision = set_aside(Code::TooBig, big.words());
        self.keep_shadow(
            &mut tx,
            &Shadowed { pending: &pending, message: &message, clues: &Clues::none(), decision: &decision },
        )
        .await?;
        tx.commit().await?;
        let mut fates = Fates::default();
        fates.count(&decision);
        Ok(fates)
    }

    /// The mailbox is live: these are still at their source, and are decided anew.
    pub(super) async fn decide_shadows(&self, still_there: &[Owed]) -> Result<Decided, Failure> {
        let ids: Vec<ArrivalId> = still_there.iter().map(|owed| owed.arrival).collect();
        let mut tx = self.desk.store.write().await?;
        tx.leave_shadow(&ids).await?;
        let mut kept = Vec::with_capacity(ids.len());
        for id in ids {
            kept.push(Kept { pending: tx.arrival(id).await?, bytes: Held::Store });
        }
        tx.commit().await?;
        self.decide(kept, true).await
    }
}

/// A message that was decided in shadow.
struct Shadowed<'a> {
    pending: &'a Pending,
    message: &'a Message,
    clues: &'a Clues,
    decision: &'a Decision,
}

/// What was decided in shadow, as clues.
async fn add_shadows(tx: &mut Tx, asked: &Asked, pending: &Pending, clues: &mut Clues) -> Result<(), Error> {
    for copy in tx.shadow_copies(&asked.key.key, pending.id).await? {
        clues.copies.push(Copy {
            arrival: copy.arrival,
            ticket: named(&copy),
            log_entry: Some(LogEntryId(-copy.arrival.0)),
            act: copy.act,
            is_same_body: copy.digest == pending.digest,
        });
    }
    for (id, hash) in asked.questions.foreign.iter().zip(&asked.hashes) {
        for row in tx.shadows_of_hash(hash).await? {
            let (Act::Open | Act::Append, Some(ticket)) = (row.act, named(&row)) else { continue };
            let log_entry = LogEntryId(-row.arrival.0);
            clues.foreign.push(ForeignEntry { message_id: id.clone(), log_entry, ticket });
            if clues.ticket(ticket).is_some() {
                continue;
            }
            let found = match row.root {
                Some(root) => shadow_ticket(tx, root, asked.questions.from.as_ref()).await?,
                None => {
                    let from = asked.questions.from.as_ref();
                    let asked = TicketAsked { ticket, sender: from, contact: clues.sender.contact };
                    tx.ticket_clues(&[asked], clues.as_of).await?.pop().flatten()
                }
            };
            clues.tickets.extend(found);
        }
    }
    Ok(())
}

/// The ticket that a message would stand on.
fn named(row: &ShadowRow) -> Option<TicketId> {
    row.ticket.or(row.root.map(|root| TicketId(-root.0)))
}

/// A ticket that would have been opened by this arrival.
async fn shadow_ticket(
    tx: &mut Tx,
    root: ArrivalId,
    sender: Option<&Address>,
) -> Result<Option<TicketClue>, Error> {
    let Some(row) = tx.shadow(root).await? else { return Ok(None) };
    let Some(type_id) = row.type_id else { return Ok(None) };
    let at = row.addresses.iter().position(|address| Some(address) == sender);
    let sender_is = at.map(|at| if at == 0 { "contact" } else { "cc" }.to_owned());
    let id = TicketId(-root.0);
    Ok(Some(TicketClue { id, resolved: id, type_id, status: Status::New, is_deleted: false, sender_is }))
}
