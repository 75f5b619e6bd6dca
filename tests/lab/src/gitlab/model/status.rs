//! The statuses of jobs and pipelines, and how a pipeline's status follows from its jobs.
//!
//! The rules apply in order: first whether *only* certain statuses occur, then whether *any* of some does.
//! An allowed failure or cancellation counts as success with warnings, and an optional manual job is
//! ignored. (Source: GitLab's composite status.)

use std::{collections::BTreeSet, str::FromStr};

use serde::{Deserialize, Serialize};

/// A status of a job or a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "GitLab's own words")]
pub enum Status {
    Created,
    WaitingForResource,
    Preparing,
    WaitingForCallback,
    Pending,
    Running,
    Success,
    Failed,
    Canceling,
    Canceled,
    Skipped,
    Manual,
    Scheduled,
}

impl Status {
    /// Every status, as the API's `scope` and `status` parameters accept them.
    pub const ALL: [Self; 13] = [
        Self::Created,
        Self::WaitingForResource,
        Self::Preparing,
        Self::WaitingForCallback,
        Self::Pending,
        Self::Running,
        Self::Success,
        Self::Failed,
        Self::Canceling,
        Self::Canceled,
        Self::Skipped,
        Self::Manual,
        Self::Scheduled,
    ];

    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::WaitingForResource => "waiting_for_resource",
            Self::Preparing => "preparing",
            Self::WaitingForCallback => "waiting_for_callback",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Canceling => "canceling",
            Self::Canceled => "canceled",
            Self::Skipped => "skipped",
            Self::Manual => "manual",
            Self::Scheduled => "scheduled",
        }
    }

    /// Whether the job or pipeline has ended.
    pub fn is_complete(self) -> bool {
        matches!(
            self,
            Self::Success | Self::Failed | Self::Canceled | Self::Skipped
        )
    }
}

impl FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(())
    }
}

/// How a job's status counts for the pipeline's status.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Counted {
    Plain(Status),
    Warned,
    Ignored,
}

impl Counted {
    fn of(status: Status, allow_failure: bool) -> Self {
        match status {
            Status::Failed | Status::Canceled if allow_failure => Self::Warned,
            Status::Manual if allow_failure => Self::Ignored,
            other => Self::Plain(other),
        }
    }
}

/// The admitted statuses of a rule, and the result if only those occur. Allowed failures and optional manual
/// jobs match every rule.
const ONLY: [(&[Status], Status); 5] = [
    (&[Status::Success, Status::Skipped], Status::Success),
    (&[Status::Created], Status::Created),
    (&[Status::Preparing], Status::Preparing),
    (
        &[Status::Canceled, Status::Success, Status::Skipped],
        Status::Canceled,
    ),
    (
        &[Status::Pending, Status::Created, Status::Skipped],
        Status::Pending,
    ),
];

/// A status that occurs, and the result; tried in order if no rule of [`ONLY`] matches.
const ANY: [(Status, Status); 9] = [
    (Status::Canceling, Status::Canceling),
    (Status::Running, Status::Running),
    (Status::Pending, Status::Running),
    (Status::WaitingForCallback, Status::WaitingForCallback),
    (Status::WaitingForResource, Status::WaitingForResource),
    (Status::Manual, Status::Manual),
    (Status::Scheduled, Status::Scheduled),
    (Status::Preparing, Status::Preparing),
    (Status::Created, Status::Running),
];

/// The status of a pipeline, or of a part of it, from the status of each job and whether it may fail.
/// `None` without jobs.
pub fn composite(jobs: impl IntoIterator<Item = (Status, bool)>) -> Option<Status> {
    let set: BTreeSet<Counted> = jobs
        .into_iter()
        .map(|(status, allow_failure)| Counted::of(status, allow_failure))
        .collect();
    if set.is_empty() {
        return None;
    }
    if set
        .iter()
        .all(|c| matches!(c, Counted::Ignored | Counted::Plain(Status::Skipped)))
    {
        return Some(Status::Skipped);
    }
    let only = |admitted: &[Status]| {
        set.iter().all(|counted| match counted {
            Counted::Plain(status) => admitted.contains(status),
            Counted::Warned | Counted::Ignored => true,
        })
    };
    if let Some((_, status)) = ONLY.iter().find(|(admitted, _)| only(admitted)) {
        return Some(*status);
    }
    let any = ANY
        .iter()
        .find(|(status, _)| set.contains(&Counted::Plain(*status)));
    Some(any.map_or(Status::Failed, |(_, status)| *status))
}
