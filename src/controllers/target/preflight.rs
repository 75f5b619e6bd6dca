//! What only AWS knows of a Release that is being planned, told before anybody approves it.
//!
//! Guarantees: nothing is written, and a call that fails for a moment holds up no plan: the run asks again
//! before it changes anything. Who goes back is not asked: an alarm that is gone must not hold up a rollback.

use super::watch;
use crate::{
    api::v1alpha1::{ReleaseRef, TargetStatus},
    controllers::access::Access,
    domain::{check::StageCheckKind, desired::Desired, outcome::Outcome, reason::Reason},
    ports::CallErrorKind,
};

/// Why the Release can't be delivered here, by what AWS says of what its checks look at.
pub async fn planned(
    access: &Access,
    status: &TargetStatus,
    release: &ReleaseRef,
    stage: &str,
    desired: Desired,
) -> Result<Desired, Outcome> {
    let live = status.live.as_ref().map(|live| live.release.revision);
    if live > Some(release.revision) {
        return Ok(desired);
    }
    let bake = desired.traffic.shortest_bake();
    let mut problems = Vec::new();
    for check in &desired.checks {
        let StageCheckKind::Alarms(alarms) = &check.kind else {
            continue;
        };
        let problem = match watch::alarms_with_children(access, alarms).await {
            Ok(found) => alarms.obstacle(&found, bake),
            Err(error) if error.kind == CallErrorKind::Denied => Some(error.to_string()),
            Err(error) => {
                tracing::debug!(%error, check = check.name, "alarms can't be read for a plan");
                None
            }
        };
        let field = format!("spec.stages[{stage}].checks[{}].alarms", check.name);
        problems.extend(problem.map(|why| format!("{field}: {why}")));
    }
    if problems.is_empty() {
        Ok(desired)
    } else {
        Err(Outcome::stalled(
            Reason::PreflightFailed,
            problems.join("; "),
        ))
    }
}
