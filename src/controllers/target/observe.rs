//! Looks at what the machine asks for, everything side by side.

use futures::future::join_all;

use super::{access::Access, packages, places};
use crate::{
    api::v1alpha1::TargetStatus,
    controllers::context::Context,
    domain::{
        function::{Alias, Function, ProvisionedConcurrency},
        machine::{Observation, Read, Snapshot},
        site::SiteSeen,
    },
    ports::CallError,
};

enum Seen {
    Function(Option<Box<Function>>),
    Alias(Option<Alias>),
    Unqualified(Vec<String>),
    Provisioned(Option<ProvisionedConcurrency>),
    Snapshot(Box<Snapshot>),
    Site(String, Box<SiteSeen>),
}

/// Reads, and adds what was found, or what went wrong, to the observation.
pub async fn read(
    context: &Context,
    access: &Access,
    status: &TargetStatus,
    reads: Vec<Read>,
    seen: &mut Observation,
) {
    let found = reads
        .iter()
        .map(|read| one(context, access, status, read, seen));
    let found = join_all(found).await;
    for (read, found) in reads.into_iter().zip(found) {
        match (read, found) {
            (Read::Function { name }, Ok(Seen::Function(function))) => {
                seen.saw_function(name, function.map(|function| *function));
            }
            (Read::Version { name, version }, Ok(Seen::Function(function))) => {
                seen.saw_version(name, version, function.map(|function| *function));
            }
            (Read::Alias { name, alias }, Ok(Seen::Alias(found))) => {
                seen.saw_alias(name, &alias, found);
            }
            (Read::Provisioned { name, .. }, Ok(Seen::Provisioned(found))) => {
                seen.saw_provisioned(name, found);
            }
            (Read::Unqualified { name }, Ok(Seen::Unqualified(callers))) => {
                seen.unqualified.insert(name, callers);
            }
            (Read::Snapshot, Ok(Seen::Snapshot(snapshot))) => {
                if let Some(reference) = status.run.as_ref().and_then(|run| run.snapshot.clone()) {
                    seen.known.snapshot = Some((reference, *snapshot));
                }
            }
            (_, Ok(Seen::Site(place, site))) => {
                seen.known.sites.insert(place, *site);
            }
            (read, Err(error)) => seen.errors.push((component(status, &read), error)),
            (_, Ok(_)) => {}
        }
    }
}

async fn one(
    context: &Context,
    access: &Access,
    status: &TargetStatus,
    read: &Read,
    seen: &Observation,
) -> Result<Seen, CallError> {
    Ok(match read {
        Read::Function { name } => {
            Seen::Function(access.functions.get(name, None).await?.map(Box::new))
        }
        Read::Version { name, version } => Seen::Function(
            access
                .functions
                .get(name, Some(version))
                .await?
                .map(Box::new),
        ),
        Read::Alias { name, alias } => Seen::Alias(access.functions.alias(name, alias).await?),
        Read::Provisioned { name, alias } => Seen::Provisioned(
            access
                .functions
                .provisioned_concurrency(name, alias)
                .await?,
        ),
        Read::Unqualified { name } => {
            Seen::Unqualified(access.functions.unqualified_callers(name).await?)
        }
        Read::Snapshot => Seen::Snapshot(Box::new(packages::load_snapshot(access, status).await?)),
        Read::Site(task, read) => {
            let place = task.place.to_string();
            let mut site = seen.known.sites.get(&place).cloned().unwrap_or_default();
            places::read(context, access, task, read, &mut site).await?;
            Seen::Site(place, Box::new(site))
        }
    })
}

/// The component that a read is for, as far as that can be told.
fn component(status: &TargetStatus, read: &Read) -> String {
    let name = match read {
        Read::Function { name }
        | Read::Version { name, .. }
        | Read::Alias { name, .. }
        | Read::Provisioned { name, .. }
        | Read::Unqualified { name } => name,
        Read::Site(task, _) => &task.place.to_string(),
        Read::Snapshot => return "snapshot".to_owned(),
    };
    let components = status.run.iter().flat_map(|run| &run.components);
    let mut named = components.filter(|component| component.resource == *name);
    named
        .next()
        .map_or_else(|| name.clone(), |component| component.name.clone())
}
