//! When cron's five fields come true in a time zone.
//!
//! Guarantees
//! - Of two times on the clock the earlier one never happens later: what the clock skips (summer time
//!   begins) happens when it goes on, and what it shows twice (summer time ends) happens the first
//!   time.
//! - The search is over the clock's face only, so a time zone's rules are looked up for the answer and
//!   nothing else.
//!
//! Relies on croner for the fields and their meaning. As in cron, a time matches either of day of
//! month and day of week where both are restricted.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    Timestamp,
    civil::{DateTime, date},
    tz::{AmbiguousOffset, TimeZone},
};

use super::{
    calendar::{DAYS, MONTHS},
    dialect::{self, Rule},
};

/// How many times that the clock skips, or days that a rule leaves out, are passed over in a row: more than there are minutes in a
/// day, which is the most that any zone has skipped.
const SKIPPED: usize = 2000;

/// Cron's five fields in a time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Any of them will do.
    parts: Vec<Part>,
    zone: TimeZone,
}

#[derive(Clone, Debug)]
struct Part {
    cron: Cron,
    /// Which of its days count; all of them where there is none.
    rule: Option<Rule>,
}

impl Part {
    /// `None` where the fields are not those of cron.
    fn parse(parser: CronParser, text: &str, rule: Option<Rule>) -> Option<Self> {
        let cron = parser.parse(text).ok()?;
        Some(Self { cron, rule })
    }

    fn next(&self, at: DateTime, inclusive: bool) -> Option<DateTime> {
        let mut found = self.cron.find_next_occurrence(&at, inclusive).ok()?;
        for _ in 0..SKIPPED {
            if self.rule.is_none_or(|rule| rule.holds(found.date())) {
                return Some(found);
            }
            let end = found.date().at(23, 59, 59, 999_999_999);
            found = self.cron.find_next_occurrence(&end, false).ok()?;
        }
        None
    }

    fn previous(&self, at: DateTime, inclusive: bool) -> Option<DateTime> {
        let mut found = self.cron.find_previous_occurrence(&at, inclusive).ok()?;
        for _ in 0..SKIPPED {
            if self.rule.is_none_or(|rule| rule.holds(found.date())) {
                return Some(found);
            }
            let start = found.date().at(0, 0, 0, 0);
            found = self.cron.find_previous_occurrence(&start, false).ok()?;
        }
        None
    }
}

/// What becomes of a time that the clock skips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// It happens at the moment when the clock goes on.
    HappensAfter,
    /// It does not happen.
    IsLeftOut,
}

