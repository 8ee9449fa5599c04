//! Alerts: raised once, told once, cleared once. Each has a name (with its stage) and words with what to do.

use crate::clock::Clock;
use crate::store::{Error, Store, Tx};

/// Raises and clears alerts.
#[derive(Clone)]
pub struct Alerts {
    pub store: Store,
    pub clock: Clock,
}

impl Alerts {
    /// States how things are: words where something is wrong, `None` where all is well again.
    /// An alert that stands already stays as it was raised; one that never stood is not cleared.
    pub async fn state(&self, name: &str, words: Option<&str>) -> Result<(), Error> {
        let is_open = self.store.read().await?.open_alert(name).await?.is_some();
        if is_open == words.is_some() {
            return Ok(());
        }
        let mut tx = self.store.write().await?;
        self.state_in(&mut tx, name, words).await?;
        tx.commit().await
    }

    /// The same inside a transaction of the caller's.
    pub async fn state_in(&self, tx: &mut Tx, name: &str, words: Option<&str>) -> Result<(), Error> {
        let now = self.clock.now();
        match words {
            Some(words) => {
                if tx.raise_alert(name, words, now).await? {
                    tracing::error!(alert.name = name, "alert.raised {words}");
                }
            }
            None => {
                if tx.clear_alert(name, now).await? {
                    tracing::info!(alert.name = name, "alert.cleared");
                }
            }
        }
        Ok(())
    }
}
