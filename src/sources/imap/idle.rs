//! Waiting for mail in an open session (RFC 2177), and knowing what came while nobody waited.
//!
//! IDLE tells of one folder: the first. What comes into it during a round, between the listing and IDLE, is told in the
//! answers of other commands (`wire.rs` notes it), or shows in UIDNEXT where another folder was opened meanwhile.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::list::{Opened, select};
use super::wire::{Wire, Woken};
use crate::failure::Failure;
use crate::intake::source::Listing;

/// How far a listing of the first folder reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    validity: Option<u32>,
    uid_next: Option<u32>,
}

impl Reached {
    pub(super) fn new(listing: &Listing, opened: &Opened) -> Reached {
        let last = listing.items.last().and_then(|item| item.source_id.parse::<u32>().ok());
        let behind_last = last.map(|uid| uid.saturating_add(1));
        Reached { validity: opened.validity, uid_next: opened.uid_next.max(behind_last) }
    }

    /// Whether a folder that opens so holds what the listing did not.
    fn is_behind(&self, opened: &Opened) -> bool {
        self.validity != opened.validity || opened.uid_next > self.uid_next
    }
}

/// Waits until `folder` has news (true) or `asked` comes (false). `is_open`: no other was opened since the listing.
pub(super) async fn wait<F: Future<Output = ()> + Send>(
    wire: &mut Wire,
    (folder, is_open, reached): (&str, bool, Option<Reached>),
    renew: Duration,
    mut asked: Pin<&mut F>,
) -> Result<bool, Failure> {
    if !is_open {
        let opened = select(wire, "SELECT", folder).await?;
        if reached.is_none_or(|reached| reached.is_behind(&opened)) {
            return Ok(true);
        }
    }
    loop {
        if wire.opened.has_news {
            return Ok(true);
        }
        match wire.idle(renew, asked.as_mut()).await? {
            Woken::News => return Ok(true),
            Woken::Asked => return Ok(false),
            Woken::Renew => {}
        }
    }
}
