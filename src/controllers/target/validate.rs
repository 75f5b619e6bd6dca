//! What is wanted of a Target, and whether that can be carried out at all.

use std::{sync::Arc, time::Duration};

use kube::{ResourceExt as _, runtime::reflector::ObjectRef};

use super::site::Site;
use crate::{
    api::v1alpha1::{Goal, Release, Run, Target},
    controllers::context::Context,
    domain::{
        desired,
        machine::{self, Order, Step},
        outcome::Outcome,
        rollout::FOLLOWED,
    },
};

/// The order, worked out; or why it can't be.
pub fn order(context: &Context, target: &Target, run: &Run, site: &Site) -> Result<Order, Outcome> {
    let journal = target
        .status
        .as_ref()
        .and_then(|status| status.run.as_ref());
    let begun = journal.filter(|journal| !machine::ended(journal));
    match run.goal {
        Goal::Restore => {
            let why = run.reason.as_deref().unwrap_or(FOLLOWED);
            return Ok(Order::Restore(why.to_owned()));
        }
        Goal::Prune => return Ok(Order::Prune(target.spec.deletion_policy)),
        Goal::Deliver => {}
    }
    if begun.is_some_and(|journal| Step::of(journal) == Some(Step::Restore)) {
        return Ok(Order::Restore("it was being put back".to_owned()));
    }
    let release = release(context, target, run);
    let wanted = match release {
        Some(release) => desired::desired(
            &run.release,
            &release.spec,
            &target.spec,
            &site.owner,
            &site.permissions,
        )
        .map_err(|invalid| invalid.to_string()),
        None if begun.is_none() => {
            // The watch of Releases may be a moment behind the order; it wakes us.
            let message = format!("Waiting for Release {} to be seen", run.release.name);
            return Err(Outcome::Waiting {
                reason: "WaitingForRelease",
                message,
                after: Duration::from_secs(1),
            });
        }
        None => Err(format!("Release {} is gone", run.release.name)),
    };
    match wanted {
        Ok(desired) => Ok(Order::Deliver(desired)),
        // What was begun is not left half done.
        Err(why) if begun.is_some() => Ok(Order::Restore(why)),
        Err(why) => Err(Outcome::stalled("InvalidSpec", why)),
    }
}

/// How long the Target may go without progress, as its Release says.
pub fn progress_deadline(context: &Context, target: &Target) -> Duration {
    let release = target
        .spec
        .run
        .as_ref()
        .and_then(|run| release(context, target, run));
    let said =
        release.and_then(|release| desired::duration(&release.spec.template.progress_deadline));
    said.unwrap_or(machine::DEFAULT_DEADLINE)
}

fn release(context: &Context, target: &Target, run: &Run) -> Option<Arc<Release>> {
    let namespace = target.namespace().unwrap_or_default();
    let release = context
        .stores
        .releases
        .get(&ObjectRef::new(&run.release.name).within(&namespace));
    release.filter(|release| release.uid().as_ref() == Some(&run.release.uid))
}
