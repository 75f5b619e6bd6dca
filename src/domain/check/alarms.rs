//! CloudWatch alarms: whether one was in `ALARM` during a step.
//!
//! Expected flow: [`DesiredAlarms::before`] judges the current alarms before any change. Each analysis reads
//! the alarms, then the histories that [`DesiredAlarms::needs_history`] names, and
//! [`DesiredAlarms::evaluate`] judges them. The plan reads the alarms, then repeatedly those that
//! [`DesiredAlarms::unread`] names because a composite alarm depends on them, and calls
//! [`DesiredAlarms::refuse_bake`].
//!
//! Assumptions: `StateTransitionedTimestamp` is when an alarm entered its current state; a history has every
//! change of state, with a short delay. An alarm that has not changed since then needs no history, so most
//! analyses cost one call for all alarms.
//!
//! `since` is when [`DesiredAlarms::before`] passed, the same for every step of the rollout, so that an alarm
//! that enters `ALARM` between two steps does not count as one that was in it before. After a held run
//! continues, it is the time of that. An alarm that was in `ALARM` then counts as long as it stays there: if
//! it has left the state since, it was red for another reason. Our clock and CloudWatch's may differ by two
//! seconds, so an event up to two seconds before `since` counts as after it.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{alarm_rule, cloudwatch::CLOUDWATCH_DELAY, verdict::Verdict};
use crate::{
    api::v1alpha1::{AlarmsCheck, AlreadyInAlarm, InsufficientData},
    domain::{duration::shown, invalid::Invalid, outcome::shorten, substitution::Variables},
};

/// The maximum difference between our clock and CloudWatch's.
const CLOCKS: SignedDuration = SignedDuration::from_secs(2);

/// The maximum time between the last entry of a history and the change that it reports. CloudWatch evaluates
/// an alarm once a minute, so the alarm can't have been in `ALARM` within less.
const SAME_CHANGE: SignedDuration = SignedDuration::from_secs(30);

/// The most characters of CloudWatch's reason in a message. A reason has at most 1,023 characters.
const EXCERPT: usize = 300;

/// The current state of an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// `AlarmName`.
    pub name: String,
    /// `StateValue`.
    pub state: AlarmState,
    /// `StateTransitionedTimestamp`: since when the alarm is in that state, if CloudWatch reports it.
    pub since: Option<Timestamp>,
    /// `StateReason`; may be empty.
    pub reason: String,
    /// `EvaluationState`, if CloudWatch can't evaluate the alarm: `EVALUATION_ERROR` or
    /// `EVALUATION_FAILURE`.
    pub trouble: Option<String>,
    /// The time span of the evaluated data: period times evaluation periods. `None` for a composite alarm,
    /// and if unknown.
    pub window: Option<Duration>,
    /// `AlarmRule` of a composite alarm.
    pub rule: Option<String>,
}

/// CloudWatch's `StateValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlarmState {
    /// `OK`.
    Ok,
    /// `ALARM`.
    Alarm,
    /// `INSUFFICIENT_DATA`.
    InsufficientData,
    /// A state that this version does not know.
    Other(String),
}

impl AlarmState {
    /// Parses CloudWatch's value.
    pub fn parse(word: &str) -> Self {
        match word {
            "OK" => Self::Ok,
            "ALARM" => Self::Alarm,
            "INSUFFICIENT_DATA" => Self::InsufficientData,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// A change of an alarm's state: an item `StateUpdate` of its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When the state changed.
    pub at: Timestamp,
    /// The state before.
    pub from: AlarmState,
    /// The state after.
    pub to: AlarmState,
    /// CloudWatch's explanation; may be empty.
    pub reason: String,
}

/// Alarms by name.
pub type Alarms = BTreeMap<String, Alarm>;

/// Changes of state by the alarm's name.
pub type Histories = BTreeMap<String, Vec<Transition>>;

/// The alarms of a check on a Target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredAlarms {
    /// The names of the alarms, without duplicates.
    pub names: Vec<String>,
    /// How to treat an alarm that was in `ALARM` before.
    pub already_in_alarm: AlreadyInAlarm,
    /// How to treat an alarm with insufficient data.
    pub insufficient_data: InsufficientData,
}

impl DesiredAlarms {
    /// The check with substituted names. The field of an error is relative to the check: `alarms.names[0]`.
    pub fn new(check: &AlarmsCheck, variables: &Variables) -> Result<Self, Invalid> {
        let mut names = Vec::new();
        for (at, name) in check.names.iter().enumerate() {
            let name = variables.expand(name).map_err(|error| Invalid {
                field: format!("alarms.names[{at}]"),
                message: error.to_string(),
            })?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Self {
            names,
            already_in_alarm: check.already_in_alarm,
            insufficient_data: check.insufficient_data,
        })
    }

