//! Carries out a wave of effects, side by side, and takes in what they answer.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{access::Access, packages, places, watch};
use crate::{
    controllers::context::Context,
    domain::{
        check::{self, Attempt},
        machine::{Action, CheckResult, Effect, Observation, Reply},
    },
    ports::{CallError, CallErrorKind, functions::Functions},
};

/// How long Lambda may take to answer that a version is asleep.
const WAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// Carries out every effect; failures become part of the observation.
pub async fn all(
    context: &Context,
    access: &Access,
    effects: Vec<Effect>,
    verify: bool,
    seen: &mut Observation,
) {
    let replies = effects
        .iter()
        .map(|effect| one(context, access, effect, seen));
    let replies = join_all(replies).await;
    for (effect, reply) in effects.into_iter().zip(replies) {
        match reply {
            Ok(reply) => seen.note(&effect, reply, verify, Timestamp::now()),
            Err(error) => seen.failed(effect, error),
        }
    }
}

#[allow(clippy::too_many_lines, reason = "one arm per action")]
async fn one(
    context: &Context,
    access: &Access,
    effect: &Effect,
    seen: &Observation,
) -> Result<Reply, CallError> {
    let functions = &access.functions;
    let name = &effect.resource;
    tracing::debug!(
        operation = effect.operation(),
        resource = name,
        "carrying out"
    );
    Ok(match &effect.action {
        Action::StorePlan { changes, .. } => {
            Reply::Planned(packages::store_plan(access, changes).await?)
        }
        Action::StoreSnapshot(snapshot) => {
            Reply::Stored(packages::store_snapshot(context, access, snapshot).await?)
        }
        Action::CopyPackage(want) => Reply::Package(packages::copy(context, access, want).await?),
        Action::FindPackage(digest) => Reply::Package(packages::find(access, *digest).await?),
        Action::Create(want, code) => Reply::Function(Box::new(
            functions
                .create(
                    name,
                    &want.architecture,
                    code,
                    &want.configuration,
                    &want.tags,
                )
                .await?,
        )),
        Action::UpdateCode {
            architecture,
            code,
            revision_id,
        } => Reply::Function(Box::new(
            functions
                .update_code(name, architecture, code, revision_id)
                .await?,
        )),
        Action::UpdateConfiguration {
            configuration,
            revision_id,
        } => Reply::Function(Box::new(
            functions
                .update_configuration(name, configuration, revision_id)
                .await?,
        )),
        Action::Publish {
            code_sha256,
            revision_id,
            description,
        } => Reply::Function(Box::new(
            functions
                .publish(name, code_sha256, revision_id, description)
                .await?,
        )),
        Action::CreateAlias { alias, to } => {
            Reply::Alias(functions.create_alias(name, alias, to).await?)
        }
        Action::UpdateAlias {
            alias,
            to,
            revision_id,
        } => Reply::Alias(functions.update_alias(name, alias, to, revision_id).await?),
        Action::SetTags { .. }
        | Action::DeleteAlias { .. }
        | Action::DeleteFunction
        | Action::DeleteVersion { .. }
        | Action::DeleteSnapshot(_) => {
            unanswered(context, access, effect).await?;
            Reply::Done
        }
        Action::Site(task, act) => {
            let site = seen.known.sites.get(name);
            let mut site = site.cloned().unwrap_or_default();
            let failed = places::carry_out(context, access, task, act, &mut site).await;
            Reply::Site(Box::new(site), failed)
        }
        Action::Watch { check, ask, .. } => {
            Reply::Checked(watch::look(context, access, check, ask).await)
        }
        Action::Check {
            check,
            key,
            qualifier,
            version,
        } => {
            let functions = Arc::clone(functions);
            let (check, version) = (check.clone(), version.clone());
            let (of, phase) = ((name.clone(), qualifier.clone()), key.moment.phase);
            let invoke = || async move {
                let first = Attempt {
                    check: &check,
                    phase,
                    version: &version,
                    nth: 1,
                };
                invoke(functions.as_ref(), (&of.0, &of.1), first).await
            };
            let invocations = &context.invocations;
            invocations.answer(&access.target, key, invoke).await?
        }
        Action::Wake { version, payload } => {
            wake(functions.as_ref(), name, version, payload).await?
        }
    })
}

/// Invokes a function as often as the check says, until an answer is wrong. That it does not answer in
/// time is its own fault; that an answer is lost, or that Lambda gives none of the function's, tells
/// nothing, and the check is made again.
async fn invoke(
    functions: &dyn Functions,
    (name, qualifier): (&str, &str),
    first: Attempt<'_>,
) -> Result<CheckResult, CallError> {
    let check = first.check;
    for nth in 1..=check.repeats {
        let attempt = Attempt { nth, ..first };
        let payload = check.payload.as_bytes();
        let begun = Instant::now();
        let answer = functions
            .invoke(name, qualifier, payload, check.timeout)
            .await;
        let too_late = begun.elapsed() >= check.timeout;
        let result = match answer {
            Ok(answer) => check::evaluate(attempt, &answer),
            Err(error) if error.kind == CallErrorKind::Unknown && too_late => {
                check::timed_out(attempt)
            }
            Err(error) => return Err(error),
        };
        if result != CheckResult::Passed {
            return Ok(result);
        }
    }
    Ok(CheckResult::Passed)
}

/// Invokes a version that is asleep. Lambda wakes it by that and refuses the invocation, in words that are no
/// concern here: what came of it is read afterwards.
async fn wake(
    functions: &dyn Functions,
    name: &str,
    version: &str,
    payload: &str,
) -> Result<Reply, CallError> {
    let answer = functions
        .invoke(name, version, payload.as_bytes(), WAKE_TIMEOUT)
        .await;
    match answer {
        Ok(_) => Ok(Reply::Done),
        Err(error) => match error.kind {
            CallErrorKind::Busy | CallErrorKind::Unknown | CallErrorKind::Unavailable => {
                Ok(Reply::Done)
            }
            _ => Err(error),
        },
    }
}

/// What has no answer but that it is done.
async fn unanswered(context: &Context, access: &Access, effect: &Effect) -> Result<(), CallError> {
    let name = &effect.resource;
    match &effect.action {
        Action::SetTags {
            arn,
            current,
            wanted,
        } => access.functions.set_tags(arn, current, wanted).await,
        Action::DeleteAlias { alias } => access.functions.delete_alias(name, alias).await,
        Action::DeleteFunction => access.functions.delete(name, None).await,
        Action::DeleteVersion { version } => access.functions.delete(name, Some(version)).await,
        Action::DeleteSnapshot(it) => packages::discard(context, access, it).await,
        _ => Ok(()),
    }
}
