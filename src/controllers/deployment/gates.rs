//! The gates of a Deployment's stages: what they ask for, what GitLab and the cluster say to that, and
//! what became of each Approval.
//!
//! # Expected flow
//! [`DeploymentController::gates`] reads what the stages that wait need of GitLab (manual jobs, freeze
//! periods). The order of stages asks the gates; if they can't say without knowing whether the admission
//! policy is in force, or what GitLab says of what waits since now, that is read
//! ([`DeploymentController::look_at_policy`], [`DeploymentController::look_for_new`]) and they are asked
//! again.
//! [`DeploymentController::answer`] writes into each Approval whether it counts.
//!
//! # Guarantees
//! - GitLab is asked only for a stage that waits, and not more often than the source is polled; the
//!   policy is read only when a gate is asked.
//! - What can't be read keeps the gate closed, and so does an Account that does not exist.

mod gitlab;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

pub use self::gitlab::Readings;
use super::{DeploymentController, Failure, Family};
use crate::{
    api::v1alpha1::{
        Account, Approval, ApprovalStatus, Decision, Deployment, Gate, ManualJobStatus, Release,
        StageStatus,
    },
    controllers::target,
    domain::{
        gates::{
            self, Inputs, Job, Judgement, PolicyForce, Requirements, Subject, Verdict,
            approvals::unasked,
            entry::{self, Guard, Refusal},
            requirements::protected_ref,
        },
        pipeline::FreezePeriod,
        rollout::{Answer, Ask, Asks, Entry, Gatekeeper},
    },
};

/// How long it is taken for granted that the admission policy is in force, while nobody has approved.
const POLICY_AGE: Duration = Duration::from_secs(10);

/// The gates as they stand.
pub struct Gates {
    namespace: String,
    stages: BTreeMap<String, StageGate>,
    /// Whether the Deployment delivers only protected branches and tags.
    protected_ref: bool,
    /// The Accounts that exist, of those that the Deployment or a Release of it names.
    accounts: BTreeMap<String, Arc<Account>>,
    approvals: Vec<Arc<Approval>>,
    used: BTreeSet<String>,
    /// Not known before it is asked for.
    policy: Option<PolicyForce>,
    policy_asked: AtomicBool,
    /// None as long as GitLab was not asked.
    freezes: Option<Result<Vec<FreezePeriod>, String>>,
    gitlab_asked: AtomicBool,
    judged: Mutex<BTreeMap<String, Judgement>>,
}

/// What the Deployment says of one stage now.
struct StageGate {
    gate: Option<Gate>,
    accounts: BTreeSet<String>,
    looked: Option<Looked>,
}

/// How the manual jobs of what waits stand.
struct Looked {
    release_uid: String,
    attempt: i64,
    digest: String,
    jobs: BTreeMap<String, Job>,
    seen: Vec<ManualJobStatus>,
}

impl Gates {
    /// All that this Release is asked for before the stage; or why it is never let in.
    ///
    /// The places that it writes are those of its own template; what the Deployment says now is asked
    /// on top, so that an edit can add to what an Account requires and not take it away.
    fn needs(&self, entry: &Entry<'_>) -> Result<Requirements, Refusal> {
        let stage = self.stages.get(entry.stage);
        let written = entry.release.stages.iter();
        let written = written.filter(|stage| stage.name == entry.stage);
        let mut names: BTreeSet<&str> = written
            .flat_map(|stage| &stage.targets)
            .map(|place| place.account.as_str())
            .collect();
        names.extend(stage.iter().flat_map(|it| &it.accounts).map(String::as_str));
        let account = |name| self.accounts.get(name).map(|account| &account.spec);
        let guard = Guard {
            stage: entry.stage,
            gate: stage.and_then(|stage| stage.gate.as_ref()),
            protected_ref: self.protected_ref,
            accounts: names
                .into_iter()
                .map(|name| (name, account(name)))
                .collect(),
        };
        let release = entry.release;
        entry::needs(&guard, &release.reference.name, &release.source, entry.way)
    }

