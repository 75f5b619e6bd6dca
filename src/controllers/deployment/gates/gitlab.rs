//! GitLab readings for gates: manual jobs, the users who started them, and freeze periods.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::{
    keeper::{Gates, JobReadings},
    readings::Reading,
};
use crate::{
    api::v1alpha1::{Deployment, GateStatus, ManualJobStatus, Release, StageStatus, annotation},
    controllers::{
        context::Context,
        deployment::{
            controller::DeploymentController, family::Family, overview::release_view,
            poll_interval::poll_interval, resolve,
        },
    },
    domain::{
        gates::{Job, Requirements, entry::Way, manual_job},
        promotion::Entry,
    },
    ports::gitlab::GitLab,
};

impl DeploymentController {
    /// Reads from GitLab what the waiting stages need, or reuses a reading that is younger than the poll
    /// interval.
    pub(super) async fn read_gitlab(
        &self,
        deployment: &Deployment,
        family: &Family,
        stages: &[StageStatus],
        gates: &mut Gates,
    ) {
        gates.is_gitlab_read = true;
        let openings: Vec<(String, Opening, Requirements)> = stages
            .iter()
            .filter_map(|stage| {
                let status = stage.waiting.as_ref()?;
                let mut releases = family.releases.iter();
                let release = releases.find(|it| it.uid().as_ref() == Some(&status.release.uid))?;
                // Only a Release on its way forward needs GitLab.
                let needs = gates.needs(&Entry {
                    stage: &stage.name,
                    release: &release_view(release),
                    way: Way::Forward,
                });
                let needs = needs.ok().filter(Requirements::need_gitlab)?;
                let mut reported = deployment.status.iter().flat_map(|it| &it.stages);
                let before = reported.find(|it| it.name == stage.name);
                let before = before.and_then(|it| it.waiting.as_ref());
                let opening = Opening::of(release, status, before)?;
                Some((stage.name.clone(), opening, needs))
            })
            .collect();
        if openings.is_empty() {
            return;
        }
        let key = deployment.uid().unwrap_or_default();
        let about = about(deployment, &openings);
        let known = self.readings.get(&key);
        let fresh = known.as_ref().is_some_and(|known| {
            known.about == about && known.at.elapsed() < poll_interval(deployment)
        });
        let reading = match known {
            Some(known) if fresh => known,
            other => {
                let bots = other.map(|known| known.bots).unwrap_or_default();
                let reading = read(&self.context, deployment, &openings, about, bots).await;
                self.readings.keep(&key, reading.clone());
                reading
            }
        };
        gates.freezes.clone_from(&reading.freezes);
        for (stage, opening, needs) in openings {
            let job_readings = opening.judge_jobs(&needs, &reading);
            if let Some(gate) = gates.stages.get_mut(&stage) {
                gate.job_readings = job_readings;
            }
        }
    }
}

/// A Release that waits at a gate.
struct Opening {
    release_uid: String,
    attempt: i64,
    digest: String,
    author: Option<String>,
    project_id: i64,
    pipeline_id: i64,
    observed: Vec<ManualJobStatus>,
}

impl Opening {
    /// `before` is the last reported status of the same stage, with the observed manual jobs.
    fn of(release: &Release, status: &GateStatus, before: Option<&GateStatus>) -> Option<Self> {
        let source = &release.spec.source;
        let before = before.filter(|before| {
            before.release.uid == status.release.uid
                && before.attempt == status.attempt
                && before.digest == status.digest
        });
        Some(Self {
            release_uid: status.release.uid.clone(),
            attempt: status.attempt,
            digest: status.digest.clone()?,
            author: source.user.clone(),
            project_id: source.project_id,
            pipeline_id: source.pipeline_id,
            observed: before.map_or_else(Vec::new, |before| before.manual_jobs.clone()),
        })
    }

    fn judge_jobs(&self, needs: &Requirements, reading: &Reading) -> Option<JobReadings> {
        let jobs = reading.jobs.get(&self.pipeline_id)?;
        let opening = manual_job::Opening {
            release_uid: &self.release_uid,
            attempt: self.attempt,
            stage_digest: &self.digest,
            author: self.author.as_deref(),
        };
        let mut job_readings = JobReadings {
            release_uid: self.release_uid.clone(),
            attempt: self.attempt,
            digest: self.digest.clone(),
            jobs: BTreeMap::new(),
            observed: Vec::new(),
        };
        for rule in needs.manual_jobs() {
            let before = self
                .observed
                .iter()
                .find(|observed| observed.job == rule.manual_job);
            let bot = |user| reading.bots.get(&user).copied();
            let now = Timestamp::now();
            let (observed, job) = manual_job::observe(before, &opening, rule, jobs, bot, now);
            job_readings.jobs.insert(rule.manual_job.clone(), job);
            job_readings.observed.push(observed);
        }
        Some(job_readings)
    }
}

/// The identity of a reading: a new opening or a command needs a new one.
fn about(deployment: &Deployment, openings: &[(String, Opening, Requirements)]) -> String {
    let command = deployment.annotations().get(annotation::RECONCILE);
    let mut about = command.cloned().unwrap_or_default();
    for (stage, opening, _) in openings {
        about.push_str(stage);
        about.push_str(&opening.digest);
        about.push_str(&opening.attempt.to_string());
        about.push_str(&opening.release_uid);
    }
    about
}

async fn read(
    context: &Context,
    deployment: &Deployment,
    openings: &[(String, Opening, Requirements)],
    about: String,
    bots: BTreeMap<i64, bool>,
) -> Reading {
    let mut reading = Reading {
        about,
        bots,
        ..Reading::default()
    };
    let gitlab = match resolve::client(context, deployment).await {
        Ok(gitlab) => gitlab,
        Err(outcome) => {
            reading.freezes = Err(outcome.message().to_owned());
            return reading;
        }
    };
    for (_, opening, needs) in openings {
        if needs.no_freeze {
            let periods = gitlab.freeze_periods(opening.project_id).await;
            reading.freezes = periods.map_err(|error| error.to_string());
        }
        if needs.manual_jobs().next().is_none() {
            continue;
        }
        match gitlab.jobs(opening.project_id, opening.pipeline_id).await {
            Ok(jobs) => {
                reading.jobs.insert(opening.pipeline_id, jobs);
            }
            Err(error) => tracing::warn!(%error, "failed to read the manual jobs of a gate"),
        }
        ask_for_users(&*gitlab, opening, needs, &mut reading).await;
    }
    reading
}

/// Reads the user who started a job, if the verdict depends on it and the job does not say it.
async fn ask_for_users(
    gitlab: &dyn GitLab,
    opening: &Opening,
    needs: &Requirements,
    reading: &mut Reading,
) {
    let job_readings = opening.judge_jobs(needs, reading);
    let unknown = job_readings
        .iter()
        .flat_map(|job_readings| job_readings.jobs.values());
    let unknown: Vec<i64> = unknown
        .filter_map(|job| match job {
            Job::NeedUser(id) => Some(*id),
            _ => None,
        })
        .collect();
    for id in unknown {
        match gitlab.user(id).await {
            Ok(user) => {
                reading.bots.insert(id, user.bot.unwrap_or_default());
            }
            Err(error) => {
                tracing::warn!(%error, "failed to read the user who started a manual job");
            }
        }
    }
}
