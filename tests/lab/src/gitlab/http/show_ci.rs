//! The JSON of pipelines and jobs, with exactly the keys that GitLab sends.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::show::{Show, merged, time};
use crate::gitlab::model::{Job, Pipeline, Status, TestSuite};

impl Show<'_> {
    fn pipeline_core(&self, pipeline: &Pipeline) -> Value {
        json!({
            "id": pipeline.id,
            "iid": pipeline.iid,
            "project_id": pipeline.project,
            "sha": pipeline.sha,
            "ref": pipeline.ref_name,
            "status": pipeline.status.as_str(),
            "source": pipeline.source,
            "created_at": time(pipeline.created_at),
            "updated_at": pipeline.updated_at.map(time),
            "web_url": format!("{}/{}/-/pipelines/{}", self.base, self.path_of(pipeline), pipeline.id),
        })
    }

    pub fn pipeline_basic(&self, pipeline: &Pipeline) -> Value {
        merged(self.pipeline_core(pipeline), json!({"name": pipeline.name}))
    }

    pub fn pipeline(&self, pipeline: &Pipeline) -> Value {
        let jobs = self.state.jobs_of(pipeline.id, false);
        let user = self
            .state
            .user(pipeline.user)
            .ok()
            .map(|user| self.user_basic(user));
        let more = json!({
            "before_sha": "0".repeat(40),
            "tag": pipeline.tag,
            "yaml_errors": null,
            "user": user,
            "started_at": pipeline.started_at.map(time),
            "finished_at": pipeline.finished_at.map(time),
            "committed_at": null,
            "duration": pipeline.finished_at.map(|_| running_seconds(&jobs)),
            "queued_duration": pipeline.started_at.map(|at| at.duration_since(pipeline.created_at).as_secs()),
            "coverage": pipeline.coverage,
            "detailed_status": self.detailed_status(pipeline, &jobs),
            "name": pipeline.name,
        });
        merged(self.pipeline_core(pipeline), more)
    }

    fn path_of(&self, pipeline: &Pipeline) -> &str {
        self.state
            .project(pipeline.project)
            .map_or("", |project| &project.path)
    }

    fn detailed_status(&self, pipeline: &Pipeline, jobs: &[&Job]) -> Value {
        let warned = jobs
            .iter()
            .any(|job| job.allow_failure && job.status == Status::Failed);
        let (group, text, label) = match pipeline.status {
            Status::Success if warned => {
                ("success-with-warnings", "Warning", "passed with warnings")
            }
            Status::Success => ("success", "Passed", "passed"),
            Status::Failed => ("failed", "Failed", "failed"),
            Status::Manual => ("manual", "Blocked", "waiting for manual action"),
            Status::Running => ("running", "Running", "running"),
            Status::Pending => ("pending", "Pending", "pending"),
            Status::Canceled => ("canceled", "Canceled", "canceled"),
            Status::Skipped => ("skipped", "Skipped", "skipped"),
            other => (other.as_str(), other.as_str(), other.as_str()),
        };
        let icon = if warned && group.starts_with("success") {
            "warning"
        } else {
            pipeline.status.as_str()
        };
        json!({
            "icon": format!("status_{icon}"),
            "text": text,
            "label": label,
            "group": group,
            "tooltip": label,
            "has_details": true,
            "details_path": format!("/{}/-/pipelines/{}", self.path_of(pipeline), pipeline.id),
            "illustration": null,
            "favicon": format!("/assets/ci_favicons/favicon_status_{icon}.png"),
        })
    }

    /// A job, as in lists and single reads.
    pub fn job(&self, job: &Job, now: Timestamp) -> Value {
        let mut shown = self.job_core(job);
        let archive = job.archive.as_ref();
        let is_past = job.artifacts_expire_at.is_some_and(|at| at <= now);
        let mut files = Vec::new();
        if let Some(archive) = archive {
            let size = archive.reported_size();
            files.push(json!({"file_type": "archive", "size": size, "filename": "artifacts.zip", "file_format": "zip"}));
            files.push(json!({"file_type": "metadata", "size": 186, "filename": "metadata.gz", "file_format": "gzip"}));
            if !is_past {
                shown["artifacts_file"] = json!({"filename": "artifacts.zip", "size": size});
            }
        }
        if job.finished_at.is_some() && job.started_at.is_some() && job.erased_at.is_none() {
            files.push(json!({"file_type": "trace", "size": 2048, "filename": "job.log", "file_format": null}));
        }
        let runner = job.started_at.map(|_| {
            json!({
                "id": 12_270_807,
                "description": "lab runner",
                "ip_address": null,
                "active": true,
                "paused": false,
                "is_shared": true,
                "runner_type": "instance_type",
                "name": null,
                "online": true,
                "status": "online",
            })
        });
        let more = json!({
            "artifacts": files,
            "runner": runner,
            "runner_manager": null,
            "artifacts_expire_at": job.artifacts_expire_at.map(time),
            "archived": false,
            "tag_list": [],
        });
        merged(shown, more)
    }

    /// A trigger job.
    pub fn bridge(&self, job: &Job) -> Value {
        let started = job.trigger.as_ref().and_then(|trigger| trigger.downstream);
        let downstream = started.and_then(|id| self.state.pipeline(id).ok());
        let more = json!({"downstream_pipeline": downstream.map(|pipeline| self.pipeline_basic(pipeline))});
        merged(self.job_core(job), more)
    }

    fn job_core(&self, job: &Job) -> Value {
        let project = self.state.project(job.project).ok();
        let pipeline = self.state.pipeline(job.pipeline).ok();
        let commit = project.zip(pipeline).and_then(|(project, pipeline)| {
            project
                .commits
                .get(&pipeline.sha)
                .map(|commit| self.commit_brief(project, commit))
        });
        let path = project.map_or("", |project| &project.path);
        let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64();
        let mut shown = json!({
            "id": job.id,
            "status": job.status.as_str(),
            "stage": job.stage,
            "name": job.name,
            "ref": pipeline.map(|pipeline| &pipeline.ref_name),
            "tag": pipeline.is_some_and(|pipeline| pipeline.tag),
            "coverage": null,
            "allow_failure": job.allow_failure,
            "created_at": time(job.created_at),
            "started_at": job.started_at.map(time),
            "finished_at": job.finished_at.map(time),
            "erased_at": job.erased_at.map(time),
            "duration": job.started_at.zip(job.finished_at).map(|(from, to)| seconds(from, to)),
            "queued_duration": job.queued_at.zip(job.started_at).map(|(from, to)| seconds(from, to)),
            "user": self.state.user(job.user).ok().map(|user| self.user_profile(user)),
            "commit": commit,
            "pipeline": pipeline.map(|pipeline| self.pipeline_core(pipeline)),
            "web_url": format!("{}/{path}/-/jobs/{}", self.base, job.id),
            "project": {"ci_job_token_scope_enabled": false},
        });
        if let Some(reason) = job
            .failure_reason
            .as_ref()
            .filter(|_| job.status == Status::Failed)
        {
            shown["failure_reason"] = json!(reason);
        }
        shown
    }
}

