//! Written expectations: what is due when, also where the clocks change.

use super::*;

#[track_caller]
fn at(text: &str) -> Micros {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The instants after `start`, as UTC.
#[track_caller]
fn due(text: &str, zone: &str, start: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(text, zone).unwrap_or_else(|e| panic!("{text}: {e}"));
    let mut now = at(start);
    let mut found = vec![];
    for _ in 0..count {
        let next = schedule.next_after(now).unwrap_or_else(|| panic!("{text} is never due after {now:?}"));
        assert!(next.0 > now.0, "{text} goes back from {} to {}", now.rfc3339(), next.rfc3339());
        found.push(next.rfc3339());
        now = next;
    }
    found
}

/// Expression, zone, start, and what follows, each with its offset as the clock on the wall shows it.
type Row = (&'static str, &'static str, &'static str, &'static [&'static str]);

#[track_caller]
fn check(table: &[Row]) {
    for (text, zone, start, expected) in table {
        let expected: Vec<String> = expected.iter().map(|time| at(time).rfc3339()).collect();
        assert_eq!(due(text, zone, start, expected.len()), expected, "{text} in {zone} after {start}");
    }
}

const BERLIN: &str = "Europe/Berlin";
const NEW_YORK: &str = "America/New_York";

/// 29 March 2026, 02:00+01 becomes 03:00+02. 25 October 2026, 03:00+02 becomes 02:00+01.
#[test]
fn the_clocks_change_in_berlin() {
    check(&[
        // A time that is skipped: once, when it has been skipped.
        (
            "30 2 * * *",
            BERLIN,
            "2026-03-28T00:00:00+01:00",
            &["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
        ),
        (
            "0,15,30,45 2 * * *",
            BERLIN,
            "2026-03-29T00:00:00+01:00",
            &["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"],
        ),
        (
            "30 1-3 * * *",
            BERLIN,
            "2026-03-29T00:00:00+01:00",
            &[
                "2026-03-29T01:30:00+01:00",
                "2026-03-29T03:00:00+02:00",
                "2026-03-29T03:30:00+02:00",
                "2026-03-30T01:30:00+02:00",
            ],
        ),
        (
            "0 2,3 * * *",
            BERLIN,
            "2026-03-29T00:00:00+01:00",
            &["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"],
        ),
        (
            "30 2 29 3 *",
            BERLIN,
            "2026-01-01T00:00:00+01:00",
            &["2026-03-29T03:00:00+02:00", "2027-03-29T02:30:00+02:00"],
        ),
        (
            "15 30 2 * * *",
            BERLIN,
            "2026-03-29T00:00:00+01:00",
            &["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:15+02:00"],
        ),
        // With a star it goes by the clock on the wall: nothing shows 02:00.
        (
            "*/30 * * * *",
            BERLIN,
            "2026-03-29T01:00:00+01:00",
            &["2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"],
        ),
        (
            "*/30 2-3 * * *",
            BERLIN,
            "2026-03-29T00:00:00+01:00",
            &["2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00", "2026-03-30T02:00:00+02:00"],
        ),
        // A time that comes twice: once, the first time.
        (
            "30 2 * * *",
            BERLIN,
            "2026-10-24T12:00:00+02:00",
            &["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
        ),
        (
            "0,30 2 * * *",
            BERLIN,
            "2026-10-25T00:00:00+02:00",
            &["2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:00:00+01:00"],
        ),
        (
            "0 1-4 * * *",
            BERLIN,
            "2026-10-25T00:00:00+02:00",
            &[
                "2026-10-25T01:00:00+02:00",
                "2026-10-25T02:00:00+02:00",
                "2026-10-25T03:00:00+01:00",
                "2026-10-25T04:00:00+01:00",
            ],
        ),
        // Asked within the second showing: not again.
        ("30 2 * * *", BERLIN, "2026-10-25T02:10:00+01:00", &["2026-10-26T02:30:00+01:00"]),
        // Between the two.
        ("30 2 * * *", BERLIN, "2026-10-25T02:45:00+02:00", &["2026-10-26T02:30:00+01:00"]),
        // With a star: as often as the clock shows it, and never back.
        (
            "*/30 2-3 * * *",
            BERLIN,
            "2026-10-25T00:00:00+02:00",
            &[
                "2026-10-25T02:00:00+02:00",
                "2026-10-25T02:30:00+02:00",
                "2026-10-25T02:00:00+01:00",
                "2026-10-25T02:30:00+01:00",
                "2026-10-25T03:00:00+01:00",
                "2026-10-25T03:30:00+01:00",
                "2026-10-26T02:00:00+01:00",
            ],
        ),
        (
            "0 * * * *",
            BERLIN,
            "2026-10-25T01:00:00+02:00",
            &["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"],
        ),
        (
            "*/20 30 2 * * *",
            BERLIN,
            "2026-10-25T00:00:00+02:00",
            &[
                "2026-10-25T02:30:00+02:00",
                "2026-10-25T02:30:20+02:00",
                "2026-10-25T02:30:40+02:00",
                "2026-10-26T02:30:00+01:00",
            ],
        ),
        // A day of 23 hours and one of 25 are days.
        (
            "@daily",
            BERLIN,
            "2026-03-28T12:00:00+01:00",
            &["2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"],
        ),
        (
            "@daily",
            BERLIN,
            "2026-10-24T12:00:00+02:00",
            &["2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"],
        ),
    ]);
}

/// 8 March 2026, 02:00-05 becomes 03:00-04. 1 November 2026, 02:00-04 becomes 01:00-05.
#[test]
fn the_clocks_change_in_new_york() {
    check(&[
        (
            "30 2 * * *",
            NEW_YORK,
            "2026-03-07T12:00:00-05:00",
            &["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"],
        ),
        (
            "15,45 2,14 * * SUN",
            NEW_YORK,
            "2026-03-07T12:00:00-05:00",
            &[
                "2026-03-08T03:00:00-04:00",
                "2026-03-08T14:15:00-04:00",
                "2026-03-08T14:45:00-04:00",
                "2026-03-15T02:15:00-04:00",
            ],
        ),
        ("*/15 2 * * *", NEW_YORK, "2026-03-08T00:00:00-05:00", &["2026-03-09T02:00:00-04:00"]),
        (
            "30 1 * * *",
            NEW_YORK,
            "2026-10-31T12:00:00-04:00",
            &["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"],
        ),
        (
            "*/30 1 * * *",
            NEW_YORK,
            "2026-11-01T00:00:00-04:00",
            &[
                "2026-11-01T01:00:00-04:00",
                "2026-11-01T01:30:00-04:00",
                "2026-11-01T01:00:00-05:00",
                "2026-11-01T01:30:00-05:00",
                "2026-11-02T01:00:00-05:00",
            ],
        ),
        ("0 30 1 * * *", NEW_YORK, "2026-11-01T01:10:00-05:00", &["2026-11-02T01:30:00-05:00"]),
        (
            "0 1,2 1 11 *",
            NEW_YORK,
            "2026-10-01T00:00:00-04:00",
            &["2026-11-01T01:00:00-04:00", "2026-11-01T02:00:00-05:00", "2027-11-01T01:00:00-04:00"],
        ),
    ]);
}

#[test]
fn clocks_change_elsewhere_too() {
    check(&[
        // At midnight: the day begins at 01:00.
        (
            "@daily",
            "America/Santiago",
            "2026-09-05T12:00:00-04:00",
            &["2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"],
        ),
        // By half an hour.
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T12:00:00+10:30",
            &["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"],
        ),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T12:00:00+11:00",
            &["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"],
        ),
        // A whole day was skipped.
        (
            "0 9 30 12 *",
            "Pacific/Apia",
            "2011-12-01T00:00:00-10:00",
            &["2011-12-31T00:00:00+14:00", "2012-12-30T09:00:00+14:00"],
        ),
    ]);
}

#[test]
fn expressions_mean_what_crontab_5_says() {
    // 22 November 2026 is a Sunday.
    let start = "2026-11-22T03:00:00Z";
    check(&[
        ("0 9 * * 1", "UTC", start, &["2026-11-23T09:00:00Z", "2026-11-30T09:00:00Z"]),
        ("0 9 * * 0", "UTC", start, &["2026-11-22T09:00:00Z", "2026-11-29T09:00:00Z"]),
        ("0 9 * * 7", "UTC", start, &["2026-11-22T09:00:00Z", "2026-11-29T09:00:00Z"]),
        ("0 9 * * sun", "UTC", start, &["2026-11-22T09:00:00Z", "2026-11-29T09:00:00Z"]),
        (
            "0 9 * * 5-7",
            "UTC",
            start,
            &["2026-11-22T09:00:00Z", "2026-11-27T09:00:00Z", "2026-11-28T09:00:00Z"],
        ),
        ("0 9 * * SAT-SUN", "UTC", start, &["2026-11-22T09:00:00Z", "2026-11-28T09:00:00Z"]),
        ("0 9 * * Mon-Fri", "UTC", "2026-11-27T09:00:00Z", &["2026-11-30T09:00:00Z", "2026-12-01T09:00:00Z"]),
        (
            "0 9 * * mon,WED,5",
            "UTC",
            start,
            &["2026-11-23T09:00:00Z", "2026-11-25T09:00:00Z", "2026-11-27T09:00:00Z"],
        ),
        ("0 0 1 jan,Jul *", "UTC", start, &["2027-01-01T00:00:00Z", "2027-07-01T00:00:00Z"]),
        (
            "0 0 1 FEB-apr *",
            "UTC",
            start,
            &["2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z", "2027-04-01T00:00:00Z"],
        ),
        (
            "5,10-20/5,55 * * * *",
            "UTC",
            start,
            &[
                "2026-11-22T03:05:00Z",
                "2026-11-22T03:10:00Z",
                "2026-11-22T03:15:00Z",
                "2026-11-22T03:20:00Z",
                "2026-11-22T03:55:00Z",
                "2026-11-22T04:05:00Z",
            ],
        ),
        (
            "*/25 * * * *",
            "UTC",
            start,
            &["2026-11-22T03:25:00Z", "2026-11-22T03:50:00Z", "2026-11-22T04:00:00Z"],
        ),
        (
            "0 0-23/8 * * *",
            "UTC",
            start,
            &["2026-11-22T08:00:00Z", "2026-11-22T16:00:00Z", "2026-11-23T00:00:00Z"],
        ),
        ("05 04 * * *", "UTC", start, &["2026-11-22T04:05:00Z"]),
        // Six fields: seconds lead.
        ("30 0 9 * * 1", "UTC", start, &["2026-11-23T09:00:30Z"]),
        (
            "*/20 * * * * *",
            "UTC",
            start,
            &["2026-11-22T03:00:20Z", "2026-11-22T03:00:40Z", "2026-11-22T03:01:00Z"],
        ),
        ("0,10 59 23 31 12 *", "UTC", start, &["2026-12-31T23:59:00Z", "2026-12-31T23:59:10Z"]),
        // Both days given: either is enough.
        (
            "0 0 13 * 5",
            "UTC",
            "2026-11-01T00:00:00Z",
            &[
                "2026-11-06T00:00:00Z",
                "2026-11-13T00:00:00Z",
                "2026-11-20T00:00:00Z",
                "2026-11-27T00:00:00Z",
                "2026-12-04T00:00:00Z",
                "2026-12-11T00:00:00Z",
                "2026-12-13T00:00:00Z",
            ],
        ),
        // One of them begins with a star: both must hold. Odd days that are Mondays.
        ("0 0 */2 * 1", "UTC", "2026-11-01T00:00:00Z", &["2026-11-09T00:00:00Z", "2026-11-23T00:00:00Z"]),
        ("0 0 1-7 * */7", "UTC", "2026-11-02T00:00:00Z", &["2026-12-06T00:00:00Z", "2027-01-03T00:00:00Z"]),
        (
            "0 0 * * */3",
            "UTC",
            start,
            &["2026-11-25T00:00:00Z", "2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z"],
        ),
        // Rare days.
        ("0 0 29 2 *", "UTC", start, &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
        (
            "0 0 31 * *",
            "UTC",
            start,
            &["2026-12-31T00:00:00Z", "2027-01-31T00:00:00Z", "2027-03-31T00:00:00Z"],
        ),
        ("0 0 31 2 1", "UTC", start, &["2027-02-01T00:00:00Z"]),
        // Nicknames.
        ("@hourly", "UTC", start, &["2026-11-22T04:00:00Z"]),
        ("@daily", "UTC", start, &["2026-11-23T00:00:00Z"]),
        ("@Midnight", "UTC", start, &["2026-11-23T00:00:00Z"]),
        ("@weekly", "UTC", start, &["2026-11-29T00:00:00Z"]),
        ("@monthly", "UTC", start, &["2026-12-01T00:00:00Z"]),
        ("@yearly", "UTC", start, &["2027-01-01T00:00:00Z"]),
        ("@annually", "UTC", start, &["2027-01-01T00:00:00Z"]),
        // Zones.
        ("0 9 * * *", BERLIN, start, &["2026-11-22T09:00:00+01:00"]),
        ("0 9 * * *", "Asia/Kathmandu", start, &["2026-11-22T09:00:00+05:45"]),
        // Intervals.
        ("600s", "UTC", start, &["2026-11-22T03:10:00Z", "2026-11-22T03:20:00Z"]),
        ("10m", BERLIN, start, &["2026-11-22T03:10:00Z"]),
        ("1h30m", "UTC", start, &["2026-11-22T04:30:00Z"]),
        ("90", "UTC", start, &["2026-11-22T03:01:30Z"]),
        ("7d", "UTC", start, &["2026-11-29T03:00:00Z"]),
    ]);
}

#[test]
fn a_due_instant_is_never_due_again() {
    for text in ["* * * * *", "* * * * * *", "30 2 * * *", "0 2-3 * * *"] {
        due(text, BERLIN, "2026-03-28T23:00:00Z", 200);
        due(text, BERLIN, "2026-10-24T23:00:00Z", 200);
    }
}

#[test]
fn what_is_no_schedule_is_refused_with_the_reason() {
    for (text, zone, reason) in [
        ("", "UTC", "fewer than five fields"),
        ("0 9 * *", "UTC", "fewer than five fields"),
        ("0 0 9 * * 1 2027", "UTC", "more than six fields"),
        ("0 0 31 2 *", "UTC", "never due: there is no day 31 in month 2"),
        ("0 0 30 feb *", "UTC", "never due"),
        ("0 0 31 4,6,9,11 *", "UTC", "never due"),
        ("60 * * * *", "UTC", "no cron expression"),
        ("* 24 * * *", "UTC", "no cron expression"),
        ("* * 0 * *", "UTC", "no cron expression"),
        ("* * 32 * *", "UTC", "no cron expression"),
        ("* * * 13 *", "UTC", "no cron expression"),
        ("* * * * 8", "UTC", "no cron expression"),
        ("0 22-2 * * *", "UTC", "no cron expression"),
        ("*/0 * * * *", "UTC", "no cron expression"),
        ("0/10 * * * *", "UTC", "no cron expression"),
        ("0 0 * * mond", "UTC", "\"MOND\" cannot be read"),
        ("0 0 * mon *", "UTC", "\"MON\" cannot be read"),
        ("jan * * * *", "UTC", "\"JAN\" cannot be read"),
        ("1,,2 * * * *", "UTC", "\"1,,2\" cannot be read"),
        ("0 0 L * *", "UTC", "\"L\" cannot be read"),
        ("0 0 * * 1#2", "UTC", "\"1#2\" cannot be read"),
        ("0 0 ? * 1", "UTC", "\"?\" cannot be read"),
        ("1-2-3 * * * *", "UTC", "no cron expression"),
        ("@reboot", "UTC", "fewer than five fields"),
        ("10x", "UTC", "is no interval"),
        ("10m5", "UTC", "ok"),
        ("0s", "UTC", "too short"),
        ("8d", "UTC", "too long"),
        ("99999999999999999999", "UTC", "is no interval"),
        ("10m", "Mars/Olympus", "no time zone"),
        ("0 9 * * *", "CET+1", "no time zone"),
    ] {
        let said = Schedule::parse(text, zone).map(|_| "ok".to_owned()).unwrap_or_else(|e| e);
        assert!(said.contains(reason), "{text}: {said}");
    }
}

#[test]
fn missed_runs_are_due_once_and_a_clock_that_jumps_neither_storms_nor_stalls() {
    let hours = |n: i64| Micros::from_seconds(n * 3600);
    for text in ["10m", "*/10 * * * *"] {
        let schedule = Schedule::parse(text, "UTC").expect("a schedule");
        let mut due = Due::new(schedule, hours(100));
        assert_eq!(due.at(hours(100)), hours(100).plus(Duration::from_secs(600)));
        // Five hours forward: due at once, and then not before ten minutes have passed.
        assert!(due.at(hours(105)).0 <= hours(105).0);
        due.ran(hours(105));
        assert_eq!(due.at(hours(105)), hours(105).plus(Duration::from_secs(600)));
        // Five hours back: due within ten minutes of now, however often one looks.
        let soon = hours(100).plus(Duration::from_secs(600));
        assert_eq!(due.at(hours(100)), soon);
        assert_eq!(due.at(hours(100).plus(Duration::from_secs(300))), soon);
    }
}

#[test]
fn dice_spread() {
    let low = (0..1000).filter(|n| dice(*n, 1) < 0.5).count();
    assert!((400..600).contains(&low), "{low}");
}
