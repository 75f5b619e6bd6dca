//! What the Targets found changed in AWS, for the Deployment as a whole.

use super::{
    overview::{Overview, TargetView},
    stage::StageView,
};
use crate::domain::{outcome::shorten, reason::Reason};

/// The condition `Drifted` of a Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftReport {
    /// `True` where any Target has drifted, `Unknown` where one can't tell, else `False`.
    pub status: &'static str,
    /// CamelCase, for programs.
    pub reason: Reason,
    /// For people: by stage.
    pub message: String,
}

/// What all Targets found; `None` where none has looked.
pub fn report(overview: &Overview, views: &[StageView<'_>]) -> Option<DriftReport> {
    let looked = || {
        // A Target of a stage that was removed is on its way out.
        let stays = |target: &&TargetView| overview.stages.contains(&target.stage);
        let targets = overview.targets.iter().filter(stays);
        targets.filter_map(|target| Some((target, target.drift.as_ref()?)))
    };
    looked().next()?;
    for status in ["True", "Unknown"] {
        let Some((_, first)) = looked().find(|(_, drift)| drift.status == status) else {
            continue;
        };
        let mut words: Vec<String> = looked()
            .filter(|(_, drift)| drift.status == status)
            .map(|(target, drift)| format!("{}: {}", place(overview, target), drift.message))
            .collect();
        let waiting = views.iter().filter_map(|view| {
            let at = view.correction_at?;
            Some(format!(
                "{}: corrected {} times in a row, and changed again each time; the next correction is not \
                 made before {at:.0}: find out who changes it",
                view.name,
                view.corrections(),
            ))
        });
        words.extend(waiting);
        words.extend(views.iter().filter_map(|view| {
            let why = view.correction_refused.as_ref()?;
            Some(format!("{}: not corrected: {why}", view.name))
        }));
        return Some(DriftReport {
            status,
            reason: first.reason,
            message: shorten(&words.join("; "), 4096),
        });
    }
    Some(DriftReport {
        status: "False",
        reason: Reason::InSync,
        message: "All is as it was left".to_owned(),
    })
}

/// A Target by its stage; by its place too, where the stage has several.
fn place(overview: &Overview, target: &TargetView) -> String {
    let mut others = overview.targets.iter();
    let alone = !others.any(|other| other.stage == target.stage && other.place != target.place);
    if alone {
        return target.stage.clone();
    }
    let at = &target.place;
    format!("{} ({}/{})", target.stage, at.account, at.region)
}
