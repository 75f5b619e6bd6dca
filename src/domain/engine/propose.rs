//! Proposals: what AWS has to compute before a component can be planned, such as a change set.
//!
//! # Guarantees
//! - A proposal is in the Target's status before anything of it is created, so that whatever a crash leaves
//!   is known by name. Its number is never used again.
//! - It changes nothing that serves.
//! - It is deleted once no plan and no run needs it: when its Release is delivered, rejected or superseded, or
//!   the Target is removed.

use std::collections::BTreeSet;

use super::{
    decision::Decision,
    inputs::{Inputs, Next, next},
    step::{ended, is_same_run},
    wave::{Wave, wait_without_deadline},
};
use crate::{
    api::v1alpha1::{Proposal, ReleaseRef, TargetSpec, TargetStatus},
    domain::{
        desired::Desired,
        ownership::Owner,
        workload::{component::DesiredComponent, inventory, kinds::Observed},
    },
};

/// Why there is no plan.
pub(super) enum Unplanned {
    /// This comes first.
    First(Decision),
    /// There can't be one, for this reason.
    Impossible(String),
}

impl Inputs<'_> {
    /// Has AWS compute what the components would change. The caller handles failed calls.
    pub fn propose(&self, desired: &Desired) -> Result<(), Unplanned> {
        let nexts = self.proposals(desired, |_| true);
        let mut wave: Wave = nexts.map_err(Unplanned::First)?.into_iter().collect();
        if let Some(why) = wave.failures.first() {
            return Err(Unplanned::Impossible(why.clone()));
        }
        let first = wave
            .calls(|effects| self.act(effects))
            .or_else(|| wait_without_deadline(&wave.all_waits()).map(Decision::Wait));
        first.map_or(Ok(()), |first| Err(Unplanned::First(first)))
    }

    /// The next steps of the proposals that these components need; or the decision to record
    /// the proposals, which comes first.
    pub fn proposals(
        &self,
        desired: &Desired,
        mut is_due: impl FnMut(&DesiredComponent) -> bool,
    ) -> Result<Vec<Next>, Decision> {
        let mut last = self.status.last_proposal;
        let (mut nexts, mut unrecorded) = (Vec::new(), Vec::new());
        let components = desired.components.iter();
        for want in components.filter(|want| is_due(want)) {
            let context = self.context(want.level);
            let Some(proposal) = want.proposal(&desired.release, last + 1, context) else {
                continue;
            };
            nexts.push(next(want.propose(&proposal, context)));
            last = last.max(proposal.serial);
            if !self.status.proposals.contains(&proposal) {
                unrecorded.push(proposal);
            }
        }
        if unrecorded.is_empty() {
            return Ok(nexts);
        }
        let mut status = self.status.clone();
        status.last_proposal = last;
        let is_newer = |it: &Proposal| unrecorded.iter().any(|newer| newer.serial == it.serial);
        status.proposals.retain(|it| !is_newer(it));
        status.proposals.extend(unrecorded);
        Err(Decision::Record(Box::new(status)))
    }
}

/// The uids of the Releases that the Target is to plan or deliver.
pub fn open_releases(spec: &TargetSpec, status: &TargetStatus) -> BTreeSet<String> {
    let run = status.run.as_ref();
    let unfinished = run.filter(|run| !ended(run)).map(|run| &run.release);
    let is_over = |release: &&ReleaseRef| {
        run.is_some_and(|it| {
            let is_assigned = spec.run.as_ref().is_none_or(|run| is_same_run(run, it));
            it.release.uid == release.uid && ended(it) && is_assigned
        })
    };
    let assigned = spec.run.as_ref().map(|run| &run.release);
    let wanted = spec.plan.iter().chain(assigned);
    let wanted = wanted.filter(|release| !is_over(release));
    wanted.chain(unfinished).map(|it| it.uid.clone()).collect()
}

/// The proposals on record that no plan and no run needs. `open` holds the uids of the Releases that the
/// Target is to plan or deliver.
pub(super) fn unneeded_proposals<'a>(
    status: &'a TargetStatus,
    open: &BTreeSet<String>,
) -> Vec<&'a Proposal> {
    let counts = |it: &Proposal| {
        open.contains(&it.release.uid) && status.proposal(&it.component, &it.release) == Some(it)
    };
    let proposals = status.proposals.iter();
    proposals.filter(|it| !counts(it)).collect()
}

/// The next step for each of these proposals until it is gone, and of several for one resource one after the
/// other: only the last one can remove what AWS made for all of them, such as a stack without resources.
pub(super) fn withdrawals<'a>(
    proposals: impl Iterator<Item = &'a Proposal>,
    owner: &Owner,
    observed: &Observed,
) -> Vec<(&'a Proposal, Next)> {
    let mut busy = BTreeSet::new();
    let nexts = proposals.map(|it| (it, next(inventory::withdraw(it, owner, observed))));
    nexts
        .filter(|(it, next)| *next == Next::Ready || busy.insert((&it.kind, &it.resource)))
        .collect()
}
