//! Whether one Approval counts, and if not, why not.
//!
//! An Approval counts once, for one Release (by its uid), one stage and one plan (by its digest), and
//! only if the admission policy has verified its approver. Rejections are judged by the same rules,
//! except that an author may always reject.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::requirements::KubernetesApprovers;
use crate::{
    api::v1alpha1::{Approval, Decision, condition::COUNTED},
    domain::{
        outcome::{Stamp, find, set},
        reason::Reason,
    },
};

#[cfg(test)]
pub(super) mod tests;

/// The plan in front of a gate.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The name of the Release.
    pub release: &'a str,
    /// Its uid.
    pub release_uid: &'a str,
    /// The stage.
    pub stage: &'a str,
    /// The digest of the stage's plan, lower-case hex.
    pub stage_digest: &'a str,
    /// The GitLab username of the pipeline's author.
    pub author: Option<&'a str>,
}

/// Whether the admission policies are in force as this version ships them. They tie approvers to API callers,
/// and let only the controller write Releases, Targets and statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyForce {
    /// Approvals created since then can be trusted.
    Since(Timestamp),
    /// No Approval can be trusted, and why.
    NotInForce(String),
}

impl PolicyForce {
    /// The state of two policies together: in force since the later one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Since(one), Self::Since(other)) => Self::Since(one.max(other)),
            (not @ Self::NotInForce(_), _) | (_, not @ Self::NotInForce(_)) => not,
        }
    }
}

/// The judgement of an Approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It counts, and the stage has not started yet.
    Counts,
    /// The stage started with it, or it rejected the Release.
    Used,
    /// It does not count.
    Ignored(Ignored),
}

/// Why an Approval does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// The admission policy did not verify its approver.
    PolicyNotInForce(String),
    /// There is no Release of that name.
    NoSuchRelease,
    /// The Release of that name has another uid now.
    OtherRelease,
    /// It is for another stage than the waiting one.
    OtherStage,
    /// The Release does not wait for an approval in that stage.
    NotWaiting,
    /// The plan has changed.
    OtherPlan {
        /// The digest of the waiting plan.
        current: String,
    },
    /// It was used before: each Approval counts once.
    Used,
    /// It is too old.
    Expired {
        /// When it expired.
        at: Timestamp,
    },
    /// Its approver is not an allowed approver.
    NotAllowed,
    /// Its approver is the author of the pipeline.
    AuthorBarred,
    /// The author's Kubernetes identity is unknown, so the approver may be the author.
    AuthorUnknown {
        /// The GitLab username of the author, if known.
        author: Option<String>,
    },
    /// The same person has approved already.
    Repeated {
        /// The name of the Approval that counts.
        by: String,
    },
    /// The stage requires no Approvals.
    NotAsked,
}

impl Ignored {
    /// CamelCase, for programs.
    pub fn reason(&self) -> Reason {
        match self {
            Self::PolicyNotInForce(_) => Reason::PolicyNotInForce,
            Self::NoSuchRelease => Reason::NoSuchRelease,
            Self::OtherRelease => Reason::OtherRelease,
            Self::OtherStage => Reason::OtherStage,
            Self::NotWaiting => Reason::NotWaiting,
            Self::OtherPlan { .. } => Reason::OtherPlan,
            Self::Used => Reason::AlreadyUsed,
            Self::Expired { .. } => Reason::Expired,
            Self::NotAllowed => Reason::NotAllowed,
            Self::AuthorBarred => Reason::AuthorBarred,
            Self::AuthorUnknown { .. } => Reason::AuthorUnknown,
            Self::Repeated { .. } => Reason::Repeated,
            Self::NotAsked => Reason::NotAsked,
        }
    }

    /// For people: what is wrong and what to do.
    pub fn message(&self, approval: &Approval) -> String {
        let spec = &approval.spec;
        let (release, stage) = (&spec.release_ref.name, &spec.stage);
        let username = &spec.approver.username;
        match self {
            Self::PolicyNotInForce(why) => {
                format!("the admission policy has not verified this Approval: {why}")
            }
            Self::NoSuchRelease => format!("there is no Release {release}"),
            Self::OtherRelease => format!(
                "Release {release} has another uid than {}: review the current Release and approve \
                 that",
                spec.release_ref.uid
            ),
            Self::OtherStage => format!("Release {release} does not wait in stage {stage}"),
            Self::NotWaiting => format!(
                "stage {stage} does not wait for an approval of Release {release} now: this one has no effect"
            ),
            Self::OtherPlan { current } => format!(
                "the plan of stage {stage} has changed since: it is {} now, not {}. Review it and \
                 approve again",
                short(current),
                short(&spec.stage_digest)
            ),
            Self::Used => {
                "it was used before, and each Approval counts once: approve again".to_owned()
            }
            Self::Expired { at } => format!("it expired at {at}: approve again"),
            Self::NotAllowed => {
                let groups = match spec.approver.groups.as_slice() {
                    [] => "no groups are named in spec.approver.groups".to_owned(),
                    groups => format!("with the groups {}", groups.join(", ")),
                };
                format!("{username} ({groups}) is not among those who may approve stage {stage}")
            }
            Self::AuthorBarred => {
                format!(
                    "{username} started the pipeline of {release}: another person has to approve"
                )
            }
            Self::AuthorUnknown { author } => format!(
                "the author of {release} may not approve it, and the gate's identities do not \
                 say who {} is in Kubernetes: add them there",
                author.as_deref().unwrap_or("the pipeline's user")
            ),
            Self::Repeated { by } => {
                format!("{username} has approved already, by {by}: another person has to approve")
            }
            Self::NotAsked => format!("stage {stage} requires no Approvals"),
        }
    }
}

