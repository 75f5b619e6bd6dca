//! What checks come to, judged from what was observed.
//!
//! Expected flow, for the kinds that look at something over time (`alarms`, `metric`, `http`):
//! 1. the Release's check is made definite for the Target: [`DesiredAlarms`], [`DesiredMetric`],
//!    [`DesiredHttp`];
//! 2. when planning, a bake time too short for it is refused;
//! 3. again and again while a step bakes, what was read becomes a [`Verdict`]; a call that failed
//!    becomes one by [`Verdict::unreadable`];
//! 4. once the check's deadline has passed, [`Verdict::at_deadline`] ends the waiting.
//!
//! Guarantees: nothing passes that could not be judged. What is unknown is [`Verdict::NotYet`], and
//! that becomes [`Verdict::Failed`].

mod alarm_rule;
pub mod alarms;
pub mod http;
mod invoke;
pub mod metric;

pub use self::{
    alarms::DesiredAlarms,
    http::DesiredHttp,
    invoke::{Attempt, evaluate, timed_out},
    metric::DesiredMetric,
};

use std::time::Duration;

use super::failure::CallError;

/// How long CloudWatch may take to show what has happened: data arrives late, and alarms are
/// evaluated after that.
pub const CLOUDWATCH_DELAY: Duration = Duration::from_mins(2);

/// A check of a stage as a whole, on one Target.
#[derive(Clone, Debug, PartialEq)]
pub struct StageCheck {
    /// How messages call it.
    pub name: String,
    /// What it looks at.
    pub kind: StageCheckKind,
}

/// What a check of a stage looks at.
#[derive(Clone, Debug, PartialEq)]
pub enum StageCheckKind {
    /// CloudWatch alarms.
    Alarms(DesiredAlarms),
    /// A CloudWatch metric.
    Metric(Box<DesiredMetric>),
    /// A URL.
    Http(Box<DesiredHttp>),
}

impl StageCheck {
    /// Whether it needs time in which data arrives. On the way back nobody waits for that.
    pub fn takes_time(&self) -> bool {
        !matches!(self.kind, StageCheckKind::Http(_))
    }

    /// The Lambda component whose versions it tells apart.
    pub fn component(&self) -> Option<&str> {
        match &self.kind {
            StageCheckKind::Metric(metric) => metric.component.as_deref(),
            _ => None,
        }
    }
}

/// What a check that looks at something over time has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is as it should be, up to now.
    Passed,
    /// It is not: why.
    Failed(String),
    /// It can't be judged yet: why.
    NotYet(String),
}

impl Verdict {
    /// What could not be read can't be judged.
    pub fn unreadable(error: &CallError) -> Self {
        Self::NotYet(error.to_string())
    }

    /// The check may wait no longer.
    #[must_use]
    pub fn at_deadline(self) -> Self {
        match self {
            Self::NotYet(why) => Self::Failed(format!("it could not be judged in time: {why}")),
            decided => decided,
        }
    }

    /// What is said is said of the check of this name.
    #[must_use]
    pub fn of(self, check: &str) -> Self {
        match self {
            Self::Passed => Self::Passed,
            Self::Failed(why) => Self::Failed(format!("check {check} failed: {why}")),
            Self::NotYet(why) => Self::NotYet(format!("check {check}: {why}")),
        }
    }

    /// All of them together: one that failed decides, then one that waits.
    #[must_use]
    pub fn all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::Passed;
        for verdict in verdicts {
            match verdict {
                Self::Failed(_) => return verdict,
                Self::NotYet(_) if all == Self::Passed => all = verdict,
                _ => {}
            }
        }
        all
    }
}

/// A duration as people write it: `5m`, `1h30m`, `90s`.
fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let written: Vec<String> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if written.is_empty() {
        "0s".to_owned()
    } else {
        written.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::CallErrorKind;

    #[test]
    fn what_could_not_be_read_waits_and_then_fails() {
        let error = CallError::new(
            "cloudwatch:DescribeAlarms",
            "Account dev, eu-west-1",
            CallErrorKind::Throttled { retry_after: None },
            "Rate exceeded",
        );
        let verdict = Verdict::unreadable(&error);
        assert!(matches!(verdict, Verdict::NotYet(_)), "{verdict:?}");
        assert_eq!(
            verdict.at_deadline().of("errors"),
            Verdict::Failed(
                "check errors failed: it could not be judged in time: cloudwatch:DescribeAlarms on \
                 Account dev, eu-west-1: Rate exceeded"
                    .to_owned()
            )
        );
        assert_eq!(Verdict::Passed.at_deadline(), Verdict::Passed);
    }

    #[test]
    fn one_failure_decides_and_one_wait_holds() {
        let failed = || Verdict::Failed("a".into());
        let waits = || Verdict::NotYet("b".into());
        for (verdicts, expected) in [
            (vec![], Verdict::Passed),
            (vec![Verdict::Passed, Verdict::Passed], Verdict::Passed),
            (vec![waits(), Verdict::Passed], waits()),
            (vec![waits(), failed(), Verdict::Passed], failed()),
            (vec![Verdict::Passed, failed(), waits()], failed()),
        ] {
            assert_eq!(Verdict::all(verdicts), expected);
        }
    }

    #[test]
    fn durations_read_as_they_are_written() {
        for (seconds, text) in [(0, "0s"), (90, "1m30s"), (300, "5m"), (3601, "1h1s")] {
            assert_eq!(shown(Duration::from_secs(seconds)), text);
        }
    }
}
