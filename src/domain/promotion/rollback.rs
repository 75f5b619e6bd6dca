//! Rollback by command: which Release is rolled back, and to which Release each stage returns.

use super::{
    gate::REJECTED,
    overview::{Overview, ReleaseView, has_served},
    stage::StageView,
    state::State,
};
use crate::api::v1alpha1::RollbackStatus;

/// The request in a value of `sluice.dev/rollback`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request<'a> {
    /// The last good Release of each stage.
    LastGood,
    /// This Release.
    Named(&'a str),
    /// The value contains this Release's name, without saying whether to roll back to it.
    Unclear(&'a str),
}

impl<'a> Request<'a> {
    /// Parses `<token>`, `<token> to <Release>`, `to=<Release>`, or the name of a Release alone. `is_release`
    /// decides whether a word is the name of a Release, existing or deleted.
    fn of(value: &'a str, is_release: impl Fn(&str) -> bool) -> Self {
        let value = value.trim();
        let named = value
            .split_once(" to ")
            .map(|(_, name)| name)
            .or_else(|| value.strip_prefix("to="))
            .map(str::trim)
            .filter(|name| !name.is_empty());
        if let Some(name) = named {
            return Self::Named(name);
        }
        if is_release(value) {
            return Self::Named(value);
        }
        let separator = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.');
        match value.split(separator).find(|word| is_release(word)) {
            Some(name) => Self::Unclear(name),
            None => Self::LastGood,
        }
    }
}

impl RollbackStatus {
    /// The rollback from the newest Release that any stage has. The error says why no stage can roll back.
    /// `deployment` is the name of the Deployment, with which the names of its Releases begin.
    pub fn of(overview: &Overview, deployment: &str, value: &str) -> Result<Self, String> {
        let kept = |name: &str| {
            let mut releases = overview.releases.iter();
            releases.any(|release| release.reference.name == name)
        };
        let numbered = |name: &str| {
            let number = name
                .strip_prefix(deployment)
                .and_then(|rest| rest.strip_prefix('-'));
            number.is_some_and(|number| {
                !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
            })
        };
        let to = match Request::of(value, |word| kept(word) || numbered(word)) {
            Request::LastGood => None,
            Request::Named(name) => Some(name.to_owned()),
            Request::Unclear(name) => {
                return Err(format!(
                    "{value:?} names {name} and does not say whether to roll back to it: use to={name}, or a \
                     value that names no Release to roll back to the last good one"
                ));
            }
        };
        let stages = overview.stages.iter();
        let views: Vec<_> = stages.map(|name| StageView::of(overview, name)).collect();
        let from = views
            .iter()
            .filter_map(StageView::current_release)
            .max_by_key(|release| release.revision)
            .cloned()
            .ok_or_else(|| "there is nothing to roll back: no stage has a Release".to_owned())?;
        let rollback = Self { from, to };
        if let Some(name) = &rollback.to {
            if !kept(name) {
                return Err(format!(
                    "there is no Release {name} any more: kubectl get srel lists those that are kept"
                ));
            }
            if rollback.from.name == *name {
                return Err(format!("{name} is the Release that the command rolls back"));
            }
        }
        if views.iter().any(|view| rollback.affects(overview, view)) {
            Ok(rollback)
        } else {
            Err(rollback.no_stage())
        }
    }

    /// Whether the rollback changes anything in the stage.
    fn affects(&self, overview: &Overview, view: &StageView<'_>) -> bool {
        let here = view.current_release() == Some(&self.from);
        here && match view.state {
            State::Succeeded => self.to(overview, view.name).is_some(),
            state => state.is_moving(),
        }
    }

    /// Why no stage can roll back.
    fn no_stage(&self) -> String {
        let from = &self.from.name;
        match &self.to {
            Some(to) => format!(
                "{to} has never served in a stage that has {from}, or was rejected there; spec.pin delivers \
                 it like a new Release"
            ),
            None => format!(
                "no stage rolls back from {from}: it does not serve, or no earlier Release has succeeded there; \
                 set spec.pin to deliver an earlier Release"
            ),
        }
    }

    /// The Release to which this stage rolls back.
    pub fn to<'a>(&self, overview: &'a Overview, stage: &str) -> Option<&'a ReleaseView> {
        let good = |release: &&ReleaseView| {
            if !release.stages.iter().any(|one| one.name == stage) {
                return false;
            }
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
