//! Traffic moves in steps, and each step bakes before the next.
//!
//! # Guarantees
//! - Every step is in the journal before an alias moves, and only after the former step was fully observed.
//! - A bake counts only time in which checks were evaluated: neither a clock jump nor a restart completes it.
//! - An inconclusive check has not passed: the step waits for it until `progressDeadline`.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    decision::Decision,
    inputs::{Inputs, Next, component, component_mut, level, next},
    observation::Read,
    poll::{Poll, paused},
    record::record_versions,
    step::Step,
};
use crate::{
    api::v1alpha1::{RunStatus, TrafficStatus},
    domain::{
        check::{CheckPhase, Moment},
        desired::Desired,
        outcome::{Outcome, shorten},
        reason::Reason,
        traffic::{evaluation_interval, watched},
        workload::protocol::Shift,
    },
};

impl Inputs<'_> {
    /// Records the first traffic move of a level, once everything on it is prepared.
    pub fn begin_traffic(&self, desired: &Desired, journal: &RunStatus, level: usize) -> Decision {
        let Some((_, before)) = &self.observed.known.snapshot else {
            return self.load_snapshot(desired.progress_deadline, journal);
        };
        let mut run = journal.clone();
        let mut gradual = false;
        for want in desired.level(level) {
            let version = want.version(&desired.release, self.context(level));
            let then = before.component(&want.name);
            gradual |= then.is_some_and(|then| want.can_split_traffic(version.as_deref(), then));
            if let Some(component) = component_mut(&mut run, want) {
                component.version = version;
                if component.deferred {
                    let now = want.status(self.context(level));
                    component.code_sha256 = now.code_sha256;
                    component.configuration_digest = now.configuration_digest;
                }
            }
        }
        let first = if gradual && !self.run.immediate {
            0
        } else {
            desired.traffic.last()
        };
        let mut status = self.status.clone();
        record_versions(&mut status.versions, desired, &run);
        status.run = Some(self.moving(desired, run, first, None));
        Decision::Record(Box::new(status))
    }

    /// The journal with a move of traffic about to be made.
    fn moving(
        &self,
        desired: &Desired,
        mut run: RunStatus,
        step: usize,
        previous_weight: Option<i32>,
    ) -> RunStatus {
        let weight = desired.traffic.step(step).weight;
        Step::Promote.as_str().clone_into(&mut run.step);
        run.progressed_at = Time(self.now);
        run.traffic = Some(TrafficStatus {
            step: i64::try_from(step).unwrap_or_default(),
            weight,
            previous_weight,
            baked_seconds: 0,
            evaluations: 0,
            evaluated_at: None,
            pending: None,
        });
        run.intents = desired
            .level(level(&run))
            .filter_map(|want| Some((want, component(&run, want)?)))
            .flat_map(|(want, status)| want.move_intents(status, weight, self.context(want.level)))
            .collect();
        run
    }

    /// Moves what users see, watches it, and continues with more traffic, the next level, or the end.
    pub fn promote(&self, desired: &Desired, journal: &RunStatus) -> Decision {
        if self.observed.known.snapshot.is_none() {
            return self.load_snapshot(desired.progress_deadline, journal);
        }
        let Some(traffic) = &journal.traffic else {
            let why = "the journal does not say how far traffic has moved";
            return self.failed(desired, journal, why);
        };
        let shift = Shift {
            weight: traffic.weight,
            previous_weight: traffic.previous_weight,
            is_confirmed: traffic.evaluated_at.is_some(),
        };
        let moves = desired
            .level(level(journal))
            .map(|want| match component(journal, want) {
                Some(status) => next(want.promote(status, shift, self.context(want.level))),
                None => Next::Fail(format!("component {} is missing in the journal", want.name)),
            });
        match self.poll(moves, desired.progress_deadline, journal) {
            Poll::Decided(decision) => return decision,
            Poll::Failed(why) => return self.failed(desired, journal, &why),
            Poll::Ready => {}
        }
        let mut serving = journal.clone();
        if shift.weight >= 100 {
            let reads = self.record_outputs(desired, &mut serving);
            if !reads.is_empty() {
                return Decision::Observe(reads);
            }
        }
        // Checks may use the outputs of the level that serves now.
        match self.watch(&desired.resolve(&serving.components), journal, traffic) {
            Poll::Decided(decision) => decision,
            Poll::Failed(why) => self.failed(desired, journal, &why),
            Poll::Ready => self.advance(desired, &serving, traffic),
        }
    }

    /// Evaluates the checks of the current step until its bake is over.
    fn watch(&self, desired: &Desired, journal: &RunStatus, traffic: &TrafficStatus) -> Poll {
        let is_full = traffic.weight >= 100;
        let last_level = level(journal) == desired.last_level();
        let bake = if self.run.immediate || (is_full && !last_level) {
            Duration::ZERO
        } else {
            desired.traffic.step(index(traffic)).bake
        };
        let baked = Duration::from_secs(u64::try_from(traffic.baked_seconds).unwrap_or_default());
        let evaluated_at = traffic.evaluated_at.as_ref();
        let over = evaluated_at.is_some() && baked >= bake && traffic.pending.is_none();
        // A pause may last for hours: the step is evaluated until it ends.
        if over && !self.run.paused {
            return Poll::Ready;
        }
        let interval = evaluation_interval(bake);
        // Another clock wrote a time that lies ahead: this process has not evaluated yet.
        if let Some(at) = evaluated_at
            && at.0 <= self.now
            && self.since(at.0) < interval
        {
            if over {
                return Poll::Ready;
            }
            return Poll::Decided(Decision::Wait(Outcome::Waiting {
                reason: Reason::Baking,
                message: format!(
                    "r{} has {} % of the traffic and has baked for {}s of {}s",
                    journal.release.revision,
                    traffic.weight,
                    baked.as_secs(),
                    bake.as_secs()
                ),
                after: interval.saturating_sub(self.since(at.0)),
            }));
        }
        let moment = Moment {
            phase: if is_full {
                CheckPhase::AfterTraffic
            } else {
                CheckPhase::DuringTraffic
            },
            level: journal.level,
            step: traffic.step,
            round: traffic.evaluations,
        };
        // At the end, the components of all levels are checked once more.
        let confirmed = desired
            .components
            .iter()
            .filter(|want| want.level == level(journal) || (is_full && last_level));
        let checks = confirmed.map(|want| match component(journal, want) {
            Some(status) => next(want.checks(status, moment, self.context(want.level))),
            None => Next::Ready,
        });
        let mut pending = Vec::new();
        let mut asked = Vec::new();
        for check in checks.chain(self.during(desired, journal, moment)) {
            match check {
                Next::Inconclusive(why) => pending.push(why),
                other => asked.push(other),
            }
        }
        let pending = (!pending.is_empty()).then(|| shorten(&pending.join(" and "), 1024));
        match self.poll(asked.into_iter(), desired.progress_deadline, journal) {
            Poll::Ready if baked >= bake && pending.is_some() => {
                let why = pending.unwrap_or_default();
                self.inconclusive(&why, desired.progress_deadline, journal)
            }
            Poll::Ready if bake.is_zero() && !self.run.paused => Poll::Ready,
            Poll::Ready => {
                let passed = evaluated_at.map_or(Duration::ZERO, |at| self.since(at.0));
                let mut status = self.status.clone();
                let mut run = journal.clone();
                run.progressed_at = Time(self.now);
                run.traffic = Some(TrafficStatus {
                    baked_seconds: i64::try_from((baked + watched(passed, bake)).as_secs())
                        .unwrap_or(i64::MAX),
                    evaluations: traffic.evaluations + 1,
                    evaluated_at: Some(Time(self.now)),
                    pending,
                    ..traffic.clone()
                });
                status.run = Some(run);
                Poll::Decided(Decision::Record(Box::new(status)))
            }
            other => other,
        }
    }

    /// Decides what follows a step whose checks have passed.
    fn advance(&self, desired: &Desired, journal: &RunStatus, traffic: &TrafficStatus) -> Decision {
        let is_full = traffic.weight >= 100;
        let level = level(journal);
        let mut journal = journal.clone();
        if is_full {
            self.record_objects(desired, &mut journal);
        }
        if is_full && level == desired.last_level() {
            let components = desired.components.iter();
            let reads: Vec<Read> = components
                .filter_map(|want| want.last_read(self.context(want.level)))
                .map(Read::Component)
                .collect();
            if !reads.is_empty() {
                return Decision::Observe(reads);
            }
            return self.record_success(desired, &journal);
        }
        if self.run.paused {
            return paused(&journal);
        }
        let mut status = self.status.clone();
        if !is_full {
            let next = if self.run.immediate {
                desired.traffic.last()
            } else {
                index(traffic) + 1
            };
            let run = self.moving(desired, journal, next, Some(traffic.weight));
            status.run = Some(run);
            return Decision::Record(Box::new(status));
        }
        let reads: Vec<Read> = desired
            .level(level + 1)
            .flat_map(|want| want.first_reads(false, self.context(want.level)))
            .map(Read::Component)
            .collect();
        if !reads.is_empty() {
            return Decision::Observe(reads);
        }
        let mut run = journal;
        Step::Prepare.as_str().clone_into(&mut run.step);
        run.level += 1;
        run.traffic = None;
        run.progressed_at = Time(self.now);
        run.intents = self.preparations(desired, level + 1);
        // Outputs of this level have been filled in since the run began.
        for want in desired.level(level + 1) {
            let digest = want.status(self.context(want.level)).configuration_digest;
            if let Some(component) = component_mut(&mut run, want) {
                component.configuration_digest = digest;
            }
        }
        status.run = Some(run);
        Decision::Record(Box::new(status))
    }
}

impl Inputs<'_> {
    /// Records the outputs of the level that serves now, as far as others wait for them; or returns the reads that
    /// come first.
    fn record_outputs(&self, desired: &Desired, run: &mut RunStatus) -> Vec<Read> {
        let mut reads = Vec::new();
        for want in desired.level(level(run)) {
            let names = desired.awaited_outputs(&want.name);
            if names.is_empty() || !want.has_open_outputs() {
                continue;
            }
            let context = self.context(want.level);
            reads.extend(want.output_read(context).map(Read::Component));
            if let Some(component) = component_mut(run, want) {
                component.outputs = want.open_outputs(&names, context);
            }
        }
        reads
    }

    /// Records the owned objects of the level that serves now.
    fn record_objects(&self, desired: &Desired, run: &mut RunStatus) {
        for want in desired.level(level(run)) {
            let objects = want.objects(self.context(want.level));
            if let Some(component) = component_mut(run, want) {
                component.objects = objects;
            }
        }
    }
}

fn index(traffic: &TrafficStatus) -> usize {
    usize::try_from(traffic.step).unwrap_or_default()
}
