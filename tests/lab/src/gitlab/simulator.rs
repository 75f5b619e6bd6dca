//! Starting a simulator and moving its world.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::{Timestamp, civil::Date};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Faults, Mark, Origin, RequestRecord,
    http::{Site, server},
    model::{
        Job, JobEnd, JobId, JobSpec, NewPipeline, PipelineId, ProjectId, Refusal, Role, Status,
        TestSuite, UserId, Visibility, World,
    },
    requests::RequestLog,
};
use crate::{error::LabError, runtime};

/// How whole archives are handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// From GitLab's own disk.
    #[default]
    Disk,
    /// By a redirect to the object storage, another origin.
    Redirect,
    /// From the object storage, through GitLab.
    Proxied,
}

/// What kind of instance to start.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// A relative root such as `/gitlab`; empty for none.
    pub relative_root: String,
    /// The address in links, when it differs from the one that is served; without a slash at the end.
    pub external_url: Option<String>,
    /// As `/version` tells it.
    pub version: String,
    /// How whole archives are handed out at first.
    pub transport: Transport,
    /// The port to serve on; a free one if not said.
    pub port: Option<u16>,
    /// Requests in a minute, as the headers tell; not enforced (add a fault for that).
    pub requests_per_minute: u64,
}

impl Default for SimulatorOptions {
    fn default() -> Self {
        Self {
            relative_root: String::new(),
            external_url: None,
            version: "19.1.2-ee".to_owned(),
            transport: Transport::Disk,
            port: None,
            requests_per_minute: 2000,
        }
    }
}

/// What the servers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) world: Mutex<World>,
    pub(super) faults: Faults,
    pub(super) log: RequestLog,
    pub(super) site: Site,
    pub(super) root: String,
    transport: Mutex<Transport>,
    requests: AtomicU64,
    limit: u64,
    /// The minute that is counted, and the requests in it.
    minute: Mutex<(i64, u64)>,
}

/// The state of the HTTP throttle.
pub(super) struct Limit {
    pub(super) per_minute: u64,
    pub(super) observed: u64,
    /// When the minute ends, in seconds since 1970.
    pub(super) reset: i64,
}

impl Limit {
    pub(super) fn remaining(&self) -> u64 {
        self.per_minute.saturating_sub(self.observed)
    }
}

impl Shared {
    pub(super) fn transport(&self) -> Transport {
        *self
            .transport
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn count_request(&self) -> Limit {
        let minute = Timestamp::now().as_second().div_euclid(60);
        let mut counted = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.0 != minute {
            *counted = (minute, 0);
        }
        counted.1 += 1;
        Limit {
            per_minute: self.limit,
            observed: counted.1,
            reset: (minute + 1) * 60,
        }
    }

    pub(super) fn change<T>(
        &self,
        f: impl FnOnce(&mut World, Timestamp) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        f(
            &mut self.world.lock().unwrap_or_else(PoisonError::into_inner),
            Timestamp::now(),
        )
    }
}

/// A running simulator. Clones share it; it ends with the last of them.
///
/// Methods that change or ask its world panic, with the reason, when they are asked for what
/// GitLab would not do or for what is not there: a mistake in the scenario, not a condition.
#[derive(Clone, Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    _stop: Arc<DropGuard>,
}

impl Simulator {
    /// Starts one on 127.0.0.1, with its object storage on another port.
    pub async fn start(options: SimulatorOptions) -> Result<Self, LabError> {
        // Listeners belong to the runtime they were made on, so they are made on the lab's.
        let started = runtime::handle().spawn(Self::start_here(options)).await;
        started.map_err(|error| {
            LabError::new(format!(
                "the GitLab simulator panicked while starting: {error}"
            ))
        })?
    }

    async fn start_here(options: SimulatorOptions) -> Result<Self, LabError> {
        let listen = async |port: u16| {
            let bound = TcpListener::bind(("127.0.0.1", port)).await;
            bound.map_err(|error| {
                LabError::new(format!(
                    "GitLab simulator: cannot listen on 127.0.0.1:{port}: {error}"
                ))
            })
        };
        let api = listen(options.port.unwrap_or(0)).await?;
        let storage = listen(0).await?;
        let address = api.local_addr()?;
        let root = options.relative_root.trim_end_matches('/').to_owned();
        let base = options
            .external_url
            .unwrap_or_else(|| format!("http://{address}{root}"));
        let site = Site {
            base,
            storage: format!("http://{}", storage.local_addr()?),
            version: options.version,
        };
        let shared = Arc::new(Shared {
            world: Mutex::default(),
            faults: Faults::default(),
            log: RequestLog::default(),
            site,
            root,
            transport: Mutex::new(options.transport),
            requests: AtomicU64::new(1),
            limit: options.requests_per_minute,
            minute: Mutex::new((0, 0)),
        });
        let stopped = CancellationToken::new();
        server::spawn(api, Origin::GitLab, Arc::clone(&shared), stopped.clone());
        server::spawn(
            storage,
            Origin::Storage,
            Arc::clone(&shared),
            stopped.clone(),
        );
        Ok(Self {
            shared,
            address,
            _stop: Arc::new(stopped.drop_guard()),
        })
    }

