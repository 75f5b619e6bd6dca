//! GitLab's freeze periods: times in which nothing is deployed.
//!
//! GitLab's own rule (`Ci::FreezePeriod`): a period is in force if it ends after it last started. A period
//! is in force for Sluice whenever it is for GitLab: a start that the clock skips when summer time begins
//! counts for Sluice and not for GitLab; an end that the clock skips counts for neither.

use jiff::Timestamp;

use super::{
    schedule::{Schedule, Skipped},
    time_zone,
};
use crate::domain::pipeline::FreezePeriod;

/// A freeze period that keeps a stage from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freeze {
    /// It is in force.
    InForce {
        /// GitLab's id of the period.
        period: i64,
        /// When it ends.
        until: Timestamp,
    },
    /// Whether it is in force is unknown.
    Unreadable {
        /// GitLab's id of the period.
        period: i64,
        /// Why not.
        problem: String,
    },
}

/// The periods that keep a stage from starting now.
pub fn in_force(periods: &[FreezePeriod], now: Timestamp) -> Vec<Freeze> {
    let freeze = |period: &FreezePeriod| match ends(period, now) {
        Ok(until) => until.map(|until| Freeze::InForce {
            period: period.id,
            until,
        }),
        Err(problem) => Some(Freeze::Unreadable {
            period: period.id,
            problem,
        }),
    };
    periods.iter().filter_map(freeze).collect()
}

/// When the period ends, if it is in force.
fn ends(period: &FreezePeriod, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let named = |field: &str| {
        let field = field.to_owned();
        move |problem: String| format!("{field}: {problem}")
    };
    let zone = time_zone::parse(&period.cron_timezone).map_err(named("cron_timezone"))?;
    let start = Schedule::parse_lenient(&period.freeze_start, zone.clone());
    let start = start.map_err(named("freeze_start"))?;
    let end = Schedule::parse_lenient(&period.freeze_end, zone).map_err(named("freeze_end"))?;
    let Some(started) = start.last(now, Skipped::HappensAfter) else {
        return Ok(None);
    };
    let until = end.next(started, Skipped::IsLeftOut);
    Ok(until.filter(|until| now <= *until))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(start: &str, end: &str, zone: &str) -> FreezePeriod {
        FreezePeriod {
            id: 1,
            freeze_start: start.into(),
            freeze_end: end.into(),
            cron_timezone: zone.into(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// When the period ends, if it is in force at `now`.
    fn frozen(period: &FreezePeriod, now: &str) -> Option<String> {
        match in_force(std::slice::from_ref(period), at(now)).as_slice() {
            [] => None,
            [Freeze::InForce { until, .. }] => Some(until.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn freeze_period_is_in_force_as_in_gitlab() {
        // From GitLab's own tests.
        let weekend = period("0 23 * * 5", "0 7 * * 1", "UTC");
        for (now, expected) in [
            ("2020-04-10T22:59:00Z", None),
            ("2020-04-10T23:00:00Z", Some("2020-04-13T07:00:00Z")),
            ("2020-04-10T23:01:00Z", Some("2020-04-13T07:00:00Z")),
            ("2020-04-13T06:59:00Z", Some("2020-04-13T07:00:00Z")),
            ("2020-04-13T07:01:00Z", None),
        ] {
            assert_eq!(frozen(&weekend, now).as_deref(), expected, "{now}");
        }
        let overlapping = period("* * * 8 *", "* * * 10 *", "UTC");
        assert_eq!(
            frozen(&overlapping, "2020-08-11T00:00:00Z").as_deref(),
            Some("2020-10-01T00:00:00Z")
        );
        assert_eq!(frozen(&overlapping, "2020-10-11T00:00:00Z"), None);
    }

    #[test]
    fn freeze_period_uses_its_zone_by_iana_or_rails_name() {
        for zone in ["America/New_York", "Eastern Time (US & Canada)"] {
            let night = period("0 18 * * *", "0 8 * * *", zone);
            assert_eq!(frozen(&night, "2026-11-26T22:59:00Z"), None);
            assert_eq!(
                frozen(&night, "2026-11-26T23:00:00Z").as_deref(),
                Some("2026-11-27T13:00:00Z")
            );
        }
    }

    #[test]
    fn skipped_freeze_start_begins_at_the_clock_change() {
        let period = period("30 2 * * 7", "0 6 * * 7", "Europe/Berlin");
        assert_eq!(frozen(&period, "2026-03-29T00:59:59Z"), None);
        assert_eq!(
            frozen(&period, "2026-03-29T01:00:00Z").as_deref(),
            Some("2026-03-29T04:00:00Z")
        );
    }

    #[test]
    fn skipped_freeze_end_does_not_occur() {
        // As in GitLab, the next end is 02:30 on the following Sunday.
        let period = period("0 20 * * 6", "30 2 * * 7", "Europe/Berlin");
        assert_eq!(
            frozen(&period, "2026-03-29T12:00:00Z").as_deref(),
            Some("2026-04-05T00:30:00Z")
        );
    }

    #[test]
    fn freeze_period_with_equal_start_and_end_never_ends() {
        let always = period("0 0 * * *", "0 0 * * *", "UTC");
        assert_eq!(
            frozen(&always, "2026-11-26T12:00:00Z").as_deref(),
            Some("2026-11-27T00:00:00Z")
        );
    }

    #[test]
    fn freeze_period_accepts_the_cron_dialect_of_gitlab() {
        // The last Friday of the month until the Monday after it.
        let last = period("0 18 * * 5#-1", "0 8 * * 1", "UTC");
        assert_eq!(frozen(&last, "2026-11-20T20:00:00Z"), None);
        assert_eq!(
            frozen(&last, "2026-11-28T20:00:00Z").as_deref(),
            Some("2026-11-30T08:00:00Z")
        );
        let before = period("0 18 * * 5#-2", "0 8 * * 1", "UTC");
        assert_eq!(
            frozen(&before, "2026-11-21T20:00:00Z").as_deref(),
            Some("2026-11-23T08:00:00Z")
        );
        // Mondays of every second week: the 16th of November 2026 is in week 411 since 2019-01-01.
        let odd = period("0 0 * * 1%2+1", "0 0 * * 2", "UTC");
        assert!(frozen(&odd, "2026-11-16T12:00:00Z").is_some());
        assert_eq!(frozen(&odd, "2026-11-23T12:00:00Z"), None);
        let weekend = period("0 0 * * 6-0", "0 23 * * 6-0", "UTC");
        assert!(frozen(&weekend, "2026-11-28T12:00:00Z").is_some());
        assert!(frozen(&weekend, "2026-11-29T12:00:00Z").is_some());
        assert_eq!(frozen(&weekend, "2026-11-27T12:00:00Z"), None);
        // The zone in the expression takes precedence.
        let night = period(
            "0 18 * * * America/New_York",
            "0 8 * * * America/New_York",
            "UTC",
        );
        assert_eq!(frozen(&night, "2026-11-26T22:59:00Z"), None);
        assert!(frozen(&night, "2026-11-26T23:00:00Z").is_some());
    }

    #[test]
    fn unreadable_freeze_period_is_not_ignored() {
        for broken in [
            period("every monday", "0 7 * * 1", "UTC"),
            period("0 23 * * 5", "0 7 * * 1", "Mars/Olympus"),
        ] {
            let found = in_force(std::slice::from_ref(&broken), at("2026-11-26T12:00:00Z"));
            assert!(
                matches!(found.as_slice(), [Freeze::Unreadable { period: 1, .. }]),
                "{found:?}"
            );
        }
    }
}
