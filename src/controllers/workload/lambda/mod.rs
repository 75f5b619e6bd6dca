//! The shell of Lambda functions.

mod invocations;
mod packages;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

pub use self::invocations::Invocations;
use super::Shell;
use crate::{
    controllers::{access::Access, context::Context},
    domain::{
        check::{CheckKey, Verdict},
        workload::{
            lambda::{
                Action, Attempt, DesiredCheck, Found, Function, FunctionSnapshot, Lambda, Observed,
                Read, Reply, evaluate, timed_out,
            },
            protocol::ActionResult,
        },
    },
    ports::{CallError, CallErrorKind, lambda::Functions},
};

/// The timeout of an invocation that wakes an inactive version.
const WAKE_TIMEOUT: Duration = Duration::from_secs(30);

impl Shell for Lambda {
    async fn read(
        _: &Context,
        access: &Access,
        read: &Read,
        _: &Observed,
    ) -> Result<Found, CallError> {
        let functions = &access.functions;
        Ok(match read {
            Read::Function { name } => {
                let function = functions.get(name, None).await?;
                Found::Function(name.clone(), function.map(Box::new))
            }
            Read::Version { name, version } => {
                let found = functions.get(name, Some(version)).await?;
                Found::Version(name.clone(), version.clone(), found.map(Box::new))
            }
            Read::Alias { name, alias } => {
                let found = functions.alias(name, alias).await?;
                Found::Alias(name.clone(), alias.clone(), found)
            }
            Read::Provisioned { name, alias } => {
                let found = functions.provisioned_concurrency(name, alias).await?;
                Found::Provisioned(name.clone(), found)
            }
            Read::Unqualified { name } => {
                let callers = functions.unqualified_callers(name).await?;
                Found::Unqualified(name.clone(), callers)
            }
        })
    }

    async fn carry_out(
        context: &Context,
        access: &Access,
        name: &str,
        action: &Action,
        _: &Observed,
    ) -> Result<ActionResult<Reply>, CallError> {
        let functions = &access.functions;
        let reply = match action {
            Action::Check {
                check,
                key,
                qualifier,
                version,
            } => {
                let of = (name, qualifier.as_str(), version.as_str());
                return self::check(context, access, of, check, key).await;
            }
            Action::CopyPackage(want) => {
                let code = packages::copy(context, access, want).await?;
                Reply::Package(want.code_sha256, code)
            }
            Action::FindPackage(digest) => {
                Reply::Package(*digest, packages::find(access, *digest).await?)
            }
            Action::Create(want, code) => {
                let made = functions.create(
                    name,
                    &want.architecture,
                    code,
                    &want.configuration,
                    &want.tags,
                );
                Reply::Created(Box::new(Function {
                    tags: want.tags.clone(),
                    ..made.await?
                }))
            }
            Action::UpdateCode {
                architecture,
                code,
                revision_id,
            } => {
                let updated = functions.update_code(name, architecture, code, revision_id);
                Reply::Updated(Box::new(updated.await?))
            }
            Action::UpdateConfiguration {
                configuration,
                revision_id,
            } => {
                let updated = functions.update_configuration(name, configuration, revision_id);
                Reply::Updated(Box::new(updated.await?))
            }
            Action::Publish {
                code_sha256,
                revision_id,
                description,
            } => {
                let published = functions.publish(name, code_sha256, revision_id, description);
                Reply::Published(Box::new(published.await?))
            }
            Action::CreateAlias { alias, to } => Reply::Routed {
                alias: alias.clone(),
                now: functions.create_alias(name, alias, to).await?,
            },
            Action::UpdateAlias {
                alias,
                to,
                revision_id,
            } => Reply::Routed {
                alias: alias.clone(),
                now: functions.update_alias(name, alias, to, revision_id).await?,
            },
            Action::SetTags {
                arn,
                current,
                wanted,
            } => {
                functions.set_tags(arn, current, wanted).await?;
                Reply::TagsSet
            }
            Action::DeleteAlias { alias } => {
                functions.delete_alias(name, alias).await?;
                Reply::AliasDeleted {
                    alias: alias.clone(),
                }
            }
            Action::DeleteFunction => {
                functions.delete(name, None).await?;
                Reply::FunctionDeleted
            }
            Action::DeleteVersion { version } => {
                functions.delete(name, Some(version)).await?;
                Reply::VersionDeleted {
                    version: version.clone(),
                }
            }
            Action::Wake { version, payload } => {
                wake(functions.as_ref(), name, version, payload).await?;
                Reply::Woken {
                    version: version.clone(),
                }
            }
        };
        Ok(ActionResult::Kind(reply))
    }

    async fn keep(
        context: &Context,
        access: &Access,
        snapshot: &FunctionSnapshot,
    ) -> Result<(), CallError> {
        packages::keep_former(context, access, snapshot).await
    }

    /// Other snapshots and Releases share the packages, so they stay.
    async fn discard(_: &Context, _: &Access, _: &FunctionSnapshot) -> Result<(), CallError> {
        Ok(())
    }
}

/// Starts a check, or returns its progress.
async fn check(
    context: &Context,
    access: &Access,
    (name, qualifier, version): (&str, &str, &str),
    check: &DesiredCheck,
    key: &CheckKey,
) -> Result<ActionResult<Reply>, CallError> {
    let functions = Arc::clone(&access.functions);
    let of = (name.to_owned(), qualifier.to_owned());
    let (check, version) = (check.clone(), version.to_owned());
    let phase = key.moment.phase;
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
    let answer = invocations.answer(&access.target, key, invoke).await?;
    Ok(match answer {
        Some(verdict) => ActionResult::Checked(key.clone(), verdict),
        None => ActionResult::Running(key.clone()),
    })
}

/// Invokes a function as often as the check says, until an answer is wrong. A timeout is the function's own
/// failure. A lost answer, or an error of Lambda itself, is no verdict, and the check is repeated.
async fn invoke(
    functions: &dyn Functions,
    (name, qualifier): (&str, &str),
    first: Attempt<'_>,
) -> Result<Verdict, CallError> {
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
            Ok(answer) => evaluate(attempt, &answer),
            Err(error) if error.kind == CallErrorKind::Unknown && too_late => timed_out(attempt),
            Err(error) => return Err(error),
        };
        if result != Verdict::Passed {
            return Ok(result);
        }
    }
    Ok(Verdict::Passed)
}

/// Invokes an inactive version. This wakes it, and Lambda refuses the invocation. The error text doesn't
/// matter: the state is read afterwards.
async fn wake(
    functions: &dyn Functions,
    name: &str,
    version: &str,
    payload: &str,
) -> Result<(), CallError> {
    let answer = functions
        .invoke(name, version, payload.as_bytes(), WAKE_TIMEOUT)
        .await;
    match answer {
        Ok(_) => Ok(()),
        Err(error) => match error.kind {
            CallErrorKind::Busy | CallErrorKind::Unknown | CallErrorKind::Unavailable => Ok(()),
            _ => Err(error),
        },
    }
}
