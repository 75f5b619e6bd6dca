//! What people ask for once: retry, abort, promote, roll back.

use super::{
    Overview, ReleaseView,
    gate::REJECTED,
    stage::{StageView, State, has_served},
};
use crate::api::v1alpha1::annotation;

/// A command that is carried out at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Try again what failed, or go on with what is held.
    Retry,
    /// Restore what stood before what is moving or held.
    Abort,
    /// Move the rest of the traffic now.
    Promote,
}

impl Command {
    /// The annotation that gives it.
    pub fn annotation(self) -> &'static str {
        match self {
            Self::Retry => annotation::RETRY,
            Self::Abort => annotation::ABORT,
            Self::Promote => annotation::PROMOTE,
        }
    }

    /// Why it does nothing, where no stage has anything for it.
    fn idle(self) -> &'static str {
        match self {
            Self::Retry => {
                "nothing to try again: nothing is held, and nothing failed last that no newer Release replaces"
            }
            Self::Abort => {
                "nothing to abort: no stage is moving or held; sluice.dev/rollback takes back what serves"
            }
            Self::Promote => "nothing to promote: no stage is moving or held",
        }
    }
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The command.
    pub command: Command,
    /// What each stage does, or why none does anything.
    pub message: String,
    /// Whether it did nothing.
    pub idle: bool,
}

/// What the commands that were given came to.
pub fn answers(commands: &Commands, views: &[StageView<'_>]) -> Vec<Answered> {
    let given = [
        (Command::Retry, commands.retry),
        (Command::Abort, commands.abort),
        (Command::Promote, commands.promote),
    ];
    let given = given
        .into_iter()
        .filter_map(|(command, is)| is.then_some(command));
    given
        .map(|command| {
            let obeyed: Vec<String> = views
                .iter()
                .filter_map(|view| {
                    let (to, what) = view.obeyed.as_ref()?;
                    (*to == command).then(|| format!("{}: {what}", view.name))
                })
                .collect();
            Answered {
                command,
                idle: obeyed.is_empty(),
                message: if obeyed.is_empty() {
                    command.idle().to_owned()
                } else {
                    obeyed.join("; ")
                },
            }
        })
        .collect()
}

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

/// What a value of `sluice.dev/rollback` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish<'a> {
    /// The last good Release of each stage.
    LastGood,
    /// This Release.
    Named(&'a str),
    /// It names this Release and does not say whether to roll back to it.
    Unclear(&'a str),
}

impl<'a> Wish<'a> {
    /// `<token>`, `<token> to <Release>`, `to=<Release>`, or the name of a Release alone. `is_release` says
    /// whether a word is the name of a Release, kept or not.
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
        let name = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.');
        match value.split(name).find(|word| is_release(word)) {
            Some(name) => Self::Unclear(name),
            None => Self::LastGood,
        }
    }
}

impl Back {
    /// What is found bad is the newest Release that any stage has; an error says why there is nothing
    /// to take back, or nowhere to go. `deployment` is the Deployment's name, which its Releases begin with.
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
        let to = match Wish::of(value, |word| kept(word) || numbered(word)) {
            Wish::LastGood => None,
            Wish::Named(name) => Some(name.to_owned()),
            Wish::Unclear(name) => {
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
            .filter_map(StageView::given)
            .max_by_key(|release| release.revision)
            .cloned()
            .ok_or_else(|| "there is nothing to take back: no stage has a Release".to_owned())?;
        let back = Self { from, to };
        if let Some(name) = &back.to {
            if !kept(name) {
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