    /// The verdict before any change: passed if all alarms exist and none is in `ALARM`, unless that is
    /// ignored.
    pub fn before(&self, alarms: &Alarms) -> Verdict {
        Verdict::all(self.names.iter().map(|name| {
            let alarm = match present(name, alarms) {
                Ok(alarm) => alarm,
                Err(verdict) => return verdict,
            };
            match self.already_in_alarm {
                AlreadyInAlarm::Fail if alarm.state == AlarmState::Alarm => already(alarm),
                _ => Verdict::Passed,
            }
        }))
    }

    /// Why no run can begin, in whatever state the alarms are: an alarm does not exist, or is too slow for
    /// the bake.
    pub fn obstacle(&self, alarms: &Alarms, bake: Duration) -> Option<String> {
        let missing = self
            .names
            .iter()
            .find_map(|name| match present(name, alarms) {
                Err(Verdict::Failed(why)) => Some(why),
                _ => None,
            });
        missing.or_else(|| self.refuse_bake(alarms, bake))
    }

    /// The alarms that may have been in `ALARM` since then but no longer are: only their histories show it.
    pub fn needs_history(&self, since: Timestamp, alarms: &Alarms) -> Vec<String> {
        let began = allowing_for_clocks(since);
        let wanted = |name: &&String| {
            alarms.get(*name).is_some_and(|alarm| match alarm.since {
                Some(at) => at >= began && alarm.state != AlarmState::Alarm,
                None => true,
            })
        };
        self.names.iter().filter(wanted).cloned().collect()
    }

    /// Whether the check has held since then. `alarms` are the current ones; `histories` reach back to a
    /// little before `since`.
    pub fn evaluate(&self, since: Timestamp, alarms: &Alarms, histories: &Histories) -> Verdict {
        let began = allowing_for_clocks(since);
        Verdict::all(self.names.iter().map(|name| {
            let alarm = match present(name, alarms) {
                Ok(alarm) => alarm,
                Err(verdict) => return verdict,
            };
            match self.spell(began, alarm, histories.get(name)) {
                Verdict::Passed => self.now(alarm),
                decided => decided,
            }
        }))
    }

    /// Whether the alarm was in `ALARM` since `began`.
    fn spell(&self, began: Timestamp, alarm: &Alarm, history: Option<&Vec<Transition>>) -> Verdict {
        let is_red = alarm.state == AlarmState::Alarm;
        match alarm.since {
            Some(at) if at < began && is_red => return self.red_before(alarm),
            Some(at) if at < began => return Verdict::Passed,
            Some(_) if is_red => {
                let message = format!("alarm {} is in ALARM{}", alarm.name, why(alarm));
                return Verdict::Failed(message);
            }
            _ => {}
        }
        let late = || {
            let message = format!(
                "the history of alarm {} does not show its last change yet",
                alarm.name
            );
            Verdict::Inconclusive(message)
        };
        let Some(history) = history else {
            return late();
        };
        let mut changes: Vec<&Transition> =
            history.iter().filter(|change| change.at >= began).collect();
        changes.sort_by_key(|change| change.at);
        if let Some(red) = changes.iter().find(|change| change.to == AlarmState::Alarm) {
            let (at, why) = (second(red.at), explained(&red.reason));
            let message = format!("alarm {} entered ALARM at {at}{why}", alarm.name);
            return Verdict::Failed(message);
        }
        let Some(at) = alarm.since else {
            // The state has not changed since then.
            return if is_red && changes.is_empty() {
                self.red_before(alarm)
            } else {
                Verdict::Passed
            };
        };
        let caught_up = changes.last().is_some_and(|change| {
            change.to == alarm.state && at.duration_since(change.at) <= SAME_CHANGE
        });
        if caught_up { Verdict::Passed } else { late() }
    }

    fn red_before(&self, alarm: &Alarm) -> Verdict {
        match self.already_in_alarm {
            AlreadyInAlarm::Fail => already(alarm),
            AlreadyInAlarm::Ignore => Verdict::Passed,
        }
    }