    fn evaluate(
        &self,
        ask: &Ask<'_>,
        requirements: &Requirements,
        policy: &PolicyForce,
    ) -> (Verdict, Looking<'_>) {
        let release = &ask.entry.release.reference;
        let looked = self
            .stages
            .get(ask.entry.stage)
            .and_then(|stage| stage.looked.as_ref())
            .filter(|looked| {
                looked.release_uid == release.uid
                    && looked.attempt == ask.attempt
                    && looked.digest == ask.digest
            });
        let unread = requirements.no_freeze && self.freezes.is_none();
        if unread || (looked.is_none() && requirements.manual_jobs().next().is_some()) {
            self.gitlab_asked.store(true, Ordering::Relaxed);
        }
        let none = BTreeMap::new();
        let subject = Subject {
            release: &release.name,
            release_uid: &release.uid,
            stage: ask.entry.stage,
            stage_digest: ask.digest,
            author: ask.entry.release.source.user.as_deref(),
        };
        let approvals: Vec<&Approval> = self.approvals.iter().map(|one| &**one).collect();
        let evaluation = gates::evaluate(&Inputs {
            subject,
            requirements,
            approvals: &approvals,
            used: &self.used,
            policy,
            manual_jobs: looked.map_or(&none, |looked| &looked.jobs),
            freeze_periods: match &self.freezes {
                Some(Ok(periods)) => Ok(periods),
                Some(Err(why)) => Err(why),
                None => Err("GitLab was not asked yet"),
            },
            now: Timestamp::now(),
        });
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        for (approval, judgement) in approvals.iter().zip(evaluation.judgements) {
            let uid = approval.uid().unwrap_or_default();
            // The stage that an Approval names speaks of it.
            if approval.spec.stage == ask.entry.stage || !judged.contains_key(&uid) {
                judged.insert(uid, judgement);
            }
        }
        if let Verdict::Rejected { approval_uid, .. } = &evaluation.verdict {
            judged.insert(approval_uid.clone(), Judgement::Used);
        }
        let mut message = evaluation.verdict.message(&subject);
        if matches!(&evaluation.verdict, Verdict::Waiting { reasons, .. }
            if reasons.iter().any(|one| matches!(one, gates::Waiting::Approvals { .. })))
        {
            let command = gates::approve_command(&self.namespace, &subject, Decision::Approve);
            message = format!("{message}. To approve: {command}");
        }
        let seen = looked.map_or(&[][..], |looked| &looked.seen);
        (evaluation.verdict, Looking { message, seen })
    }
}

struct Looking<'a> {
    message: String,
    seen: &'a [ManualJobStatus],
}

impl Gatekeeper for Gates {
    fn asks(&self, entry: &Entry<'_>) -> Asks {
        match self.needs(entry) {
            Ok(requirements) if requirements.is_empty() => Asks::Nothing,
            Ok(_) => Asks::Something,
            Err(refusal) => Asks::Refused(refusal),
        }
    }

    fn ask(&self, ask: &Ask<'_>) -> Answer {
        let requirements = match self.needs(&ask.entry) {
            Ok(requirements) => requirements.of_plan(ask.deletes),
            Err(refusal) => return Answer::Refused(refusal),
        };
        let Some(policy) = &self.policy else {
            self.policy_asked.store(true, Ordering::Relaxed);
            return Answer::Waiting {
                reason: "PolicyNotInForce",
                message: "it was not looked at".to_owned(),
                manual_jobs: Vec::new(),
                until: None,
            };
        };
        let (verdict, looking) = self.evaluate(ask, &requirements, policy);
        let reason = verdict.reason().unwrap_or("Open");
        match verdict {
            Verdict::Open(by) => Answer::Open(by),
            Verdict::Waiting { until, .. } => Answer::Waiting {
                reason,
                message: looking.message,
                manual_jobs: looking.seen.to_vec(),
                until,
            },
            Verdict::Rejected { .. } => Answer::Rejected(looking.message),
        }
    }
}

impl DeploymentController {
    /// The gates as they stand, with what GitLab says where something waits at one.
    pub(super) async fn gates(&self, deployment: &Deployment, family: &Family) -> Gates {
        let mut gates = self.unread_gates(deployment, family);
        let stages = deployment.status.iter().flat_map(|status| &status.stages);
        let stages: Vec<StageStatus> = stages.cloned().collect();
        self.look_at_gitlab(deployment, family, &stages, &mut gates)
            .await;
        gates
    }

    /// The gates as they stand: they can say what they ask for, and open for nothing yet.
    pub(super) fn unread_gates(&self, deployment: &Deployment, family: &Family) -> Gates {
        let spec = &deployment.spec;
        let stages = spec.stages.iter().map(|stage| {
            let places = stage.targets.iter();
            let gate = StageGate {
                gate: stage.gate.clone(),
                accounts: places.map(|place| place.account.clone()).collect(),
                looked: None,
            };
            (stage.name.clone(), gate)
        });
        let templates = family.releases.iter();
        let written = templates.flat_map(|release| &release.spec.template.stages);
        let places = spec.stages.iter().chain(written).flat_map(|it| &it.targets);
        let names: BTreeSet<&String> = places.map(|place| &place.account).collect();
        let accounts = names.into_iter().filter_map(|name| {
            let account = target::account(&self.context, name).ok()?;
            Some((name.clone(), account))
        });
        let status = deployment.status.clone().unwrap_or_default();
        Gates {
            namespace: deployment.namespace().unwrap_or_default(),
            stages: stages.collect(),
            protected_ref: protected_ref(
                spec.source.require_protected_ref,
                spec.stages.iter().any(|stage| stage.gate.is_some()),
                [],
            )
            .is_some(),
            accounts: accounts.collect(),
            approvals: self.approvals_of(family),
            used: used(&status.stages),
            policy: None,
            policy_asked: AtomicBool::new(false),
            freezes: None,
            gitlab_asked: AtomicBool::new(false),
            judged: Mutex::default(),
        }
    }

