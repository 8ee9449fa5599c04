//! When a mail is tried again, and when it is given up. Pure.

use std::time::Duration;

/// Waiting times after the first, second, … try, in minutes; the last one repeats. Short at first, because greylisting
/// (RFC 6647) wants minutes; long at last, because what fails for hours is repaired by people.
const MINUTES: [u64; 7] = [1, 5, 15, 30, 60, 120, 240];
/// Waiting times differ by up to a tenth each way, so that mails deferred together do not come back together.
const JITTER: f64 = 0.1;
/// RFC 5321 §4.5.4.1: the give-up time generally needs to be at least 4 to 5 days.
pub const PATIENCE: Duration = Duration::from_secs(5 * 24 * 3600);
/// However old a mail is, it is tried so often: it may have waited under a pause, or while the desk was off.
pub const LEAST_TRIES: i64 = 6;

/// How long to wait after `tries` tries (1 after the first). `dice` is in 0..1.
pub fn delay(tries: i64, dice: f64) -> Duration {
    let step = usize::try_from(tries.max(1) - 1).unwrap_or(usize::MAX).min(MINUTES.len() - 1);
    let factor = 1.0 - JITTER + 2.0 * JITTER * dice.clamp(0.0, 1.0);
    Duration::from_secs(60 * MINUTES[step]).mul_f64(factor)
}

/// No wait is longer.
pub fn longest() -> Duration {
    delay(i64::MAX, 1.0)
}

/// Whether a recipient is given up after `tries` tries of a mail of that age.
pub fn gives_up(tries: i64, age: Duration) -> bool {
    tries >= LEAST_TRIES && age >= PATIENCE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waiting_times_rise_and_tries_end(dice in 0.0..1.0_f64) {
            let (mut age, mut tries, mut last) = (Duration::ZERO, 0, Duration::ZERO);
            loop {
                tries += 1;
                let next = delay(tries, dice);
                prop_assert!(next >= last && next <= Duration::from_secs(4 * 3600 * 11 / 10));
                if gives_up(tries, age) {
                    break;
                }
                (age, last) = (age + next, next);
                prop_assert!(tries < 50);
            }
            prop_assert!(age >= PATIENCE && age < PATIENCE + Duration::from_secs(5 * 3600));
        }
    }

    #[test]
    fn an_old_mail_is_still_tried_a_few_times() {
        let week = Duration::from_secs(7 * 24 * 3600);
        assert!(!gives_up(1, week) && gives_up(LEAST_TRIES, week));
        assert!(!gives_up(1000, Duration::ZERO));
    }
}
