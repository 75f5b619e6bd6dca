//! The gates as they stand, for the order of stages to ask.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::{
    api::v1alpha1::{Account, Approval, Decision, Gate, ManualJobStatus},
    domain::{
        gates::{
            self, Inputs, Job, Judgement, PolicyForce, Requirements, Subject, Verdict,
            entry::{self, Guard, Refusal},
        },
        pipeline::FreezePeriod,
        reason::Reason,
        rollout::{Answer, Ask, Asks, Entry, Gatekeeper},
    },
};

/// The gates as they stand.
pub struct Gates {
    pub(super) namespace: String,
    pub(super) stages: BTreeMap<String, StageGate>,
    /// Whether the Deployment delivers only protected branches and tags.
    pub(super) protected_ref: bool,
    /// The Accounts that exist, of those that the Deployment or a Release of it names.
    pub(super) accounts: BTreeMap<String, Arc<Account>>,
    pub(super) approvals: Vec<Arc<Approval>>,
    pub(super) used: BTreeSet<String>,
    /// Not known before it is asked for.
    pub(super) policy: Option<PolicyForce>,
    pub(super) policy_asked: AtomicBool,
    /// None as long as GitLab was not asked.
    pub(super) freezes: Option<Result<Vec<FreezePeriod>, String>>,
    pub(super) gitlab_asked: AtomicBool,
    pub(super) judged: Mutex<BTreeMap<String, Judgement>>,
}

/// What the Deployment says of one stage now.
pub(super) struct StageGate {
    pub(super) gate: Option<Gate>,
    pub(super) accounts: BTreeSet<String>,
    pub(super) looked: Option<Looked>,
}

/// How the manual jobs of what waits stand.
pub(super) struct Looked {
    pub(super) release_uid: String,
    pub(super) attempt: i64,
    pub(super) digest: String,
    pub(super) jobs: BTreeMap<String, Job>,
    pub(super) seen: Vec<ManualJobStatus>,
}

impl Gates {
    /// All that this Release is asked for before the stage; or why it is never let in.
    ///
    /// The places that it writes are those of its own template; what the Deployment says now is asked
    /// on top, so that an edit can add to what an Account requires and not take it away.
    pub(super) fn needs(&self, entry: &Entry<'_>) -> Result<Requirements, Refusal> {
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
                reason: Reason::PolicyNotInForce,
                message: "it was not looked at".to_owned(),
                manual_jobs: Vec::new(),
                until: None,
            };
        };
        let (verdict, looking) = self.evaluate(ask, &requirements, policy);
        // An open gate has none.
        let reason = verdict.reason().unwrap_or(Reason::WaitingForApproval);
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
