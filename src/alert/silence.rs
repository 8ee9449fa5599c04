//! Is a mailbox silent for longer than is usual for it (L8)? Pure: a look at when its mail used to come.
//!
//! A pause is compared with those that began at the same time of the week, so that a weekend is no alarm for a mailbox
//! that rests on weekends. Nothing is said of a mailbox that is young, or that has had little mail.

use std::time::Duration;

use crate::clock::Micros;

/// Messages that come within this of the one before count as one: an import or a newsletter's echo says nothing of how
/// often mail comes.
const BURST: Duration = Duration::from_secs(60);
/// So many occasions, over so long, have to be known.
const LEAST_OCCASIONS: usize = 30;
const LEAST_AGE: Duration = Duration::from_secs(14 * 24 * 3600);
/// Pauses that began at the same time of the week, before they alone are asked.
const LEAST_PAUSES: usize = 4;
/// No silence below this is told.
const LEAST_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// How much longer than the usual longest pause.
const FACTOR: u32 = 3;

const DAY_US: i64 = 24 * 3600 * Micros::SECOND;
/// The week in quarters of days.
const QUARTER_US: i64 = DAY_US / 4;
const QUARTERS: i64 = 28;

/// How long the silence after the last of these messages may be. `None`: too little is known. `arrivals` in any order.
pub fn longest_usual(arrivals: &[Micros]) -> Option<Duration> {
    let mut occasions: Vec<i64> = arrivals.iter().map(|time| time.0).collect();
    occasions.sort_unstable();
    occasions.dedup_by(|later, earlier| {
        let is_same = *later - *earlier < BURST.as_micros() as i64;
        if is_same {
            *earlier = *later;
        }
        is_same
    });
    let (first, last) = (*occasions.first()?, *occasions.last()?);
    if occasions.len() < LEAST_OCCASIONS || last - first < LEAST_AGE.as_micros() as i64 {
        return None;
    }
    let pauses: Vec<(i64, i64)> = occasions.windows(2).map(|pair| (pair[0], pair[1] - pair[0])).collect();
    let mut alike: Vec<i64> = pauses
        .iter()
        .filter(|(begun, _)| quarter(*begun) == quarter(last))
        .map(|(_, length)| *length)
        .collect();
    let usual = if alike.len() < LEAST_PAUSES {
        pauses.iter().map(|(_, length)| *length).max()?
    } else {
        alike.sort_unstable();
        // The 99th percentile; of few, the longest.
        alike[(alike.len() * 99).div_ceil(100) - 1]
    };
    let usual = Duration::from_micros(u64::try_from(usual).unwrap_or_default());
    Some((usual * FACTOR).max(LEAST_LIMIT))
}

fn quarter(time: i64) -> i64 {
    time.div_euclid(QUARTER_US).rem_euclid(QUARTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Monday.
    const START: i64 = 1_799_625_600;

    /// Mail every half hour from 8 to 18 o'clock, Monday to Friday, up to this day and hour.
    fn working_hours(days: i64, until_hour: i64) -> Vec<Micros> {
        let slots = (0..days * 48).filter(|slot| (16..=36).contains(&(slot % 48)) && (slot / 48) % 7 < 5);
        let end = (days - 1) * 48 + until_hour * 2;
        slots.filter(|slot| *slot <= end).map(|slot| Micros::from_seconds(START + slot * 1800)).collect()
    }

    fn hours(arrivals: &[Micros]) -> Option<u64> {
        longest_usual(arrivals).map(|limit| limit.as_secs() / 3600)
    }

    #[test]
    fn a_weekend_is_usual_where_weekends_are_silent() {
        // A Friday evening after six weeks: pauses of 62 hours have begun then.
        assert_eq!(hours(&working_hours(40, 18)), Some(186));
        // A Tuesday evening: 14 hours.
        assert_eq!(hours(&working_hours(37, 18)), Some(42));
        // At noon half an hour is usual, and below a day nothing is told.
        assert_eq!(hours(&working_hours(37, 12)), Some(24));
        // In the third week few Fridays are known: the longest pause of all counts.
        assert_eq!(hours(&working_hours(19, 18)), Some(186));
    }

    #[test]
    fn little_is_said_of_little() {
        assert_eq!(hours(&[]), None);
        assert_eq!(hours(&working_hours(10, 18)), None, "young");
        let rare: Vec<Micros> = (0..20).map(|week| Micros::from_seconds(START + week * 7 * 86_400)).collect();
        assert_eq!(hours(&rare), None, "rare");
        // Ten thousand messages in a minute are one occasion.
        let import: Vec<Micros> = (0..10_000).map(|n| Micros(START * 1_000_000 + n * 5_000)).collect();
        assert_eq!(hours(&import), None);
        let with_import: Vec<Micros> = working_hours(37, 12).into_iter().chain(import).collect();
        assert_eq!(hours(&with_import), Some(24));
    }

    #[test]
    fn a_mailbox_with_one_mail_a_day_may_be_silent_for_three() {
        let daily: Vec<Micros> = (0..60).map(|day| Micros::from_seconds(START + day * 86_400)).collect();
        assert_eq!(hours(&daily), Some(72));
    }
}
