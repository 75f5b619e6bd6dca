//! Drift of a Deployment: the drift checks of all its Targets in one condition.

use super::{
    overview::{Overview, TargetView},
    stage::StageView,
};
use crate::domain::{outcome::shorten, reason::Reason};

/// The condition `Drifted` of a Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftReport {
    /// `True` if any Target has drifted, `Unknown` if a drift check is inconclusive, else `False`.
    pub status: &'static str,
    /// CamelCase, for programs.
    pub reason: Reason,
    /// For people: drift by stage.
    pub message: String,
}

/// The drift of all Targets; `None` if no Target has checked yet.
pub fn report(overview: &Overview, views: &[StageView<'_>]) -> Option<DriftReport> {
    let checked = || {
        // Targets of removed stages are about to be deleted.
        let remains = |target: &&TargetView| overview.stages.contains(&target.stage);
        let targets = overview.targets.iter().filter(remains);
        targets.filter_map(|target| Some((target, target.drift.as_ref()?)))
    };
    checked().next()?;
    for status in ["True", "Unknown"] {
        let Some((_, first)) = checked().find(|(_, drift)| drift.status == status) else {
            continue;
        };
        let mut parts: Vec<String> = checked()
            .filter(|(_, drift)| drift.status == status)
            .map(|(target, drift)| format!("{}: {}", target_name(overview, target), drift.message))
            .collect();
        let waiting = views.iter().filter_map(|view| {
            let at = view.correction_at?;
            Some(format!(
                "{}: corrected {} times in a row, and drifted again each time; the next correction is not \
                 made before {at:.0}. Find out what changes it",
                view.name,
                view.corrections(),
            ))
        });
        parts.extend(waiting);
        parts.extend(views.iter().filter_map(|view| {
            let why = view.correction_refused.as_ref()?;
            Some(format!("{}: not corrected: {why}", view.name))
        }));
        return Some(DriftReport {
            status,
            reason: first.reason,
            message: shorten(&parts.join("; "), 4096),
        });
    }
    Some(DriftReport {
        status: "False",
        reason: Reason::InSync,
        message: "AWS is as the last run left it".to_owned(),
    })
}

/// The name of a Target in messages: its stage, and its account and region if the stage has several targets.
fn target_name(overview: &Overview, target: &TargetView) -> String {
    let mut others = overview.targets.iter();
    let alone = !others
        .any(|other| other.stage == target.stage && other.stage_target != target.stage_target);
    if alone {
        return target.stage.clone();
    }
    let at = &target.stage_target;
    format!("{} ({}/{})", target.stage, at.account, at.region)
}
