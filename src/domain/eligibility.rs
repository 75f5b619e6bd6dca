//! Which pipeline to release: the newest eligible one, judged by its jobs and trigger jobs.
//!
//! A pipeline's own status is not enough. A manual job that blocks keeps it from ever being
//! `success`, playing an optional one makes it `running` again, and statuses reported from outside
//! count in it. So the jobs are asked for, one pipeline at a time ([`Verdict::NeedJobs`]), newest
//! first, until one is found. Trigger jobs are listed apart: they are asked for only where the jobs
//! leave the verdict open to them ([`Verdict::NeedBridges`]), and so are older pipelines
//! ([`Verdict::NeedPipelines`]).
//!
//! Guarantees: a pipeline at or below the last one released is never chosen by
//! [`Requirements::next`]. While the newest pipeline still runs, an older one may be chosen if it is
//! above that. What comes of a child pipeline comes of the commit that its parent runs on.
//!
//! Relies on: the ids of jobs that were not retried grow in the order of their stages, because GitLab
//! inserts a pipeline's jobs stage by stage. A job after a blocking manual one is known by that.

use std::collections::BTreeSet;

use self::verdict::Judgement;
pub use self::{
    children::child_of,
    job::{JobName, missing_archive, newest_job},
    known::{Known, Listed},
    requirements::Requirements,
    verdict::Verdict,
};

mod children;
mod job;
mod judge;
mod known;
mod requirements;
mod stand;
#[cfg(test)]
mod tests;
mod verdict;

/// How many pipelines that were passed over a message names.
const NOTES: usize = 3;
/// How many pipelines above the last one released are judged at most: each costs a request or two.
const JUDGED: usize = 100;

impl Requirements {
    /// Finds the newest eligible pipeline above `released`, the highest one released so far.
    pub fn next(&self, known: Known<'_>, released: Option<i64>) -> Verdict {
        // Those made by commit statuses from outside have no jobs of their own.
        let mut pipelines: Vec<_> = (known.pipelines.iter())
            .filter(|pipeline| pipeline.source != "external")
            .collect();
        pipelines.sort_by_key(|pipeline| std::cmp::Reverse(pipeline.id));
        pipelines.dedup_by_key(|pipeline| pipeline.id);
        let newest = pipelines.first().map(|pipeline| pipeline.id);

        let mut waiting: Option<(i64, String)> = None;
        let mut notes = Vec::new();
        let mut listed = known.listed;
        for (judged, pipeline) in pipelines.into_iter().enumerate() {
            let id = pipeline.id;
            if released.is_some_and(|released| id <= released) {
                listed = Listed::All;
                break;
            }
            if judged == JUDGED {
                listed = Listed::Enough(JUDGED);
                break;
            }
            match self.judge(pipeline, known, true) {
                Judgement::Good => {
                    return Verdict::Eligible {
                        pipeline: id,
                        note: join(&notes),
                    };
                }
                Judgement::Needs(verdict) => return verdict,
                Judgement::Waits(message) => {
                    notes.push(message.clone());
                    waiting.get_or_insert((id, message));
                }
                Judgement::Unfit(message) => notes.push(message),
                Judgement::ArtifactsGone(message) => {
                    notes.push(message);
                    // A newer one that is under way will do without these artifacts; an older one
                    // would be a surprise.
                    if waiting.is_none() {
                        return Verdict::Problem {
                            pipeline: id,
                            message: join(&notes).unwrap_or_default(),
                        };
                    }
                    listed = Listed::All;
                    break;
                }
            }
        }
        if listed == Listed::More {
            return Verdict::NeedPipelines;
        }
        let among = match listed {
            Listed::Enough(count) => format!(" among the newest {count}"),
            Listed::All | Listed::More => String::new(),
        };
        match (waiting, join(&notes), newest) {
            (Some((pipeline, message)), notes, _) => Verdict::Waiting {
                pipeline,
                message: notes.unwrap_or(message),
            },
            (None, Some(notes), _) => Verdict::Nothing {
                message: format!(
                    "no new pipeline of {}{among} can be released: {notes}",
                    self.git_ref
                ),
            },
            (None, None, Some(newest)) => Verdict::Released {
                message: format!(
                    "pipeline {newest} is the newest of {}; up to {} all was released",
                    self.git_ref,
                    released.unwrap_or(newest)
                ),
            },
            (None, None, None) => Verdict::Nothing {
                message: format!("there is no pipeline of {}{among} yet", self.git_ref),
            },
        }
    }

    /// Whether the pipeline that was released last can be fetched from again, because its jobs were
    /// run anew: [`Verdict::Eligible`], what to ask first, or `None`.
    ///
    /// `seen` are the jobs that its artifacts were taken from when it was asked for last: while they
    /// are the same, nothing else of it matters any more. What it delivered is kept, so that
    /// artifacts that are gone are only noted.
    pub fn again(&self, known: Known<'_>, released: i64, seen: &BTreeSet<i64>) -> Option<Verdict> {
        let mut listed = known.pipelines.iter();
        let pipeline = listed.find(|pipeline| pipeline.id == released)?;
        let jobs = match self.artifact_jobs(pipeline, known) {
            Ok(jobs) => jobs,
            Err(Judgement::Needs(verdict)) => return Some(verdict),
            Err(_) => return None,
        };
        let ids: BTreeSet<i64> = jobs.iter().map(|(_, job)| job.id).collect();
        if ids != *seen {
            match self.judge(pipeline, known, false) {
                Judgement::Good => {}
                Judgement::Needs(verdict) => return Some(verdict),
                Judgement::Waits(_) | Judgement::Unfit(_) | Judgement::ArtifactsGone(_) => {
                    return None;
                }
            }
        }
        let mut jobs = jobs.into_iter();
        Some(Verdict::Eligible {
            pipeline: released,
            note: jobs.find_map(|(of, job)| missing_archive(of, job)),
        })
    }
}

/// The newest few, as one line.
fn join(notes: &[String]) -> Option<String> {
    if notes.is_empty() {
        return None;
    }
    let mut text = notes[..notes.len().min(NOTES)].join("; ");
    if notes.len() > NOTES {
        text.push_str("; and more");
    }
    Some(text)
}
