//! The steps of a run as the status names them, and their summaries for people.

use std::time::Duration;

use crate::{
    api::v1alpha1::{Run, RunStatus, TargetStatus, annotation},
    domain::{
        outcome::{Outcome, shorten},
        reason::Reason,
    },
};

/// The version of the journal that this program writes and reads.
pub const JOURNAL_VERSION: i64 = 2;

/// The steps as the status names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The run makes changes that users do not see.
    Prepare,
    /// The run moves what users see, and checks it.
    Promote,
    /// The run failed, and stays where it is until a person decides.
    Held,
    /// The run restores its snapshot.
    Restore,
    /// The Release serves.
    Succeeded,
    /// The run failed and has changed nothing.
    Failed,
    /// The state before the run serves again.
    RolledBack,
    /// The restore failed: neither state serves completely.
    RollbackFailed,
}

impl Step {
    const ALL: [Self; 8] = [
        Self::Prepare,
        Self::Promote,
        Self::Held,
        Self::Restore,
        Self::Succeeded,
        Self::Failed,
        Self::RolledBack,
        Self::RollbackFailed,
    ];

    /// The step that a run is at; `None` if this version does not know it.
    pub fn of(run: &RunStatus) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == run.step)
    }

    /// The steps that may come right after this one in the same attempt of a run.
    fn successors(self) -> &'static [Self] {
        use Step::{Held, Prepare, Promote, Restore, RollbackFailed, RolledBack, Succeeded};
        match self {
            Prepare => &[Prepare, Promote, Held, Restore],
            Promote => &[Promote, Prepare, Succeeded, Held, Restore],
            Held => &[Held, Prepare, Promote, Restore],
            Restore => &[Restore, RolledBack, RollbackFailed],
            // A run that changed nothing has nothing to restore.
            Succeeded => &[Succeeded, Restore, RolledBack],
            Self::Failed => &[Self::Failed],
            RolledBack => &[RolledBack],
            RollbackFailed => &[RollbackFailed, Restore],
        }
    }

    /// The steps that a run, or another attempt of one that has ended, may begin with.
    const FIRST: [Self; 5] = [
        Self::Prepare,
        Self::Failed,
        Self::Succeeded,
        Self::Restore,
        Self::RolledBack,
    ];

    /// The step as the status writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "Prepare",
            Self::Promote => "Promote",
            Self::Held => "Held",
            Self::Restore => "Restore",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::RolledBack => "RolledBack",
            Self::RollbackFailed => "RollbackFailed",
        }
    }

    /// Whether the run is over.
    pub fn is_end(self) -> bool {
        !matches!(
            self,
            Self::Prepare | Self::Promote | Self::Held | Self::Restore
        )
    }
}

/// Why the journal must not change like this: it is a defect, and nothing is written.
pub(super) fn refused_transition(before: &TargetStatus, after: &TargetStatus) -> Option<String> {
    let run = after.run.as_ref()?;
    let Some(to) = Step::of(run) else {
        return Some(format!("unknown step {}", run.step));
    };
    let former = before.run.as_ref();
    let former = former.filter(|former| former.release.uid == run.release.uid);
    let from = former.and_then(|former| {
        let step = Step::of(former)?;
        let begins_anew = former.attempt != run.attempt && step.is_end();
        (!begins_anew).then_some(step)
    });
    let allowed = from.map_or(Step::FIRST.as_slice(), Step::successors);
    (!allowed.contains(&to)).then(|| {
        let from = from.map_or("nothing", Step::as_str);
        format!("a run can't go from {from} to {}", to.as_str())
    })
}

/// The step that a Target's run is at.
pub fn step_of(status: &TargetStatus) -> Option<Step> {
    status.run.as_ref().and_then(Step::of)
}

/// Whether the journal belongs to this run.
pub fn is_same_run(run: &Run, journal: &RunStatus) -> bool {
    journal.release.uid == run.release.uid && journal.attempt == run.attempt
}

/// Whether the run is over.
pub fn ended(run: &RunStatus) -> bool {
    Step::of(run).is_some_and(Step::is_end)
}