    /// Asks GitLab about what waits since this plan, where a gate could not say without; whether it did.
    pub(super) async fn look_for_new(
        &self,
        deployment: &Deployment,
        family: &Family,
        gates: &mut Gates,
        stages: &[StageStatus],
    ) -> bool {
        let asked = gates.gitlab_asked.swap(false, Ordering::Relaxed);
        if asked {
            self.look_at_gitlab(deployment, family, stages, gates).await;
        }
        asked
    }

    /// Reads whether the admission policy is in force, if a gate could not say without; whether it did.
    pub(super) async fn look_at_policy(&self, gates: &mut Gates) -> bool {
        let asked = gates.policy_asked.load(Ordering::Relaxed);
        if asked {
            let may_open = !gates.approvals.is_empty();
            let age = if may_open { Duration::ZERO } else { POLICY_AGE };
            gates.policy = Some(self.context.approval_policy.force(age).await);
        }
        asked
    }

    /// The Approvals that name a Release of this Deployment.
    fn approvals_of(&self, family: &Family) -> Vec<Arc<Approval>> {
        let approvals = &self.context.stores.approvals;
        let of = |release: &Arc<Release>| {
            approvals.belonging_to(release.namespace().as_deref(), &release.name_any())
        };
        family.releases.iter().flat_map(of).collect()
    }

    /// Has an Approval go with its Release.
    async fn bind(
        &self,
        api: &Api<Approval>,
        approval: &Approval,
        release: &Release,
    ) -> Result<(), Failure> {
        let uid = release.uid();
        let same = uid.as_deref() == Some(approval.spec.release_ref.uid.as_str());
        let owners = approval.owner_references();
        let bound = owners.iter().any(|owner| Some(&owner.uid) == uid.as_ref());
        if bound || !same {
            return Ok(());
        }
        let owners: Vec<_> = owners
            .iter()
            .cloned()
            .chain(release.owner_ref(&()))
            .collect();
        let patch = Patch::Merge(json!({"metadata": {"ownerReferences": owners}}));
        let name = approval.name_any();
        match api.patch(&name, &PatchParams::default(), &patch).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(error)) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes into each Approval whether it counts, where that is news.
    pub(super) async fn answer(
        &self,
        deployment: &Deployment,
        family: &Family,
        gates: &Gates,
        stages: &[StageStatus],
    ) -> Result<(), Failure> {
        let used = used(stages);
        let api: Api<Approval> = self.api(deployment);
        for approval in &gates.approvals {
            let judged = gates
                .judged
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&approval.uid().unwrap_or_default())
                .cloned();
            let release = family
                .releases
                .iter()
                .find(|release| release.name_any() == approval.spec.release_ref.name);
            // What a Target that is being deleted waits for is answered there.
            let of_deletion = family.targets.iter().any(|target| {
                let deletion = target.status.as_ref().and_then(|it| it.deletion.as_ref());
                deletion.is_some_and(|it| it.digest == approval.spec.stage_digest)
            });
            if of_deletion {
                continue;
            }
            let idle = || unasked(approval, release.and_then(|it| it.uid()).as_deref(), &used);
            let judgement = match judged {
                Some(judgement) if !used.contains(&approval.uid().unwrap_or_default()) => judgement,
                _ => idle(),
            };
            let before = approval.status.clone().unwrap_or_default();
            let mut status = ApprovalStatus {
                observed_generation: approval.metadata.generation,
                ..before.clone()
            };
            if let Some(release) = release {
                self.bind(&api, approval, release).await?;
            }
            judgement.write_condition(approval, &mut status.conditions, Timestamp::now());
            if status != before {
                // What is said of it follows from what it says, which never changes.
                let none = None;
                let written = crate::controllers::status::publish_status(
                    &api,
                    approval.as_ref(),
                    none,
                    &before,
                    &status,
                )
                .await;
                match written {
                    Err(kube::Error::Api(error)) if error.is_not_found() => {}
                    other => drop(other?),
                }
            }
        }
        Ok(())
    }
}

/// The Approvals that stages have started with.
fn used(stages: &[StageStatus]) -> BTreeSet<String> {
    stages
        .iter()
        .filter_map(|stage| stage.passage.as_ref())
        .flat_map(|passage| &passage.by.approvals)
        .map(|approval| approval.uid.clone())
        .collect()
}

#[cfg(test)]
mod tests;
