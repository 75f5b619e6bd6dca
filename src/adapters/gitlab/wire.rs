//! The parts of GitLab's JSON that Sluice reads.
//!
//! Ids do not fit 32 bits on gitlab.com. `null` booleans mean false. Keys come and go with versions, so only
//! indispensable ones are required. Field lists: GitLab's REST API documentation (pipelines, jobs, projects,
//! branches, tags, personal access tokens).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::pipeline;

#[derive(Deserialize, Serialize)]
pub struct Version {
    pub version: String,
}

#[derive(Deserialize, Serialize)]
pub struct User {
    pub username: String,
}

/// The response of `personal_access_tokens/self`.
#[derive(Default, Deserialize, Serialize)]
pub struct Token {
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(default)]
    pub expires_at: Option<jiff::civil::Date>,
}

#[derive(Deserialize, Serialize)]
pub struct Project {
    pub id: i64,
    pub path_with_namespace: String,
}

/// A branch or a tag.
#[derive(Deserialize, Serialize)]
pub struct GitRef {
    #[serde(default)]
    pub protected: Option<bool>,
}

#[derive(Deserialize, Serialize)]
pub struct Pipeline {
    pub id: i64,
    pub sha: String,
    #[serde(rename = "ref", default)]
    pub git_ref: Option<String>,
    pub status: String,
    #[serde(default)]
    pub source: Option<String>,
    #[serde(default)]
    pub web_url: Option<String>,
}

/// A single pipeline.
#[derive(Deserialize, Serialize)]
pub struct PipelineDetails {
    #[serde(default)]
    pub user: Option<User>,
}

#[derive(Deserialize, Serialize)]
pub struct Job {
    pub id: i64,
    pub name: String,
    #[serde(default)]
    pub stage: Option<String>,
    pub status: String,
    #[serde(default)]
    pub allow_failure: Option<bool>,
    #[serde(default)]
    pub artifacts_file: Option<ArtifactsFile>,
    #[serde(default)]
    pub artifacts: Option<Vec<Artifact>>,
    #[serde(default)]
    pub artifacts_expire_at: Option<Timestamp>,
    #[serde(default)]
    pub commit: Option<Commit>,
    #[serde(default)]
    pub tag: Option<bool>,
    #[serde(default)]
    pub user: Option<JobUser>,
}

#[derive(Deserialize, Serialize)]
pub struct Bridge {
    pub id: i64,
    pub name: String,
    #[serde(default)]
    pub stage: Option<String>,
    pub status: String,
    #[serde(default)]
    pub allow_failure: Option<bool>,
    #[serde(default)]
    pub downstream_pipeline: Option<DownstreamPipeline>,
}

#[derive(Deserialize, Serialize)]
pub struct DownstreamPipeline {
    pub id: i64,
    /// Missing in old versions: the pipeline then counts as no project's child.
    #[serde(default)]
    pub project_id: Option<i64>,
    #[serde(default)]
    pub sha: Option<String>,
    pub status: String,
    #[serde(default)]
    pub source: Option<String>,
}

/// A user, as in a job or in `users/:id`.
#[derive(Deserialize, Serialize)]
pub struct JobUser {
    pub id: i64,
    pub username: String,
    /// Missing in some versions.
    #[serde(default)]
    pub bot: Option<bool>,
}

#[derive(Deserialize, Serialize)]
pub struct FreezePeriod {
    pub id: i64,
    pub freeze_start: String,
    pub freeze_end: String,
    /// GitLab's default is UTC.
    #[serde(default)]
    pub cron_timezone: Option<String>,
}

#[derive(Deserialize, Serialize)]
pub struct ArtifactsFile {
    #[serde(default)]
    pub size: Option<u64>,
}

/// An artifact of any type; the trace is one as well.
#[derive(Deserialize, Serialize)]
pub struct Artifact {
    pub file_type: String,
    #[serde(default)]
    pub size: Option<u64>,
}

#[derive(Deserialize, Serialize)]
pub struct Commit {
    #[serde(default)]
    pub title: Option<String>,
}

#[derive(Deserialize, Serialize)]
pub struct TestReportSummary {
    pub total: TestTotals,
}

#[derive(Deserialize, Serialize)]
pub struct TestTotals {
    #[serde(default)]
    pub count: i64,
    #[serde(default)]
    pub failed: i64,
    #[serde(default)]
    pub error: i64,
    #[serde(default)]
    pub suite_error: Option<String>,
}

impl From<Pipeline> for pipeline::Pipeline {
    fn from(wire: Pipeline) -> Self {
        Self {
            id: wire.id,
            sha: wire.sha,
            git_ref: wire.git_ref,
            status: wire.status,
            source: wire.source.unwrap_or_else(|| "unknown".to_owned()),
            web_url: wire.web_url,
        }
    }
}

