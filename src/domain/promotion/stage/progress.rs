//! The progress of a stage, from the status of its Targets.

use std::time::Duration;

use super::view::{Current, StageView};
use crate::{
    api::v1alpha1::{RunStatus, StageTarget, TrafficStatus},
    domain::{
        engine::Step,
        promotion::{
            gate::AtGate,
            overview::{Overview, template},
            state::State,
        },
        traffic::Traffic,
    },
};

impl StageView<'_> {
    /// What the first Target that has not succeeded does or waits for; `None` if no Target reports anything.
    pub(super) fn progress(&self, overview: &Overview, current: &Current) -> Option<String> {
        let is_done =
            |stage_target: &&StageTarget| self.step(current, stage_target) == Some(Step::Succeeded);
        let done = current.stage_targets.iter().filter(is_done).count();
        let mut busy = current
            .stage_targets
            .iter()
            .filter(|stage_target| !is_done(stage_target));
        let (stage_target, message) = busy.find_map(|stage_target| {
            Some((
                stage_target,
                self.target_progress(overview, current, stage_target)?,
            ))
        })?;
        let all = current.stage_targets.len();
        Some(if all > 1 {
            let StageTarget { account, region } = stage_target;
            format!("{account}/{region}: {message} ({done} of {all} targets have succeeded)")
        } else {
            message
        })
    }

    fn target_progress(
        &self,
        overview: &Overview,
        current: &Current,
        stage_target: &StageTarget,
    ) -> Option<String> {
        let target = self.target(stage_target)?;
        if let Some((_, message)) = &target.stalled {
            return Some(message.clone());
        }
        let traffic = self.moving_traffic(current, stage_target);
        let bake = traffic.and_then(|traffic| {
            let stage = template(overview, self.name, &current.release)?;
            let steps = Traffic::of(stage.rollout.as_ref()).ok()?;
            let step = usize::try_from(traffic.step).unwrap_or_default();
            Some(steps.step(step).bake).filter(|_| !current.immediate)
        });
        match (traffic, &target.waits_for) {
            (Some(traffic), waits_for) if traffic.weight < 100 || bake > Some(Duration::ZERO) => {
                let pending = traffic.pending.as_ref().or(waits_for.as_ref());
                let pending = pending.map_or(String::new(), |why| format!("; {why}"));
                Some(format!(
                    "{} %, baked {} s of {} s{pending}",
                    traffic.weight,
                    traffic.baked_seconds,
                    bake.unwrap_or_default().as_secs()
                ))
            }
            (_, waits_for) => waits_for.clone(),
        }
    }

    fn moving_traffic(
        &self,
        current: &Current,
        stage_target: &StageTarget,
    ) -> Option<&TrafficStatus> {
        (self.step(current, stage_target) == Some(Step::Promote))
            .then(|| self.target(stage_target)?.run.as_ref()?.traffic.as_ref())
            .flatten()
    }

    /// The lowest percentage of traffic that the Release gets on any Target, while traffic moves.
    pub(super) fn weight(&self) -> Option<i32> {
        let current = self.current.as_ref()?;
        if !matches!(self.state, State::Progressing | State::Held) {
            return None;
        }
        let weight = |stage_target: &StageTarget| {
            let run = self.target(stage_target)?.run.as_ref()?;
            let begun = self.step(current, stage_target)?;
            let traffic = run.traffic.as_ref().filter(|it| it.is_gradual());
            traffic
                .filter(|_| begun != Step::Succeeded)
                .map(|it| it.weight)
        };
        current.stage_targets.iter().filter_map(weight).min()
    }

    /// What the Release in front of the gate would change, by target.
    pub(super) fn plans(&self, overview: &Overview, at: &AtGate) -> Vec<String> {
        let stage = template(overview, self.name, &at.release);
        let stage_targets = stage.iter().flat_map(|stage| &stage.targets);
        let plan = |stage_target: &StageTarget| {
            let target = self.target(stage_target)?;
            let (of, _) = target.plan.as_ref()?;
            let summary = target.plan_summary.as_ref()?;
            (of.uid == at.release.uid).then(|| {
                format!(
                    "{}/{}: {summary}",
                    stage_target.account, stage_target.region
                )
            })
        };
        stage_targets.filter_map(plan).collect()
    }

    /// Why the current run can't go on, if it has not changed anything visible to users yet: then a newer
    /// Release may replace it.
    pub(super) fn why_stuck(&self) -> Option<String> {
        let current = self.current.as_ref()?;
        let is_invisible = |run: &RunStatus| Step::of(run) == Some(Step::Prepare) && run.level == 0;
        let runs = || {
            let begun = current
                .stage_targets
                .iter()
                .filter(|stage_target| self.step(current, stage_target).is_some());
            begun.filter_map(|stage_target| self.target(stage_target))
        };
        if !runs().all(|target| target.run.as_ref().is_some_and(is_invisible)) {
            return None;
        }
        runs().find_map(|target| {
            let stalled = target.stalled.as_ref().map(|(_, why)| why.clone());
            stalled.or_else(|| target.waits_for.clone().filter(|_| target.needs_a_change))
        })
    }
}
