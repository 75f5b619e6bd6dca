//! The pipeline to release: the newest eligible one, judged by its jobs and trigger jobs.
//!
//! A pipeline's own status is not sufficient. A blocking manual job keeps it from ever being `success`,
//! starting an optional one makes it `running` again, and external commit statuses count in it. So this
//! module requests the jobs, one pipeline at a time ([`Verdict::NeedJobs`]), newest first, until it finds an
//! eligible pipeline. GitLab lists trigger jobs separately, so they are requested only if the verdict depends
//! on them ([`Verdict::NeedBridges`]). The same holds for older pipelines ([`Verdict::NeedPipelines`]).
//!
//! Guarantees: [`Requirements::next`] never chooses a pipeline at or below the last released one. While the
//! newest pipeline is running, it may choose an older one above that. Artifacts of a child pipeline are of
//! the commit that its parent runs on.
//!
//! Relies on: the ids of jobs that were not retried increase in the order of their stages, because GitLab
//! inserts a pipeline's jobs stage by stage. By that, a job after a blocking manual job is recognized.

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

/// The most passed-over pipelines in a message.
const NOTES: usize = 3;
/// The most pipelines above the last released one to judge. Each costs one or two requests.
const JUDGED: usize = 100;

impl Requirements {
    /// Finds the newest eligible pipeline above `released`, the highest released one so far.
    pub fn next(&self, known: Known<'_>, released: Option<i64>) -> Verdict {
        // Pipelines of external commit statuses have no jobs of their own.
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
                Judgement::Ineligible(message) => notes.push(message),
                Judgement::ArtifactsGone(message) => {
                    notes.push(message);
                    // A newer pipeline that is running does not need these artifacts; releasing an older
                    // one would be a surprise.
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
                    "pipeline {newest} is the newest of {}; up to {} everything is released",
                    self.git_ref,
                    released.unwrap_or(newest)
                ),
            },
            (None, None, None) => Verdict::Nothing {
                message: format!("there is no pipeline of {}{among} yet", self.git_ref),
            },
        }
    }

    /// Whether to fetch again from the last released pipeline, because its jobs were retried:
    /// [`Verdict::Eligible`], what to request first, or `None`.
    ///
    /// `seen` has the jobs from which its artifacts were last taken. While they are the same, nothing else
    /// of the pipeline matters. Its delivered artifacts are stored, so missing artifacts are only noted.
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
                Judgement::Waits(_) | Judgement::Ineligible(_) | Judgement::ArtifactsGone(_) => {
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

/// The notes about the newest few pipelines, in one line.
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
