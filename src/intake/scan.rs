//! Between keep and parse: the virus scanner is asked about each message that is to be decided (B12). Its word becomes a
//! clue. What it cannot be asked about waits where it is, kept and undecided, and the others go on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::Intake;
use super::keep::{Held, Kept};
use crate::config::Unscanned;
use crate::failure::Failure;
use crate::scanner::{Bytes, Scanner, Unanswered, Verdict};
use crate::store::Alarm;
use crate::store::arrival::Pending;
use crate::ticket::ArrivalId;
use crate::triage::Scan;

/// The alert that stands while the scanner cannot be asked.
pub const SCANNER_ALERT: &str = "scanner:failing";
/// After a failure: this, doubled with each further one in a row, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
/// The scanner is ours, and all mail waits for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Of one message that it fails on while it answers about others.
const LONGEST_PAUSE_OF_ONE: Duration = Duration::from_secs(60 * 60);
/// So many messages in a row without a verdict: it is the scanner, not the messages.
const IN_A_ROW: u32 = 3;

/// The scanner, and what waits for it. Clones share what they know.
#[derive(Clone)]
pub struct Scanning {
    pub scanner: Scanner,
    first_pause: Duration,
    waits: Arc<Mutex<Waits>>,
}

#[derive(Default)]
struct Waits {
    /// It is not asked before.
    away: Option<Instant>,
    /// Its failures in a row.
    failures: u32,
    /// Messages without a verdict since the last one with, while it was there.
    in_a_row: u32,
    /// Messages that it has failed on, how often, and when each is tried again.
    messages: HashMap<ArrivalId, (u32, Instant)>,
    /// Its alert is as it should be.
    is_told: bool,
}

impl Scanning {
    pub fn new(scanner: Scanner) -> Scanning {
        Scanning { scanner, first_pause: FIRST_PAUSE, waits: Arc::default() }
    }

    /// The same with another patience.
    pub fn patient_for(self, first_pause: Duration) -> Scanning {
        Scanning { first_pause, ..self }
    }

    /// It could not be asked a moment ago.
    pub fn is_away(&self) -> bool {
        self.waits().away.is_some_and(|until| until > Instant::now())
    }

    /// Something may wait for it, and it is time to ask again.
    pub fn is_wanted(&self) -> bool {
        let (waits, now) = (self.waits(), Instant::now());
        let is_due = waits.messages.values().any(|(_, at)| *at <= now);
        (waits.failures > 0 || is_due) && waits.away.is_none_or(|until| until <= now)
    }

    /// Nothing can be decided now.
    pub(super) fn holds_all(&self) -> bool {
        self.scanner.settings.unscanned == Unscanned::Wait && self.is_away()
    }

    /// This message has its next try later.
    pub fn is_put_off(&self, id: ArrivalId) -> bool {
        self.waits().messages.get(&id).is_some_and(|(_, at)| *at > Instant::now())
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().expect("nobody panics while holding it")
    }

    /// There is a verdict. Whether the alert is to be cleared.
    fn answered(&self, id: ArrivalId) -> bool {
        let mut waits = self.waits();
        let is_told = std::mem::replace(&mut waits.is_told, true);
        waits.messages.remove(&id);
        (waits.away, waits.failures, waits.in_a_row) = (None, 0, 0);
        !is_told
    }

    fn failed_on(&self, id: ArrivalId) {
        let mut waits = self.waits();
        let tries = waits.messages.get(&id).map_or(0, |(tries, _)| *tries) + 1;
        let pause = doubled(self.first_pause, tries, LONGEST_PAUSE_OF_ONE);
        waits.messages.insert(id, (tries, Instant::now() + pause));
    }

    /// Whether so many failed in a row that it is the scanner's own fault.
    fn fails_on_all(&self) -> bool {
        let mut waits = self.waits();
        waits.in_a_row += 1;
        waits.in_a_row >= IN_A_ROW
    }

    fn is_gone(&self) {
        let mut waits = self.waits();
        waits.failures += 1;
        waits.away = Some(Instant::now() + doubled(self.first_pause, waits.failures, LONGEST_PAUSE));
        waits.is_told = false;
    }
}

fn doubled(first: Duration, failures: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(longest)
}

/// A message that may be decided.
pub(super) struct Scanned {
    pub kept: Kept,
    pub scan: Option<Scan>,
}

/// What a batch comes to before it is decided.
#[derive(Default)]
pub(super) struct ScannedBatch {
    pub scanned: Vec<Scanned>,
    /// These wait for the scanner.
    pub unscanned: Vec<ArrivalId>,
}

