//! How promotion treats Releases whose preflight failed.
//!
//! Guarantees: a stage that has never served a Release does not get it while its preflight fails for that
//! stage or a later one. A Release that serves or has served can still be rolled back to.

use super::{
    overview::{Overview, Preflights, ReleaseView, has_served},
    stage::StageView,
    state::State,
};
use crate::domain::{
    outcome::Outcome,
    preflight::{Problem, summary},
    reason::Reason,
};

impl Preflights {
    /// The problems that keep a stage from getting this Release.
    fn of<'a>(
        &'a self,
        release: &'a ReleaseView,
        stage: &str,
    ) -> impl Iterator<Item = &'a Problem> {
        let at = position(release, stage);
        let problems = self.0.get(&release.reference.uid);
        let problems = problems.into_iter().flatten();
        problems.filter(move |problem| position(release, &problem.stage) >= at)
    }

    /// Whether the stage must not get this Release.
    pub(super) fn refuse(&self, release: &ReleaseView, stage: &str) -> bool {
        !has_served(release, stage) && self.of(release, stage).next().is_some()
    }
}

fn position(release: &ReleaseView, stage: &str) -> Option<usize> {
    release.stages.iter().position(|one| one.name == stage)
}

/// The outcome when its preflight keeps the next Release from a stage: what users have to correct.
pub(super) fn stalled(overview: &Overview, views: &[StageView<'_>]) -> Option<Outcome> {
    let next = match &overview.pin {
        Some(pin) => (overview.releases.iter()).find(|release| release.reference.name == *pin),
        None => overview.newest(),
    }?;
    let failed = |outcome: &str| outcome != State::Succeeded.as_str();
    if next.outcomes.iter().any(|one| failed(&one.outcome)) {
        return None;
    }
    let blocked = views.iter().find(|view| {
        view.current_release() != Some(&next.reference)
            && overview.preflights.refuse(next, view.name)
    })?;
    let problems = overview.preflights.of(next, blocked.name);
    let message = format!("{}: {}", next.reference.name, summary(problems));
    Some(Outcome::stalled(Reason::PreflightFailed, message))
}
