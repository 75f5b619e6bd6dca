//! The gates of a Deployment's stages: what they ask for, what GitLab and the cluster say to that, and
//! what became of each Approval.
//!
//! # Expected flow
//! [`DeploymentController::gates`] reads what the stages that wait need of GitLab (manual jobs, freeze
//! periods). The order of stages asks the gates; if they can't say without knowing whether the admission
//! policy is in force, that is read ([`DeploymentController::look_at_policy`]) and they are asked again.
//! [`DeploymentController::answer`] writes into each Approval whether it counts.
//!
//! # Guarantees
//! - GitLab is asked only for a stage that waits, and not more often than the source is polled; the
//!   policy is read only when a gate is asked.
//! - What can't be read keeps the gate closed.

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
        Account, Approval, ApprovalStatus, Decision, Deployment, Gate, GateStatus, ManualJobStatus,
        Release, StageStatus,
    },
    controllers::target,
    domain::{
        gates::{
            self, Inputs, Job, Judgement, PolicyForce, Requirements, Subject, Verdict,
            approvals::unasked,
        },
        pipeline::FreezePeriod,
        rollout::{Answer, Ask, Gatekeeper},
    },
};

/// How long it is taken for granted that the admission policy is in force, while nobody has approved.
const POLICY_AGE: Duration = Duration::from_secs(10);

/// The gates as they stand.
pub struct Gates {
    namespace: String,
    stages: BTreeMap<String, StageGate>,
    approvals: Vec<Arc<Approval>>,
    used: BTreeSet<String>,
    /// Not known before it is asked for.
    policy: Option<PolicyForce>,
    policy_asked: AtomicBool,
    freezes: Result<Vec<FreezePeriod>, String>,
    authors: BTreeMap<String, Option<String>>,
    judged: Mutex<BTreeMap<String, Judgement>>,
}

/// What one stage asks for.
struct StageGate {
    name: String,
    gate: Option<Gate>,
    accounts: Vec<Arc<Account>>,
    looked: Option<Looked>,
}

impl StageGate {
    /// What is asked for, or why that can't be told. `back` is whether it goes back to what has served
    /// there.
    fn asks(&self, back: bool) -> Result<Requirements, String> {
        let accounts = self.accounts.iter().filter_map(|account| {
            let name = account.metadata.name.as_deref()?;
            Some((name, account.spec.requires.as_ref()?))
        });
        let asked = if back {
            Requirements::of_going_back(accounts)
        } else {
            Requirements::of(self.gate.as_ref(), accounts)
        };
        asked.map_err(|invalid| format!("spec.stages[{}].gate: {invalid}", self.name))
    }
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
    fn evaluate(
        &self,
        ask: &Ask<'_>,
        requirements: &Requirements,
        policy: &PolicyForce,
    ) -> (Verdict, Looking<'_>) {
        let looked = self
            .stages
            .get(ask.stage)
            .and_then(|stage| stage.looked.as_ref())
            .filter(|looked| {
                looked.release_uid == ask.release.uid
                    && looked.attempt == ask.attempt
                    && looked.digest == ask.digest
            });
        let none = BTreeMap::new();
        let author = self.authors.get(&ask.release.uid).cloned().flatten();
        let subject = Subject {
            release: &ask.release.name,
            release_uid: &ask.release.uid,
            stage: ask.stage,
            stage_digest: ask.digest,
            author: author.as_deref(),
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
                Ok(periods) => Ok(periods),
                Err(why) => Err(why),
            },
            now: Timestamp::now(),
        });
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        for (approval, judgement) in approvals.iter().zip(evaluation.judgements) {
            let uid = approval.uid().unwrap_or_default();
            // The stage that an Approval names speaks of it.
            if approval.spec.stage == ask.stage || !judged.contains_key(&uid) {
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
    fn is_gated(&self, stage: &str, back: bool) -> bool {
        let Some(stage) = self.stages.get(stage) else {
            return false;
        };
        stage
            .asks(back)
            .as_ref()
            .map_or(true, |asked| !asked.is_empty())
    }

    fn ask(&self, ask: &Ask<'_>) -> Answer {
        let waiting = |reason, message| Answer::Waiting {
            reason,
            message,
            manual_jobs: Vec::new(),
        };
        let requirements = match self.stages.get(ask.stage).map(|it| it.asks(ask.back)) {
            Some(Ok(requirements)) => requirements,
            Some(Err(why)) => return waiting("InvalidGate", why),
            None => return Answer::Open(crate::api::v1alpha1::GatePassage::default()),
        };
        let Some(policy) = &self.policy else {
            self.policy_asked.store(true, Ordering::Relaxed);
            return waiting("PolicyNotInForce", "it was not looked at".to_owned());
        };
        let (verdict, looking) = self.evaluate(ask, &requirements, policy);
        let reason = verdict.reason().unwrap_or("Open");
        match verdict {
            Verdict::Open(by) => Answer::Open(by),
            Verdict::Waiting { .. } => Answer::Waiting {
                reason,
                message: looking.message,
                manual_jobs: looking.seen.to_vec(),
            },
            Verdict::Rejected { .. } => Answer::Rejected(looking.message),
        }
    }
}

impl DeploymentController {
    /// The gates as they stand, with what GitLab says where something waits at one.
    pub(super) async fn gates(&self, deployment: &Deployment, family: &Family) -> Gates {
        let stages = deployment.spec.stages.iter().map(|stage| {
            let places = stage.targets.iter();
            let accounts =
                places.filter_map(|place| target::account(&self.context, &place.account).ok());
            // Two regions of an Account ask once.
            let accounts: BTreeMap<_, _> = accounts.map(|it| (it.name_any(), it)).collect();
            let gate = StageGate {
                name: stage.name.clone(),
                gate: stage.gate.clone(),
                accounts: accounts.into_values().collect(),
                looked: None,
            };
            (stage.name.clone(), gate)
        });
        let status = deployment.status.clone().unwrap_or_default();
        let mut gates = Gates {
            namespace: deployment.namespace().unwrap_or_default(),
            stages: stages.collect(),
            approvals: self.approvals_of(family),
            used: used(&status.stages),
            policy: None,
            policy_asked: AtomicBool::new(false),
            freezes: Err("GitLab was not asked yet".to_owned()),
            authors: family
                .releases
                .iter()
                .map(|release| {
                    let author = release.spec.source.user.clone();
                    (release.uid().unwrap_or_default(), author)
                })
                .collect(),
            judged: Mutex::default(),
        };
        let waiting: Vec<(&str, &GateStatus)> = status
            .stages
            .iter()
            .filter_map(|stage| Some((stage.name.as_str(), stage.waiting.as_ref()?)))
            .collect();
        self.look_at_gitlab(deployment, family, &waiting, &mut gates)
            .await;
        gates
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
        let names: BTreeSet<(Option<String>, String)> = family
            .releases
            .iter()
            .map(|release| (release.namespace(), release.name_any()))
            .collect();
        self.context
            .stores
            .approvals
            .state_filter(|one: &Approval| {
                names.contains(&(one.namespace(), one.spec.release_ref.name.clone()))
            })
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
