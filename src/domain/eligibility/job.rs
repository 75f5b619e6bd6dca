//! Jobs by name, and whether a job has artifacts to download.

use crate::{api::v1alpha1::JobArtifact, domain::pipeline::Job};

/// The name of a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobName {
    /// The trigger job whose child pipeline has the job; `None` if the pipeline itself has it.
    pub pipeline: Option<String>,
    /// The job.
    pub name: String,
}

impl From<&str> for JobName {
    fn from(name: &str) -> Self {
        Self {
            pipeline: None,
            name: name.to_owned(),
        }
    }
}

impl From<&JobArtifact> for JobName {
    fn from(job: &JobArtifact) -> Self {
        Self {
            pipeline: job.pipeline.clone(),
            name: job.name.clone(),
        }
    }
}

/// The newest job with that name.
pub fn newest_job<'a>(jobs: &'a [Job], name: &str) -> Option<&'a Job> {
    (jobs.iter())
        .filter(|job| job.name == name)
        .max_by_key(|job| job.id)
}

/// Why this job has nothing to download, with the remedy; `None` if GitLab lists an archive.
///
/// GitLab omits `artifacts_file` once the archive has expired, but still serves the archive until it is
/// cleaned up, or permanently if the project keeps the latest artifacts. Only an archive that is not
/// listed at all is certainly gone.
pub fn missing_archive(pipeline_id: i64, job: &Job) -> Option<String> {
    if job.archive_kept || job.archive_size.is_some() {
        return None;
    }
    let name = &job.name;
    let why = match job.archive_expires_at {
        Some(when) => format!("the artifacts of job {name} expired on {when} or were erased"),
        None => format!("job {name} has no artifacts, or they were erased"),
    };
    Some(format!(
        "pipeline {pipeline_id}: {why}. Run the job again (Retry on its page, or a new pipeline); \
         if it never had any, give it artifacts:paths in .gitlab-ci.yml"
    ))
}
