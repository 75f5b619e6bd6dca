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
        let is_done = |place: &&StageTarget| self.step(current, place) == Some(Step::Succeeded);
        let done = current.places.iter().filter(is_done).count();
        let mut busy = current.places.iter().filter(|place| !is_done(place));
        let (place, message) =
            busy.find_map(|place| Some((place, self.target_progress(overview, current, place)?)))?;
        let all = current.places.len();
        Some(if all > 1 {
            let StageTarget { account, region } = place;
            format!("{account}/{region}: {message} ({done} of {all} targets have succeeded)")
        } else {
            message
        })
    }

    fn target_progress(
        &self,
        overview: &Overview,
        current: &Current,
        place: &StageTarget,
    ) -> Option<String> {
        let target = self.target(place)?;
        if let Some((_, message)) = &target.stalled {
            return Some(message.clone());
        }
        let traffic = self.moving_traffic(current, place);
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

    fn moving_traffic(&self, current: &Current, place: &StageTarget) -> Option<&TrafficStatus> {
        (self.step(current, place) == Some(Step::Promote))
            .then(|| self.target(place)?.run.as_ref()?.traffic.as_ref())
            .flatten()
    }

    /// The lowest percentage of traffic that the Release gets on any Target, while traffic moves.
    pub(super) fn weight(&self) -> Option<i32> {
        let current = self.current.as_ref()?;
        if !matches!(self.state, State::Progressing | State::Held) {
            return None;
        }
        let weight = |place: &StageTarget| {
            let run = self.target(place)?.run.as_ref()?;
            let begun = self.step(current, place)?;
            let traffic = run.traffic.as_ref().filter(|it| it.is_gradual());
            traffic
                .filter(|_| begun != Step::Succeeded)
                .map(|it| it.weight)
        };
        current.places.iter().filter_map(weight).min()
    }

    /// What the Release in front of the gate would change, by target.
    pub(super) fn plans(&self, overview: &Overview, at: &AtGate) -> Vec<String> {
        let stage = template(overview, self.name, &at.release);
        let places = stage.iter().flat_map(|stage| &stage.targets);
        let plan = |place: &StageTarget| {
            let target = self.target(place)?;
            let (of, _) = target.plan.as_ref()?;
            let summary = target.plan_summary.as_ref()?;
            (of.uid == at.release.uid)
                .then(|| format!("{}/{}: {summary}", place.account, place.region))
        };
        places.filter_map(plan).collect()
    }

    /// Why the current run can't go on, if it has not changed anything visible to users yet: then a newer
    /// Release may replace it.
    pub(super) fn why_stuck(&self) -> Option<String> {
        let current = self.current.as_ref()?;
        let is_invisible = |run: &RunStatus| Step::of(run) == Some(Step::Prepare) && run.level == 0;
        let runs = || {
            let begun = current
                .places
                .iter()
                .filter(|place| self.step(current, place).is_some());
            begun.filter_map(|place| self.target(place))
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
