//! What a Release would change on a Target, computed from what is live there.
//!
//! # Guarantees
//! - The digest is the same for the same delivery to the same state, and differs as soon as either does. It
//!   leaves out RevisionIds, times and what Sluice itself will choose later.
//! - Values of environment variables appear nowhere: a change of one shows only its name.

use super::{
    begin::run_effect, decision::Decision, garbage::replace_plan, inputs::Inputs,
    observation::Action, poll::wait_for, propose::Unplanned, prune::is_deleted, step::outcome,
};
use crate::{
    api::v1alpha1::{PlanStatus, PlannedChange, StoredRef},
    domain::{
        desired::Desired,
        digest::Sha256,
        outcome::{Outcome, shorten},
        reason::Reason,
        workload::component::DesiredComponent,
    },
};

/// How many changes the status lists.
const LISTED: usize = 100;

impl Inputs<'_> {
    /// Records the plan, and the proposals that it needs. Whatever fails, the journal stays that of the live
    /// Release.
    pub fn make_plan(&self, desired: &Desired) -> Decision {
        if let Some((_, error)) = self.observed.errors.first() {
            return Decision::Wait(wait_for(error));
        }
        if let Some(decision) = self.observe(desired) {
            return decision;
        }
        let desired = &*self.resolve_known_outputs(desired);
        let plan = match self.plan(desired) {
            Ok(plan) => plan,
            Err(Unplanned::First(decision)) => return decision,
            Err(Unplanned::Impossible(why)) => {
                return Decision::Wait(Outcome::stalled(Reason::PreflightFailed, why));
            }
        };
        if self.status.plan.as_ref() == Some(&plan) {
            return Decision::Rest(outcome(self.status));
        }
        let mut status = self.status.clone();
        replace_plan(&mut status, plan);
        Decision::Record(Box::new(status))
    }

    /// The plan, from the observation; or what comes first, or why there is none.
    pub fn plan(&self, desired: &Desired) -> Result<PlanStatus, Unplanned> {
        if let Some(why) = self.obstacle(desired) {
            return Err(Unplanned::Impossible(why));
        }
        self.propose(desired)?;
        let is_idle = self.unchanged_components(desired).is_some();
        let mut changes = Vec::new();
        let mut phrases = Vec::new();
        let mut unwatched = Vec::new();
        let mut parts = Vec::new();
        let mut deletions = 0;
        for want in &desired.components {
            let part = want.plan(&desired.release, is_idle, self.context(want.level));
            phrases.push(part.summary);
            if !part.changes.is_empty() && !is_watched(desired, want) {
                unwatched.push(want.name.as_str());
            }
            parts.push((want.name.clone(), want.level, part.wanted, part.live));
            changes.extend(part.changes);
        }
        for item in &self.status.inventory {
            if desired.components.iter().any(|want| want.is(item)) {
                continue;
            }
            let deleted = is_deleted(desired.deletion_policy, item);
            deletions += i64::from(deleted);
            phrases.push(if deleted {
                format!("will delete {}", item.name)
            } else {
                format!("will leave {} in AWS as it is", item.name)
            });
            changes.push(PlannedChange {
                component: item.component.clone(),
                action: if deleted { "Delete" } else { "Keep" }.to_owned(),
                resource: item.name.clone(),
                field: None,
                from: None,
                to: None,
            });
        }
        if !unwatched.is_empty() {
            phrases.push(format!("no check watches {}", unwatched.join(", ")));
        }
        let digest = Sha256::of_json(&(&changes, parts)).to_string();
        let omitted = changes.len().saturating_sub(LISTED);
        let mut stored = None;
        if omitted > 0 {
            stored = self.stored_plan(&digest);
            if let (None, Some(first)) = (&stored, desired.components.first()) {
                let action = Action::StorePlan { digest, changes };
                let first = Decision::Execute(vec![run_effect(first, action)]);
                return Err(Unplanned::First(first));
            }
        }
        changes.truncate(LISTED);
        Ok(PlanStatus {
            release: desired.release.clone(),
            digest,
            summary: shorten(&phrases.join("; "), 1024),
            changes,
            omitted: i64::try_from(omitted).unwrap_or(i64::MAX),
            deletions,
            deletion_policy: Some(desired.deletion_policy.as_str().to_owned()),
            stored,
        })
    }

    /// Where the full list of changes of the plan with this digest is stored, if it is.
    fn stored_plan(&self, digest: &str) -> Option<StoredRef> {
        let on_record = self.status.plan.as_ref();
        let on_record = on_record.filter(|plan| plan.digest == digest);
        let known = self.observed.known.plan.as_ref();
        let known = known.filter(|(known, _)| known == digest);
        on_record
            .and_then(|plan| plan.stored.clone())
            .or_else(|| known.map(|(_, stored)| stored.clone()))
    }
}

/// Whether a check of the stage can fail because of this component.
fn is_watched(desired: &Desired, want: &DesiredComponent) -> bool {
    let mut checks = desired.checks.iter();
    want.has_checks() || checks.any(|check| check.component().is_none_or(|name| name == want.name))
}
