//! Manual jobs of GitLab as approvals.
//!
//! GitLab does not report when a manual job was started, and until then the job carries the name of the
//! pipeline's user. A start can't be undone, and a start from before the gate opened would approve a plan
//! that the user had not seen. So a job is *armed* first: Sluice must have observed it waiting after the
//! gate opened for exactly this plan. Then its success approves.
//!
//! | observed | result |
//! |---|---|
//! | waiting (`manual`) since the gate opened | armed: starting it counts |
//! | already started when the gate opened | does not count: it has to be run again |
//! | a rerun (GitLab creates a new job) of one that had ended, or was armed | armed |
//! | a rerun of one that was running, unarmed, at the last poll | not armed: `retry:` may have done it |
//! | armed, ended with `success` | approves, unless the user who started it is barred |
//! | armed, ended otherwise | does not approve: it has to be run again |
//!
//! Guarantees: nothing that happened before the gate opened approves. An opening is one Release, one
//! attempt and one plan; another opening starts without any history.
//!
//! Relies on
//! - the caller to drop the status of a job when the gate closes without the stage starting: an earlier
//!   plan may come back;
//! - a list of jobs that was requested after the gate opened: an older list may show a job as waiting that
//!   has been started since;
//! - increasing job ids in GitLab, and on no clock but the controller's.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::v1alpha1::{GitLabApproval, ManualJobStatus, PlayedBy},
    domain::{
        eligibility::newest_job,
        names,
        pipeline::{self, JobUser},
    },
};

#[cfg(test)]
mod tests;

/// The plan that the gate opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening<'a> {
    /// The uid of the Release.
    pub release_uid: &'a str,
    /// The attempt.
    pub attempt: i64,
    /// The digest of the stage's plan.
    pub stage_digest: &'a str,
    /// The GitLab username of the pipeline's author.
    pub author: Option<&'a str>,
}

/// The state of a manual job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// The pipeline has no job of that name.
    Missing {
        /// A job with a similar name.
        near: Option<String>,
    },
    /// It can't be started yet.
    Inconclusive {
        /// The status in GitLab, such as `created`.
        status: String,
    },
    /// It waits for a user to start it.
    Waiting,
    /// It was started and has not ended.
    Running {
        /// Who started it.
        by: Option<String>,
    },
    /// The user who started it may be a bot, which GitLab does not report with the job: read this user
    /// (`GET /users/:id`) and observe the job again.
    NeedUser(i64),
    /// It approves.
    Approved {
        /// The id of the job in GitLab.
        id: i64,
        /// Who started it.
        by: Option<String>,
        /// When it was first observed as started.
        at: Timestamp,
    },
    /// It was started before the gate opened, or not by a user.
    TooEarly {
        /// Its current status in GitLab.
        status: String,
        /// Who started it.
        by: Option<String>,
    },
    /// It ended without success.
    Ended {
        /// `failed` or `canceled`.
        status: String,
        /// Who started it.
        by: Option<String>,
    },
    /// The user who started it may not approve.
    Barred {
        /// Who started it.
        by: Option<String>,
        /// Why not.
        why: &'static str,
    },
}

