//! The shell of each kind of workload: how its reads are made and its actions carried out.
//!
//! One folder per kind, as in [`crate::domain::workload`]; each implements `Shell`.

pub mod archive;
mod by_digest;
mod cloud_formation;
mod hub;
pub mod lambda;
#[cfg(test)]
mod note;
pub mod s3;

pub use self::{cloud_formation::read_assembly, hub::hub};
use crate::{
    controllers::{access::Access, context::Context},
    domain::workload::{
        kind::Kind,
        kinds::{Action, Found, Observed, Read, Registered, Reply, WorkloadSnapshot, on_kind},
        protocol::ActionResult,
        snapshot::ComponentSnapshot,
    },
    ports::CallError,
};

/// How the reads of a kind are made and its actions carried out.
trait Shell: Kind {
    /// Carries out a read.
    fn read(
        context: &Context,
        access: &Access,
        read: &Self::Read,
        observed: &Self::Observed,
    ) -> impl Future<Output = Result<Self::Found, CallError>> + Send;

    /// Carries out an action on a resource.
    fn carry_out(
        context: &Context,
        access: &Access,
        resource: &str,
        action: &Self::Action,
        observed: &Self::Observed,
    ) -> impl Future<Output = Result<ActionResult<Self::Reply>, CallError>> + Send;

    /// Keeps everything that a restore of the snapshot needs.
    fn keep(
        context: &Context,
        access: &Access,
        snapshot: &Self::Snapshot,
    ) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Removes what was kept for a snapshot that no run restores any more.
    fn discard(
        context: &Context,
        access: &Access,
        snapshot: &Self::Snapshot,
    ) -> impl Future<Output = Result<(), CallError>> + Send;
}

/// Carries out a read of a component.
pub async fn read(
    context: &Context,
    access: &Access,
    read: &Read,
    observed: &Observed,
) -> Result<Found, CallError> {
    on_kind!(Read, read, |it: K| {
        let reading = <K as Shell>::read(context, access, it, K::observed(observed));
        Ok(K::found(Box::pin(reading).await?))
    })
}

/// Carries out an action on the resource of a component.
pub async fn carry_out(
    context: &Context,
    access: &Access,
    resource: &str,
    action: &Action,
    observed: &Observed,
) -> Result<ActionResult<Reply>, CallError> {
    on_kind!(Action, action, |it: K| {
        let observed = K::observed(observed);
        let carrying_out = <K as Shell>::carry_out(context, access, resource, it, observed);
        // Boxed, so that one kind's large future does not enlarge the others.
        Ok(Box::pin(carrying_out).await?.map(K::reply))
    })
}

/// Keeps everything that a restore of the component needs.
pub async fn keep(
    context: &Context,
    access: &Access,
    snapshot: &ComponentSnapshot,
) -> Result<(), CallError> {
    on_kind!(WorkloadSnapshot, &snapshot.workload, |it: K| {
        <K as Shell>::keep(context, access, it).await
    })
}

/// Removes what was kept for a snapshot that no run restores any more.
pub async fn discard(
    context: &Context,
    access: &Access,
    snapshot: &ComponentSnapshot,
) -> Result<(), CallError> {
    on_kind!(WorkloadSnapshot, &snapshot.workload, |it: K| {
        <K as Shell>::discard(context, access, it).await
    })
}
