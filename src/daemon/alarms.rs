//! What stands under an alert and what does so no more, where no round or mail says it by itself.

use super::works::Works;
use crate::alert::{Alarm, silence};
use crate::clock::Micros;
use crate::failure::{Failure, Kind};
use crate::intake::SCANNER_ALERT;
use crate::letters::Letter;
use crate::outbound::{RelayFailure, Report};
use crate::store::Quiet;
use crate::store::listing::ALL;
use crate::ticket::ArrivalId;

/// No shorter silence of a mailbox is told, so none is looked at.
const LEAST_SILENCE_US: i64 = 24 * 3600 * Micros::SECOND;
/// So many messages of the past say how often mail comes.
const TIMES_OF_MAIL: i64 = 3000;

impl Works {
    /// Raises an alert for each relay that fails, clears it for each that works.
    pub async fn state_relays(&self, report: &Report) -> Result<(), Failure> {
        for relay in &report.working {
            self.desk.alerts.state(&format!("relay:{relay}:failing"), None).await?;
        }
        for RelayFailure { relay, kind, words } in report.failing.iter().filter(|f| f.kind != Kind::Grant) {
            let alarm = Alarm {
                kind: Some(*kind),
                words: format!("mail waits: {words}"),
                advice: format!(
                    "{} It is tried again by itself; `maildesk queue list` shows what waits, and `maildesk doctor` \
                     tries the relay.",
                    kind.advice()
                ),
            };
            self.desk.alerts.keep(&format!("relay:{relay}:failing"), Some(&alarm)).await?;
        }
        Ok(())
    }

    /// Raises an alert for each mailbox that is silent for much longer than is usual for it (L8). The next message clears
    /// it.
    pub async fn state_silence(&self) -> Result<(), Failure> {
        let quiet = self.store.read().await?.quiet_mailboxes(LEAST_SILENCE_US).await?;
        for Quiet { id, name, last_mail, last_ok } in quiet {
            let times = self.store.read().await?.times_of_mail(id, TIMES_OF_MAIL).await?;
            let Some(limit) = silence::longest_usual(&times) else { continue };
            if last_mail.plus(limit) >= last_ok {
                continue;
            }
            let alarm = Alarm {
                kind: None,
                words: format!(
                    "mailbox {name:?}: it is read without trouble, but no mail has come since {}; after its last \
                     messages up to {} h are usual for it",
                    last_mail.rfc3339(),
                    limit.as_secs() / 3600
                ),
                advice: "Send a message there and see whether it arrives. If not, look at what lies before the mailbox: \
                         address, forwarding, MX records, spam filters."
                    .into(),
            };
            self.desk.alerts.keep(&format!("mailbox:{id}:silent"), Some(&alarm)).await?;
        }
        Ok(())
    }

    /// Alerts about mailboxes that are not read any more are over: nobody will find out otherwise.
    pub async fn clear_left_over(&self) -> Result<(), Failure> {
        let standing = self.store.read().await?.list_alerts(false, ALL).await?;
        let mut names: Vec<String> = standing.into_iter().map(|alert| alert.name).collect();
        names.retain(|name| name.starts_with("mailbox:"));
        if names.is_empty() {
            return Ok(());
        }
        for mailbox in self.mailboxes_to_read().await? {
            names.retain(|name| !name.starts_with(&format!("mailbox:{}:", mailbox.id)));
        }
        for name in names {
            self.desk.alerts.keep(&name, None).await?;
        }
        Ok(())
    }

    /// Alerts about templates are over once these work: they are read at the start, and may have been mended since.
    pub async fn clear_mended_templates(&self) -> Result<(), Failure> {
        let mut tx = self.store.read().await?;
        let mut standing: Vec<String> =
            tx.list_alerts(false, ALL).await?.into_iter().map(|a| a.name).collect();
        standing.retain(|name| name.starts_with("template:"));
        if standing.is_empty() {
            return Ok(());
        }
        let rules = tx.load_rules().await?;
        drop(tx);
        let languages = || rules.types.iter().map(|of| of.language.as_str()).chain(["en"]);
        for letter in Letter::samples() {
            let name = format!("template:{}", letter.name());
            let works = || languages().all(|tag| self.desk.letters.render(&letter, tag).1.is_none());
            if standing.contains(&name) && works() {
                self.desk.alerts.keep(&name, None).await?;
            }
        }
        Ok(())
    }

    /// Alerts of the virus scanner are over where there is none any more, or what waited for it was decided without it.
    pub async fn clear_unscanned(&self) -> Result<(), Failure> {
        if self.intake.scanning.is_none() {
            self.desk.alerts.keep(SCANNER_ALERT, None).await?;
        }
        let mut tx = self.store.read().await?;
        let standing = tx.list_alerts(false, ALL).await?;
        let of = |name: &str| name.strip_prefix("unscanned:")?.parse().ok().map(ArrivalId);
        let ids: Vec<ArrivalId> = standing.iter().filter_map(|alert| of(&alert.name)).collect();
        let waiting = tx.still_kept(&ids).await?;
        drop(tx);
        for id in ids.iter().filter(|id| !waiting.contains(id)) {
            self.desk.alerts.keep(&format!("unscanned:{id}"), None).await?;
        }
        Ok(())
    }
}
