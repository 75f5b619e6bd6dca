//! The cron dialect of GitLab's freeze periods, translated into plain cron.
//!
//! GitLab parses cron with fugit (<https://github.com/floraison/fugit>), which accepts more than cron does:
//! a time zone at the end, ranges that wrap around (`6-0`, `22-2`), the last weekdays of a month (`5#-1`,
//! `5#-2`), and every nth week (`1%2`, `1%2+1`), counted from Tuesday, 2019-01-01.
//!
//! An expression is translated into alternatives: plain fields, with a [`Rule`] about the day if cron can't
//! express it.

use jiff::civil::{Date, date};

use super::{
    calendar::{DAYS, MONTHS},
    time_zone::{self, time_zone},
};

/// Restricts the days that cron fields match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The nth last of its weekday in the month; 1 is the last.
    FromTheEnd(i8),
    /// Days in every nth week.
    Weeks {
        /// Every how many weeks.
        every: i32,
        /// The offset of the matching week.
        offset: i32,
    },
}

impl Rule {
    /// Whether this day matches.
    pub fn holds(self, day: Date) -> bool {
        match self {
            Self::FromTheEnd(nth) => (day.days_in_month() - day.day()) / 7 + 1 == nth,
            Self::Weeks { every, offset } => {
                let first = date(2019, 1, 1);
                let days = day.duration_since(first).as_hours() / 24;
                let week = i32::try_from(days.div_euclid(7)).unwrap_or_default() + 1;
                week.rem_euclid(every) == offset.rem_euclid(every)
            }
        }
    }
}

/// An expression in plain cron.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    /// The time zone at the end, if there is one.
    pub zone: Option<jiff::tz::TimeZone>,
    /// Alternative cron fields, each with the rule about its days.
    pub alternatives: Vec<(String, Option<Rule>)>,
}

/// The lowest and highest number of each of the five fields.
const BOUNDS: [(i8, i8); 5] = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];

/// Translates an expression into plain cron. Parts outside this dialect stay unchanged, for cron to check.
pub fn plain(text: &str) -> Result<Plain, String> {
    let mut fields: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let zone = fields.last().filter(|_| fields.len() > 5);
    let zone = zone.filter(|last| last.contains(char::is_alphabetic));
    let zone = match zone {
        None => None,
        Some(last) => match time_zone(last) {
            // In a day of week, only a number may follow a slash.
            None if is_place(last) => return Err(time_zone::unknown(last)),
            zone => zone,
        },
    };
    if zone.is_some() {
        fields.pop();
    }
    // With a sixth field, the first is for seconds.
    let first = fields.len().saturating_sub(BOUNDS.len());
    for (field, bounds) in fields.iter_mut().skip(first).zip(BOUNDS) {
        *field = expand_wrapping_ranges(field, bounds);
    }
    let days_of_week = fields.pop().unwrap_or_default();
    let head = fields.join(" ");
    let days_of_month = fields.len().checked_sub(2).and_then(|at| fields.get(at));
    let any_day = days_of_month.is_none_or(|field| field == "*");
    let mut alternatives = Vec::new();
    let mut plain = Vec::new();
    for day in days_of_week.split(',') {
        match rule(day)? {
            None => plain.push(day),
            Some((weekday, rule)) => {
                let mut fields = fields.clone();
                if let Some(at) = fields.len().checked_sub(2) {
                    "*".clone_into(&mut fields[at]);
                }
                alternatives.push((format!("{} {weekday}", fields.join(" ")), Some(rule)));
            }
        }
    }
    // If both day fields are restricted, either may match.
    if !plain.is_empty() {
        alternatives.insert(0, (format!("{head} {}", plain.join(",")), None));
    } else if !any_day {
        alternatives.insert(0, (format!("{head} *"), None));
    }
    Ok(Plain { zone, alternatives })
}

/// Whether the text looks like an IANA name, such as `Europe/Berlin`.
fn is_place(text: &str) -> bool {
    let mut parts = text.split('/').skip(1);
    parts.any(|part| part.starts_with(|first: char| first.is_ascii_alphabetic()))
}

/// The weekday and the rule of a day of week such as `5#-2` or `mon%2+1`.
fn rule(day: &str) -> Result<Option<(&str, Rule)>, String> {
    let invalid = || {
        format!(
            "the day of week {day:?} is not understood: # takes -1 to -5, and % a number of weeks, such \
             as 5#-1 or 1%2+1"
        )
    };
    if let Some((weekday, nth)) = day.split_once("#-") {
        let nth: i8 = nth.parse().map_err(|_| invalid())?;
        let known = (1..=5).contains(&nth) && !weekday.is_empty();
        return known
            .then_some(Some((weekday, Rule::FromTheEnd(nth))))
            .ok_or_else(invalid);
    }
    let Some((weekday, weeks)) = day.split_once('%') else {
        return Ok(None);
    };
    let (every, offset) = match weeks.split_once('+') {
        Some((every, offset)) => (every, offset.parse().map_err(|_| invalid())?),
        None => (weeks, 0),
    };
    let every: i32 = every.parse().map_err(|_| invalid())?;
    let known = (1..=520).contains(&every) && !weekday.is_empty();
    let rule = Rule::Weeks { every, offset };
    known.then_some(Some((weekday, rule))).ok_or_else(invalid)
}

