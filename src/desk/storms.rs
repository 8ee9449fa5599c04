//! Storms that the loop breaker has stopped (M8): noted, told once as an alert, reset by people, and over by themselves.

use super::Desk;
use crate::clock::Micros;
use crate::mail::Address;
use crate::mail::subject::skeleton;
use crate::store::loops::{NewStorm, loop_hash};
use crate::store::{Alarm, Cause, Error, Event, Happened, Tx};
use crate::triage::LoopKey;

/// One key over its cap, as a batch of messages has found it.
#[derive(Clone, Debug)]
pub struct Storm {
    pub hash: i64,
    pub key: LoopKey,
    pub name: String,
    pub cap: u64,
    pub window_s: u64,
    /// Messages that were stopped, or whose mails were.
    pub stopped: u64,
    pub first: Micros,
    pub last: Micros,
}

impl Desk {
    /// Notes it and raises its alert, which is told once.
    pub async fn note_storm(&self, tx: &mut Tx, storm: &Storm) -> Result<(), Error> {
        let new = NewStorm {
            hash: storm.hash,
            kind: storm.key.kind(),
            name: &storm.name,
            cap: storm.cap,
            window_s: storm.window_s,
            stopped: storm.stopped,
            first: storm.first,
            last: storm.last,
        };
        tx.note_storm(&new, self.clock.now()).await?;
        self.alerts.keep_in(tx, &alert_name(storm.key.kind(), storm.hash), Some(&alarm(storm))).await
    }

    /// A key, `kind:name` as `loop list` shows it, counts from nothing again; gives it in that form.
    pub async fn reset_loop(&self, typed: &str, cause: &Cause) -> Result<String, Error> {
        let (kind, name) = parsed(typed)?;
        let hash = loop_hash(&self.keys, kind, &name);
        let mut tx = self.store.desk().await?;
        if !tx.reset_loop(hash).await? {
            return Err(Error::Missing(format!("count under the key {kind}:{name}")));
        }
        self.alerts.keep_in(&mut tx, &alert_name(kind, hash), None).await?;
        // Ids and codes only: the words of a key may be an address.
        self.event(&mut tx, Event::of(None, Happened::LoopReset, alert_name(kind, hash)), cause).await?;
        tx.commit().await?;
        Ok(format!("{kind}:{name}"))
    }

    /// Clears the alerts of storms that are over.
    pub async fn end_storms(&self) -> Result<(), Error> {
        let now = self.clock.now();
        for storm in self.store.read().await?.storms().await? {
            if storm.is_over(now) {
                self.alerts.keep(&alert_name(&storm.kind, storm.hash), None).await?;
            }
        }
        Ok(())
    }
}

/// No words stand in an alert's name.
fn alert_name(kind: &str, hash: i64) -> String {
    format!("loop:{kind}:{hash:016x}")
}

fn alarm(storm: &Storm) -> Alarm {
    let what = match storm.key {
        LoopKey::Sender | LoopKey::Client(_) => "further ones are suspended in the invalid queue",
        LoopKey::Address | LoopKey::Domain => "further answers wait in hold",
        LoopKey::Subject | LoopKey::Ticket(_) => "the mails about further ones wait in hold",
    };
    let release = match storm.key {
        LoopKey::Sender => {
            "`maildesk invalid recover --code flood_sender --sender ADDRESS` takes them in, `invalid block` ends it for good"
        }
        LoopKey::Client(_) => {
            "`maildesk invalid list` shows them; the names in them are forged, so block the machine where it connects"
        }
        _ => "`maildesk queue list --state held` shows them, `queue release` or `queue cancel` settles them",
    };
    Alarm {
        kind: None,
        words: format!(
            "more than {} {} within {} min: {what}",
            storm.cap,
            storm.key.words(),
            storm.window_s / 60
        ),
        advice: format!(
            "`maildesk loop list` names the key. {release}. `maildesk loop reset KEY` lets it count from nothing; the limits \
             stand in `[loops]`."
        ),
    }
}

/// `sender:bot@x.test`; of a subject any with the same skeleton.
fn parsed(typed: &str) -> Result<(&'static str, String), Error> {
    let wrong = || {
        let kinds = LoopKey::KINDS.map(|kind| format!("{kind}:…")).join(", ");
        Error::Refused(format!(
            "{typed:?} is no key of the loop breaker: one is {kinds}, as `maildesk loop list` shows it"
        ))
    };
    let (kind, name) = typed.split_once(':').ok_or_else(wrong)?;
    let kind = LoopKey::KINDS.into_iter().find(|known| *known == kind).ok_or_else(wrong)?;
    let name = match kind {
        "sender" | "address" => Address::parse(name).ok_or_else(wrong)?.without_detail().to_string(),
        "client" => name.parse::<std::net::IpAddr>().map_err(|_| wrong())?.to_string(),
        "domain" => name.trim_start_matches('@').to_lowercase(),
        "subject" => skeleton(name),
        _ => name.trim_start_matches('#').to_owned(),
    };
    Ok((kind, name))
}