/// The summary of a pipeline's test report.
pub fn test_report_summary(suites: &[TestSuite], jobs: &[&Job]) -> Value {
    let sum = |of: fn(&TestSuite) -> u64| suites.iter().map(of).sum::<u64>();
    let shown = suites.iter().map(|suite| {
        let builds = jobs
            .iter()
            .filter(|job| job.name == suite.name)
            .map(|job| job.id);
        json!({
            "name": suite.name,
            "total_time": suite.time,
            "total_count": suite.count(),
            "success_count": suite.success,
            "failed_count": suite.failed,
            "skipped_count": suite.skipped,
            "error_count": suite.error,
            "build_ids": builds.collect::<Vec<_>>(),
            "suite_error": suite.suite_error,
        })
    });
    json!({
        "total": {
            "time": suites.iter().map(|suite| suite.time).sum::<f64>(),
            "count": sum(TestSuite::count),
            "success": sum(|suite| suite.success),
            "failed": sum(|suite| suite.failed),
            "skipped": sum(|suite| suite.skipped),
            "error": sum(|suite| suite.error),
            "suite_error": null,
        },
        "test_suites": shown.collect::<Vec<_>>(),
    })
}

/// The time in which at least one job runs.
fn running_seconds(jobs: &[&Job]) -> i64 {
    let mut spans: Vec<(Timestamp, Timestamp)> = jobs
        .iter()
        .filter_map(|job| job.started_at.zip(job.finished_at))
        .collect();
    spans.sort_unstable();
    let mut total = 0;
    let mut until = Timestamp::MIN;
    for (from, to) in spans {
        total += to.duration_since(from.max(until).min(to)).as_secs();
        until = until.max(to);
    }
    total
}
