//! Alerts are told once, by mail, to the admins of the types: addresses that nobody here polls.

use super::Desk;
use super::mails::Envelope;
use crate::clock::Micros;
use crate::letters::{Alert, Letter};
use crate::mail::NamedAddress;
use crate::mail::compose::Auto;
use crate::store::outbox::Purpose;
use crate::store::{Counter, Error, Tx, Untold};
use crate::ticket::EventNumber;
use crate::triage::{RelayRule, Rules};

impl Desk {
    /// Queues a mail for each alert that nobody was told of, or nobody that it is over; gives their number.
    pub async fn tell_alerts(&self) -> Result<usize, Error> {
        if self.store.read().await?.untold_alerts().await?.is_empty() {
            return Ok(0);
        }
        let mut tx = self.store.desk().await?;
        // Again, now that nobody else can: another daemon may have told them meanwhile.
        let untold = tx.untold_alerts().await?;
        let rules = tx.load_rules().await?;
        let to = admins(&rules);
        let (Some(relay), false) = (relay(&mut tx, &rules).await?, to.is_empty()) else { return Ok(0) };
        let number = EventNumber(tx.last_drawn(Counter::Event));
        for alert in &untold {
            let envelope = Envelope {
                purpose: Purpose::Alert,
                letter: letter(alert),
                language: "en",
                rules: &rules,
                relay: Some(relay),
                ticket: None,
                from: NamedAddress { name: "maildesk".into(), address: relay.sender.clone() },
                to: to.clone(),
                auto: Auto::Generated,
                in_reply_to: None,
                references: vec![],
                attachments: vec![],
                operation: operation(alert),
                number,
                held_by: None,
            };
            self.enqueue(&mut tx, envelope).await?;
            tx.mark_told(alert.id, self.clock.now()).await?;
        }
        tx.commit().await?;
        Ok(untold.len())
    }
}

/// The first that no alert says of that it fails; else the first.
async fn relay<'a>(tx: &mut Tx, rules: &'a Rules) -> Result<Option<&'a RelayRule>, Error> {
    for relay in &rules.relays {
        let mut fails = false;
        for name in [format!("relay:{}:failing", relay.id), format!("oauth:relay:{}:failing", relay.id)] {
            fails |= tx.open_alert(&name).await?.is_some();
        }
        if !fails {
            return Ok(Some(relay));
        }
    }
    Ok(rules.relays.first())
}

fn admins(rules: &Rules) -> Vec<NamedAddress> {
    let mut found: Vec<NamedAddress> = vec![];
    // An address that is polled would bring the mail back as a ticket.
    let admins = rules.types.iter().filter_map(|t| t.admin.as_ref()).filter(|a| !rules.is_own_address(a));
    for address in admins {
        if found.iter().all(|known| known.address != *address) {
            found.push(address.clone().into());
        }
    }
    found
}

/// The same operation queues nothing twice: each stage that is told is one of its own.
fn operation(alert: &Untold) -> String {
    match (alert.cleared, alert.is_told) {
        (Some(_), _) => format!("alert:{}:over", alert.id),
        (None, true) => format!("alert:{}:worse", alert.id),
        (None, false) => format!("alert:{}", alert.id),
    }
}

fn letter(alert: &Untold) -> Letter {
    Letter::Alert(Alert {
        subject: alert.words.chars().take(80).collect(),
        name: alert.name.clone(),
        words: alert.words.clone(),
        advice: alert.advice.clone(),
        raised: alert.raised.rfc3339(),
        over: alert.cleared.map(Micros::rfc3339).unwrap_or_default(),
        command: "maildesk alert list".into(),
    })
}