impl Intake {
    /// Asks about each message of a batch, in their order.
    pub(super) async fn scan(&self, batch: Vec<Kept>) -> Result<ScannedBatch, Failure> {
        let mut into = ScannedBatch::default();
        for kept in batch {
            let scan = match &self.scanning {
                Some(scanning) if self.is_looked_into(&kept.pending) => {
                    let Some(scan) = self.scan_one(scanning, &kept).await? else {
                        into.unscanned.push(kept.pending.id);
                        continue;
                    };
                    Some(scan)
                }
                _ => None,
            };
            into.scanned.push(Scanned { kept, scan });
        }
        Ok(into)
    }

    /// What is set aside undecided needs no word.
    fn is_looked_into(&self, pending: &Pending) -> bool {
        !pending.is_too_big && pending.tries < self.settings.tries
    }

    /// `None`: it waits.
    async fn scan_one(&self, scanning: &Scanning, kept: &Kept) -> Result<Option<Scan>, Failure> {
        let (id, settings) = (kept.pending.id, &scanning.scanner.settings);
        let unscanned = |why: &str| match settings.unscanned {
            Unscanned::Wait => None,
            Unscanned::Take => Some(Scan::Skipped(why.to_owned())),
        };
        if kept.pending.size > settings.size_limit_bytes {
            return Ok(Some(self.not_asked(scanning)));
        }
        if scanning.is_away() || scanning.is_put_off(id) {
            return Ok(unscanned("the scanner could not be asked"));
        }
        self.pulse.progress();
        let bytes = match &kept.bytes {
            Held::Memory(bytes) => Bytes::Memory(bytes),
            Held::Spool(_) | Held::Store => Bytes::Stored(&self.desk.store, id),
        };
        let verdict = match scanning.scanner.scan(&bytes).await {
            Ok(verdict) => verdict,
            Err(Unanswered::Store(error)) => return Err(error.into()),
            Err(Unanswered::Scanner(failure)) => {
                self.metrics.scanned("failed");
                tracing::warn!(arrival.id = id.0, "intake.scan_failed {failure}");
                self.scan_failed(scanning, id, &failure).await?;
                return Ok(unscanned(&failure.to_string()));
            }
        };
        if scanning.answered(id) {
            self.desk.alerts.keep(SCANNER_ALERT, None).await?;
        }
        if matches!(kept.bytes, Held::Store) {
            self.desk.alerts.keep(&unscanned_alert(id), None).await?;
        }
        Ok(Some(match verdict {
            Verdict::Clean => {
                self.metrics.scanned("clean");
                Scan::Clean
            }
            Verdict::Found(name) => {
                self.metrics.scanned("found");
                Scan::Found(name)
            }
            Verdict::TooBig => self.not_asked(scanning),
        }))
    }

    fn not_asked(&self, scanning: &Scanning) -> Scan {
        self.metrics.scanned("too_big");
        match scanning.scanner.settings.unscanned {
            Unscanned::Wait => Scan::TooBig,
            Unscanned::Take => Scan::Skipped("too big for the scanner".into()),
        }
    }

    /// Is it the scanner that is away, or this one message that it fails on?
    async fn scan_failed(
        &self,
        scanning: &Scanning,
        id: ArrivalId,
        failure: &Failure,
    ) -> Result<(), Failure> {
        let takes = scanning.scanner.settings.unscanned == Unscanned::Take;
        let is_away = scanning.scanner.version().await.is_err() || scanning.fails_on_all();
        if is_away {
            scanning.is_gone();
            let comes = if takes {
                "mail is taken in unscanned"
            } else {
                "mail waits undecided, and nothing is lost"
            };
            let alarm = Alarm {
                kind: Some(failure.kind),
                words: format!("{comes}: {failure}"),
                advice: "See that clamd runs, and that `[virus_scanner]` names its socket. What waits is decided by \
                         itself once it answers. `maildesk doctor` asks it."
                    .into(),
            };
            return Ok(self.desk.alerts.keep(SCANNER_ALERT, Some(&alarm)).await?);
        }
        scanning.failed_on(id);
        if takes {
            return Ok(());
        }
        let alarm = Alarm {
            kind: Some(failure.kind),
            words: format!("the message of arrival {id} waits undecided: {failure}"),
            advice: "The scanner answers about other mail. It is asked about this message again, less and less often. \
                     Look into its log; with `unscanned = \"take\"` and a restart the message is taken in without it."
                .into(),
        };
        Ok(self.desk.alerts.keep(&unscanned_alert(id), Some(&alarm)).await?)
    }
}

/// Stands while one message waits that the scanner fails on.
fn unscanned_alert(id: ArrivalId) -> String {
    format!("unscanned:{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_doubled_up_to_the_longest() {
        let pauses: Vec<u64> =
            [1, 2, 3, 4, 100].map(|n| doubled(FIRST_PAUSE, n, LONGEST_PAUSE).as_secs()).into();
        assert_eq!(pauses, [15, 30, 60, 60, 60]);
        assert_eq!(doubled(FIRST_PAUSE, 20, LONGEST_PAUSE_OF_ONE), LONGEST_PAUSE_OF_ONE);
    }
}