/// Observes the jobs of the pipeline (without retried ones): returns the status to keep until the next call,
/// and the state of the job.
///
/// `before` is the status from the last call. `bot` returns whether a user is a bot, if that was read.
pub fn observe(
    before: Option<&ManualJobStatus>,
    opening: &Opening<'_>,
    rule: &GitLabApproval,
    jobs: &[pipeline::Job],
    bot: impl Fn(i64) -> Option<bool>,
    now: Timestamp,
) -> (ManualJobStatus, Job) {
    let before = before.filter(|before| is_of(before, opening, rule));
    let mut observed = before.cloned().unwrap_or_else(|| ManualJobStatus {
        job: rule.manual_job.clone(),
        release_uid: opening.release_uid.to_owned(),
        attempt: opening.attempt,
        stage_digest: opening.stage_digest.to_owned(),
        opened_at: Time(now),
        job_id: None,
        armed: false,
        armed_at: None,
        ended: false,
        author_id: None,
        played: None,
    });
    let Some(job) = newest_job(jobs, &rule.manual_job) else {
        let near = names::near(&rule.manual_job, jobs.iter().map(|job| job.name.as_str()));
        return (observed, Job::Missing { near });
    };
    // Lists may come from a cache: an older job is stale.
    if observed.job_id.is_some_and(|known| job.id < known) {
        return (observed, Job::Missing { near: None });
    }
    if observed.job_id != Some(job.id) {
        // A user requested this rerun after the gate opened, unless the previous job failed and was
        // retried automatically between two polls.
        let rerun = observed.job_id.is_some() && (observed.armed || observed.ended);
        observed.job_id = Some(job.id);
        observed.armed = rerun;
        observed.armed_at = rerun.then_some(Time(now));
        observed.played = None;
    }
    if job.status == "manual" && !observed.armed {
        observed.armed = true;
        observed.armed_at = Some(Time(now));
    }
    observed.ended = has_ended(&job.status);
    let state = match job.status.as_str() {
        "manual" => {
            observed.author_id = job.user.as_ref().map(|user| user.id).or(observed.author_id);
            Job::Waiting
        }
        "created" | "scheduled" | "skipped" => Job::Inconclusive {
            status: job.status.clone(),
        },
        status => {
            // A canceled job may never have been started.
            if status != "canceled" && observed.played.is_none() {
                observed.played = Some(played(job.user.as_ref(), now));
            }
            if let Some(played) = &mut observed.played
                && let (None, Some(id)) = (played.bot, played.user_id)
            {
                played.bot = bot(id);
            }
            let by = observed
                .played
                .as_ref()
                .and_then(|played| played.username.clone());
            let status = status.to_owned();
            match status.as_str() {
                _ if !observed.armed => Job::TooEarly { status, by },
                "success" => approve(&observed, opening, rule, job.id),
                "failed" | "canceled" => Job::Ended { status, by },
                // An unknown status does not count as ended.
                _ => Job::Running { by },
            }
        }
    };
    (observed, state)
}

/// The state of an armed job that succeeded: approved, unless the user who started it is barred.
fn approve(
    observed: &ManualJobStatus,
    opening: &Opening<'_>,
    rule: &GitLabApproval,
    id: i64,
) -> Job {
    let Some(played) = &observed.played else {
        return Job::Waiting;
    };
    let by = played.username.clone();
    let barred = |why| Job::Barred {
        by: by.clone(),
        why,
    };
    if !rule.allow_author {
        let Some(username) = &played.username else {
            return barred("the author may not approve, and GitLab does not report who started it");
        };
        let by_id = observed.author_id.is_some() && observed.author_id == played.user_id;
        match opening.author {
            Some(author) if by_id || author.eq_ignore_ascii_case(username) => {
                return barred("it is this user's own pipeline");
            }
            None if by_id => return barred("it is this user's own pipeline"),
            None if observed.author_id.is_none() => {
                return barred(
                    "the author may not approve, and GitLab does not report who the author is",
                );
            }
            _ => {}
        }
    }
    if !rule.allow_bots {
        match (played.bot, played.user_id) {
            (Some(false), _) => {}
            (Some(true), _) => return barred("it is a bot"),
            (None, Some(user)) => return Job::NeedUser(user),
            (None, None) => {
                return barred("bots may not approve, and GitLab does not report who started it");
            }
        }
    }
    Job::Approved {
        id,
        by,
        at: played.at.0,
    }
}

fn is_of(observed: &ManualJobStatus, opening: &Opening<'_>, rule: &GitLabApproval) -> bool {
    observed.job == rule.manual_job
        && observed.release_uid == opening.release_uid
        && observed.attempt == opening.attempt
        && observed.stage_digest == opening.stage_digest
}

fn has_ended(status: &str) -> bool {
    matches!(status, "success" | "failed" | "canceled")
}

fn played(user: Option<&JobUser>, now: Timestamp) -> PlayedBy {
    PlayedBy {
        user_id: user.map(|user| user.id),
        username: user.map(|user| user.username.clone()),
        bot: user.and_then(|user| user.bot),
        at: Time(now),
    }
}
