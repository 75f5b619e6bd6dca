//! Windows: times in which a stage may start.

use jiff::{SignedDuration, Timestamp};

use super::{
    schedule::{Schedule, Skipped},
    time_zone,
};
use crate::{api::v1alpha1, domain::duration::duration};

/// A window that opens on a schedule and stays open for a duration.
#[derive(Clone, Debug)]
pub struct Window {
    schedule: Schedule,
    duration: SignedDuration,
}

/// The state of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is open.
    Open {
        /// When it closes, unless it opens again before that.
        closes: Timestamp,
    },
    /// It is closed.
    Closed {
        /// When it opens next.
        opens: Option<Timestamp>,
    },
}

impl Window {
    /// Parses the spec of a window. The error is the field within the window and what is wrong with it.
    pub fn parse(spec: &v1alpha1::Window) -> Result<Self, (&'static str, String)> {
        let zone = time_zone::parse(&spec.time_zone).map_err(|problem| ("timeZone", problem))?;
        let schedule =
            Schedule::parse(&spec.schedule, zone).map_err(|problem| ("schedule", problem))?;
        let duration = duration(&spec.duration)
            .filter(|duration| !duration.is_zero())
            .and_then(|duration| SignedDuration::try_from(duration).ok())
            .ok_or_else(|| ("duration", "must be a duration such as 8h".to_owned()))?;
        Ok(Self { schedule, duration })
    }

    /// Whether the window is open. The duration is elapsed time: a clock change within the window does not
    /// change how long it is open.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let closes = (self.schedule.last(now, Skipped::HappensAfter))
            .and_then(|opened| opened.checked_add(self.duration).ok());
        match closes {
            Some(closes) if now < closes => Standing::Open { closes },
            _ => Standing::Closed {
                opens: self.schedule.next(now, Skipped::HappensAfter),
            },
        }
    }
}

/// Whether any of the windows is open; if none is, when the first one opens.
pub fn any(windows: &[Window], now: Timestamp) -> Standing {
    let mut next: Option<Timestamp> = None;
    for window in windows {
        match window.standing(now) {
            open @ Standing::Open { .. } => return open,
            Standing::Closed { opens } => next = earlier(next, opens),
        }
    }
    Standing::Closed { opens: next }
}

/// The earlier of two times, or the only one.
pub fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(schedule: &str, time_zone: &str, duration: &str) -> Window {
        Window::parse(&v1alpha1::Window {
            schedule: schedule.into(),
            time_zone: time_zone.into(),
            duration: duration.into(),
        })
        .unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn closes(text: &str) -> Standing {
        Standing::Open { closes: at(text) }
    }

    fn opens(text: &str) -> Standing {
        Standing::Closed {
            opens: Some(at(text)),
        }
    }

    #[test]
    fn window_is_open_from_its_schedule_for_its_duration() {
        let window = window("0 9 * * MON-FRI", "Europe/Berlin", "8h");
        for (now, expected) in [
            // A Thursday.
            ("2026-11-26T07:59:59Z", opens("2026-11-26T08:00:00Z")),
            ("2026-11-26T08:00:00Z", closes("2026-11-26T16:00:00Z")),
            ("2026-11-26T15:59:59Z", closes("2026-11-26T16:00:00Z")),
            ("2026-11-26T16:00:00Z", opens("2026-11-27T08:00:00Z")),
            // A Friday: closed until Monday.
            ("2026-11-27T16:00:00Z", opens("2026-11-30T08:00:00Z")),
        ] {
            assert_eq!(window.standing(at(now)), expected, "{now}");
        }
    }

    #[test]
    fn window_may_span_midnight() {
        let night = window("0 22 * * *", "UTC", "4h");
        assert_eq!(
            night.standing(at("2026-11-26T01:30:00Z")),
            closes("2026-11-26T02:00:00Z")
        );
        let weekend = window("0 18 * * FRI", "UTC", "60h");
        assert_eq!(
            weekend.standing(at("2026-11-29T23:00:00Z")),
            closes("2026-11-30T06:00:00Z")
        );
    }

    #[test]
    fn overlapping_windows_stay_open() {
        let window = window("*/10 * * * *", "UTC", "15m");
        assert_eq!(
            window.standing(at("2026-11-26T10:14:00Z")),
            closes("2026-11-26T10:25:00Z")
        );
    }

    #[test]
    fn skipped_opening_happens_at_the_clock_change() {
        // 2026-03-29 in Berlin: the clock goes from 02:00 to 03:00, at 01:00 UTC.
        let window = window("30 2 * * *", "Europe/Berlin", "1h");
        assert_eq!(
            window.standing(at("2026-03-29T00:59:59Z")),
            opens("2026-03-29T01:00:00Z")
        );
        assert_eq!(
            window.standing(at("2026-03-29T01:00:00Z")),
            closes("2026-03-29T02:00:00Z")
        );
        assert_eq!(
            window.standing(at("2026-03-29T02:00:00Z")),
            opens("2026-03-30T00:30:00Z")
        );
    }

    #[test]
    fn repeated_opening_happens_the_first_time() {
        // 2026-10-25 in Berlin: the clock goes from 03:00 to 02:00, at 01:00 UTC.
        let window = window("30 2 * * *", "Europe/Berlin", "1h");
        assert_eq!(
            window.standing(at("2026-10-25T00:30:00Z")),
            closes("2026-10-25T01:30:00Z")
        );
        // It is 02:30 again, and the hour is over.
        assert_eq!(
            window.standing(at("2026-10-25T01:30:00Z")),
            opens("2026-10-26T01:30:00Z")
        );
    }

    #[test]
    fn earliest_of_several_windows_is_reported() {
        let windows = [
            window("0 9 * * MON", "UTC", "1h"),
            window("0 9 * * WED", "UTC", "1h"),
        ];
        assert_eq!(
            any(&windows, at("2026-11-24T00:00:00Z")),
            opens("2026-11-25T09:00:00Z")
        );
        assert_eq!(
            any(&windows, at("2026-11-25T09:30:00Z")),
            closes("2026-11-25T10:00:00Z")
        );
    }

    #[test]
    fn invalid_window_names_its_field() {
        for (schedule, time_zone, duration, expected) in [
            ("0 9 * *", "UTC", "1h", "schedule"),
            ("0 0 31 2 *", "UTC", "1h", "schedule"),
            ("0 9 * * *", "Mars/Olympus", "1h", "timeZone"),
            ("0 9 * * *", "UTC", "0h", "duration"),
            ("0 9 * * *", "UTC", "soon", "duration"),
        ] {
            let spec = v1alpha1::Window {
                schedule: schedule.into(),
                time_zone: time_zone.into(),
                duration: duration.into(),
            };
            let (field, problem) = Window::parse(&spec).unwrap_err();
            assert_eq!(field, expected, "{problem}");
        }
    }
}
