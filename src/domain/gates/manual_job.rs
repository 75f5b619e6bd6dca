//! GitLab's play button as an approval.
//!
//! GitLab does not tell when a manual job was started, and before it was, the job carries the name of
//! the pipeline's user. A press can't be undone, and one from before the gate opened approves what
//! nobody had seen. So a job is *armed* first: it must have been seen waiting, by us, after the gate
//! opened for exactly this plan. Then its success approves.
//!
//! | seen | then |
//! |---|---|
//! | waiting (`manual`) since the gate opened | armed: starting it counts |
//! | already started when the gate opened | does not count: it has to be run again |
//! | a rerun (GitLab makes a new job) of one that had ended, or was armed | armed |
//! | a rerun of one that was running, unarmed, when last looked at | not armed: GitLab's own `retry:` does that without anybody |
//! | armed, ended with `success` | approves, unless who started it is barred |
//! | armed, ended otherwise | does not approve: it has to be run again |
//!
//! Guarantees: nothing that happened before the gate opened approves. An opening is one Release, one
//! try and one plan; another one begins from nothing.
//!
//! Relies on
//! - what a look left being forgotten when the gate closes without the stage starting: a plan may come
//!   back that was there before;
//! - jobs that were asked for after the gate opened: a list from before may show as waiting what was
//!   started since;
//! - GitLab's ids of jobs to grow, and on no clock but ours.

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

/// What the gate opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening<'a> {
    /// Uid of the Release.
    pub release_uid: &'a str,
    /// Which try it is.
    pub attempt: i64,
    /// Digest of the stage's plan.
    pub stage_digest: &'a str,
    /// GitLab's name of the user whose pipeline it is.
    pub author: Option<&'a str>,
}

/// How a manual job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// The pipeline has no job of that name.
    Missing {
        /// Those of almost that name.
        near: Option<String>,
    },
    /// It can't be started yet; GitLab's word for how it is.
    Inconclusive {
        /// Such as `created`.
        status: String,
    },
    /// Somebody has to start it.
    Waiting,
    /// Somebody did, and it has not ended.
    Running {
        /// Who started it.
        by: Option<String>,
    },
    /// Who started it may be a bot, which GitLab does not say with the job: ask for this user
    /// (`GET /users/:id`) and look again.
    NeedUser(i64),
    /// It approves.
    Approved {
        /// GitLab's id of the job.
        id: i64,
        /// Who started it.
        by: Option<String>,
        /// When it was first seen started.
        at: Timestamp,
    },
    /// It was started before the gate opened, or by nobody.
    TooEarly {
        /// How it is now, in GitLab's word.
        status: String,
        /// Who started it.
        by: Option<String>,
    },
    /// It ended, but not well.
    Ended {
        /// `failed` or `canceled`.
        status: String,
        /// Who started it.
        by: Option<String>,
    },
    /// Who started it may not.
    Barred {
        /// Who that is.
        by: Option<String>,
        /// Why not.
        why: &'static str,
    },
}

/// Looks at the pipeline's jobs (without retried ones): what to remember until the next look, and how
/// the job stands.
///
/// `before` is what the last look left. `bot` tells of a user whether it is a bot, where that was
/// asked for.
pub fn look(
    before: Option<&ManualJobStatus>,
    opening: &Opening<'_>,
    rule: &GitLabApproval,
    jobs: &[pipeline::Job],
    bot: impl Fn(i64) -> Option<bool>,
    now: Timestamp,
) -> (ManualJobStatus, Job) {
    let before = before.filter(|before| is_of(before, opening, rule));
    let mut seen = before.cloned().unwrap_or_else(|| ManualJobStatus {
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
        return (seen, Job::Missing { near });
    };
    // Lists come from a cache at times: an older job is no news.
    if seen.job_id.is_some_and(|known| job.id < known) {
        return (seen, Job::Missing { near: None });
    }
    if seen.job_id != Some(job.id) {
        // Somebody asked for this rerun after the gate opened, as long as the one before did not
        // fail by itself between two looks.
        let rerun = seen.job_id.is_some() && (seen.armed || seen.ended);
        seen.job_id = Some(job.id);
        seen.armed = rerun;
        seen.armed_at = rerun.then_some(Time(now));
        seen.played = None;
    }
    if job.status == "manual" && !seen.armed {
        seen.armed = true;
        seen.armed_at = Some(Time(now));
    }
    seen.ended = has_ended(&job.status);
    let stands = match job.status.as_str() {
        "manual" => {
            seen.author_id = job.user.as_ref().map(|user| user.id).or(seen.author_id);
            Job::Waiting
        }
        "created" | "scheduled" | "skipped" => Job::Inconclusive {
            status: job.status.clone(),
        },
        status => {
            // One that was canceled may never have been started.
            if status != "canceled" && seen.played.is_none() {
                seen.played = Some(played(job.user.as_ref(), now));
            }
            if let Some(played) = &mut seen.played
                && let (None, Some(id)) = (played.bot, played.user_id)
            {
                played.bot = bot(id);
            }
            let by = seen
                .played
                .as_ref()
                .and_then(|played| played.username.clone());
            let status = status.to_owned();
            match status.as_str() {
                _ if !seen.armed => Job::TooEarly { status, by },
                "success" => approve(&seen, opening, rule, job.id),
                "failed" | "canceled" => Job::Ended { status, by },
                // Words that are not known yet are taken as not the end.
                _ => Job::Running { by },
            }
        }
    };
    (seen, stands)
}

/// Whether who started it may.
fn approve(seen: &ManualJobStatus, opening: &Opening<'_>, rule: &GitLabApproval, id: i64) -> Job {
    let Some(played) = &seen.played else {
        return Job::Waiting;
    };
    let by = played.username.clone();
    let barred = |why| Job::Barred {
        by: by.clone(),
        why,
    };
    if !rule.allow_author {
        let Some(username) = &played.username else {
            return barred("the author may not, and GitLab does not say who this was");
        };
        let by_id = seen.author_id.is_some() && seen.author_id == played.user_id;
        match opening.author {
            Some(author) if by_id || author.eq_ignore_ascii_case(username) => {
                return barred("it is this user's own pipeline");
            }
            None if by_id => return barred("it is this user's own pipeline"),
            None if seen.author_id.is_none() => {
                return barred("the author may not, and GitLab does not say who that is");
            }
            _ => {}
        }
    }
    if !rule.allow_bots {
        match (played.bot, played.user_id) {
            (Some(false), _) => {}
            (Some(true), _) => return barred("it is a bot"),
            (None, Some(user)) => return Job::NeedUser(user),
            (None, None) => return barred("bots may not, and GitLab does not say who this was"),
        }
    }
    Job::Approved {
        id,
        by,
        at: played.at.0,
    }
}

fn is_of(seen: &ManualJobStatus, opening: &Opening<'_>, rule: &GitLabApproval) -> bool {
    seen.job == rule.manual_job
        && seen.release_uid == opening.release_uid
        && seen.attempt == opening.attempt
        && seen.stage_digest == opening.stage_digest
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