impl From<Job> for pipeline::Job {
    fn from(wire: Job) -> Self {
        let listed =
            (wire.artifacts.into_iter().flatten()).find(|artifact| artifact.file_type == "archive");
        let kept = wire.artifacts_file.is_some();
        let archive_size = match (listed, wire.artifacts_file) {
            (Some(listed), file) => listed.size.or(file.and_then(|file| file.size)),
            (None, Some(file)) => file.size,
            (None, None) => None,
        };
        Self {
            id: wire.id,
            name: wire.name,
            stage: wire.stage.unwrap_or_default(),
            status: wire.status,
            allow_failure: wire.allow_failure.unwrap_or_default(),
            archive_size,
            archive_kept: kept,
            archive_expires_at: wire.artifacts_expire_at,
            commit_title: wire.commit.and_then(|commit| commit.title),
            tag: wire.tag,
            user: wire.user.map(pipeline::JobUser::from),
        }
    }
}

impl From<Bridge> for pipeline::Bridge {
    fn from(wire: Bridge) -> Self {
        Self {
            id: wire.id,
            name: wire.name,
            stage: wire.stage.unwrap_or_default(),
            status: wire.status,
            allow_failure: wire.allow_failure.unwrap_or_default(),
            downstream: wire
                .downstream_pipeline
                .map(|downstream| pipeline::Downstream {
                    id: downstream.id,
                    project_id: downstream.project_id.unwrap_or_default(),
                    sha: downstream.sha.unwrap_or_default(),
                    status: downstream.status,
                    source: downstream.source.unwrap_or_default(),
                }),
        }
    }
}

impl From<JobUser> for pipeline::JobUser {
    fn from(wire: JobUser) -> Self {
        Self {
            id: wire.id,
            username: wire.username,
            bot: wire.bot,
        }
    }
}

impl From<FreezePeriod> for pipeline::FreezePeriod {
    fn from(wire: FreezePeriod) -> Self {
        Self {
            id: wire.id,
            freeze_start: wire.freeze_start,
            freeze_end: wire.freeze_end,
            cron_timezone: wire.cron_timezone.unwrap_or_else(|| "UTC".to_owned()),
        }
    }
}

impl From<TestTotals> for pipeline::TestSummary {
    fn from(wire: TestTotals) -> Self {
        // A suite that could not be read proves nothing and counts as failed.
        let unread = i64::from(wire.suite_error.is_some());
        Self {
            total: wire.count,
            failed: wire
                .failed
                .saturating_add(wire.error)
                .saturating_add(unread),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed assumption ends the test")]

    use super::*;

    fn job(json: &str) -> pipeline::Job {
        serde_json::from_str::<Job>(json).unwrap().into()
    }

    #[test]
    fn archive_is_distinguished_from_other_artifacts() {
        let trace_only = job(
            r#"{"id":3580121225,"name":"a","status":"success","stage":"s","allow_failure":null,
                "artifacts":[{"file_type":"trace","size":5,"filename":"job.log","file_format":null}],
                "artifacts_expire_at":null,"commit":null}"#,
        );
        assert_eq!(
            (trace_only.archive_size, trace_only.archive_kept),
            (None, false)
        );
        let kept = job(
            r#"{"id":1,"name":"a","status":"success","artifacts_file":{"filename":"a.zip","size":7},
                "artifacts":[{"file_type":"archive","size":7}],
                "artifacts_expire_at":"2026-01-02T03:04:05.678Z","commit":{"title":"t"}}"#,
        );
        assert_eq!((kept.archive_size, kept.archive_kept), (Some(7), true));
        assert_eq!(kept.commit_title.as_deref(), Some("t"));
        let expired = job(
            r#"{"id":1,"name":"a","status":"success","artifacts":[{"file_type":"archive","size":7}]}"#,
        );
        assert_eq!(
            (expired.archive_size, expired.archive_kept),
            (Some(7), false)
        );
    }

    #[test]
    fn downstream_pipeline_of_a_bridge_is_optional() {
        let bridge = |json: &str| -> pipeline::Bridge {
            serde_json::from_str::<Bridge>(json).unwrap().into()
        };
        let documented = bridge(
            r#"{"id":7,"name":"teaspoon","stage":"test","status":"pending","allow_failure":false,
                "downstream_pipeline":{"id":5,"project_id":8,"ref":"main","status":"running",
                "sha":"f62a4b2fb89754372a346f24659212eb8da13601","source":"parent_pipeline"}}"#,
        );
        let downstream = documented.downstream.unwrap();
        assert_eq!((downstream.id, downstream.project_id), (5, 8));
        assert_eq!(downstream.source, "parent_pipeline");
        let created = r#"{"id":7,"name":"a","status":"created","downstream_pipeline":null}"#;
        assert_eq!(bridge(created).downstream, None);
        assert_eq!(
            bridge(r#"{"id":7,"name":"a","status":"manual"}"#).downstream,
            None
        );
    }

    #[test]
    fn bot_flag_of_a_jobs_user_is_optional() {
        let of = |user: &str| {
            let json = format!(r#"{{"id":1,"name":"a","status":"manual","user":{user}}}"#);
            job(&json).user.map(|user| (user.id, user.bot))
        };
        let ana = r#"{"id":2300000001,"username":"ana","name":"Ana","state":"active","bot":false}"#;
        assert_eq!(of(ana), Some((2_300_000_001, Some(false))));
        assert_eq!(
            of(r#"{"id":7,"username":"b","bot":true}"#),
            Some((7, Some(true)))
        );
        // As in older versions.
        assert_eq!(of(r#"{"id":7,"username":"b"}"#), Some((7, None)));
        assert_eq!(of("null"), None);
    }
}
