//! The flow of one message, from the source to its place: keep, parse, look up, decide, apply, acknowledge.
//!
//! The work list is the store, not the fetch loop: what is `kept` is decided at start and in every round, whatever
//! became of the connection that brought it.

mod acknowledge;
mod admit;
pub mod balance;
pub mod decide;
pub mod deliver;
mod fates;
mod folder;
pub mod import;
mod keep;
mod leave;
pub mod lookup;
mod pace;
mod parsed;
pub mod replay;
mod reread;
pub mod round;
mod scan;
mod senders;
mod shadow;
mod share;
pub mod source;
mod told;
pub mod work;

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Pulse};
use crate::desk::Desk;
use crate::store::Space;
use crate::telemetry::Metrics;

pub use admit::{ADRIFT, held_alert};
pub use decide::Spared;
pub use fates::Fates;
pub use round::RoundReport;
pub use scan::{SCANNER_ALERT, Scanning};
pub use senders::Verifying;
pub use share::Shares;

/// Everything intake needs, handed in once.
#[derive(Clone)]
pub struct Intake {
    pub desk: Desk,
    pub clock: Clock,
    pub settings: Settings,
    /// Where a virus scanner is asked about each message.
    pub scanning: Option<Scanning>,
    /// Where DNS is asked about each sender.
    pub verifying: Option<Verifying>,
    pub metrics: Metrics,
    /// Below it nothing is taken in.
    pub space: Space,
    /// Of the memory for mail on its way in.
    pub shares: Shares,
    /// Shows that a round goes on, batch after batch.
    pub pulse: Pulse,
    /// What was in hand when the store failed, and was no death.
    pub spared: Spared,
    /// The mailbox is wanted elsewhere: a round ends with the batch in hand.
    pub leaving: CancellationToken,
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes that one batch holds in memory; the next one is on the wire meanwhile.
    pub batch_bytes: u64,
    /// Nothing comes of any mail: what is kept live waits, and every mailbox is read in shadow.
    pub is_shadow: bool,
    /// Deaths and panics with one message in hand before it is set aside.
    pub tries: i64,
    /// Where messages past 1 MiB lie while they are taken in.
    pub spool: PathBuf,
}
