//! The tags of a function: Sluice manages those in the spec, and leaves all others alone.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    action::Action,
    desired::DesiredFunction,
    function::{Function, INVENTORY},
    view::{Next, View},
};

/// A tag, with its present and its desired value.
pub type Change = (String, (Option<String>, Option<String>));

/// The desired tags. Tags that the last delivered Release set, and that the spec no longer has, are removed.
fn wanted(want: &DesiredFunction, function: &Function, view: View<'_>) -> BTreeMap<String, String> {
    let mut items = view.status.inventory.iter();
    let item = items.find(|item| item.kind == INVENTORY && item.name == want.function_name);
    let former: BTreeSet<&String> = item.iter().flat_map(|item| &item.tags).collect();
    let mut tags = function.tags.clone();
    tags.retain(|key, _| !former.contains(key));
    tags.extend(want.tags.clone());
    tags
}

/// The tags that differ.
pub fn changes(want: &DesiredFunction, function: &Function, view: View<'_>) -> Vec<Change> {
    let wanted = wanted(want, function, view);
    let keys: BTreeSet<&String> = function.tags.keys().chain(wanted.keys()).collect();
    keys.into_iter()
        .map(|key| (key, (function.tags.get(key), wanted.get(key))))
        .filter(|(_, (now, wanted))| now != wanted)
        .map(|(key, (now, wanted))| (key.clone(), (now.cloned(), wanted.cloned())))
        .collect()
}

/// The action that sets the tags, if any differs.
pub fn set(want: &DesiredFunction, function: &Function, view: View<'_>) -> Option<Next> {
    let wanted = wanted(want, function, view);
    let set = Action::SetTags {
        arn: function.arn.clone(),
        current: function.tags.clone(),
        wanted: wanted.clone(),
    };
    (wanted != function.tags).then_some(Next::Act(set))
}
