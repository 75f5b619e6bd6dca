//! Schedules: their fields, and clock changes.

use jiff::{SignedDuration, civil::Time, tz::TimeZone};
use proptest::prelude::*;

use super::{super::time_zone::time_zone, *};

fn schedule(text: &str, zone: &str) -> Schedule {
    Schedule::parse(text, time_zone(zone).unwrap()).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn text(found: Option<Timestamp>) -> String {
    found.map_or_else(|| "never".to_owned(), |found| found.to_string())
}

#[test]
fn schedule_follows_the_fields_of_cron() {
    // A Thursday.
    let now = at("2026-11-26T10:07:30Z");
    for (fields, last, next) in [
        ("* * * * *", "2026-11-26T10:07:00Z", "2026-11-26T10:08:00Z"),
        (
            "*/15 * * * *",
            "2026-11-26T10:00:00Z",
            "2026-11-26T10:15:00Z",
        ),
        (
            "5-10/5 9-17 * * *",
            "2026-11-26T10:05:00Z",
            "2026-11-26T10:10:00Z",
        ),
        (
            "0 9 * * mon-fri",
            "2026-11-26T09:00:00Z",
            "2026-11-27T09:00:00Z",
        ),
        ("0 9 * * 0", "2026-11-22T09:00:00Z", "2026-11-29T09:00:00Z"),
        ("0 9 * * 7", "2026-11-22T09:00:00Z", "2026-11-29T09:00:00Z"),
        (
            "0 9 1 JAN,jul *",
            "2026-07-01T09:00:00Z",
            "2027-01-01T09:00:00Z",
        ),
        ("0 0 29 2 *", "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z"),
        // Day of month or day of week, as in cron.
        (
            "0 0 13 * FRI",
            "2026-11-20T00:00:00Z",
            "2026-11-27T00:00:00Z",
        ),
    ] {
        let schedule = schedule(fields, "UTC");
        let found = (
            text(schedule.last(now, Skipped::HappensAfter)),
            text(schedule.next(now, Skipped::HappensAfter)),
        );
        assert_eq!(found, (last.to_owned(), next.to_owned()), "{fields}");
    }
}

#[test]
fn current_time_is_the_last_match_and_not_the_next() {
    let schedule = schedule("0 9 * * *", "UTC");
    let now = at("2026-11-26T09:00:00Z");
    assert_eq!(schedule.last(now, Skipped::HappensAfter), Some(now));
    assert_eq!(
        text(schedule.next(now, Skipped::HappensAfter)),
        "2026-11-27T09:00:00Z"
    );
}

#[test]
fn invalid_cron_fields_are_refused() {
    for (fields, why) in [
        ("", "has 0"),
        ("0 9 * *", "has 4"),
        ("0 0 9 * * *", "has 6"),
        ("@daily", "has 1"),
        ("60 9 * * *", "60"),
        ("0 24 * * *", "24"),
        ("0 9 32 * *", "32"),
        ("0 9 * 13 *", "13"),
        ("0 9 * * 8", "8"),
        ("0 9 L * *", "not understood"),
        ("0 9 * * 5#2", "not understood"),
        ("0 9 * * FRIDAY", "not understood"),
        ("MON 9 * * *", "not understood"),
        ("0 9 * * +MON", "not understood"),
        ("5/5 9 * * *", "5/5"),
        ("0 0 30 2 *", "never matches"),
    ] {
        let problem = Schedule::parse(fields, TimeZone::UTC).unwrap_err();
        assert!(problem.contains(why), "{fields}: {problem}");
    }
}

#[test]
fn invalid_field_is_named_with_its_valid_values() {
    let strict = |fields| Schedule::parse(fields, TimeZone::UTC).unwrap_err();
    let lenient = |fields| Schedule::parse_lenient(fields, TimeZone::UTC).unwrap_err();
    for (problem, expected) in [
        (
            strict("61 9 * * *"),
            "the minute \"61\" of \"61 9 * * *\" is not understood: it takes 0 to 59,",
        ),
        (strict("0 25 * * *"), "the hour \"25\""),
        (strict("0 9 0 * *"), "the day of month \"0\""),
        (strict("0 9 * XYZ *"), "the month \"XYZ\""),
        (
            strict("0 9 * * MON-FRIDAY"),
            "the day of week \"MON-FRIDAY\"",
        ),
        (
            strict("0 9 * * 1-"),
            "0 to 7 (0 and 7 are Sunday) or SUN to SAT",
        ),
        (strict("*/0 9 * * *"), "the minute \"*/0\""),
        (
            lenient("0 25 * * 5"),
            "the hour \"25\" of \"0 25 * * 5\" is not understood: it takes 0 to 23,",
        ),
        (lenient("61 0 9 * * 5"), "the second \"61\""),
        (lenient("0 0 23 * 13 5"), "the month \"13\""),
        (
            lenient("every friday"),
            "it has 2 fields, and there must be five",
        ),
        (
            lenient("0 23 * * 5 Europe/Berln"),
            "there is no time zone \"Europe/Berln\", but Europe/Berlin:",
        ),
        (lenient("0 23 * * 5#-9"), "the day of week \"5#-9\""),
    ] {
        assert!(problem.contains(expected), "{problem}");
        // Words of the cron library.
        for word in ["pattern", "Pattern", "Component", "Cron"] {
            assert!(!problem.contains(word), "{problem}");
        }
    }
}

#[test]
fn lenient_schedule_accepts_the_extensions_of_gitlab() {
    for fields in ["0 0 23 * * 5", "0 23 L * *", "0 23 * * 5#2", "0/10 * * * *"] {
        assert!(
            Schedule::parse_lenient(fields, TimeZone::UTC).is_ok(),
            "{fields}"
        );
    }
    assert!(Schedule::parse_lenient("every friday", TimeZone::UTC).is_err());
}

#[test]
fn repeated_local_time_matches_the_first_time() {
    // 2026-10-25 in Berlin: the clock goes from 03:00 to 02:00, at 01:00 UTC. Now it is 02:30 for the second
    // time, and 02:45 has occurred once.
    let schedule = schedule("45 2 * * *", "Europe/Berlin");
    let now = at("2026-10-25T01:30:00Z");
    assert_eq!(
        text(schedule.last(now, Skipped::HappensAfter)),
        "2026-10-25T00:45:00Z"
    );
    assert_eq!(
        text(schedule.next(now, Skipped::HappensAfter)),
        "2026-10-26T01:45:00Z"
    );
}

#[test]
fn day_skipped_by_a_zone_is_passed_over() {
    // Samoa went from the 29th to the 31st of December 2011.
    let schedule = schedule("* 12 30 12 *", "Pacific/Apia");
    let now = at("2012-01-05T00:00:00Z");
    assert_eq!(
        text(schedule.last(now, Skipped::IsLeftOut)),
        "2010-12-30T22:59:00Z"
    );
    assert_eq!(
        text(schedule.last(now, Skipped::HappensAfter)),
        "2011-12-30T10:00:00Z"
    );
}

/// Times around a clock change, by an hour or half an hour, forward or back, and in a zone without clock
/// changes.
fn moments() -> impl Strategy<Value = (TimeZone, Timestamp)> {
    let changes = prop::sample::select(vec![
        ("Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00:00Z"),
        ("America/New_York", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-11-01T06:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
        ("America/Sao_Paulo", "2019-02-17T02:00:00Z"),
        ("Asia/Kolkata", "2026-03-29T01:00:00Z"),
    ]);
    let near = prop_oneof![-7_300_i64..7_300, -100_000_i64..100_000];
    (changes, near).prop_map(|((zone, change), seconds)| {
        let near = SignedDuration::from_secs(seconds);
        (
            time_zone(zone).unwrap(),
            at(change).checked_add(near).unwrap(),
        )
    })
}

fn fields() -> impl Strategy<Value = String> {
    let minute = prop::sample::select(vec!["0", "30", "59", "*/20", "*"]);
    let hour = prop::sample::select(vec!["0", "1", "2", "3", "23", "*", "1-3", "*/6"]);
    let day = prop::sample::select(vec!["* * *", "* * SUN", "1,4,25,29 * *"]);
    (minute, hour, day).prop_map(|(minute, hour, day)| format!("{minute} {hour} {day}"))
}

proptest! {
    // Each case visits 26,000 minutes.
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A schedule finds the same times as a walk over every minute of local time.
    #[test]
    fn schedule_finds_the_same_times_as_a_walk((zone, now) in moments(), fields in fields()) {
        let schedule = Schedule::parse(&fields, zone.clone()).unwrap();
        let day = zone.to_datetime(now).date();
        let mut walked = Vec::new();
        let mut local = day.saturating_sub(jiff::ToSpan::days(9)).to_datetime(Time::midnight());
        let end = day.saturating_add(jiff::ToSpan::days(9)).to_datetime(Time::midnight());
        while local < end {
            if schedule.parts[0].cron.is_time_matching(&local).unwrap() {
                walked.extend(schedule.moment(local, Skipped::HappensAfter));
            }
            local = local.saturating_add(jiff::ToSpan::minutes(1));
        }
        prop_assert!(walked.is_sorted(), "the order of local times is kept");
        let last = walked.iter().rev().find(|moment| **moment <= now).copied();
        let next = walked.iter().find(|moment| **moment > now).copied();
        // If the walk is long enough to find one.
        if let Some(last) = last {
            prop_assert_eq!(schedule.last(now, Skipped::HappensAfter), Some(last));
        }
        if let Some(next) = next {
            prop_assert_eq!(schedule.next(now, Skipped::HappensAfter), Some(next));
        }
    }
}

proptest! {
    #[test]
    fn last_match_is_not_after_now_and_next_match_is((zone, now) in moments(), fields in fields()) {
        let schedule = Schedule::parse(&fields, zone).unwrap();
        for skipped in [Skipped::HappensAfter, Skipped::IsLeftOut] {
            let last = schedule.last(now, skipped).unwrap();
            let next = schedule.next(now, skipped).unwrap();
            prop_assert!(last <= now && now < next);
            // Nothing lies between the two.
            prop_assert_eq!(schedule.next(last, skipped), Some(next));
            prop_assert_eq!(schedule.last(next, skipped), Some(next));
        }
    }
}
