//! What people ask for once: retry, abort, promote, roll back.

use super::{
    Overview, ReleaseView,
    gate::REJECTED,
    stage::{StageView, State, has_served},
};

/// The commands that were given and not handled yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// Try what failed again, or go on with what is held.
    pub retry: bool,
    /// Put back what is moving or held.
    pub abort: bool,
    /// Move all that is left of the traffic now.
    pub promote: bool,
    /// Take back what serves.
    pub rollback: Option<Back>,
}

/// A Release that is to be taken back wherever it is.
pub use crate::api::v1alpha1::RollbackStatus as Back;

/// What the annotation's value asks for: `<token>`, or `<token> to <Release>`.
pub fn named(value: &str) -> Option<&str> {
    let (_, name) = value.split_once(" to ")?;
    Some(name.trim()).filter(|name| !name.is_empty())
}

impl Back {
    /// What is found bad is the newest Release that any stage has; an error says why there is nothing
    /// to take back, or nowhere to go.
    pub fn of(overview: &Overview, value: &str) -> Result<Self, String> {
        let stages = overview.stages.iter();
        let views: Vec<_> = stages.map(|name| StageView::of(overview, name)).collect();
        let from = views
            .iter()
            .filter_map(StageView::given)
            .max_by_key(|release| release.revision)
            .cloned()
            .ok_or_else(|| "there is nothing to take back: no stage has a Release".to_owned())?;
        let back = Self {
            from,
            to: named(value).map(str::to_owned),
        };
        if let Some(name) = &back.to {
            let there = overview
                .releases
                .iter()
                .any(|release| release.reference.name == *name);
            if !there {
                return Err(format!(
                    "there is no Release {name} any more: kubectl get srel lists those that are kept"
                ));
            }
            if back.from.name == *name {
                return Err(format!("{name} is what is to be taken back"));
            }
        }
        if views.iter().any(|view| back.reaches(overview, view)) {
            Ok(back)
        } else {
            Err(back.nowhere())
        }
    }

    /// Whether it changes anything in a stage.
    fn reaches(&self, overview: &Overview, view: &StageView<'_>) -> bool {
        let here = view.given() == Some(&self.from);
        here && match view.state {
            State::Succeeded => self.to(overview, view.name).is_some(),
            state => state.is_moving(),
        }
    }

    fn nowhere(&self) -> String {
        let from = &self.from.name;
        match &self.to {
            Some(to) => format!(
                "{to} has never served in a stage that has {from}, or was rejected there; spec.pin gives \
                 it to the stages like any new Release"
            ),
            None => format!(
                "no stage goes back from {from}: it does not serve, or nothing good served before it; \
                 spec.pin holds an earlier Release"
            ),
        }
    }

    /// The Release that this stage goes back to.
    pub fn to<'a>(&self, overview: &'a Overview, stage: &str) -> Option<&'a ReleaseView> {
        let good = |release: &&ReleaseView| {
            let here = release
                .outcomes
                .iter()
                .find(|outcome| outcome.stage == stage);
            let here = here.map(|here| here.outcome.as_str());
            match &self.to {
                Some(name) => {
                    release.reference.name == *name
                        && has_served(release, stage)
                        && here != Some(REJECTED)
                }
                None => {
                    release.reference.revision < self.from.revision
                        && here == Some(State::Succeeded.as_str())
                }
            }
        };
        overview
            .releases
            .iter()
            .filter(good)
            .max_by_key(|release| release.reference.revision)
    }
}
