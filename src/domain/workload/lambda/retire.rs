//! Garbage collection of versions that no Release needs.

use super::{
    action::Action,
    observed::{Observed, Read},
    snapshot::{AliasSnapshot, FunctionSnapshot},
    view::Next,
};
use crate::{api::v1alpha1::PublishedVersion, domain::ownership::Owner};

/// The next read or action to delete a version that no Release needs: [`Next::Ready`] once it is gone, or if
/// its number now names another version; `None` while an alias or snapshot uses it.
pub fn retire(
    version: &PublishedVersion,
    alias: &str,
    snapshots: &[&FunctionSnapshot],
    owner: &Owner,
    observed: &Observed,
) -> Option<Next> {
    let name = &version.function_name;
    let number = &version.version;
    let of_snapshot =
        |alias: &AliasSnapshot| alias.version == *number || alias.weights.contains_key(number);
    let mut aliases = snapshots.iter().filter_map(|then| then.alias.as_ref());
    if aliases.any(of_snapshot) {
        return None;
    }
    let key = (name.clone(), number.clone());
    if let Some(None) = observed.versions.get(&key) {
        return Some(Next::Ready);
    }
    match observed.functions.get(name) {
        None => return Some(Next::Read(Read::Function { name: name.clone() })),
        Some(None) => return Some(Next::Ready),
        Some(Some(function)) if owner.refusal(&function.tags).is_some() => {
            return Some(Next::Ready);
        }
        Some(Some(_)) => {}
    }
    match observed.aliases.get(name) {
        None => {
            return Some(Next::Read(Read::Alias {
                name: name.clone(),
                alias: alias.to_owned(),
            }));
        }
        Some(Some(alias)) if of_snapshot(&AliasSnapshot::of(alias)) => return None,
        Some(_) => {}
    }
    Some(match observed.versions.get(&key) {
        None => Next::Read(Read::Version {
            name: name.clone(),
            version: number.clone(),
        }),
        Some(Some(found)) if found.code_sha256.to_string() == version.code_sha256 => {
            let version = number.clone();
            Next::Act(Action::DeleteVersion { version })
        }
        // The function was created again, and the number now names another version.
        Some(_) => Next::Ready,
    })
}