/// A summary in one line, for people.
pub fn summary(status: &TargetStatus) -> String {
    let Some(run) = &status.run else {
        return "Nothing has been delivered yet".to_owned();
    };
    let revision = run.release.revision;
    let because = run.message.as_deref().unwrap_or("no reason is recorded");
    let serving = match &status.live {
        Some(live) => format!("r{} serves", live.release.revision),
        None => "no Release serves".to_owned(),
    };
    let text = match Step::of(run) {
        Some(Step::Prepare) => format!("Preparing r{revision}"),
        Some(Step::Promote) => match &run.traffic {
            Some(traffic) if traffic.weight < 100 => {
                format!("r{revision} has {} % of the traffic", traffic.weight)
            }
            _ => format!("Moving traffic to r{revision}"),
        },
        Some(Step::Held) => format!(
            "r{revision} is held{}: {because}. Set {} to continue, or {} to restore the former state",
            match &run.traffic {
                Some(traffic) => format!(" with {} % of the traffic", traffic.weight),
                None => " before any traffic has moved".to_owned(),
            },
            annotation::PROMOTE,
            annotation::ABORT
        ),
        Some(Step::Restore) => format!("Restoring the state before r{revision}: {because}"),
        Some(Step::Succeeded) => format!("r{revision} serves"),
        Some(Step::Failed) => format!("r{revision} was not delivered, {serving}: {because}"),
        Some(Step::RolledBack) => format!("r{revision} was rolled back, {serving}: {because}"),
        Some(Step::RollbackFailed) => format!("r{revision} could not be rolled back: {because}"),
        None => format!("r{revision} is at step {}", run.step),
    };
    shorten(&text, 1024)
}

/// The outcome of a reconcile that has nothing to report but the status.
pub fn outcome(status: &TargetStatus) -> Outcome {
    let message = summary(status);
    let moving = |reason| Outcome::Waiting {
        reason,
        message: summary(status),
        after: Duration::from_secs(1),
    };
    match status.run.as_ref().and_then(Step::of) {
        Some(Step::Prepare) => moving(Reason::Preparing),
        Some(Step::Promote) => moving(Reason::Promoting),
        Some(Step::Restore) => moving(Reason::RollingBack),
        Some(Step::Held) => Outcome::stalled(Reason::Held, message),
        Some(Step::Succeeded) => Outcome::Done {
            reason: Reason::Delivered,
            message,
        },
        Some(Step::Failed) => Outcome::Stalled {
            reason: Reason::DeliveryFailed,
            message,
        },
        Some(Step::RolledBack) => Outcome::Stalled {
            reason: Reason::RolledBack,
            message,
        },
        Some(Step::RollbackFailed) => Outcome::Stalled {
            reason: Reason::RollbackFailed,
            message,
        },
        None => Outcome::Done {
            reason: Reason::Idle,
            message,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(step: &str, attempt: i64, uid: &str) -> TargetStatus {
        serde_json::from_value(json!({
            "run": {
                "release": {"name": "checkout-1", "uid": uid, "revision": 1},
                "attempt": attempt, "journalVersion": 1, "step": step, "level": 0,
                "startedAt": "2026-01-01T00:00:00Z", "progressedAt": "2026-01-01T00:00:00Z",
            },
        }))
        .expect("a status")
    }

    #[test]
    fn run_follows_only_the_transition_table() {
        for from in Step::ALL {
            for to in Step::ALL {
                let (before, after) = (status(from.as_str(), 1, "a"), status(to.as_str(), 1, "a"));
                let is_allowed = from.successors().contains(&to);
                let refused = refused_transition(&before, &after);
                assert_eq!(refused.is_none(), is_allowed, "{from:?} {to:?}");
                // Another attempt begins anew where the one before has ended.
                let again = status(to.as_str(), 2, "a");
                let begins = from.is_end() && Step::FIRST.contains(&to);
                let goes_on = !from.is_end() && is_allowed;
                let refused = refused_transition(&before, &again);
                assert_eq!(refused.is_none(), begins || goes_on, "{from:?} {to:?}");
                let other = status(to.as_str(), 1, "b");
                let refused = refused_transition(&before, &other);
                assert_eq!(refused.is_none(), Step::FIRST.contains(&to), "{to:?}");
            }
        }
        let unknown = refused_transition(&TargetStatus::default(), &status("Elsewhere", 1, "a"));
        assert_eq!(unknown.as_deref(), Some("unknown step Elsewhere"));
    }
}
