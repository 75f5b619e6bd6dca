//! What is wanted of a Target, and whether that can be carried out at all.

use kube::{ResourceExt as _, runtime::reflector::ObjectRef};

use super::site::Site;
use crate::{
    api::v1alpha1::{Goal, Run, Target},
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
    let journal = target.status.as_ref().and_then(|status| status.run.as_ref());
    let begun = journal.filter(|journal| !machine::ended(journal));
    if run.goal == Goal::Restore {
        let superseded = target.spec.run.as_ref() != Some(run);
        let why = if superseded { "another order came before this one was carried out" } else { FOLLOWED };
        return Ok(Order::Restore(why.to_owned()));
    }
    if begun.is_some_and(|journal| Step::of(journal) == Some(Step::Restore)) {
        return Ok(Order::Restore("it was being put back".to_owned()));
    }
    let namespace = target.namespace().unwrap_or_default();
    let release = context.stores.releases.get(&ObjectRef::new(&run.release.name).within(&namespace));
    let release = release.filter(|release| release.uid().as_ref() == Some(&run.release.uid));
    let wanted = match release {
        Some(release) => {
            desired::desired(&run.release, &release.spec, &target.spec, &site.owner, &site.permissions)
                .map_err(|invalid| invalid.to_string())
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
