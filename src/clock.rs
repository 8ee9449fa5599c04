//! Time as a parameter: microseconds UTC, from a clock that is handed in.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Microseconds since 1970-01-01 UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Micros(pub i64);

impl Micros {
    pub const SECOND: i64 = 1_000_000;

    pub fn from_seconds(seconds: i64) -> Micros {
        Micros(seconds.saturating_mul(Micros::SECOND))
    }

    pub fn plus(self, duration: std::time::Duration) -> Micros {
        Micros(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// RFC 3339 in UTC with seconds, for people and `--json`.
    pub fn rfc3339(self) -> String {
        chrono::DateTime::from_timestamp_micros(self.0)
            .map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
            .unwrap_or_default()
    }
}

impl std::str::FromStr for Micros {
    type Err = String;

    /// RFC 3339.
    fn from_str(text: &str) -> Result<Micros, String> {
        let time = chrono::DateTime::parse_from_rfc3339(text);
        time.map(|t| Micros(t.timestamp_micros()))
            .map_err(|e| format!("{text:?} is not a time such as 2026-01-31T12:00:00Z: {e}"))
    }
}

/// Where the time comes from: the system, or a test's hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    pub fn system() -> Clock {
        Clock(None)
    }

    /// A clock that stands at `now` until `set` moves it.
    pub fn fixed(now: Micros) -> Clock {
        Clock(Some(Arc::new(AtomicI64::new(now.0))))
    }

    pub fn set(&self, now: Micros) {
        if let Some(at) = &self.0 {
            at.store(now.0, Ordering::SeqCst);
        }
    }

    pub fn now(&self) -> Micros {
        match &self.0 {
            Some(at) => Micros(at.load(Ordering::SeqCst)),
            None => Micros(chrono::DateTime::<chrono::Utc>::from(system_time()).timestamp_micros()),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
fn system_time() -> std::time::SystemTime {
    std::time::SystemTime::now()
}
