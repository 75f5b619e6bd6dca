//! CloudWatch alarms: whether one was in `ALARM` while a step went on.
//!
//! Expected flow: before anything is changed [`DesiredAlarms::before`], with the alarms as they are;
//! then, at each look, the alarms are read, then the histories that [`DesiredAlarms::wants_history`]
//! names, and [`DesiredAlarms::evaluate`] judges them. Planning reads the alarms, and those that
//! [`DesiredAlarms::unread`] names because a composite alarm looks at them, until there are none, and
//! asks [`DesiredAlarms::refuse_bake`].
//!
//! Assumptions: `StateTransitionedTimestamp` says when an alarm came into the state it is in; a
//! history holds every change of state, a little late. An alarm that did not change since then needs no
//! history, so that most looks cost one call for all alarms.
//!
//! `since` is when [`DesiredAlarms::before`] passed, for every step of the rollout the same: so that an
//! alarm can't go into `ALARM` between two steps and be taken for one that was in it before. Where
//! somebody goes on with what was held, it is when they did. An alarm that was in `ALARM` then counts as
//! long as it stays there: one that has left it since was red for another reason. Our clock
//! and CloudWatch's may differ by two seconds: what happened that shortly before counts as since.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{alarm_rule, cloudwatch::CLOUDWATCH_DELAY, verdict::Verdict};
use crate::{
    api::v1alpha1::{AlarmsCheck, AlreadyInAlarm, InsufficientData},
    domain::{duration::shown, invalid::Invalid, outcome::shorten, substitution::Variables},
};

/// By how much our clock and CloudWatch's may differ.
const CLOCKS: SignedDuration = SignedDuration::from_secs(2);

/// How far the last entry of a history may lie before the change that it tells of. An alarm is
/// evaluated once a minute, so no spell in `ALARM` fits into less.
const SAME_CHANGE: SignedDuration = SignedDuration::from_secs(30);

/// What CloudWatch may say in a message: a reason is at most 1,023 characters.
const EXCERPT: usize = 300;

/// An alarm as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// `AlarmName`.
    pub name: String,
    /// `StateValue`.
    pub state: AlarmState,
    /// `StateTransitionedTimestamp`: since when it is in that state, where CloudWatch says so.
    pub since: Option<Timestamp>,
    /// `StateReason`; may be empty.
    pub reason: String,
    /// `EvaluationState`, where CloudWatch says that it can't evaluate the alarm:
    /// `EVALUATION_ERROR` or `EVALUATION_FAILURE`.
    pub trouble: Option<String>,
    /// Period times evaluation periods: how much data decides. None for a composite alarm, and where
    /// it is not known.
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
    /// One that this version does not know.
    Other(String),
}

impl AlarmState {
    /// From CloudWatch's own word.
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
    /// When.
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
    /// Their names, each once.
    pub names: Vec<String>,
    /// What one means that was in `ALARM` before.
    pub already_in_alarm: AlreadyInAlarm,
    /// What one means that has not enough data.
    pub insufficient_data: InsufficientData,
}

impl DesiredAlarms {
    /// The check with its names filled in. An error's field begins below the check: `alarms.names[0]`.
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

    /// Before anything is changed: all alarms are there, and none is in `ALARM` where that counts.
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

    /// Why no run could begin, whatever state the alarms are in: one is not there, or is too slow for the
    /// bake.
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

    /// The alarms that may have been in `ALARM` since then and are not any more: only their histories
    /// tell.
    pub fn wants_history(&self, since: Timestamp, alarms: &Alarms) -> Vec<String> {
        let began = allowing_for_clocks(since);
        let wanted = |name: &&String| {
            alarms.get(*name).is_some_and(|alarm| match alarm.since {
                Some(at) => at >= began && alarm.state != AlarmState::Alarm,
                None => true,
            })
        };
        self.names.iter().filter(wanted).cloned().collect()
    }

    /// Whether all was well since then. `alarms` are as they are now; `histories` go back to `since` and
    /// a little further.
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
                "the history of alarm {} does not show yet how it came into its state",
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
            let message = format!("alarm {} went into ALARM at {at}{why}", alarm.name);
            return Verdict::Failed(message);
        }
        let Some(at) = alarm.since else {
            // Nothing happened since, so it is as it was.
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

    /// What the present state means of an alarm that did not go into `ALARM`.
    fn now(&self, alarm: &Alarm) -> Verdict {
        if let Some(trouble) = &alarm.trouble {
            return Verdict::Inconclusive(format!(
                "CloudWatch can't evaluate alarm {} ({trouble}){}",
                alarm.name,
                why(alarm)
            ));
        }
        let message = format!(
            "alarm {} has INSUFFICIENT_DATA, which is not taken for good (insufficientData)",
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

    /// The names of the check's alarms and of those that the composite ones among them look at, as far
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

    /// The alarms still to be read before [`DesiredAlarms::refuse_bake`] can judge: those of the check
    /// and those that composite ones look at, without those in `asked`, which may not be there.
    pub fn unread(&self, alarms: &Alarms, asked: &[String]) -> Vec<String> {
        let mut names = self.with_children(alarms);
        names.retain(|name| !alarms.contains_key(name) && !asked.contains(name));
        names
    }

    /// Why a bake time is too short: an alarm could go into `ALARM` because of the step and be seen
    /// only after it. `alarms` holds those of the check and what composite ones look at; an alarm that
    /// is not there, or of which the window is not known, refuses nothing.
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

/// It was in `ALARM` before anything was changed, and still is.
fn already(alarm: &Alarm) -> Verdict {
    let name = &alarm.name;
    let why = why(alarm);
    let told = match why.trim_start_matches([' ', ':']) {
        "" => String::new(),
        why => format!(" ({why})"),
    };
    let way_out = "find out why, or let the release go ahead with alreadyInAlarm: Ignore";
    Verdict::Failed(format!(
        "alarm {name} was in ALARM before anything was changed{told}; {way_out}"
    ))
}

/// Since when the alarm is in its present state, and CloudWatch's explanation of that.
fn why(alarm: &Alarm) -> String {
    let since = alarm.since.map(|at| format!(" since {}", second(at)));
    format!("{}{}", since.unwrap_or_default(), explained(&alarm.reason))
}

/// CloudWatch's own explanation, where there is one.
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
