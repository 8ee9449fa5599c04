//! After a restore: mail that a former life of this desk has handled, read again where it was moved to.
//!
//! What the restored desk knows already is a duplicate by its key (B10). Nothing is acknowledged, and the mails that
//! follow wait in hold, for the former life may have sent them.

use super::Intake;
use super::fates::Fates;
use super::keep::Keeping;
use super::source::{Bytes, Fetched, Item, Source};
use super::work::batches;
use crate::clock::Micros;
use crate::failure::Failure;
use crate::store::MailboxRow;
use crate::store::arrival::Place;

impl Intake {
    /// Takes in what lies in the mailbox's folder for handled mail and arrived since. A second time it does nothing.
    pub async fn reread<S: Source>(
        &self,
        mailbox: &MailboxRow,
        mut source: S,
        since: Micros,
    ) -> Result<Fates, Failure> {
        let folder = mailbox.spec.move_to.clone();
        let opened = source.folders().first().cloned().unwrap_or_default();
        let listing = source.open(&opened).await?;
        let place = Place { mailbox: mailbox.id, epoch: mailbox.epoch, folder, validity: listing.validity };
        let ids: Vec<&str> = listing.items.iter().map(|i| i.source_id.as_str()).collect();
        let known = self.desk.store.read().await?.known_arrivals(&place, &ids).await?;
        let known: std::collections::HashSet<&str> = known.iter().map(|k| k.source_id.as_str()).collect();
        let fresh = listing.items.iter().filter(|item| !known.contains(item.source_id.as_str()));
        let wanted = self.since(&mut source, fresh.cloned().collect(), since).await?;
        let mut fates = Fates::default();
        // In order of arrival, so that a reply finds its parent.
        for batch in batches(wanted, self.settings.batch_bytes) {
            let mut fetched = source.fetch(&batch).await?;
            fetched.retain(|message| !matches!(message.bytes, Bytes::Gone | Bytes::Refused(_)));
            let kept = self.keep(&place, fetched, &[], Keeping::Live).await?.kept;
            fates.merge(&self.decide(kept, false).await?.fates);
        }
        source.close().await?;
        Ok(fates)
    }

    /// Which of a folder's messages arrived since a moment. Mail is moved there in the order in which it is handled: from
    /// the newest on back, until a whole batch is older.
    async fn since<S: Source>(
        &self,
        source: &mut S,
        items: Vec<Item>,
        since: Micros,
    ) -> Result<Vec<Item>, Failure> {
        let newest_first: Vec<Item> = items.into_iter().rev().collect();
        let mut wanted: Vec<Item> = vec![];
        for batch in batches(newest_first, self.settings.batch_bytes) {
            let fetched = source.fetch(&batch).await?;
            let is_old = |message: &Fetched| message.received.is_some_and(|received| received < since);
            let young: Vec<&str> =
                fetched.iter().filter(|m| !is_old(m)).map(|m| m.source_id.as_str()).collect();
            if young.is_empty() {
                break;
            }
            wanted.extend(batch.iter().filter(|item| young.contains(&item.source_id.as_str())).cloned());
        }
        wanted.reverse();
        Ok(wanted)
    }
}
