//! Old mail taken in from files (M5): the same steps as from a source, but nothing is acknowledged, and it is silent
//! unless told otherwise. The same files again are known by their bytes.

use sha2::{Digest, Sha256};

use super::keep::{Keeping, digest_of};
use super::source::{Bytes, Fetched, Peeked};
use super::{Fates, Intake};
use crate::clock::Micros;
use crate::failure::Failure;
use crate::mail;
use crate::store::MailboxRow;
use crate::store::arrival::Place;
use crate::store::journal::MailKey;
use crate::ticket::{ArrivalId, MailboxId};

/// A message of a file.
pub struct Imported {
    pub bytes: Bytes,
    /// When it arrived, where the file says so.
    pub received: Option<Micros>,
}

/// What an import did with a batch.
#[derive(Clone, Debug, Default)]
pub struct ImportReport {
    pub fates: Fates,
    /// Of all of them, those imported before too.
    pub arrivals: Vec<ArrivalId>,
    /// Imported before.
    pub known: u64,
    /// Kept, and not decided yet: the parser died of them, and they have tries left.
    pub waiting: u64,
}

impl Intake {
    /// Takes in one batch; the caller bounds its bytes.
    pub async fn import(
        &self,
        mailbox: &MailboxRow,
        messages: Vec<Imported>,
        is_silent: bool,
    ) -> Result<ImportReport, Failure> {
        self.space.require()?;
        let place = place(mailbox.id);
        let mut new: Vec<Fetched> = messages.into_iter().map(fetched).collect::<Result<_, _>>()?;
        let ids: Vec<&str> = new.iter().map(|f| f.source_id.as_str()).collect();
        let known = self.desk.store.read().await?.known_arrivals(&place, &ids).await?;
        let count = new.len();
        let mut arrivals: Vec<ArrivalId> = known.iter().map(|k| k.id).collect();
        let mut seen: std::collections::HashSet<String> = known.into_iter().map(|k| k.source_id).collect();
        new.retain(|f| seen.insert(f.source_id.clone()));
        let known = (count - new.len()) as u64;
        let keeping = if is_silent { Keeping::Silent } else { Keeping::Live };
        let batch = self.keep(&place, new, &[], keeping).await?;
        arrivals.extend(batch.kept.iter().map(|kept| kept.pending.id));
        let decided = self.decide(batch.kept, false).await?;
        let waiting = (decided.waiting.len() + decided.unscanned.len()) as u64;
        Ok(ImportReport { fates: decided.fates, arrivals, known, waiting })
    }

    /// Of messages that were looked at, those that no import has taken in yet; and the arrivals of the others.
    pub async fn not_imported(
        &self,
        mailbox: MailboxId,
        looks: Vec<Peeked>,
    ) -> Result<(Vec<(Peeked, Option<Micros>)>, Vec<ArrivalId>), Failure> {
        let (mut new, mut known) = (vec![], vec![]);
        let mut tx = self.desk.store.read().await?;
        for look in looks {
            let unread = |e| Failure::temporary("cannot read a message's headers").because(e);
            let message = mail::parse(&mail::scan(&mut &look.headers[..]).map_err(unread)?);
            let key = MailKey::of(&message, &[], &self.desk.keys);
            // Without a Message-ID only its bytes say which it is.
            let found = match key.message_id {
                Some(_) => tx.imported_by_key(&place(mailbox), &key.key).await?,
                None => None,
            };
            match found {
                Some(id) => known.push(id),
                None => {
                    let received = look.received.or(message.date);
                    new.push((look, received));
                }
            }
        }
        Ok((new, known))
    }
}

/// Where imported mail counts as arrived: its identity is its digest.
fn place(mailbox: MailboxId) -> Place {
    Place { mailbox, epoch: 0, folder: "import".into(), validity: 0 }
}

fn fetched(mut message: Imported) -> Result<Fetched, Failure> {
    let (digest, announced_size) = match &mut message.bytes {
        Bytes::Memory(bytes) => (Sha256::digest(&bytes[..]).to_vec(), bytes.len() as u64),
        Bytes::Spool(file, size) => {
            let unread = |e| Failure::temporary("cannot read a big message again").because(e);
            (digest_of(file).map_err(unread)?, *size)
        }
        Bytes::Gone => (vec![], 0),
    };
    Ok(Fetched {
        source_id: crate::seal::to_hex(&digest),
        announced_size,
        received: message.received,
        bytes: message.bytes,
    })
}
