//! The way back: what stood before a run stands again, and what came of that is told.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    decision::Decision,
    poll::{Poll, may_pass, wait_for},
    scene::{Next, Scene, next},
    step::Step,
};
use crate::{
    api::v1alpha1::{ComponentStatus, Difference, Intent, RunStatus},
    domain::{
        failure::CallError,
        outcome::{Outcome, shorten},
        reason::Reason,
        workload::{
            change::told,
            protocol::Wait,
            snapshot::{ComponentSnapshot, Snapshot},
        },
    },
};

/// How long a Restore may go without progress: it must not depend on the Release being there.
pub const DEFAULT_DEADLINE: Duration = Duration::from_mins(10);

/// How much of what came of it the status lists.
const LISTED: usize = 100;

/// How often what Lambda can't provide now is looked at.
const AGAIN: Duration = Duration::from_secs(10);

/// Why something can't be put back.
struct Trouble {
    why: String,
    /// How it is waited for, where it may pass.
    wait: Option<Outcome>,
}

impl Trouble {
    fn may_pass(why: String) -> Self {
        let wait = Outcome::Waiting {
            reason: Reason::WaitingForAws,
            message: format!("Waiting for a way on: {why}"),
            after: AGAIN,
        };
        Self {
            why,
            wait: Some(wait),
        }
    }
}

impl Scene<'_> {
    /// Puts back what stood before, and looks whether it does. What can't be put back holds up nothing
    /// else: it is told once all the rest is, or the deadline is over.
    pub fn restore(&self, journal: &RunStatus) -> Decision {
        let deadline = DEFAULT_DEADLINE;
        let Some((_, snapshot)) = &self.observed.known.snapshot else {
            return self.load_snapshot(deadline, journal);
        };
        let context = self.context(0);
        let mut troubles = self.failed_calls(deadline);
        let levels = snapshot.components.iter().map(|then| then.level);
        for level in (0..=levels.max().unwrap_or_default()).rev() {
            let of_level = snapshot.components.iter().rev();
            let of_level = of_level.filter(|then| then.level == level);
            let (mut reads, mut acts, mut waits) = (Vec::new(), Vec::new(), Vec::new());
            for then in of_level.filter(|then| self.may_go_on(then, snapshot)) {
                match next(then.restore(journal, context)) {
                    Next::Read(read) if reads.contains(&read) => {}
                    Next::Read(read) => reads.push(read),
                    Next::Act(effect) => acts.push(effect),
                    Next::Wait(wait) => waits.push(wait),
                    Next::Running(what) | Next::Inconclusive(what) => {
                        waits.push(Wait::brief(what));
                    }
                    Next::Stuck(why) => troubles.push(Trouble::may_pass(why)),
                    Next::Fail(why) => troubles.push(Trouble { why, wait: None }),
                    Next::Ready => {}
                }
            }
            if !reads.is_empty() {
                return Decision::Observe(reads);
            }
            if !acts.is_empty() {
                return self.act(acts);
            }
            if !waits.is_empty() {
                match self.settles(&waits, deadline, journal) {
                    Poll::Decided(decision) => return decision,
                    Poll::Failed(why) => troubles.push(Trouble { why, wait: None }),
                    Poll::Ready => {}
                }
            }
        }
        let late = self.stuck(journal) > deadline;
        if let Some(wait) = troubles.iter().find_map(|trouble| trouble.wait.clone())
            && !late
        {
            return Decision::Wait(wait);
        }
        let whys: Vec<String> = troubles.into_iter().map(|trouble| trouble.why).collect();
        match whys.as_slice() {
            [] => self.put_back(journal, snapshot),
            whys => self.not_put_back(journal, snapshot, &whys.join("; ")),
        }
    }

    /// The calls of this pass that failed.
    fn failed_calls(&self, deadline: Duration) -> Vec<Trouble> {
        let trouble = |(component, error): &(String, CallError)| {
            let why = format!("component {component}: {error}");
            if !may_pass(error) {
                return Trouble { why, wait: None };
            }
            Trouble {
                why: format!("no progress for {}s; {why}", deadline.as_secs()),
                wait: Some(wait_for(error)),
            }
        };
        self.observed.errors.iter().map(trouble).collect()
    }

    /// Whether anything may be done for it in this pass: not where a call for it has failed, or one of which
    /// it is not known whom it was for.
    fn may_go_on(&self, then: &ComponentSnapshot, snapshot: &Snapshot) -> bool {
        let failed = self.observed.errors.iter().map(|(component, _)| component);
        !failed.into_iter().any(|component| {
            *component == then.component || snapshot.component(component).is_none()
        })
    }

    /// Everything stands as it did: says what does.
    fn put_back(&self, journal: &RunStatus, snapshot: &Snapshot) -> Decision {
        let stands = |then: &ComponentSnapshot| then.restored(&self.observed.components);
        let restored = snapshot.components.iter().flat_map(stands);
        let journal = RunStatus {
            restored: restored.take(LISTED).collect(),
            ..journal.clone()
        };
        self.end(&journal, Step::RolledBack, None)
    }

    /// It can't be completed: says what does not stand as it did, as far as that was observed.
    fn not_put_back(&self, journal: &RunStatus, snapshot: &Snapshot, why: &str) -> Decision {
        let left = |then: &ComponentSnapshot| {
            then.not_restored(journal, self.owner, &self.observed.components)
        };
        let mut differences: Vec<Difference> = snapshot.components.iter().flat_map(left).collect();
        let why = match told(&differences, LISTED).as_str() {
            "" => why.to_owned(),
            told => format!("{why}. Not restored: {told}"),
        };
        differences.truncate(LISTED);
        let journal = RunStatus {
            differences,
            ..journal.clone()
        };
        self.end(&journal, Step::RollbackFailed, Some(&why))
    }

    /// Starts to put things back.
    pub fn begin_restore(&self, journal: &RunStatus, why: &str) -> Decision {
        let mut status = self.status.clone();
        let mut run = journal.clone();
        if run.snapshot.is_none() {
            // A run that changed nothing has nothing to put back.
            return self.end(journal, Step::RolledBack, Some(why));
        }
        Step::Restore.as_str().clone_into(&mut run.step);
        run.held_at = None;
        run.differences.clear();
        run.attempt = self.run.attempt.max(run.attempt);
        run.progressed_at = Time(self.now);
        run.finished_at = None;
        if run.message.is_none() {
            run.message = Some(shorten(why, 4096));
        }
        let restoring = |component: &ComponentStatus| Intent {
            component: component.name.clone(),
            operation: "Restore".to_owned(),
            resource: component.resource.clone(),
            result: run
                .snapshot
                .as_ref()
                .map(|snapshot| snapshot.sha256.clone()),
        };
        run.intents = run.components.iter().rev().map(restoring).collect();
        status.versions = self.versions_so_far(journal);
        status.run = Some(run);
        Decision::Record(Box::new(status))
    }

    /// Another attempt to put things back finds them put back.
    pub fn follow_attempt(&self, journal: &RunStatus) -> Decision {
        let mut status = self.status.clone();
        status.run = Some(RunStatus {
            attempt: self.run.attempt,
            ..journal.clone()
        });
        Decision::Record(Box::new(status))
    }
}
