//! What people ask for once: retry, abort, promote, roll back.

use super::{Overview, ReleaseView, stage::StageView};
use crate::api::v1alpha1::ReleaseRef;

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
        let views = overview
            .stages
            .iter()
            .map(|name| StageView::of(overview, name));
        let given: Vec<ReleaseRef> = views.filter_map(|view| view.given().cloned()).collect();
        let from = given
            .into_iter()
            .max_by_key(|release| release.revision)
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
        Ok(back)
    }

    /// The Release that this stage goes back to.
    pub fn to<'a>(&self, overview: &'a Overview, stage: &str) -> Option<&'a ReleaseView> {
        let good = |release: &&ReleaseView| {
            let here = release
                .outcomes
                .iter()
                .find(|outcome| outcome.stage == stage);
            match &self.to {
                Some(name) => release.reference.name == *name,
                None => {
                    release.reference.revision < self.from.revision
                        && here.is_some_and(|here| here.outcome == "Succeeded")
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
