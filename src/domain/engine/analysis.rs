//! The checks of a stage as a whole, before a run and while its traffic bakes.

use super::{
    decision::Decision,
    inputs::{Inputs, Next, next},
    observation::{Action, Effect},
    poll::{INCONCLUSIVE, wait_for_invocations},
};
use crate::{
    api::v1alpha1::RunStatus,
    domain::{
        check::{
            Ask, CheckKey, CheckPhase, DeferredCheck, Moment, STAGE, ServedVersions, StageCheck,
            StageCheckKind, Verdict,
        },
        desired::Desired,
        outcome::Outcome,
        reason::Reason,
    },
};

impl Inputs<'_> {
    /// The stage's checks that must pass before a run begins.
    pub fn before(&self, desired: &Desired) -> Vec<Next> {
        if self.skips_metric_checks() {
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
        let is_known = |check: &&StageCheck| check.needed_outputs().is_empty();
        desired
            .checks
            .iter()
            .filter(is_known)
            .map(|check| self.evaluate(check, moment, ask))
            .collect()
    }

    /// Checks what already serves; `None` once the checks pass. Nothing changes, so that the run waits for no
    /// alarms and metrics and has nothing to restore.
    pub fn confirm(&self, desired: &Desired, run: &RunStatus) -> Option<Decision> {
        let moment = Moment {
            phase: CheckPhase::AfterTraffic,
            level: i64::try_from(desired.last_level()).unwrap_or_default(),
            step: 0,
            round: 0,
        };
        let without_metrics = RunStatus {
            metric_checks_skipped: true,
            ..run.clone()
        };
        let components = desired.components.iter().zip(&run.components);
        let invoked = components
            .map(|(want, status)| next(want.checks(status, moment, self.context(want.level))));
        let asked = invoked.chain(self.during(desired, &without_metrics, moment));
        self.check_before_changes(desired, asked.collect())
    }

    /// Decides on checks before anything has changed; `None` if all of them pass.
    pub fn check_before_changes(&self, desired: &Desired, asked: Vec<Next>) -> Option<Decision> {
        let since = self.observed.known.clocks.waiting_since.unwrap_or(self.now);
        let late = self.since(since) > desired.progress_deadline;
        let (mut acts, mut waits, mut running) = (Vec::new(), Vec::new(), Vec::new());
        for check in asked {
            match check {
                Next::Act(effect) => acts.push(effect),
                Next::Inconclusive(why) => waits.push(why),
                Next::Running(what) => running.push(what),
                Next::Fail(why) => return Some(self.fail_before_changes(&why)),
                Next::Read(_) | Next::Wait(_) | Next::Stuck(_) | Next::Ready => {}
            }
        }
        if !acts.is_empty() {
            return Some(Decision::Execute(acts));
        }
        if !running.is_empty() {
            return Some(Decision::Wait(wait_for_invocations(&running)));
        }
        let why = waits.join(" and ");
        if why.is_empty() {
            return None;
        }
        if late {
            let why = format!("{why}: still inconclusive at progressDeadline");
            return Some(self.fail_before_changes(&why));
        }
        Some(Decision::Wait(Outcome::Waiting {
            reason: Reason::WaitingForChecks,
            message: why,
            after: INCONCLUSIVE,
        }))
    }

    /// The stage's checks of the time since the run began.
    pub fn during(&self, desired: &Desired, journal: &RunStatus, moment: Moment) -> Vec<Next> {
        // Another clock may have written the time.
        let since = journal.started_at.0.min(self.now);
        let ask = |check: &StageCheck| Ask::Since {
            since,
            served: served(desired, journal, check, moment),
        };
        desired
            .checks
            .iter()
            .filter(|check| !(journal.metric_checks_skipped && check.waits_for_data()))
            .map(|check| match &check.kind {
                StageCheckKind::Deferred(deferred) => undefined(desired, check, deferred, moment),
                _ => self.evaluate(check, moment, ask),
            })
            .collect()
    }

    fn evaluate(
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
        match self.observed.known.checks.verdicts.get(&key) {
            Some(Verdict::Passed) => Next::Ready,
            Some(Verdict::Failed(why)) => Next::Fail(why.clone()),
            Some(Verdict::Inconclusive(why)) => Next::Inconclusive(why.clone()),
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

/// The next step of a check whose outputs are not known. It begins once all components serve.
fn undefined(
    desired: &Desired,
    check: &StageCheck,
    deferred: &DeferredCheck,
    moment: Moment,
) -> Next {
    let name = &check.name;
    if let Some(why) = &deferred.problem {
        return Next::Fail(format!("check {name} can't be made: {why}"));
    }
    let last = i64::try_from(desired.last_level()).unwrap_or_default();
    if moment.phase != CheckPhase::AfterTraffic || moment.level < last {
        return Next::Ready;
    }
    Next::Fail(format!(
        "check {name} can't be made: {} is not known, although its component serves",
        deferred.unknown()
    ))
}

/// The versions that a check compares.
fn served(
    desired: &Desired,
    journal: &RunStatus,
    check: &StageCheck,
    moment: Moment,
) -> Option<ServedVersions> {
    let name = check.component()?;
    let status = journal.components.iter().find(|one| one.name == name)?;
    let want = desired.components.iter().find(|want| want.name == name)?;
    let served = want.served(status)?;
    Some(ServedVersions {
        previous: served
            .previous
            .filter(|_| moment.phase == CheckPhase::DuringTraffic),
        ..served
    })
}
