//! Looks at what the machine asks for, everything side by side.

use futures::future::join_all;

use super::{packages, site::Site};
use crate::{
    api::v1alpha1::TargetStatus,
    domain::{
        function::{Alias, Function},
        machine::{Observation, Read, Snapshot},
    },
    ports::CallError,
};

enum Seen {
    Function(Option<Box<Function>>),
    Alias(Option<Alias>),
    Snapshot(Box<Snapshot>),
}

/// Reads, and adds what was found, or what went wrong, to the observation.
pub async fn read(site: &Site, status: &TargetStatus, reads: Vec<Read>, seen: &mut Observation) {
    let found = join_all(reads.iter().map(|read| one(site, status, read))).await;
    for (read, found) in reads.into_iter().zip(found) {
        match (read, found) {
            (Read::Function { name }, Ok(Seen::Function(function))) => {
                seen.functions
                    .insert(name, function.map(|function| *function));
            }
            (Read::Version { name, version }, Ok(Seen::Function(function))) => {
                seen.versions
                    .insert((name, version), function.map(|function| *function));
            }
            (Read::Alias { name, .. }, Ok(Seen::Alias(alias))) => {
                seen.aliases.insert(name, alias);
            }
            (Read::Snapshot, Ok(Seen::Snapshot(snapshot))) => {
                if let Some(reference) = status.run.as_ref().and_then(|run| run.snapshot.clone()) {
                    seen.known.snapshot = Some((reference, *snapshot));
                }
            }
            (read, Err(error)) => seen.errors.push((component(status, &read), error)),
            (_, Ok(_)) => {}
        }
    }
}

async fn one(site: &Site, status: &TargetStatus, read: &Read) -> Result<Seen, CallError> {
    Ok(match read {
        Read::Function { name } => {
            Seen::Function(site.functions.get(name, None).await?.map(Box::new))
        }
        Read::Version { name, version } => {
            Seen::Function(site.functions.get(name, Some(version)).await?.map(Box::new))
        }
        Read::Alias { name, alias } => Seen::Alias(site.functions.alias(name, alias).await?),
        Read::Snapshot => Seen::Snapshot(Box::new(packages::load_snapshot(site, status).await?)),
    })
}

/// The component that a read is for, as far as that can be told.
fn component(status: &TargetStatus, read: &Read) -> String {
    let (Read::Function { name } | Read::Version { name, .. } | Read::Alias { name, .. }) = read
    else {
        return "snapshot".to_owned();
    };
    let components = status.run.iter().flat_map(|run| &run.components);
    let mut named = components.filter(|component| &component.resource == name);
    named
        .next()
        .map_or_else(|| name.clone(), |component| component.name.clone())
}
