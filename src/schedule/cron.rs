//! Cron expressions as crontab(5) means them, on top of croner (ADR 0013).
//!
//! croner reads the fields and walks the calendar. What it does otherwise than crontab(5) is done here: which words are
//! an expression at all, the rule of the two days, and what the change to and from daylight saving time does.

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone as _, Timelike as _, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};

use crate::clock::Micros;

/// Names as crontab(5) has them; `@reboot` is no time.
const NICKNAMES: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];
const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// The longest gap in any zone's local time was a day.
const GAP_MINUTES: i64 = 25 * 60;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    cron: croner::Cron,
    zone: Tz,
    /// Hour and minute are named. Else, with a `*` in one of them, it goes by the clock on the wall as it runs.
    is_fixed: bool,
}

impl Cron {
    pub(super) fn parse(text: &str, zone: Tz) -> Result<Cron, String> {
        let wrong = |why: String| format!("{text:?} is no cron expression: {why}");
        let plain = NICKNAMES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
        let plain = plain.map_or(text, |(_, plain)| plain).to_ascii_uppercase();
        let fields: Vec<&str> = plain.split_whitespace().collect();
        let [.., minute, hour, day, month, weekday] = fields[..] else {
            return Err(wrong("it has fewer than five fields: minute hour day month weekday".to_owned()));
        };
        if fields.len() > 6 {
            let words = "it has more than six fields: [second] minute hour day month weekday";
            return Err(wrong(words.to_owned()));
        }
        for (field, names) in fields.iter().rev().zip([WEEKDAYS, MONTHS, &[], &[], &[], &[]]) {
            check_field(field, names).map_err(wrong)?;
        }
        let has_star = |field: &str| field.starts_with('*');
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            // crontab(5): either day is enough, but not where one of them begins with `*`. croner sees that of a bare `*`.
            .dom_and_dow(has_star(day) || has_star(weekday))
            .build();
        let cron = parser.parse(&plain).map_err(|e| wrong(e.to_string()))?;
        let cron = Cron { cron, zone, is_fixed: !has_star(minute) && !has_star(hour) };
        match cron.next_after(Micros(0)) {
            Some(_) => Ok(cron),
            None => Err(format!("{text:?} is never due: there is no day {day} in month {month}")),
        }
    }

    pub(super) fn next_after(&self, instant: Micros) -> Option<Micros> {
        let instant = DateTime::from_timestamp_micros(instant.0)?.with_timezone(&self.zone);
        let next = match self.is_fixed {
            true => self.next_fixed(instant)?,
            false => self.cron.find_next_occurrence(&instant, false).ok()?,
        };
        Some(Micros(next.timestamp_micros()))
    }

    /// crontab(5): times that the clock skips are due once, when it has skipped; times that it shows twice, the first time.
    fn next_fixed(&self, instant: DateTime<Tz>) -> Option<DateTime<Tz>> {
        // Walked as if the zone never changed its clock, and each time then looked up in it: later on the wall is never
        // earlier in truth.
        let mut wall = instant.naive_local().and_utc();
        loop {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let next = self.first_instant(wall)?;
            if next > instant {
                return Some(next);
            }
        }
    }

    /// When the clock first shows this time; where it skips it, when it has skipped.
    fn first_instant(&self, wall: DateTime<Utc>) -> Option<DateTime<Tz>> {
        let wall = wall.naive_utc();
        let shown = |wall: &NaiveDateTime| self.zone.from_local_datetime(wall).earliest();
        if let Some(instant) = shown(&wall) {
            return Some(instant);
        }
        let minute = wall.with_second(0)?.with_nanosecond(0)?;
        (1..=GAP_MINUTES).find_map(|n| shown(&(minute + TimeDelta::minutes(n))))
    }
}

/// A list of numbers, names, ranges and steps, or stars: what croner would let pass beyond that is refused.
fn check_field(field: &str, names: &[&str]) -> Result<(), String> {
    for part in field.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let is_number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
        let is_value = |word: &str| is_number(word) || names.contains(&word);
        let is_range = range == "*" || range.split('-').all(is_value);
        if !is_range || !is_number(step) {
            return Err(format!("its field {field:?} cannot be read"));
        }
    }
    Ok(())
}
