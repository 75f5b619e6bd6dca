//! The part of a preflight that only AWS can answer, before anyone approves the plan.
//!
//! Guarantees: nothing is written, and a transient failure holds up no plan: the run checks again before it
//! changes anything. Rollbacks are not checked: a deleted alarm must not hold up a rollback.

use super::checks;
use crate::{
    api::v1alpha1::{ReleaseRef, TargetStatus},
    controllers::access::Access,
    domain::{check::StageCheckKind, desired::Desired, outcome::Outcome, reason::Reason},
    ports::CallErrorKind,
};

/// Returns `desired`, or why the alarms of its checks forbid the delivery.
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
        let problem = match checks::alarms_with_children(access, alarms).await {
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