    /// Where it is, relative root included, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.shared.root)
    }

    /// The root of its REST API.
    pub fn api_url(&self) -> String {
        format!("{}/api/v4", self.url())
    }

    /// Where redirects to archives lead.
    pub fn storage_url(&self) -> &str {
        &self.shared.site.storage
    }

    /// The faults in force.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Hands whole archives out another way from now on.
    pub fn set_transport(&self, transport: Transport) {
        *self
            .shared
            .transport
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = transport;
    }

    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.log.all()
    }

    /// This moment in the record of requests.
    pub fn mark(&self) -> Mark {
        self.shared.log.mark()
    }

    /// The requests since a moment.
    pub fn requests_since(&self, mark: Mark) -> Vec<RequestRecord> {
        self.shared.log.since(mark)
    }

    /// Changes the world in any way the model allows; for what has no method here.
    #[track_caller]
    pub fn change<T>(&self, f: impl FnOnce(&mut World, Timestamp) -> Result<T, Refusal>) -> T {
        self.shared
            .change(f)
            .unwrap_or_else(|refusal| panic!("GitLab simulator: {refusal}"))
    }

    /// Creates a private project without commits.
    #[track_caller]
    pub fn create_project(&self, path: &str) -> ProjectId {
        self.change(|world, now| world.create_project(now, path))
    }

    /// Opens or closes a project.
    #[track_caller]
    pub fn set_visibility(&self, project: ProjectId, visibility: Visibility) {
        self.change(|world, _| {
            world
                .project_mut(project)
                .map(|project| project.visibility = visibility)
        });
    }

    /// Gives a project another path; the old one redirects.
    #[track_caller]
    pub fn move_project(&self, project: ProjectId, path: &str) {
        self.change(|world, _| world.move_project(project, path));
    }

    /// Whether the newest successful pipeline of each ref keeps its artifacts past their expiry.
    /// On at first, as in GitLab.
    #[track_caller]
    pub fn set_keep_latest_artifacts(&self, project: ProjectId, keep: bool) {
        self.change(|world, _| {
            world
                .project_mut(project)
                .map(|project| project.keep_latest_artifacts = keep)
        });
    }

    /// Creates a user.
    #[track_caller]
    pub fn create_user(&self, username: &str) -> UserId {
        self.change(|world, now| world.create_user(now, username))
    }

    /// Creates a token of a user, with the role Developer; returns the secret. Its name is the
    /// username with a number, such as `ana-1`.
    #[track_caller]
    pub fn create_token(&self, user: UserId, scopes: &[&str], expires_at: Option<Date>) -> String {
        self.change(|world, now| world.create_token(now, user, scopes, expires_at))
    }

    /// Changes what a token's user may do.
    #[track_caller]
    pub fn set_role(&self, token: &str, role: Role) {
        self.change(|world, _| world.token_mut(token).map(|token| token.role = role));
    }

    /// Revokes a token.
    #[track_caller]
    pub fn revoke_token(&self, token: &str) {
        self.change(|world, _| world.token_mut(token).map(|token| token.revoked = true));
    }

    /// Ends a token today.
    #[track_caller]
    pub fn expire_token(&self, token: &str) {
        self.change(|world, now| {
            let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
            world
                .token_mut(token)
                .map(|token| token.expires_at = Some(today))
        });
    }

    /// Adds a commit to a branch, made if missing; returns its SHA. The first branch becomes the
    /// default one and is protected.
    #[track_caller]
    pub fn push(&self, project: ProjectId, branch: &str, message: &str) -> String {
        self.change(|world, now| world.push(now, project, branch, message))
    }

    /// Sets a lightweight, unprotected tag.
    #[track_caller]
    pub fn tag(&self, project: ProjectId, tag: &str, sha: &str) {
        self.change(|world, _| world.tag(project, tag, sha));
    }

    /// Protects a branch or tag, or takes the protection away.
    #[track_caller]
    pub fn protect(&self, project: ProjectId, name: &str, protected: bool) {
        self.change(|world, _| world.protect(project, name, protected));
    }

    /// Deletes a branch or tag.
    #[track_caller]
    pub fn delete_ref(&self, project: ProjectId, name: &str) {
        self.change(|world, _| world.delete_ref(project, name));
    }

    /// Runs a pipeline, as after a push, on the head of a branch or tag.
    #[track_caller]
    pub fn run_pipeline(
        &self,
        project: ProjectId,
        ref_name: &str,
        jobs: Vec<JobSpec>,
    ) -> PipelineId {
        self.run_pipeline_as(project, ref_name, "push", None, jobs)
    }

    /// Runs a pipeline with another source, such as `external` or `schedule`, or as another user.
    #[track_caller]
    pub fn run_pipeline_as(
        &self,
        project: ProjectId,
        ref_name: &str,
        source: &str,
        user: Option<UserId>,
        jobs: Vec<JobSpec>,
    ) -> PipelineId {
        let new = NewPipeline {
            project,
            ref_name: ref_name.to_owned(),
            source: source.to_owned(),
            user,
            jobs,
        };
        self.change(|world, now| world.run_pipeline(now, new))
    }

    /// Adds a trigger job to a pipeline, with the pipeline it started.
    #[track_caller]
    pub fn add_bridge(
        &self,
        pipeline: PipelineId,
        name: &str,
        stage: &str,
        downstream: PipelineId,
    ) -> JobId {
        self.change(|world, now| world.add_bridge(now, pipeline, name, stage, downstream))
    }

    /// The newest job of that name in a pipeline.
    #[track_caller]
    pub fn job(&self, pipeline: PipelineId, name: &str) -> JobId {
        self.change(|world, _| world.job_named(pipeline, name).map(|job| job.id))
    }

    /// A job as it is now.
    #[track_caller]
    pub fn job_state(&self, job: JobId) -> Job {
        self.change(|world, _| world.job(job).cloned())
    }

    /// A pipeline's status now.
    #[track_caller]
    pub fn status(&self, pipeline: PipelineId) -> Status {
        self.change(|world, _| world.pipeline(pipeline).map(|pipeline| pipeline.status))
    }

    /// A runner takes a pending job.
    #[track_caller]
    pub fn start_job(&self, job: JobId) {
        self.change(|world, now| world.start_job(now, job));
    }

    /// A pending or running job ends, and the pipeline goes on.
    #[track_caller]
    pub fn finish_job(&self, job: JobId, end: JobEnd) {
        self.change(|world, now| world.finish_job(now, job, end));
    }

    /// A user presses the play button of a manual job.
    #[track_caller]
    pub fn play(&self, job: JobId, user: UserId) {
        self.change(|world, now| world.play(now, job, user));
    }

    /// Retries an ended job as the user it belongs to; returns the new job.
    #[track_caller]
    pub fn retry(&self, job: JobId) -> JobId {
        self.change(|world, now| {
            let user = world.job(job)?.user;
            world.retry(now, job, user)
        })
    }

    /// Cancels a job that has not ended.
    #[track_caller]
    pub fn cancel_job(&self, job: JobId) {
        self.change(|world, now| world.cancel_job(now, job));
    }

    /// Removes a pipeline with its jobs.
    #[track_caller]
    pub fn delete_pipeline(&self, pipeline: PipelineId) {
        self.change(|world, _| world.delete_pipeline(pipeline));
    }

    /// Sets what the pipeline's tests reported.
    #[track_caller]
    pub fn set_test_report(&self, pipeline: PipelineId, suites: Vec<TestSuite>) {
        self.change(|world, _| {
            world
                .pipeline_mut(pipeline)
                .map(|pipeline| pipeline.tests = suites)
        });
    }

    /// The archive's expiry date passes; nothing has cleaned up yet, so that the whole archive is
    /// still there while single files are not (unless the pipeline keeps its artifacts).
    #[track_caller]
    pub fn expire_artifacts(&self, job: JobId) {
        self.change(|world, now| world.expire_artifacts(now, job));
    }

    /// The archive expired and was cleaned up.
    #[track_caller]
    pub fn clean_artifacts(&self, job: JobId) {
        self.change(|world, now| {
            world.expire_artifacts(now, job)?;
            world.clean_artifacts(job)
        });
    }

    /// Somebody erases an ended job: archive, reports and log.
    #[track_caller]
    pub fn erase_artifacts(&self, job: JobId) {
        self.change(|world, now| world.erase_artifacts(now, job));
    }

    /// Makes the API tell another size of an archive than it has; `None` tells the truth again.
    #[track_caller]
    pub fn declare_artifact_size(&self, job: JobId, size: Option<u64>) {
        self.change(|world, _| {
            if let Some(archive) = &mut world.job_mut(job)?.archive {
                archive.declared_size = size;
            }
            Ok(())
        });
    }
}
