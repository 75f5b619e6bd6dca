//! The desired state of a Target, and whether its run can be carried out at all.

use std::{sync::Arc, time::Duration};

use kube::{ResourceExt as _, runtime::reflector::ObjectRef};

use crate::{
    api::v1alpha1::{DeletionPolicy, Goal, Release, ReleaseRef, Run, Target},
    controllers::{
        access::{Access, account},
        context::Context,
    },
    domain::{
        desired::{self, Desired},
        duration::duration,
        engine::{self, Step, Task},
        gates::entry,
        outcome::Outcome,
        promotion::FOLLOWED,
        reason::Reason,
    },
};

/// The engine's task for the run, or why it can't be carried out.
pub fn task(
    context: &Context,
    target: &Target,
    run: &Run,
    access: &Access,
) -> Result<Task, Outcome> {
    let journal = target
        .status
        .as_ref()
        .and_then(|status| status.run.as_ref());
    let begun = journal.filter(|journal| !engine::ended(journal));
    match run.goal {
        Goal::Restore => {
            let why = run.reason.as_deref().unwrap_or(FOLLOWED);
            return Ok(Task::Restore(why.to_owned()));
        }
        Goal::Prune => return Ok(Task::Prune(deletion_policy(target, run))),
        Goal::Deliver => {}
    }
    if begun.is_some_and(|journal| Step::of(journal) == Some(Step::Restore)) {
        return Ok(Task::Restore("its restore had already begun".to_owned()));
    }
    if begun.is_none() {
        may_begin(context, target, run)?;
    }
    match desired_state(context, target, &run.release, access) {
        Ok(desired) => Ok(Task::Deliver(Desired {
            deletion_policy: run.deletion_policy.unwrap_or(desired.deletion_policy),
            ..desired
        })),
        // A run that has begun is not left half done.
        Err(outcome) if begun.is_some() => Ok(Task::Restore(outcome.message().to_owned())),
        Err(outcome) => Err(outcome),
    }
}

/// The policy for removed components: the one that the plan was approved with, unless the present one retains
/// more.
fn deletion_policy(target: &Target, run: &Run) -> DeletionPolicy {
    let now = target.spec.deletion_policy;
    run.deletion_policy.map_or(now, |then| then.or_retain(now))
}

/// Whether the Account admits this Release, checked once more before anything is written: the stage's gate
/// was evaluated a while ago, or had no requirements then.
fn may_begin(context: &Context, target: &Target, run: &Run) -> Result<(), Outcome> {
    let name = &target.spec.account;
    let account = account(context, name)?;
    // `wanted` waits for a Release that does not exist.
    if let Some(release) = release(context, target, &run.release) {
        let source = &release.spec.source;
        entry::admits(name, &account.spec, &run.release.name, source)
            .map_err(|refusal| Outcome::stalled(refusal.reason, refusal.message))?;
    }
    let requires = account.spec.requires.as_ref();
    let asks = requires.is_some_and(|it| it.approval.is_some() || it.deletion.is_some());
    if asks && run.plan_digest.is_none() && run.correction == 0 {
        let message = format!(
            "Account {name} requires an approval that {} did not need when its run was assigned: it waits at the \
             stage's gate now",
            run.release.name
        );
        return Err(Outcome::stalled(Reason::NotApproved, message));
    }
    Ok(())
}

/// The desired state of a Release on this Target, or why it can't be carried out.
pub fn desired_state(
    context: &Context,
    target: &Target,
    reference: &ReleaseRef,
    access: &Access,
) -> Result<Desired, Outcome> {
    let Some(release) = release(context, target, reference) else {
        // The watch of Releases may lag behind the run; it wakes this Target.
        return Err(Outcome::Waiting {
            reason: Reason::WaitingForRelease,
            message: format!(
                "Waiting for Release {}, which does not exist",
                reference.name
            ),
            after: Duration::from_secs(1),
        });
    };
    desired::desired(
        reference,
        &release.spec,
        &target.spec,
        &access.owner,
        &access.permissions,
    )
    .map_err(|invalid| Outcome::stalled(Reason::InvalidSpec, invalid.to_string()))
}

/// How long the Target may go without progress, as its Release says.
pub fn progress_deadline(context: &Context, target: &Target) -> Duration {
    let release = target
        .spec
        .run
        .as_ref()
        .and_then(|run| release(context, target, &run.release));
    let deadline = release.and_then(|release| duration(&release.spec.template.progress_deadline));
    deadline.unwrap_or(engine::DEFAULT_DEADLINE)
}

fn release(context: &Context, target: &Target, named: &ReleaseRef) -> Option<Arc<Release>> {
    let namespace = target.namespace().unwrap_or_default();
    let release = context
        .stores
        .releases
        .get(&ObjectRef::new(&named.name).within(&namespace));
    release.filter(|release| release.uid().as_ref() == Some(&named.uid))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

    use serde_json::json;

    use super::*;

    #[test]
    fn prune_retains_if_the_approved_or_the_present_policy_retains() {
        use DeletionPolicy::{Delete, Retain};
        for (approved, now, expected) in [
            (Some(Delete), Delete, Delete),
            (Some(Delete), Retain, Retain),
            (Some(Retain), Delete, Retain),
            (Some(Retain), Retain, Retain),
            // A run assigned by an earlier version.
            (None, Delete, Delete),
            (None, Retain, Retain),
        ] {
            let target: Target = serde_json::from_value(json!({
                "apiVersion": "sluice.dev/v1alpha1",
                "kind": "Target",
                "metadata": {"name": "t", "namespace": "n"},
                "spec": {
                    "deployment": "d", "stage": "s", "account": "a", "accountId": "1", "region": "r",
                    "deletionPolicy": now,
                },
            }))
            .unwrap();
            let release = ReleaseRef {
                name: "d-1".into(),
                uid: "u".into(),
                revision: 1,
            };
            let run = Run {
                deletion_policy: approved,
                ..Run::new(release, 1, Goal::Prune, 1)
            };
            assert_eq!(
                deletion_policy(&target, &run),
                expected,
                "{approved:?} {now:?}"
            );
        }
    }
}
