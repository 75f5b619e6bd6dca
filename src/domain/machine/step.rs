//! The steps of a run as the status names them, and what they mean for people.

use std::time::Duration;

use crate::{
    api::v1alpha1::{RunStatus, TargetStatus, annotation},
    domain::outcome::{Outcome, shorten},
};

/// The steps as the status names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What users can't see is being made.
    Prepare,
    /// What users see is being moved, and checked.
    Promote,
    /// It failed, and stays where it is until somebody decides.
    Held,
    /// What stood before is being put back.
    Restore,
    /// The Release serves.
    Succeeded,
    /// Nothing was changed.
    Failed,
    /// What stood before serves again.
    RolledBack,
    /// Neither serves as it should.
    RollbackFailed,
}

impl Step {
    /// The step a run is at; `None` for one this version does not know.
    pub fn of(run: &RunStatus) -> Option<Self> {
        use Step::{
            Failed, Held, Prepare, Promote, Restore, RollbackFailed, RolledBack, Succeeded,
        };
        [
            Prepare,
            Promote,
            Held,
            Restore,
            Succeeded,
            Failed,
            RolledBack,
            RollbackFailed,
        ]
        .into_iter()
        .find(|step| step.as_str() == run.step)
    }

    /// As the status writes it.
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

/// Whether the run is over.
pub fn ended(run: &RunStatus) -> bool {
    Step::of(run).is_some_and(Step::is_end)
}

/// One line for people.
pub fn summary(status: &TargetStatus) -> String {
    let Some(run) = &status.run else {
        return "Nothing was delivered yet".to_owned();
    };
    let revision = run.release.revision;
    let because = run.message.as_deref().unwrap_or("no reason is on record");
    let serving = match &status.live {
        Some(live) => format!("r{} serves", live.release.revision),
        None => "nothing serves".to_owned(),
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
            "r{revision} is held{}: {because}. Set {} to go on, or {} to put it back",
            match &run.traffic {
                Some(traffic) => format!(" with {} % of the traffic", traffic.weight),
                None => " before any traffic has moved".to_owned(),
            },
            annotation::PROMOTE,
            annotation::ABORT
        ),
        Some(Step::Restore) => format!("Putting back what stood before r{revision}: {because}"),
        Some(Step::Succeeded) => format!("r{revision} serves"),
        Some(Step::Failed) => format!("r{revision} was not delivered, {serving}: {because}"),
        Some(Step::RolledBack) => format!("r{revision} was taken back, {serving}: {because}"),
        Some(Step::RollbackFailed) => format!("r{revision} could not be taken back: {because}"),
        None => format!("r{revision} is at step {}", run.step),
    };
    shorten(&text, 1024)
}

/// How the Target's reconcile ends when nothing else is to be said than what the status says.
pub fn outcome(status: &TargetStatus) -> Outcome {
    let message = summary(status);
    let moving = |reason| Outcome::Waiting {
        reason,
        message: summary(status),
        after: Duration::from_secs(1),
    };
    match status.run.as_ref().and_then(Step::of) {
        Some(Step::Prepare) => moving("Preparing"),
        Some(Step::Promote) => moving("Promoting"),
        Some(Step::Restore) => moving("RollingBack"),
        Some(Step::Held) => Outcome::stalled("Held", message),
        Some(Step::Succeeded) => Outcome::Done {
            reason: "Delivered",
            message,
        },
        Some(Step::Failed) => Outcome::Stalled {
            reason: "DeliveryFailed",
            message,
        },
        Some(Step::RolledBack) => Outcome::Stalled {
            reason: "RolledBack",
            message,
        },
        Some(Step::RollbackFailed) => Outcome::Stalled {
            reason: "RollbackFailed",
            message,
        },
        None => Outcome::Done {
            reason: "Idle",
            message,
        },
    }
}

/// How long to leave AWS alone before looking again: soon at first, every second after a while, so
/// that looking adds about a quarter at most to what it takes AWS to settle.
pub fn poll_delay(waited: Duration) -> Duration {
    (waited / 4).clamp(Duration::from_millis(100), Duration::from_secs(1))
}
