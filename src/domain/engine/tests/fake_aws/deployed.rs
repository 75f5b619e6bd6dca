//! A function in the fake AWS, with its versions and its alias.

use std::collections::BTreeMap;

use crate::domain::workload::lambda::{self, Alias, AliasTarget, Function, LastUpdate};

#[derive(Clone, Debug, PartialEq)]
pub struct Deployed {
    pub latest: Function,
    pub versions: BTreeMap<u32, Function>,
    pub alias: Option<Alias>,
    /// The version behind an alias that Sluice does not manage.
    pub other: Option<String>,
    /// The number that the next version gets.
    pub next_version: u32,
    pub settles_in: u32,
}

impl Deployed {
    /// An update begins, which Lambda finishes in its own time.
    pub(super) fn begin_update(&mut self, revision_id: String) -> lambda::Reply {
        self.latest.revision_id = revision_id;
        self.latest.last_update = LastUpdate::InProgress;
        self.settles_in = 2;
        lambda::Reply::Updated(Box::new(without_tags(&self.latest)))
    }
}

/// Like AWS: only `GetFunction` returns the tags.
pub(super) fn without_tags(function: &Function) -> Function {
    Function {
        tags: BTreeMap::new(),
        ..function.clone()
    }
}

pub(super) fn alias(to: &AliasTarget, revision_id: String) -> Alias {
    Alias {
        version: to.version.clone(),
        weights: to.weights.clone(),
        description: to.description.clone(),
        revision_id,
    }
}

pub(super) fn current_alias(deployed: &Deployed) -> String {
    deployed
        .alias
        .as_ref()
        .map(|alias| alias.revision_id.clone())
        .unwrap_or_default()
}
