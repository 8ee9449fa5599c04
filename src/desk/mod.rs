//! The desk: the one door through which a ticket changes. A command, with who gave it, becomes rows, events and mails
//! owed, in one transaction under the desk lock.

pub mod apply;
pub mod command;
pub mod delivery;
pub mod mails;
mod place;
pub mod review;
pub mod storms;
mod tell;
mod undelivered;

use std::sync::Arc;

use crate::alert::Alerts;
use crate::clock::Clock;
use crate::letters::Letters;
use crate::mail::MailKeys;
use crate::store::Store;

/// Everything the desk needs, handed in once. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    pub store: Store,
    pub clock: Clock,
    pub keys: Arc<MailKeys>,
    pub letters: Arc<Letters>,
    pub alerts: Alerts,
}

impl Desk {
    pub fn new(store: Store, clock: Clock, keys: MailKeys, letters: Letters) -> Desk {
        let alerts = Alerts { store: store.clone(), clock: clock.clone() };
        Desk { store, clock, keys: Arc::new(keys), letters: Arc::new(letters), alerts }
    }

    /// The same desk on a store that writes under a lease.
    pub fn on(&self, store: &Store) -> Desk {
        let alerts = Alerts { store: store.clone(), ..self.alerts.clone() };
        Desk { store: store.clone(), alerts, ..self.clone() }
    }
}
