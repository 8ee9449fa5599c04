//! Time as a parameter: microseconds UTC, from a clock that is handed in.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

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

    /// RFC 3339; a date alone is its first moment in UTC.
    fn from_str(text: &str) -> Result<Micros, String> {
        let time = match text.len() {
            10 => chrono::DateTime::parse_from_rfc3339(&format!("{text}T00:00:00Z")),
            _ => chrono::DateTime::parse_from_rfc3339(text),
        };
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

/// How long this machine is up: a clock that nobody sets, and that goes on while the process or the machine sleeps.
pub fn uptime() -> Duration {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(up.tv_sec).unwrap_or_default(), u32::try_from(up.tv_nsec).unwrap_or_default())
}

/// A difference below this is a clock that is being set right, not a jump.
const JUMP: Duration = Duration::from_secs(120);

/// By how much a clock has jumped between two looks that lay so far apart in truth; negative: back.
pub fn jump_us(before: Micros, after: Micros, passed: Duration) -> Option<i64> {
    let by = after.0.saturating_sub(before.plus(passed).0);
    (by.unsigned_abs() >= JUMP.as_micros() as u64).then_some(by)
}

/// A task's signs of life, which others count. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Signs>);

#[derive(Debug, Default)]
struct Signs {
    beats: AtomicU64,
    rest_ms: AtomicU64,
}

impl Pulse {
    /// It goes on, and soon there is another sign.
    pub fn beat(&self) {
        self.rest(Duration::ZERO);
    }

    /// It goes on, and there may be no other sign for as long as this.
    pub fn rest(&self, rest: Duration) {
        self.0.rest_ms.store(u64::try_from(rest.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
        self.0.beats.fetch_add(1, Ordering::SeqCst);
    }

    /// One more sign within a rest that was announced.
    pub fn progress(&self) {
        self.0.beats.fetch_add(1, Ordering::SeqCst);
    }

    /// Of the same task, in the same life.
    pub fn is(&self, other: &Pulse) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The signs so far, and the rest that was announced with the last one.
    pub fn seen(&self) -> (u64, Duration) {
        (self.0.beats.load(Ordering::SeqCst), Duration::from_millis(self.0.rest_ms.load(Ordering::SeqCst)))
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
fn system_time() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_told_from_a_slow_look() {
        let at = Micros::from_seconds;
        let passed = Duration::from_secs(10);
        for (after, by) in
            [(1010, None), (1100, None), (950, None), (1010 + 3600, Some(3600)), (1010 - 7200, Some(-7200))]
        {
            assert_eq!(jump_us(at(1000), at(after), passed), by.map(|s: i64| s * Micros::SECOND), "{after}");
        }
        assert_eq!(jump_us(at(1000), at(8200), Duration::from_secs(7200)), None, "a long look");
    }
}
