//! Executes a wave of effects concurrently and notes their replies.

use futures::future::join_all;
use jiff::Timestamp;

use super::{checks, records};
use crate::{
    controllers::{access::Access, context::Context, workload},
    domain::engine::{Action, Effect, Observation, Reply},
    ports::{CallError, CallErrorKind},
};

/// Executes every effect; failures become part of the observation.
pub async fn all(
    context: &Context,
    access: &Access,
    effects: Vec<Effect>,
    verify: bool,
    observed: &mut Observation,
) {
    let replies = effects
        .iter()
        .map(|effect| one(context, access, effect, observed));
    let replies = join_all(replies).await;
    for (effect, reply) in effects.into_iter().zip(replies) {
        match reply {
            Ok(reply) => observed.note(&effect, reply, verify, Timestamp::now()),
            // The call was not sent: the observation of its resource still holds.
            Err(error) if error.kind == CallErrorKind::CalledOff => {}
            Err(error) => observed.failed(effect, error),
        }
    }
}

async fn one(
    context: &Context,
    access: &Access,
    effect: &Effect,
    observed: &Observation,
) -> Result<Reply, CallError> {
    tracing::debug!(
        operation = effect.operation(),
        resource = effect.resource,
        "carrying out"
    );
    Ok(match &effect.action {
        Action::StorePlan { digest, changes } => {
            let stored = records::store_plan(access, changes).await?;
            Reply::PlanStored(digest.clone(), stored)
        }
        Action::StoreSnapshot(snapshot) => {
            let stored = records::store_snapshot(context, access, snapshot).await?;
            Reply::SnapshotStored(stored, snapshot.clone())
        }
        Action::DeleteSnapshot(it) => {
            records::discard(context, access, it).await?;
            Reply::SnapshotDeleted(it.clone())
        }
        Action::Watch { check, key, ask } => {
            let verdict = checks::evaluate(context, access, check, ask).await?;
            Reply::Checked(key.clone(), verdict)
        }
        Action::Component(action) => {
            let resource = &effect.resource;
            workload::carry_out(context, access, resource, action, &observed.components)
                .await?
                .into()
        }
    })
}
