//! The gates of a Deployment, as the plan evaluates them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
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
        promotion::{Answer, Ask, Asks, Entry, Evaluated, Gatekeeper, Judged, Unread},
        reason::Reason,
    },
};

/// The requirements of the gates, and what was read for them.
pub struct Gates {
    pub(super) namespace: String,
    pub(super) stages: BTreeMap<String, StageGate>,
    /// Whether the Deployment delivers only protected branches and tags.
    pub(super) protected_ref: bool,
    /// The existing Accounts among those that the Deployment or one of its Releases names.
    pub(super) accounts: BTreeMap<String, Arc<Account>>,
    pub(super) approvals: Vec<Arc<Approval>>,
    pub(super) used: BTreeSet<String>,
    /// Whether the admission policy is in force; `None` until it is read.
    pub(super) policy: Option<PolicyForce>,
    /// Whether GitLab was asked about the waiting stages; `freezes` and the jobs of each stage are its
    /// answers.
    pub(super) is_gitlab_read: bool,
    pub(super) freezes: Result<Vec<FreezePeriod>, String>,
}

/// The present spec of one stage.
pub(super) struct StageGate {
    pub(super) gate: Option<Gate>,
    pub(super) accounts: BTreeSet<String>,
    pub(super) job_readings: Option<JobReadings>,
}

/// The manual jobs of a waiting Release.
pub(super) struct JobReadings {
    pub(super) release_uid: String,
    pub(super) attempt: i64,
    pub(super) digest: String,
    pub(super) jobs: BTreeMap<String, Job>,
    pub(super) observed: Vec<ManualJobStatus>,
}

impl Gates {
    /// The requirements for this Release to enter the stage, or why it can never enter.
    ///
    /// They come from the Accounts of the Release's own template and from the present spec of the Deployment,
    /// so that an edit can add to the requirements of an Account but not remove them.
    pub(super) fn needs(&self, entry: &Entry<'_>) -> Result<Requirements, Refusal> {
        let stage = self.stages.get(entry.stage);
        let written = entry.release.stages.iter();
        let written = written.filter(|stage| stage.name == entry.stage);
        let mut names: BTreeSet<&str> = written
            .flat_map(|stage| &stage.targets)
            .map(|target| target.account.as_str())
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
    ) -> (Answer, Vec<Judged>) {
        let release = &ask.entry.release.reference;
        let job_readings = self
            .stages
            .get(ask.entry.stage)
            .and_then(|stage| stage.job_readings.as_ref())
            .filter(|job_readings| {
                job_readings.release_uid == release.uid
                    && job_readings.attempt == ask.attempt
                    && job_readings.digest == ask.digest
            });
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
            manual_jobs: job_readings.map_or(&none, |job_readings| &job_readings.jobs),
            freeze_periods: self.freezes.as_deref().map_err(String::as_str),
            now: Timestamp::now(),
        });
        let judged = approvals.iter().zip(evaluation.judgements);
        let mut judged: Vec<Judged> = judged
            .map(|(approval, judgement)| Judged {
                approval: approval.uid().unwrap_or_default(),
                names_stage: approval.spec.stage == ask.entry.stage,
                judgement,
            })
            .collect();
        let mut message = evaluation.verdict.message(&subject);
        // An open gate has none.
        let reason = evaluation.verdict.reason();
        let answer = match evaluation.verdict {
            Verdict::Open(by) => Answer::Open(by),
            Verdict::Waiting { until, reasons, .. } => {
                let needs_approval = |one: &_| matches!(one, gates::Waiting::Approvals { .. });
                if reasons.iter().any(needs_approval) {
                    let command =
                        gates::approve_command(&self.namespace, &subject, Decision::Approve);
                    message = format!("{message}. To approve: {command}");
                }
                Answer::Waiting {
                    reason: reason.unwrap_or(Reason::WaitingForApproval),
                    message,
                    manual_jobs: job_readings
                        .map_or_else(Vec::new, |job_readings| job_readings.observed.clone()),
                    until,
                }
            }
            Verdict::Rejected { approval_uid, .. } => {
                for one in judged.iter_mut().filter(|one| one.approval == approval_uid) {
                    one.judgement = Judgement::Used;
                }
                Answer::Rejected(message)
            }
        };
        (answer, judged)
    }
}

impl Gatekeeper for Gates {
    fn asks(&self, entry: &Entry<'_>) -> Asks {
        match self.needs(entry) {
            Ok(requirements) if requirements.is_empty() => Asks::Nothing,
            Ok(_) => Asks::Something,
            Err(refusal) => Asks::Refused(refusal),
        }
    }

    fn ask(&self, ask: &Ask<'_>) -> Evaluated {
        let requirements = match self.needs(&ask.entry) {
            Ok(requirements) => requirements.of_plan(ask.deletes),
            Err(refusal) => return Answer::Refused(refusal).into(),
        };
        let mut unread = BTreeSet::new();
        if requirements.need_gitlab() && !self.is_gitlab_read {
            unread.insert(Unread::GitLab);
        }
        let Some(policy) = &self.policy else {
            unread.insert(Unread::AdmissionPolicy);
            let answer = Answer::Waiting {
                reason: Reason::PolicyNotInForce,
                message: "the admission policy was not read yet".to_owned(),
                manual_jobs: Vec::new(),
                until: None,
            };
            return Evaluated {
                unread,
                ..answer.into()
            };
        };
        let (answer, judged) = self.evaluate(ask, &requirements, policy);
        Evaluated {
            answer,
            judged,
            unread,
        }
    }
}
