//! The checks of a stage as a whole: before a run, and while its traffic is watched.

use std::time::Duration;

use super::{
    Decision,
    asked::{Ask, CheckKey, CheckPhase, CheckResult, Moment, STAGE, ServedVersions},
    next::Next,
    observation::{Action, Effect},
    patience::WATCH_INTERVAL,
    run::{Poll, Scene},
    workload,
};
use crate::{
    api::v1alpha1::RunStatus,
    domain::{
        check::StageCheck,
        desired::{Desired, Workload},
        outcome::Outcome,
    },
};

impl Scene<'_> {
    /// Whether alarms and metrics are left out: an alarm may be the very reason to go back, and red
    /// because of what a correction puts right.
    pub fn is_unwatched(&self) -> bool {
        self.run.back || self.run.correction > 0
    }

    /// Whether a run may begin, as far as the stage's checks go.
    pub fn before(&self, desired: &Desired) -> Vec<Next> {
        if self.is_unwatched() {
            return Vec::new();
        }
        let moment = Moment {
            phase: CheckPhase::BeforeTraffic,
            level: 0,
            step: 0,
            round: 0,
        };
        let bake = desired.traffic.shortest_bake();
        let ask = |_: &StageCheck| Ask::Before { bake };
        desired
            .checks
            .iter()
            .map(|check| self.look_at(check, moment, ask))
            .collect()
    }

    /// Asks the checks of what serves already; `None` once they hold. Nothing is changed, so there are
    /// no alarms and metrics to wait for, and nothing to put back.
    pub fn confirm(&self, desired: &Desired, run: &RunStatus) -> Option<Decision> {
        let moment = Moment {
            phase: CheckPhase::AfterTraffic,
            level: i64::try_from(desired.last_level()).unwrap_or_default(),
            step: 0,
            round: 0,
        };
        let unwatched = RunStatus {
            unwatched: true,
            ..run.clone()
        };
        let components = desired.components.iter().zip(&run.components);
        let invoked =
            components.map(|(want, status)| workload::checks(want, status, moment, self.seen));
        let asked = invoked.chain(self.during(desired, &unwatched, moment));
        self.untouched(desired, asked.collect())
    }

    /// What comes of checks before anything is changed; `None` where all of them hold.
    pub fn untouched(&self, desired: &Desired, asked: Vec<Next>) -> Option<Decision> {
        let since = self.seen.known.waiting_since.unwrap_or(self.now);
        let late = self.since(since) > desired.progress_deadline;
        let (mut acts, mut waits, mut running) = (Vec::new(), Vec::new(), Vec::new());
        for next in asked {
            match next {
                Next::Act(effect) => acts.push(effect),
                Next::NotYet(why) => waits.push(why),
                Next::Running(what) => running.push(what),
                Next::Fail(why) => return Some(self.fail_untouched(&why)),
                Next::Read(_) | Next::Wait(_) | Next::Stuck(_) | Next::Ready => {}
            }
        }
        if !acts.is_empty() {
            return Some(Decision::Execute(acts));
        }
        if !running.is_empty() {
            return Some(Decision::Wait(under_way(&running)));
        }
        let why = waits.join(" and ");
        if why.is_empty() {
            return None;
        }
        if late {
            let why = format!("{why}: it could not be told in time");
            return Some(self.fail_untouched(&why));
        }
        Some(Decision::Wait(Outcome::Waiting {
            reason: "WaitingForChecks",
            message: why,
            after: NOT_YET,
        }))
    }

    /// Whether all was well since the run began.
    pub fn during(&self, desired: &Desired, journal: &RunStatus, moment: Moment) -> Vec<Next> {
        // Another clock may have written it.
        let since = journal.started_at.0.min(self.now);
        let ask = |check: &StageCheck| Ask::Since {
            since,
            served: served(desired, journal, check, moment),
        };
        desired
            .checks
            .iter()
            .filter(|check| !(journal.unwatched && check.takes_time()))
            .map(|check| self.look_at(check, moment, ask))
            .collect()
    }

    /// A check can't be told when it has to be: that waits until the deadline, and fails then.
    pub fn not_told(&self, why: &str, deadline: Duration, journal: &RunStatus) -> Poll {
        if self.stuck(journal) > deadline {
            return Poll::Failed(format!("{why}: it could not be told in time"));
        }
        Poll::Decided(Decision::Wait(Outcome::Waiting {
            reason: "WaitingForChecks",
            message: why.to_owned(),
            after: NOT_YET,
        }))
    }

    fn look_at(
        &self,
        check: &StageCheck,
        moment: Moment,
        ask: impl Fn(&StageCheck) -> Ask,
    ) -> Next {
        let key = CheckKey {
            component: STAGE.to_owned(),
            check: check.name.clone(),
            moment,
        };
        match self.seen.known.checks.get(&key) {
            Some(CheckResult::Passed) => Next::Ready,
            Some(CheckResult::Failed(why)) => Next::Fail(why.clone()),
            Some(CheckResult::NotYet(why)) => Next::NotYet(why.clone()),
            None => Next::Act(Effect {
                component: STAGE.to_owned(),
                resource: check.name.clone(),
                action: Action::Watch {
                    check: Box::new(check.clone()),
                    key,
                    ask: ask(check),
                },
            }),
        }
    }
}

/// The versions that a check tells apart.
fn served(
    desired: &Desired,
    journal: &RunStatus,
    check: &StageCheck,
    moment: Moment,
) -> Option<ServedVersions> {
    let name = check.component()?;
    let status = journal.components.iter().find(|one| one.name == name)?;
    let want = desired.components.iter().find(|want| want.name == name)?;
    let Workload::Function(function) = &want.workload else {
        return None;
    };
    let previous = status.previous_version.clone();
    Some(ServedVersions {
        function: function.function_name.clone(),
        alias: function.alias.clone(),
        version: status.version.clone()?,
        previous: previous.filter(|_| moment.phase == CheckPhase::DuringTraffic),
    })
}

/// Invocations have not been answered yet. Each is bounded by its check's own timeout, and wakes the
/// Target when it ends.
pub(super) fn under_way(what: &[String]) -> Outcome {
    Outcome::Waiting {
        reason: "WaitingForChecks",
        message: format!("Waiting for the answer to {}", what.join(" and ")),
        after: WATCH_INTERVAL,
    }
}

/// How long a check that has not been told yet is left alone.
pub const NOT_YET: Duration = Duration::from_secs(5);
