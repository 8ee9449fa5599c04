//! When something is due: an interval, or a cron expression in a time zone. Pure; `scheduler` and `daemon` go by it.

mod cron;
mod due;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use chrono_tz::Tz;

use self::cron::Cron;
use crate::clock::Micros;

pub use due::{Due, dice};

/// The longest interval: a week. What is rarer is said by a date.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// An interval (`600s`, `10m`, `1h30m`), or a cron expression: crontab(5)'s five fields, or six with leading seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Every(Duration),
    At(Box<Cron>),
}

impl Schedule {
    /// Reads an interval or a cron expression; `zone` is a name of the IANA time zone database, such as `Europe/Berlin`.
    /// What can never be due, such as 31 February, is refused. The error says what is wrong, in words for an operator.
    pub fn parse(text: &str, zone: &str) -> Result<Schedule, String> {
        let text = text.trim();
        let zone = parse_zone(zone)?;
        let kind = match is_interval(text) {
            true => Kind::Every(interval(text)?),
            false => Kind::At(Box::new(Cron::parse(text, zone)?)),
        };
        Ok(Schedule { text: text.to_owned(), kind })
    }

    /// Due again and again after so long; at least a second.
    pub fn every(interval: Duration) -> Schedule {
        let interval = interval.max(Duration::from_secs(1));
        Schedule { text: format!("{}s", interval.as_secs()), kind: Kind::Every(interval) }
    }

    pub fn is_interval(&self) -> bool {
        matches!(self.kind, Kind::Every(_))
    }

    /// The first instant after `instant` at which it is due. None: never again, which parsing has ruled out for this
    /// millennium.
    pub fn next_after(&self, instant: Micros) -> Option<Micros> {
        match &self.kind {
            Kind::Every(interval) => Some(instant.plus(*interval)),
            Kind::At(cron) => cron.next_after(instant),
        }
    }
}

/// As it was written.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Checks the name of a time zone.
pub fn parse_zone(zone: &str) -> Result<Tz, String> {
    zone.parse().map_err(|_| {
        format!("{zone:?} is no time zone of the IANA database: give one such as Europe/Berlin, or UTC")
    })
}

/// A number with a unit first and no field behind it: `*` and `@daily` begin otherwise, `5 4 * * *` has blanks.
fn is_interval(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(char::is_whitespace)
}

/// `600s`, `10m`, `1h30m`, `1d`; a bare number is seconds.
fn interval(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is no interval: write 600s, 10m, 1h30m, or a cron expression of five fields");
    let mut seconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = match rest[digits..].chars().next() {
            None | Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 24 * 3600,
            Some(_) => return Err(wrong()),
        };
        seconds = number.checked_mul(unit).and_then(|n| seconds.checked_add(n)).ok_or_else(wrong)?;
        rest = rest.get(digits + 1..).unwrap_or_default();
    }
    match seconds {
        0 => Err(format!("{text:?} is too short: at least 1s")),
        _ if seconds > LONGEST.as_secs() => Err(format!("{text:?} is too long: at most 7d")),
        _ => Ok(Duration::from_secs(seconds)),
    }
}