/// Replaces ranges that end before they begin with lists.
fn expand_wrapping_ranges(field: &str, (lowest, highest): (i8, i8)) -> String {
    let expand = |part: &str| {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (start, end) = range.split_once('-')?;
        let step: usize = step.parse().ok().filter(|step| *step > 0)?;
        let (start, end) = (number(start)?, number(end)?);
        // Sunday is both 0 and 7.
        let sunday = |day: i8| if highest == 6 && day == 7 { 0 } else { day };
        let (start, end) = (sunday(start), sunday(end));
        let within = |it: i8| (lowest..=highest).contains(&it);
        if start <= end || !within(start) || !within(end) {
            return None;
        }
        let all = (start..=highest).chain(lowest..=end).step_by(step);
        let all: Vec<String> = all.map(|it| it.to_string()).collect();
        Some(all.join(","))
    };
    let parts = field.split(',');
    let parts: Vec<String> = parts
        .map(|part| expand(part).unwrap_or_else(|| part.to_owned()))
        .collect();
    parts.join(",")
}

/// A number, or the number of a weekday or month by name.
fn number(text: &str) -> Option<i8> {
    let at = |names: &[&str]| {
        names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text))
    };
    let named = at(&DAYS).or_else(|| Some(at(&MONTHS)? + 1));
    match named {
        Some(named) => i8::try_from(named).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

    use super::*;

    fn alternatives(text: &str) -> Vec<(String, Option<Rule>)> {
        plain(text).unwrap().alternatives
    }

    fn one(text: &str) -> String {
        match alternatives(text).as_slice() {
            [(fields, None)] => fields.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn plain_cron_stays_unchanged() {
        for text in [
            "0 23 * * 5",
            "0 23 L * *",
            "0 0 23 * * 5",
            "0 23 * * 5#2",
            "0 9-17/2 1,15 * MON-FRI",
        ] {
            assert_eq!(one(text), text);
        }
    }

    #[test]
    fn wrapping_ranges_become_lists() {
        assert_eq!(one("0 23 * * 6-0"), "0 23 * * 6,0");
        assert_eq!(one("0 23 * * fri-mon"), "0 23 * * 5,6,0,1");
        assert_eq!(one("0 23 * * 6-7"), "0 23 * * 6,0");
        assert_eq!(one("0 22-2/2 * * *"), "0 22,0,2 * * *");
        assert_eq!(one("0 0 * nov-feb *"), "0 0 * 11,12,1,2 *");
    }

    #[test]
    fn trailing_time_zone_is_split_off() {
        let found = plain("0 23 * * 5 Europe/Berlin").unwrap();
        assert_eq!(found.zone, time_zone("Europe/Berlin"));
        assert_eq!(found.alternatives, [("0 23 * * 5".to_owned(), None)]);
    }

    #[test]
    fn day_rules_become_alternatives_of_plain_cron() {
        let last = Some(Rule::FromTheEnd(1));
        assert_eq!(
            alternatives("0 23 * * 5#-1"),
            [("0 23 * * 5".to_owned(), last)]
        );
        let other = Rule::Weeks {
            every: 2,
            offset: 1,
        };
        let expected = [
            ("0 23 13 * 1".to_owned(), None),
            ("0 23 * * tue".to_owned(), Some(other)),
        ];
        assert_eq!(alternatives("0 23 13 * 1,tue%2+1"), expected);
        let expected = [
            ("0 23 13 * *".to_owned(), None),
            ("0 23 * * 5".to_owned(), Some(Rule::FromTheEnd(2))),
        ];
        assert_eq!(alternatives("0 23 13 * 5#-2"), expected);
        for broken in [
            "0 23 * * 5#-0",
            "0 23 * * 5%0",
            "0 23 * * %2",
            "0 23 * * 5%x",
        ] {
            assert!(plain(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn rules_count_days_from_month_end_and_weeks_from_2019() {
        let last = Rule::FromTheEnd(1);
        let before = Rule::FromTheEnd(2);
        // Fridays of November 2026: 6, 13, 20, 27.
        assert!(last.holds(date(2026, 11, 27)) && !last.holds(date(2026, 11, 20)));
        assert!(before.holds(date(2026, 11, 20)) && !before.holds(date(2026, 11, 13)));
        let odd = Rule::Weeks {
            every: 2,
            offset: 1,
        };
        let even = Rule::Weeks {
            every: 2,
            offset: 0,
        };
        // The first week begins on 2019-01-01.
        assert!(odd.holds(date(2019, 1, 1)) && odd.holds(date(2019, 1, 7)));
        assert!(even.holds(date(2019, 1, 8)) && even.holds(date(2018, 12, 31)));
    }
}