impl Schedule {
    /// Exactly five fields of numbers, English names, `*`, `,`, `-` and `/`. The error says what is
    /// wrong.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() != 5 {
            return Err(format!(
                "there must be five fields (minute, hour, day of month, month, day of week), and \
                 {text:?} has {}",
                fields.len()
            ));
        }
        for (place, field) in FIELDS.iter().skip(1).zip(&fields) {
            let words = field.split(|c: char| !c.is_ascii_alphabetic());
            let known = |word: &str| {
                word.is_empty()
                    || place
                        .names
                        .iter()
                        .any(|name| name.eq_ignore_ascii_case(word))
            };
            let strange = |c: char| !(c.is_ascii_alphanumeric() || "*,-/".contains(c));
            if field.contains(strange) || !words.into_iter().all(known) {
                return Err(place.refuse(field, text));
            }
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let part = Part::parse(parser, text, None).ok_or_else(|| culprit(parser, text, text))?;
        Self::of(vec![part], text, zone)
    }

    /// As GitLab takes them: also with seconds, with `L` and `#`, and in its own [`dialect`]. A zone at
    /// the end is the one that counts.
    pub fn parse_leniently(text: &str, zone: TimeZone) -> Result<Self, String> {
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .sloppy_ranges(true)
            .build();
        let plain = dialect::plain(text)?;
        let parts = plain.alternatives.iter();
        let parts: Result<Vec<_>, _> = parts
            .map(|(fields, rule)| {
                Part::parse(parser, fields, *rule).ok_or_else(|| culprit(parser, fields, text))
            })
            .collect();
        Self::of(parts?, text, plain.zone.unwrap_or(zone))
    }

    fn of(parts: Vec<Part>, text: &str, zone: TimeZone) -> Result<Self, String> {
        // The 29th of February comes, the 30th does not.
        let start = date(2000, 1, 1).at(0, 0, 0, 0);
        if parts.iter().all(|part| part.next(start, true).is_none()) {
            return Err(format!(
                "{text:?} never comes true: no month that it names has such a day"
            ));
        }
        Ok(Self { parts, zone })
    }

    /// The last time it came true, up to and including `now`.
    pub fn last(&self, now: Timestamp, skipped: Skipped) -> Option<Timestamp> {
        let previous = |at: DateTime, inclusive| {
            let parts = self.parts.iter();
            parts.filter_map(|it| it.previous(at, inclusive)).max()
        };
        let mut at = previous(self.passed(now), true)?;
        for _ in 0..SKIPPED {
            if let Some(found) = self.moment(at, skipped) {
                return Some(found);
            }
            at = previous(at, false)?;
        }
        None
    }

    /// The next time it comes true, after `now`.
    pub fn next(&self, now: Timestamp, skipped: Skipped) -> Option<Timestamp> {
        let mut at = self.passed(now);
        for _ in 0..SKIPPED {
            let parts = self.parts.iter();
            at = parts.filter_map(|it| it.next(at, false)).min()?;
            if let Some(found) = self.moment(at, skipped) {
                return Some(found);
            }
        }
        None
    }

    /// The latest time on the clock that has happened by `now`: what it shows, or, where it was put
    /// back and shows a time again, the last one before it was.
    fn passed(&self, now: Timestamp) -> DateTime {
        let shown = self.zone.to_datetime(now);
        let instant = jiff::SignedDuration::from_nanos(1);
        let before_change = now
            .checked_add(instant)
            .ok()
            .and_then(|after| self.zone.preceding(after).next())
            .and_then(|change| change.timestamp().checked_sub(instant).ok())
            .map(|before| self.zone.to_datetime(before));
        before_change.map_or(shown, |before| shown.max(before))
    }

    /// When the clock shows that time, at first.
    fn moment(&self, at: DateTime, skipped: Skipped) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(at);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
                ambiguous.earlier().ok()
            }
            AmbiguousOffset::Gap { after, .. } => {
                if skipped == Skipped::IsLeftOut {
                    return None;
                }
                // By the offset to come, the time lies before the change.
                let before = after.to_timestamp(at).ok()?;
                let change = self.zone.following(before).next()?;
                Some(change.timestamp())
            }
        }
    }
}

/// A field of cron, for messages.
struct Field {
    name: &'static str,
    /// Which numbers and names it takes.
    takes: &'static str,
    names: &'static [&'static str],
}

/// In their order; the first one only where there are six.
const FIELDS: [Field; 6] = [
    Field {
        name: "second",
        takes: "0 to 59",
        names: &[],
    },
    Field {
        name: "minute",
        takes: "0 to 59",
        names: &[],
    },
    Field {
        name: "hour",
        takes: "0 to 23",
        names: &[],
    },
    Field {
        name: "day of month",
        takes: "1 to 31",
        names: &[],
    },
    Field {
        name: "month",
        takes: "1 to 12 or JAN to DEC",
        names: &MONTHS,
    },
    Field {
        name: "day of week",
        takes: "0 to 7 (0 and 7 are Sunday) or SUN to SAT",
        names: &DAYS,
    },
];

impl Field {
    fn refuse(&self, field: &str, text: &str) -> String {
        let Self { name, takes, .. } = self;
        format!(
            "the {name} {field:?} of {text:?} is not understood: it takes {takes}, alone, as a list (1,2), as a \
             range (1-5), with a step (*/2, 1-9/2), or *"
        )
    }
}

/// Which of the fields is not one of cron's, and what it takes: the first that is refused among fields that
/// take everything. `text` is what was written, where `fields` were made of that.
fn culprit(parser: CronParser, fields: &str, text: &str) -> String {
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let (5 | 6) = fields.len() else {
        return format!(
            "{text:?} is not cron: it has {} fields, and there must be five (minute, hour, day of month, month, day \
             of week), or six with the second before them",
            fields.len()
        );
    };
    let places = FIELDS.iter().skip(FIELDS.len() - fields.len());
    for (at, (place, field)) in places.zip(&fields).enumerate() {
        let mut alone = vec!["*"; fields.len()];
        alone[at] = field;
        if parser.parse(&alone.join(" ")).is_err() {
            return place.refuse(field, text);
        }
    }
    format!("{text:?} is not understood: its fields are fine alone, and not together")
}

#[cfg(test)]
mod tests;
