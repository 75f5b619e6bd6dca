//! The messages of gates.

use super::{
    approvals::Subject,
    freeze::Freeze,
    manual_job::Job,
    requirements::KubernetesApprovers,
    verdict::{Verdict, Waiting},
};
use crate::{api::v1alpha1::Decision, domain::reason::Reason};

/// How many ignored Approvals a message names.
const NOTES: usize = 3;

impl Verdict {
    /// CamelCase, for programs: why the gate is not open.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Open(_) => None,
            Self::Waiting { reasons, .. } => reasons.first().map(Waiting::reason),
            Self::Rejected { .. } => Some(Reason::Rejected),
        }
    }

    /// For people: everything that the gate waits for, or how it ended.
    pub fn message(&self, subject: &Subject<'_>) -> String {
        let Subject { release, stage, .. } = subject;
        match self {
            Self::Open(_) => format!("{stage} may start with {release}"),
            Self::Waiting { reasons, notes, .. } => {
                let reasons = reasons.iter().map(Waiting::message);
                let all: Vec<String> = reasons.chain(notes.iter().take(NOTES).cloned()).collect();
                format!("{release} waits before {stage}: {}", all.join("; "))
            }
            Self::Rejected {
                by,
                comment,
                approval,
                ..
            } => {
                let why = comment
                    .as_deref()
                    .map(|comment| format!(": {comment}"))
                    .unwrap_or_default();
                format!("{by} rejected {release} before {stage} (Approval {approval}){why}")
            }
        }
    }
}

impl Waiting {
    /// CamelCase, for programs.
    pub fn reason(&self) -> Reason {
        match self {
            Self::PolicyNotInForce { .. } => Reason::PolicyNotInForce,
            Self::Approvals { .. } | Self::ManualJob { .. } => Reason::WaitingForApproval,
            Self::Window { .. } => Reason::OutsideWindow,
            Self::Freeze(Freeze::InForce { .. }) => Reason::Frozen,
            Self::Freeze(Freeze::Unreadable { .. }) | Self::FreezeUnknown { .. } => {
                Reason::FreezePeriodsUnknown
            }
        }
    }

    /// For people: what is missing and who can provide it.
    pub fn message(&self) -> String {
        match self {
            Self::PolicyNotInForce { why } => format!("no Approval counts: {why}"),
            Self::Approvals {
                asker,
                have,
                need,
                from,
            } => format!("{have} of {need} approvals by {from} ({asker})"),
            Self::ManualJob { job, stands } => job_message(job, stands.as_ref()),
            Self::Window { asker, opens } => match opens {
                Some(opens) => format!("the next window opens at {opens} ({asker})"),
                None => format!("no window opens any more ({asker})"),
            },
            Self::Freeze(Freeze::InForce { period, until }) => {
                format!("freeze period {period} of the GitLab project ends at {until}")
            }
            Self::Freeze(Freeze::Unreadable { period, problem }) => format!(
                "freeze period {period} of the GitLab project can't be read ({problem}): correct \
                 it in GitLab"
            ),
            Self::FreezeUnknown { why } => {
                format!("the freeze periods of the GitLab project are not known: {why}")
            }
        }
    }
}

fn job_message(job: &str, state: Option<&Job>) -> String {
    let who = |by: &Option<String>| by.as_deref().unwrap_or("an unknown user").to_owned();
    match state {
        None => format!("the manual job {job} has not been read yet"),
        Some(Job::Missing { near: Some(near) }) => format!(
            "the pipeline has no job {job}, but {near}: the gate has to name it exactly as GitLab shows it"
        ),
        Some(Job::Missing { near: None }) => format!(
            "the pipeline has no job {job}: add it to .gitlab-ci.yml with when: manual, or correct \
             the gate"
        ),
        Some(Job::Inconclusive { status }) => {
            format!("the manual job {job} is {status}: GitLab does not allow starting it yet")
        }
        Some(Job::Waiting) => format!("start the manual job {job} in GitLab"),
        Some(Job::Running { by }) => {
            format!(
                "{} started the manual job {job}, which has not ended yet",
                who(by)
            )
        }
        Some(Job::NeedUser(_)) => {
            format!("the manual job {job} was started; waiting for GitLab to report by whom")
        }
        Some(Job::TooEarly { status, by }) => format!(
            "the manual job {job} ({status}) was started by {} before there was a plan to approve, \
             which does not count: run it again in GitLab",
            who(by)
        ),
        Some(Job::Ended { status, .. }) => {
            format!(
                "the manual job {job} is {status}, which does not approve: run it again in GitLab"
            )
        }
        Some(Job::Barred { by, why }) => format!(
            "the manual job {job} was started by {}, who may not: {why}. Another user has to run \
             it again in GitLab",
            who(by)
        ),
        Some(Job::Approved { by, .. }) => format!("{} started the manual job {job}", who(by)),
    }
}

/// Whose approval counts, such as `bea, carl or a member of shop-approvers`.
pub fn whose(approvers: &KubernetesApprovers) -> String {
    let users = approvers.users.iter().cloned();
    let groups = approvers
        .groups
        .iter()
        .map(|group| format!("a member of {group}"));
    let mut all: Vec<String> = users.chain(groups).collect();
    match all.pop() {
        Some(last) if all.is_empty() => last,
        Some(last) => format!("{} or {last}", all.join(", ")),
        None => "no approver".to_owned(),
    }
}

/// A command that approves or rejects exactly this subject, as the user who runs it, with all their groups.
///
/// It asks the API server for the user, because the admission policy accepts no other approver.
pub fn approve_command(namespace: &str, subject: &Subject<'_>, decision: Decision) -> String {
    let Subject {
        release,
        release_uid,
        stage,
        stage_digest,
        ..
    } = subject;
    let groups = r#"{{range $i, $group := .status.userInfo.groups}}{{if $i}},{{end}}{{printf "%q" $group}}{{end}}"#;
    let approver = format!(
        r#"{{"username":{{{{printf "%q" .status.userInfo.username}}}},"groups":[{groups}]}}"#
    );
    format!(
        "kubectl auth whoami --output=go-template='\
         {{\"apiVersion\":\"sluice.dev/v1alpha1\",\"kind\":\"Approval\",\
         \"metadata\":{{\"generateName\":\"{release}-{stage}-\"}},\
         \"spec\":{{\"releaseRef\":{{\"name\":\"{release}\",\"uid\":\"{release_uid}\"}},\
         \"stage\":\"{stage}\",\"stageDigest\":\"{stage_digest}\",\
         \"decision\":\"{decision:?}\",\"approver\":{approver}}}}}' \
         | kubectl create --namespace={namespace} --filename=-"
    )
}
