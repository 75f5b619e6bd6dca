//! When the five fields of cron match in a time zone.
//!
//! Guarantees
//! - The order of local times is kept: a local time that the clock skips (summer time begins) matches at
//!   the change, and one that occurs twice (summer time ends) matches the first time.
//! - The search is over local times, so the rules of the time zone are needed only for the result.
//!
//! Relies on croner for the fields and their meaning. As in cron, a time matches either day of month or
//! day of week if both are restricted.

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

/// How many skipped local times, or days excluded by a rule, are passed over in a row: more than the minutes
/// of a day, which is the most that any zone has skipped.
const SKIPPED: usize = 2000;

/// The five fields of cron in a time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Alternatives, of which any may match.
    parts: Vec<Part>,
    zone: TimeZone,
}

#[derive(Clone, Debug)]
struct Part {
    cron: Cron,
    /// The rule about its days; `None` if all days match.
    rule: Option<Rule>,
}

impl Part {
    /// `None` if the fields are not valid cron.
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

/// What happens to a local time that the clock skips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// It matches at the clock change.
    HappensAfter,
    /// It does not match.
    IsLeftOut,
}

impl Schedule {
    /// Parses exactly five fields of numbers, English names, `*`, `,`, `-` and `/`. The error says what is
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
            let is_invalid = |c: char| !(c.is_ascii_alphanumeric() || "*,-/".contains(c));
            if field.contains(is_invalid) || !words.into_iter().all(known) {
                return Err(place.refuse(field, text));
            }
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let part = Part::parse(parser, text, None).ok_or_else(|| bad_field(parser, text, text))?;
        Self::of(vec![part], text, zone)
    }

    /// Parses what GitLab accepts: also seconds, `L` and `#`, and its own [`dialect`]. A time zone at the end
    /// takes precedence over `zone`.
    pub fn parse_lenient(text: &str, zone: TimeZone) -> Result<Self, String> {
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .sloppy_ranges(true)
            .build();
        let plain = dialect::plain(text)?;
        let parts = plain.alternatives.iter();
        let parts: Result<Vec<_>, _> = parts
            .map(|(fields, rule)| {
                Part::parse(parser, fields, *rule).ok_or_else(|| bad_field(parser, fields, text))
            })
            .collect();
        Self::of(parts?, text, plain.zone.unwrap_or(zone))
    }

    fn of(parts: Vec<Part>, text: &str, zone: TimeZone) -> Result<Self, String> {
        // A search from 2000 finds February 29th, and never finds February 30th.
        let start = date(2000, 1, 1).at(0, 0, 0, 0);
        if parts.iter().all(|part| part.next(start, true).is_none()) {
            return Err(format!(
                "{text:?} never matches: no month that it names has such a day"
            ));
        }
        Ok(Self { parts, zone })
    }

    /// The last match, up to and including `now`.
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

    /// The next match after `now`.
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

    /// The latest local time that has occurred by `now`: the current one, or, while a local time occurs for
    /// the second time, the last one before the clock was set back.
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

    /// When a local time occurs for the first time.
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
                // With the offset after the change, the skipped time lies before the change.
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
    /// The numbers and names that it accepts.
    takes: &'static str,
    names: &'static [&'static str],
}

/// The fields in order; the first one only applies if there are six.
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

/// The error for the first invalid field: the first that the parser refuses with `*` in all other fields.
/// `text` is the original expression, from which `fields` were derived.
fn bad_field(parser: CronParser, fields: &str, text: &str) -> String {
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
    format!("{text:?} is not understood: each field is valid alone, but not all together")
}

#[cfg(test)]
mod tests;