    /// The verdict from the current state of an alarm that did not enter `ALARM`.
    fn now(&self, alarm: &Alarm) -> Verdict {
        if let Some(trouble) = &alarm.trouble {
            return Verdict::Inconclusive(format!(
                "CloudWatch can't evaluate alarm {} ({trouble}){}",
                alarm.name,
                why(alarm)
            ));
        }
        let message = format!(
            "alarm {} has INSUFFICIENT_DATA, which does not count as passed (insufficientData)",
            alarm.name
        );
        match (&alarm.state, self.insufficient_data) {
            (AlarmState::Ok | AlarmState::Alarm, _)
            | (AlarmState::InsufficientData, InsufficientData::Pass) => Verdict::Passed,
            (AlarmState::InsufficientData, InsufficientData::Wait) => {
                Verdict::Inconclusive(message)
            }
            (AlarmState::InsufficientData, InsufficientData::Fail) => Verdict::Failed(message),
            (AlarmState::Other(state), _) => Verdict::Inconclusive(format!(
                "alarm {} is in state {state}, which this version does not know",
                alarm.name
            )),
        }
    }

    /// The names of the check's alarms, and of those that the composite ones among them depend on, as far
    /// as the composite ones are known.
    fn with_children(&self, alarms: &Alarms) -> Vec<String> {
        let mut names = self.names.clone();
        let mut at = 0;
        while let Some(name) = names.get(at) {
            let rule = alarms.get(name).and_then(|alarm| alarm.rule.as_deref());
            for child in rule.map(alarm_rule::alarms).unwrap_or_default() {
                if !names.contains(&child) {
                    names.push(child);
                }
            }
            at += 1;
        }
        names
    }

    /// The alarms to read before [`DesiredAlarms::refuse_bake`] can judge: those of the check and those that
    /// composite ones depend on, without those in `asked`, which may not exist.
    pub fn unread(&self, alarms: &Alarms, asked: &[String]) -> Vec<String> {
        let mut names = self.with_children(alarms);
        names.retain(|name| !alarms.contains_key(name) && !asked.contains(name));
        names
    }

    /// Why a bake is too short: an alarm could enter `ALARM` because of the step, but only after it. `alarms`
    /// has those of the check and those that composite ones depend on. An alarm that does not exist, or
    /// whose window is unknown, refuses no bake.
    pub fn refuse_bake(&self, alarms: &Alarms, bake: Duration) -> Option<String> {
        let windows = self.with_children(alarms).into_iter().filter_map(|name| {
            let window = alarms.get(&name)?.window?;
            Some((window, name))
        });
        let (window, name) = windows.max()?;
        let needed = window.saturating_add(CLOUDWATCH_DELAY);
        (bake < needed).then(|| {
            format!(
                "a bake of {} is too short for alarm {name}, which evaluates {} of data that may be {} \
                 late: it has to be at least {}",
                shown(bake),
                shown(window),
                shown(CLOUDWATCH_DELAY),
                shown(needed)
            )
        })
    }
}

fn present<'a>(name: &str, alarms: &'a Alarms) -> Result<&'a Alarm, Verdict> {
    alarms.get(name).ok_or_else(|| {
        Verdict::Failed(format!(
            "there is no alarm {name} in the Target's account and region: create it, or correct alarms.names"
        ))
    })
}

/// The verdict for an alarm that was in `ALARM` before any change, and still is.
fn already(alarm: &Alarm) -> Verdict {
    let name = &alarm.name;
    let why = why(alarm);
    let explanation = match why.trim_start_matches([' ', ':']) {
        "" => String::new(),
        why => format!(" ({why})"),
    };
    let remedy = "find the cause, or let the Release begin with alreadyInAlarm: Ignore";
    Verdict::Failed(format!(
        "alarm {name} was in ALARM before anything was changed{explanation}; {remedy}"
    ))
}

/// Since when the alarm is in its current state, and CloudWatch's reason.
fn why(alarm: &Alarm) -> String {
    let since = alarm.since.map(|at| format!(" since {}", second(at)));
    format!("{}{}", since.unwrap_or_default(), explained(&alarm.reason))
}

/// CloudWatch's own reason, if it gives one.
fn explained(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {}", shorten(reason, EXCERPT))
    }
}

fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn allowing_for_clocks(since: Timestamp) -> Timestamp {
    since.saturating_sub(CLOCKS).unwrap_or(since)
}

#[cfg(test)]
mod tests;
