//! Alerts: raised once, told once, kept up to date while they stand, cleared once. Each has a name, and words with what
//! to do. `catalogue` lists them.

mod catalogue;
pub mod silence;

use crate::clock::{Clock, Micros};
use crate::failure::Failure;
use crate::store::listing::AlertLine;
use crate::store::{Error, Raised, Store, Tx};

pub use crate::store::Alarm;
pub use catalogue::{CATALOGUE, Entry};

/// Characters of an alert's words.
const WORDS_LIMIT: usize = 1000;

/// Raises and clears alerts.
#[derive(Clone)]
pub struct Alerts {
    pub store: Store,
    pub clock: Clock,
}

impl Alerts {
    /// States how things are: words where something is wrong, `None` where all is well again. What stands behind a
    /// semicolon says what to do. An alert that never stood is not cleared.
    pub async fn state(&self, name: &str, words: Option<&str>) -> Result<(), Error> {
        self.keep(name, words.map(in_words).as_ref()).await
    }

    /// The same inside a transaction of the caller's.
    pub async fn state_in(&self, tx: &mut Tx, name: &str, words: Option<&str>) -> Result<(), Error> {
        self.keep_in(tx, name, words.map(in_words).as_ref()).await
    }

    /// The same with a failure's kind: while an alert stands its kind and words are kept those of now.
    pub async fn keep(&self, name: &str, alarm: Option<&Alarm>) -> Result<(), Error> {
        let standing = self.store.read().await?.standing_alert(name).await?;
        if is_as_it_stands(standing.as_ref(), alarm) {
            return Ok(());
        }
        let mut tx = self.store.write().await?;
        self.keep_in(&mut tx, name, alarm).await?;
        tx.commit().await
    }

    pub async fn keep_in(&self, tx: &mut Tx, name: &str, alarm: Option<&Alarm>) -> Result<(), Error> {
        let now = self.clock.now();
        let Some(alarm) = alarm else {
            if tx.clear_alert(name, catalogue::is_told_when_over(name), now).await? {
                tracing::info!(alert.name = name, "alert.cleared it works again");
            }
            return Ok(());
        };
        let (kind, words) = (alarm.kind_word(), &alarm.words);
        match tx.raise_alert(name, alarm, now).await? {
            Raised::New => tracing::error!(alert.name = name, alert.kind = kind, "alert.raised {words}"),
            Raised::Worse => tracing::error!(alert.name = name, alert.kind = kind, "alert.worse {words}"),
            Raised::Stands => {}
        }
        Ok(())
    }

    /// A stage that another one follows: it goes without a word, for the next one is told.
    pub async fn pass_over(&self, name: &str) -> Result<(), Error> {
        let mut tx = self.store.write().await?;
        tx.clear_alert(name, false, self.clock.now()).await?;
        tx.commit().await
    }
}

/// The alarm about a failure that has lasted since then.
pub fn alarm(failure: &Failure, since: Micros) -> Alarm {
    Alarm {
        kind: Some(failure.kind),
        words: format!("{} (since {})", one_line(&failure.to_string()), since.rfc3339()),
        advice: failure.kind.advice().to_owned(),
    }
}

/// What a peer has said may hold anything.
fn one_line(words: &str) -> String {
    let printable = words.chars().take(WORDS_LIMIT).map(|c| if c.is_control() { '?' } else { c });
    printable.collect()
}

fn is_as_it_stands(standing: Option<&AlertLine>, alarm: Option<&Alarm>) -> bool {
    match (standing, alarm) {
        (None, None) => true,
        (Some(line), Some(alarm)) => {
            (line.kind.as_str(), &line.words, &line.advice)
                == (alarm.kind_word(), &alarm.words, &alarm.advice)
        }
        _ => false,
    }
}

fn in_words(words: &str) -> Alarm {
    let (words, advice) = words.split_once("; ").unwrap_or((words, ""));
    Alarm { kind: None, words: words.to_owned(), advice: advice.to_owned() }
}
