//! The way back: what stood before a run stands again, and what came of that is told.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Decision,
    drift::told,
    run::{DEFAULT_DEADLINE, Poll, Scene},
    snapshot::{ComponentSnapshot, Snapshot},
    step::Step,
    workload,
};
use crate::{
    api::v1alpha1::{ComponentStatus, Difference, Intent, RunStatus},
    domain::outcome::shorten,
};

/// How much of what came of it the status lists.
const LISTED: usize = 100;

impl Scene<'_> {
    /// Puts back what stood before, and looks whether it does.
    pub fn restore(&self, journal: &RunStatus) -> Decision {
        let deadline = DEFAULT_DEADLINE;
        let Some((_, snapshot)) = &self.seen.known.snapshot else {
            return self.load_snapshot(deadline, journal);
        };
        let next =
            |then: &ComponentSnapshot| workload::restore(then, journal, self.owner, self.seen);
        let highest = snapshot.components.iter().map(|then| then.level).max();
        for level in (0..=highest.unwrap_or_default()).rev() {
            let of_level = snapshot.components.iter().rev();
            let of_level = of_level.filter(|then| then.level == level);
            match self.poll(of_level.map(next), deadline, journal) {
                Poll::Decided(decision) => return decision,
                Poll::Failed(why) => return self.not_put_back(journal, snapshot, &why),
                Poll::Ready => {}
            }
        }
        self.put_back(journal, snapshot)
    }

    /// Everything stands as it did: says what does.
    fn put_back(&self, journal: &RunStatus, snapshot: &Snapshot) -> Decision {
        let stands = |then| workload::put_back(then, self.seen);
        let restored = snapshot.components.iter().flat_map(stands);
        let journal = RunStatus {
            restored: restored.take(LISTED).collect(),
            ..journal.clone()
        };
        self.end(&journal, Step::RolledBack, None)
    }

    /// It can't be completed: says what does not stand as it did, as far as that was seen.
    fn not_put_back(&self, journal: &RunStatus, snapshot: &Snapshot, why: &str) -> Decision {
        let left = |then| workload::not_put_back(then, journal, self.owner, self.seen);
        let mut differences: Vec<Difference> = snapshot.components.iter().flat_map(left).collect();
        let why = match told(&differences, LISTED).as_str() {
            "" => why.to_owned(),
            told => format!("{why}. Not as before: {told}"),
        };
        differences.truncate(LISTED);
        let journal = RunStatus {
            differences,
            ..journal.clone()
        };
        self.end(&journal, Step::RollbackFailed, Some(&why))
    }

    /// Starts to put things back.
    pub fn turn_back(&self, journal: &RunStatus, why: &str) -> Decision {
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
