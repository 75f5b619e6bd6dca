//! Reads what the engine asks for, concurrently. A failed read does not affect the others.

use futures::future::join_all;
use jiff::Timestamp;

use super::records;
use crate::{
    api::v1alpha1::TargetStatus,
    controllers::{access::Access, context::Context, workload},
    domain::engine::{Found, Observation, Read},
    ports::{CallError, CallErrorKind},
};

/// Reads, and adds results and errors to the observation.
pub async fn read(
    context: &Context,
    access: &Access,
    status: &TargetStatus,
    reads: Vec<Read>,
    observed: &mut Observation,
) {
    let found = reads
        .iter()
        .map(|read| one(context, access, status, read, observed));
    let found = join_all(found).await;
    observed.at(Timestamp::now());
    for (read, found) in reads.into_iter().zip(found) {
        match found {
            Ok(found) => observed.found(found),
            // The call was not sent, so it says nothing about the resource.
            Err(error) if error.kind == CallErrorKind::CalledOff => {}
            Err(error) => observed.errors.push((component(status, &read), error)),
        }
    }
}

async fn one(
    context: &Context,
    access: &Access,
    status: &TargetStatus,
    read: &Read,
    observed: &Observation,
) -> Result<Found, CallError> {
    match read {
        Read::Snapshot => {
            let (reference, snapshot) = records::load_snapshot(access, status).await?;
            Ok(Found::Snapshot(reference, Box::new(snapshot)))
        }
        Read::Component(read) => workload::read(context, access, read, &observed.components)
            .await
            .map(Found::Component),
    }
}

/// The component that a read is for, if the journal has it; else the resource.
fn component(status: &TargetStatus, read: &Read) -> String {
    let resource = match read {
        Read::Snapshot => return "snapshot".to_owned(),
        Read::Component(read) => read.resource(),
    };
    let mut components = status.run.iter().flat_map(|run| &run.components);
    let named = components.find(|component| component.resource == resource);
    named.map_or(resource, |component| component.name.clone())
}
