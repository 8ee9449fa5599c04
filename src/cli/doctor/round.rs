//! A mail sent round (L8): out through a type's relay to the type's own address, and in again through its mailbox.
//!
//! It bears a Message-ID of ours under our MAC, so intake knows it as our own echo: it is journalled and taken out of the
//! mailbox, and becomes no ticket.

use std::time::Duration;

use tokio::time::Instant;

use super::super::Context;
use super::super::checkup::{Checkup, STEP};
use crate::clock::Micros;
use crate::config::RelayKind;
use crate::failure::Failure;
use crate::mail::compose::{Auto, Draft, compose};
use crate::mail::{MessageId, NamedAddress};
use crate::outbound::{self, RelayBook, RelaySettings, Session};
use crate::store::{Counter, MailboxRow, TypeRow};
use crate::ticket::{ArrivalId, OutboxId};
use crate::triage::{Rules, TypeRule};

/// Between two looks into the mailbox.
const LOOK: Duration = Duration::from_secs(1);
const SKEW: i64 = 2 * 60 * Micros::SECOND;

/// Sends one for each active type, and waits for it.
pub async fn rounds(
    context: &Context,
    (types, mailboxes): (&[TypeRow], &[MailboxRow]),
    (rules, book): (&Rules, &RelayBook),
    within: Duration,
) -> Vec<Checkup> {
    let mut found = vec![];
    for rule in &rules.types {
        let name = types.iter().find(|t| t.id == rule.id).map_or(&rule.name, |t| &t.spec.name);
        let mut it = Checkup::of(format!("mail round {name}"));
        let mailbox = mailboxes.iter().find(|m| Some(m.id) == rule.mailbox && m.spec.is_active);
        match (mailbox, rule.relay.and_then(|id| book.get(&id))) {
            (None, _) | (_, None) => it.warn("it has no mailbox or no relay: nothing was sent round", ""),
            (_, Some(relay)) if relay.kind == RelayKind::Folder => {
                it.warn("its relay is a folder: nothing was sent round", "");
            }
            (Some(mailbox), Some(relay)) => {
                round(&mut it, context, (rule, rules), (mailbox, relay), within).await;
            }
        }
        found.push(it);
    }
    found
}

async fn round(
    it: &mut Checkup,
    context: &Context,
    of: (&TypeRule, &Rules),
    (mailbox, relay): (&MailboxRow, &RelaySettings),
    within: Duration,
) {
    let address = &of.0.address;
    let begun = Instant::now();
    let sent = match send(context, of, relay).await {
        Ok(sent) => sent,
        Err(e) => {
            let advice = "check what the relay may send, and to whom";
            return it.fail(format!("the mail to {address} was not taken: {e}"), advice);
        }
    };
    it.ok(format!("relay {} took a mail to {address}: {}", relay.name, sent.words));
    if !context.is_daemon
        && let Err(e) = context.works.take_free(std::slice::from_ref(mailbox)).await
    {
        return it.fail(e.to_string(), "check the store");
    }
    loop {
        if let Err(e) = context.works.poll(mailbox).await {
            return it.fail(e.to_string(), "the mailbox cannot be read; the mail may still come");
        }
        match arrived(context, &sent.id).await {
            Ok(Some(found)) => return judge(it, begun.elapsed(), &sent, &found),
            Ok(None) if begun.elapsed() < within => tokio::time::sleep(LOOK).await,
            Ok(None) => {
                return it.fail(
                    format!("it did not arrive in mailbox {} within {} s", mailbox.spec.name, within.as_secs()),
                    "look at its spam folder, at forwarding rules, and whether the address belongs to this mailbox",
                );
            }
            Err(e) => return it.fail(e.to_string(), "check the store"),
        }
    }
}

fn judge(it: &mut Checkup, took: Duration, sent: &Sent, found: &Found) {
    match found.code.as_str() {
        "own_echo" => {
            it.ok(format!(
                "it arrived after {:.1} s, was known as our own, and became no ticket",
                took.as_secs_f64()
            ));
        }
        code => it.fail(
            format!("it arrived, but was not known as our own: {code}"),
            "some server on the way rewrites Message-IDs; `maildesk journal list` shows it",
        ),
    }
    let skew = found.received.0 - sent.at.0;
    if skew < -SKEW || skew > SKEW + i64::try_from(took.as_micros()).unwrap_or(i64::MAX) {
        it.warn(
            format!(
                "the server dates it {}, and it was sent at {}",
                found.received.rfc3339(),
                sent.at.rfc3339()
            ),
            "one of the two clocks is wrong: set yours by NTP",
        );
    }
}

/// A mail that a relay has taken.
struct Sent {
    id: MessageId,
    at: Micros,
    words: String,
}

async fn send(
    context: &Context,
    (rule, rules): (&TypeRule, &Rules),
    relay: &RelaySettings,
) -> Result<Sent, Failure> {
    // A number of its own, so that no other mail ever has its Message-ID.
    let mut tx = context.store.desk().await?;
    let outbox = OutboxId(tx.draw(Counter::Outbox).await?);
    tx.commit().await?;
    let (id, at) = (context.works.desk.keys.message_id(outbox, rule.address.domain()), context.clock.now());
    let address = NamedAddress { name: "maildesk doctor".into(), address: rule.address.clone() };
    let draft = Draft {
        from: address.clone(),
        to: vec![address],
        reply_to: None,
        subject: format!("maildesk doctor: a mail sent round for {}", rule.name),
        text: "This mail was sent by `maildesk doctor --mail`. It is taken out of the mailbox again.\n"
            .into(),
        html: String::new(),
        message_id: id.clone(),
        in_reply_to: None,
        references: vec![],
        date: at,
        boundary_seed: [0; 16],
        auto: Auto::Generated,
        desk_mark: rules.desk.clone(),
        attachments: vec![],
    };
    let patience = outbound::Deadlines {
        connect: STEP,
        command: STEP,
        envelope: STEP,
        ..outbound::Deadlines::default()
    };
    let mut session = Session::open(relay, patience).await?;
    let return_path = super::return_path(rules, rule, &context.works.desk.keys, outbox);
    let words = session.send_now(&return_path, rule.address.as_str(), &compose(&draft).literal).await?;
    session.quit().await;
    Ok(Sent { id, at, words })
}

/// How it was taken in.
struct Found {
    code: String,
    received: Micros,
}

async fn arrived(context: &Context, id: &MessageId) -> Result<Option<Found>, Failure> {
    let mut tx = context.store.read().await?;
    let arrivals: Vec<ArrivalId> = tx.arrivals_of_message_id(id.as_str()).await?;
    let Some(arrival) = arrivals.first() else { return Ok(None) };
    let Some(row) = tx.journal_row(*arrival).await? else { return Ok(None) };
    Ok(Some(Found { code: row.code, received: tx.arrival(*arrival).await?.received }))
}
