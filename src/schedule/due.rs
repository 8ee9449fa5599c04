//! The next run by a clock that may jump, and how runs are spread.

use super::Schedule;
use crate::clock::Micros;

/// When the next run is due, counted from the last.
#[derive(Clone, Debug)]
pub struct Due {
    schedule: Schedule,
    from: Micros,
}

impl Due {
    /// `from`: the last run, or when the schedule began.
    pub fn new(schedule: Schedule, from: Micros) -> Due {
        Due { schedule, from }
    }

    /// When it is due, looked at anew as often as one likes. Runs that were missed are due once, at once; where the clock
    /// has gone back, it counts from now on.
    pub fn at(&mut self, now: Micros) -> Micros {
        if self.from.0 > now.0 {
            self.from = now;
        }
        self.schedule.next_after(self.from).unwrap_or(Micros(i64::MAX))
    }

    /// A run began.
    pub fn ran(&mut self, now: Micros) {
        self.from = now;
    }
}

/// A number in 0..1 that differs from key to key and from time to time, and is the same when asked again: what is due
/// together is spread by it.
pub fn dice(key: i64, time: i64) -> f64 {
    // The finaliser of SplitMix64: neighbours in, far apart out.
    let mut z = (key as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (time as u64).rotate_left(32);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
