//! The tags of a function: those that the spec names are Sluice's, and all others are left alone.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    action::Action,
    desired::DesiredFunction,
    function::{Function, INVENTORY},
    view::{Next, View},
};

/// A tag, with its value as it is and as it should be.
pub type Change = (String, (Option<String>, Option<String>));

/// The tags as they should be. What the spec named when the last Release was delivered, and names no more,
/// goes.
fn wanted(want: &DesiredFunction, function: &Function, view: View<'_>) -> BTreeMap<String, String> {
    let mut items = view.status.inventory.iter();
    let item = items.find(|item| item.kind == INVENTORY && item.name == want.function_name);
    let former: BTreeSet<&String> = item.iter().flat_map(|item| &item.tags).collect();
    let mut tags = function.tags.clone();
    tags.retain(|key, _| !former.contains(key));
    tags.extend(want.tags.clone());
    tags
}

/// What differs.
pub fn changes(want: &DesiredFunction, function: &Function, view: View<'_>) -> Vec<Change> {
    let wanted = wanted(want, function, view);
    let keys: BTreeSet<&String> = function.tags.keys().chain(wanted.keys()).collect();
    keys.into_iter()
        .map(|key| (key, (function.tags.get(key), wanted.get(key))))
        .filter(|(_, (now, then))| now != then)
        .map(|(key, (now, then))| (key.clone(), (now.cloned(), then.cloned())))
        .collect()
}

/// What sets them, if anything differs.
pub fn set(want: &DesiredFunction, function: &Function, view: View<'_>) -> Option<Next> {
    let wanted = wanted(want, function, view);
    let set = Action::SetTags {
        arn: function.arn.clone(),
        current: function.tags.clone(),
        wanted: wanted.clone(),
    };
    (wanted != function.tags).then_some(Next::Act(set))
}
