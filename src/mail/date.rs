//! Dates (RFC 5322 §3.3), with the obsolete forms of §4.3 and the commonest wrong ones.

use chrono::{NaiveDate, NaiveDateTime};

use crate::clock::Micros;

/// Reads a Date value; None where it names no moment.
pub fn read(text: &str) -> Option<Micros> {
    if let Ok(moment) = chrono::DateTime::parse_from_rfc3339(text.trim()) {
        return Some(Micros(moment.timestamp_micros()));
    }
    let mut parts = Parts::default();
    // A comment repeats the zone by name.
    let text = text.split('(').next().unwrap_or_default();
    for word in text.split(|c: char| c.is_whitespace() || c == ',').filter(|w| !w.is_empty()).take(12) {
        parts.take(word);
    }
    parts.moment()
}

#[derive(Default)]
struct Parts<'t> {
    day: Option<u32>,
    month: Option<u32>,
    year: Option<i32>,
    time: Option<&'t str>,
    is_afternoon: Option<bool>,
    /// Minutes east of Greenwich.
    zone: Option<Option<i64>>,
}

impl<'t> Parts<'t> {
    /// Sorts a word by what it looks like: the order differs between programs.
    fn take(&mut self, word: &'t str) {
        if let Some(at) = word.find(':') {
            // 00:01+0000
            let end = word[at..].find(['+', '-']).map_or(word.len(), |sign| at + sign);
            self.time = self.time.or(Some(&word[..end]));
            if end < word.len() {
                self.zone = self.zone.or(Some(offset(&word[end..])));
            }
        } else if self.time.is_some() && word.starts_with(['+', '-']) {
            self.zone = self.zone.or(Some(offset(word)));
        } else if word.contains('-') {
            // 13-Feb-2009
            word.split('-').filter(|w| !w.contains('-')).for_each(|w| self.take(w));
        } else if let Some(month) = month(word).filter(|_| self.month.is_none()) {
            self.month = Some(month);
        } else if word.bytes().all(|b| b.is_ascii_digit()) {
            self.take_number(word);
        } else {
            self.take_name(word);
        }
    }

    fn take_number(&mut self, word: &str) {
        let Ok(number) = word.parse::<u32>() else { return };
        if self.day.is_none() && word.len() <= 2 {
            self.day = Some(number);
        } else if self.year.is_none() {
            self.year = i32::try_from(number).ok().map(|year| full_year(year, word.len()));
        }
    }

    fn take_name(&mut self, word: &str) {
        match word.to_ascii_lowercase().as_str() {
            "am" => self.is_afternoon = Some(false),
            "pm" => self.is_afternoon = Some(true),
            name if self.time.is_some() && self.zone.is_none() => self.zone = zone(name).map(Some),
            _ => {}
        }
    }

    fn moment(&self) -> Option<Micros> {
        let day = NaiveDate::from_ymd_opt(self.year?, self.month?, self.day?)?;
        let local = self.on(day)?;
        let east = self.zone.unwrap_or(Some(0))?;
        Some(Micros((local.and_utc().timestamp() - east * 60).checked_mul(Micros::SECOND)?))
    }

    fn on(&self, day: NaiveDate) -> Option<NaiveDateTime> {
        let mut fields = self.time?.splitn(3, ':');
        let mut hour: u32 = fields.next()?.parse().ok()?;
        let minute = fields.next()?.parse().ok()?;
        // A fraction occurs; a leap second (60) counts as the second before it.
        let second = fields.next().map_or(Some(0), |s| s.split('.').next()?.parse().ok())?;
        if let Some(is_afternoon) = self.is_afternoon {
            hour = hour % 12 + if is_afternoon { 12 } else { 0 };
        }
        day.and_hms_opt(hour, minute, if second == 60 { 59 } else { second })
    }
}

/// RFC 5322 §4.3: two digits below 50 are this century, the others the last one; three digits count from 1900.
fn full_year(year: i32, digits: usize) -> i32 {
    match (digits, year) {
        (1 | 2, 0..50) => year + 2000,
        (1..=3, _) => year + 1900,
        _ => year,
    }
}

fn month(word: &str) -> Option<u32> {
    const NAMES: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let start = word.get(..3)?.to_ascii_lowercase();
    NAMES.iter().position(|name| *name == start).and_then(|at| u32::try_from(at + 1).ok())
}

/// `+0130` in minutes; None where no clock shows such an offset.
fn offset(word: &str) -> Option<i64> {
    let digits: String = word[1..].chars().filter(|c| *c != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    let east = hours * 60 + minutes;
    (hours < 24 && minutes < 60).then_some(if word.starts_with('-') { -east } else { east })
}

/// RFC 5322 §4.3: the named zones; every other name means nothing certain, so UTC.
fn zone(name: &str) -> Option<i64> {
    let hours = match name {
        "edt" => -4,
        "est" | "cdt" => -5,
        "cst" | "mdt" => -6,
        "mst" | "pdt" => -7,
        "pst" => -8,
        // Not RFC 5322, but written by programs in Europe.
        "cet" | "mez" | "bst" => 1,
        "cest" | "mesz" | "eet" => 2,
        "eest" => 3,
        "ut" | "gmt" | "utc" | "z" => 0,
        _ => return None,
    };
    Some(hours * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_all_their_forms() {
        for (text, expected) in [
            ("Fri, 13 Feb 2009 23:31:30 +0000", "2009-02-13T23:31:30Z"),
            ("13 Feb 2009 23:31:30 +0130", "2009-02-13T22:01:30Z"),
            ("Fri, 13 Feb 2009 23:31 -0000", "2009-02-13T23:31:00Z"),
            ("Fri, 13 Feb 2009 18:31:30 EST", "2009-02-13T23:31:30Z"),
            ("Fri, 13 Feb 09 23:31:30 GMT", "2009-02-13T23:31:30Z"),
            ("Sat, 1 Jan 99 00:00:00 UT", "1999-01-01T00:00:00Z"),
            ("Fri, 13 Feb 109 23:31:30 Z", "2009-02-13T23:31:30Z"),
            ("Fri, 13 Feb 2009 23:31:30 -0500 (EST)", "2009-02-14T04:31:30Z"),
            ("Fri Feb 13 23:31:30 2009", "2009-02-13T23:31:30Z"),
            ("Fri Feb 13 23:31:30 CET 2009", "2009-02-13T22:31:30Z"),
            ("13-Feb-2009 23:31:30 +0000", "2009-02-13T23:31:30Z"),
            ("2009-02-13T23:31:30+01:00", "2009-02-13T22:31:30Z"),
            ("Friday, February 13, 2009 11:31:30 PM", "2009-02-13T23:31:30Z"),
            ("13 Feb 2009 23:31+0100", "2009-02-13T22:31:00Z"),
            ("Sat, 31 Dec 2016 23:59:60 +0000", "2016-12-31T23:59:59Z"),
            ("Fri, 13 Feb 2009 23:31:30 XYZ", "2009-02-13T23:31:30Z"),
        ] {
            assert_eq!(read(text).map(Micros::rfc3339).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn impossible_dates_are_none() {
        for text in [
            "",
            "today",
            "Foo, 99 Bar 20x6 77:88:99 -9999",
            "Fri, 30 Feb 2009 23:31:30 +0000",
            "Fri, 13 Feb 2009 25:61:00 +0000",
            "Fri, 13 Feb 2009 23:31:30 -9999",
            "Fri, 13 Feb 2009",
            "99999999999 Feb 2009 10:00",
            "+",
            "1:1 +",
            "1:1 é",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