impl Judgement {
    /// Sets the condition `Counted`, whose transition time changes only with its status.
    pub fn write_condition(
        &self,
        approval: &Approval,
        conditions: &mut Vec<Condition>,
        now: Timestamp,
    ) {
        let spec = &approval.spec;
        let (release, stage) = (&spec.release_ref.name, &spec.stage);
        let (status, reason, message) = match (self, spec.decision) {
            (Self::Counts, _) => (
                "True",
                Reason::Counted,
                format!("counts for stage {stage} of Release {release}"),
            ),
            (Self::Used, Decision::Approve) => (
                "True",
                Reason::Used,
                format!("stage {stage} of Release {release} started with it"),
            ),
            (Self::Used, Decision::Reject) => (
                "True",
                Reason::Used,
                format!("it rejected Release {release} before stage {stage}"),
            ),
            (Self::Ignored(why), _) => ("False", why.reason(), why.message(approval)),
        };
        let stamp = Stamp {
            reason,
            message: &message,
            generation: approval.metadata.generation,
            now,
        };
        set(conditions, COUNTED, status, &stamp);
    }
}

/// The judgement of an Approval that no waiting gate requires. `release_uid` is the uid of the Release
/// with the name in its spec, `used` the Approvals that stages have started with.
pub fn unasked(
    approval: &Approval,
    release_uid: Option<&str>,
    used: &BTreeSet<String>,
) -> Judgement {
    if is_used(approval, used) {
        return Judgement::Used;
    }
    Judgement::Ignored(match release_uid {
        None => Ignored::NoSuchRelease,
        Some(uid) if uid != approval.spec.release_ref.uid => Ignored::OtherRelease,
        Some(_) => Ignored::NotWaiting,
    })
}

/// Whether the Approval was used, by the recorded passages (`used`) or by its own status.
pub fn is_used(approval: &Approval, used: &BTreeSet<String>) -> bool {
    let is_recorded = approval
        .metadata
        .uid
        .as_ref()
        .is_some_and(|uid| used.contains(uid));
    is_recorded || counted(approval).is_some_and(|counted| counted.reason == Reason::Used.as_str())
}

/// Whether the status of the Approval reports that it counts.
pub fn has_counted_condition(approval: &Approval) -> bool {
    counted(approval).is_some()
}

/// The condition `Counted` of the Approval, if it is True.
fn counted(approval: &Approval) -> Option<&Condition> {
    let status = approval.status.as_ref()?;
    find(&status.conditions, COUNTED).filter(|counted| counted.status == "True")
}

/// Checks that the Approval is trusted, unused and for the waiting plan, whoever requires it. `Err` says why
/// not.
pub fn speaks_of(
    approval: &Approval,
    subject: &Subject<'_>,
    used: &BTreeSet<String>,
    policy: &PolicyForce,
) -> Result<(), Ignored> {
    match policy {
        PolicyForce::NotInForce(why) => return Err(Ignored::PolicyNotInForce(why.clone())),
        PolicyForce::Since(since) if created(approval) < *since => {
            return Err(Ignored::PolicyNotInForce(format!(
                "it was made before {since}, since when the policy is in force; approve again"
            )));
        }
        PolicyForce::Since(_) => {}
    }
    let spec = &approval.spec;
    if spec.release_ref.uid != subject.release_uid || spec.release_ref.name != subject.release {
        return Err(Ignored::OtherRelease);
    }
    if spec.stage != subject.stage {
        return Err(Ignored::OtherStage);
    }
    if spec.stage_digest != subject.stage_digest {
        return Err(Ignored::OtherPlan {
            current: subject.stage_digest.to_owned(),
        });
    }
    if is_used(approval, used) {
        return Err(Ignored::Used);
    }
    Ok(())
}

/// Checks that the approver is one of the allowed approvers. `Err` says why not.
pub fn check_approver(
    approval: &Approval,
    approvers: &KubernetesApprovers,
    subject: &Subject<'_>,
    now: Timestamp,
) -> Result<(), Ignored> {
    let spec = &approval.spec;
    let named = approvers.users.contains(&spec.approver.username);
    let member = spec
        .approver
        .groups
        .iter()
        .any(|group| approvers.groups.contains(group));
    if !named && !member {
        return Err(Ignored::NotAllowed);
    }
    let end = approvers.expires_after.and_then(|age| {
        let age = SignedDuration::try_from(age).ok()?;
        created(approval).checked_add(age).ok()
    });
    if let Some(at) = end.filter(|end| *end <= now) {
        return Err(Ignored::Expired { at });
    }
    match &approvers.barred_author {
        Some(identities) if spec.decision == Decision::Approve => {
            let known = subject.author.map(|author| identities.of(author));
            match known {
                Some(author) if author.contains(&spec.approver.username) => {
                    Err(Ignored::AuthorBarred)
                }
                Some(author) if !author.is_empty() => Ok(()),
                _ => Err(Ignored::AuthorUnknown {
                    author: subject.author.map(str::to_owned),
                }),
            }
        }
        _ => Ok(()),
    }
}

/// When the Approval was created, by the clock of the API server.
pub fn created(approval: &Approval) -> Timestamp {
    let time = approval.metadata.creation_timestamp.as_ref();
    time.map_or(Timestamp::MIN, |time| time.0)
}

/// The start of a digest, for messages.
fn short(digest: &str) -> &str {
    digest.get(..8).unwrap_or(digest)
}
