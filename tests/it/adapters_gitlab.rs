//! The GitLab client against the lab's GitLab.

mod bounds;
mod counts;
mod downloads;
mod gates;
mod reach;
mod refusals;
mod triggers;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use secrecy::SecretString;
use sluice::{
    adapters::gitlab::{GitLabClients, Rates},
    api::v1alpha1::{GitLabConnection, RefType, token_secret},
    domain::{
        eligibility::{Known, Listed, Requirements, Verdict},
        pipeline::{PipelineQuery, RefState},
    },
    metrics::Metrics,
    ports::{
        CallError, CallErrorKind,
        as_of::AsOf,
        gitlab::{GitLab, GitLabs as _},
        secrets::{SecretData, Secrets},
        validators::Validators,
    },
};
use sluice_lab::gitlab::{
    JobEnd, JobSpec, PipelineId, ProjectId, RequestRecord, Simulator, SimulatorOptions, TestSuite,
    UserId, zip,
};

/// Secrets of one namespace, all with the one key `token`.
#[derive(Default)]
struct FakeSecrets {
    values: Mutex<BTreeMap<String, String>>,
    labels: Mutex<BTreeMap<String, String>>,
    reads: AtomicU64,
}

impl FakeSecrets {
    /// As `kubectl label secret gitlab sluice.dev/gitlab-token=true` would.
    fn label_as_token(&self) {
        let label = (token_secret::LABEL.to_owned(), "true".to_owned());
        self.labels.lock().unwrap().extend([label]);
    }
}

/// Serves `router` in place of GitLab. Returns its URL and the task.
async fn serve(router: axum::Router) -> (String, tokio::task::JoinHandle<std::io::Result<()>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (
        url,
        tokio::spawn(axum::serve(listener, router).into_future()),
    )
}

/// Clients that may connect to these networks, in effect without a rate limit.
fn clients(secrets: Arc<dyn Secrets>, metrics: &Arc<Metrics>, networks: &[&str]) -> GitLabClients {
    let networks = networks.iter().map(|network| network.parse().unwrap());
    let rates = Rates::new(100_000, []);
    GitLabClients::new(secrets, Arc::clone(metrics), networks.collect(), rates)
}

#[async_trait]
impl Secrets for FakeSecrets {
    async fn get(&self, namespace: &str, name: &str) -> Result<SecretData, CallError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let values = self.values.lock().unwrap();
        let value = values.get(name).ok_or_else(|| {
            let secret = format!("Secret {namespace}/{name}");
            CallError::new("read a Secret", secret, CallErrorKind::NotFound, "none")
        })?;
        Ok(SecretData {
            labels: self.labels.lock().unwrap().clone(),
            type_: "Opaque".to_owned(),
            values: [("token".to_owned(), value.clone().into())].into(),
        })
    }

    async fn identity_token(&self, _: &str) -> Result<SecretString, CallError> {
        unimplemented!("GitLab needs no identity token")
    }
}

/// A GitLab with a project, and a connection to it.
struct Lab {
    gitlab: Simulator,
    ana: UserId,
    project: ProjectId,
    secrets: Arc<FakeSecrets>,
    metrics: Arc<Metrics>,
    clients: GitLabClients,
    connection: GitLabConnection,
}

impl Lab {
    async fn start() -> Self {
        Self::with(SimulatorOptions::default()).await
    }

    async fn with(options: SimulatorOptions) -> Self {
        let gitlab = Simulator::start(options).await.unwrap();
        let ana = gitlab.create_user("ana");
        let project = gitlab.create_project("shop/checkout");
        gitlab.push(project, "main", "First");
        let secrets = Arc::<FakeSecrets>::default();
        secrets.label_as_token();
        let connection = serde_json::from_value(serde_json::json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "GitLabConnection",
            "metadata": {"name": "gitlab", "namespace": "shop", "uid": "u", "generation": 1},
            "spec": {
                "url": gitlab.url(),
                "tokenSecretRef": {"name": "gitlab", "key": "token"},
                "requestsPerMinute": 100_000,
            },
        }));
        let metrics = Arc::<Metrics>::default();
        let kept = Arc::clone(&secrets) as Arc<dyn Secrets>;
        let lab = Self {
            ana,
            project,
            clients: clients(kept, &metrics, &["127.0.0.1/32"]),
            metrics,
            secrets,
            connection: connection.unwrap(),
            gitlab,
        };
        let token = lab.gitlab.create_token(lab.ana, &["read_api"], None);
        // As `kubectl create secret --from-file` would leave it.
        lab.set_token(&format!("{token}\n"));
        lab
    }

    fn set_token(&self, token: &str) {
        let mut values = self.secrets.values.lock().unwrap();
        values.insert("gitlab".to_owned(), token.to_owned());
    }

    async fn client(&self) -> Arc<dyn GitLab> {
        self.clients.client(&self.connection).await.unwrap()
    }

    fn project_id(&self) -> i64 {
        i64::try_from(self.project.0).unwrap()
    }

    fn job_id(&self, pipeline: i64, name: &str) -> i64 {
        let pipeline = PipelineId(pipeline.try_into().unwrap());
        i64::try_from(self.gitlab.job(pipeline, name).0).unwrap()
    }

    fn run(&self, jobs: Vec<JobSpec>) -> i64 {
        let pipeline = self.gitlab.run_pipeline(self.project, "main", jobs);
        i64::try_from(pipeline.0).unwrap()
    }

    /// Awaits `during`. Returns its output, and the requests to GitLab meanwhile.
    async fn requests<T>(&self, during: impl Future<Output = T>) -> (T, Vec<RequestRecord>) {
        let mark = self.gitlab.mark();
        let result = during.await;
        (result, self.gitlab.requests_since(mark))
    }
}

fn archive() -> Vec<u8> {
    zip(&[("dist/api.zip", b"the function"), ("a b/ä", b"odd")])
}

fn package() -> JobSpec {
    JobSpec::new("package", "build").ends(JobEnd::uploads(archive()))
}

fn main_branch() -> PipelineQuery {
    PipelineQuery::Ref("main".to_owned())
}

#[tokio::test]
async fn client_reads_everything_a_delivery_needs() {
    let lab = Lab::start().await;
    let client = lab.client().await;
    let id = lab.project_id();
    let test = JobSpec::new("test", "test").ends(JobEnd::success());
    let pipeline = lab.run(vec![package(), test]);

    let standing = client.standing().await.unwrap();
    assert_eq!(standing.version, "19.1.2-ee");
    assert_eq!(standing.user, "ana");
    assert_eq!(standing.scopes, ["read_api"]);

    for name in ["shop/checkout", &id.to_string()] {
        let project = client.project(name).await.unwrap();
        assert_eq!((project.id, project.path.as_str()), (id, "shop/checkout"));
    }
    let pipelines = client
        .pipelines(id, &main_branch(), 0)
        .await
        .unwrap()
        .pipelines;
    assert_eq!(pipelines.len(), 1);
    assert_eq!(pipelines[0].id, pipeline);
    assert_eq!(pipelines[0].source, "push");
    assert_eq!(pipelines[0].git_ref.as_deref(), Some("main"));
    assert_eq!(pipelines[0].sha.len(), 40);

    let jobs = client.jobs(id, pipeline).await.unwrap();
    let of = |name: &str| jobs.iter().find(|job| job.name == name).unwrap();
    assert_eq!(of("package").archive_size, Some(archive().len() as u64));
    assert!(of("package").archive_kept);
    assert_eq!(of("package").commit_title.as_deref(), Some("First"));
    assert_eq!(of("test").archive_size, None);
    assert_eq!(of("test").status, "success");

    assert!(client.pipeline_user(id, pipeline).await.unwrap().is_some());
    let suite = TestSuite {
        name: "test".to_owned(),
        success: 3,
        failed: 1,
        error: 1,
        ..TestSuite::default()
    };
    let lab_pipeline = PipelineId(pipeline.try_into().unwrap());
    lab.gitlab.set_test_report(lab_pipeline, vec![suite]);
    let tests = client.test_summary(id, pipeline).await.unwrap();
    assert_eq!((tests.total, tests.failed), (5, 2));
}

#[tokio::test]
async fn branches_and_tags_are_distinguished_from_missing_refs() {
    let lab = Lab::start().await;
    let client = lab.client().await;
    let id = lab.project_id();
    let sha = lab.gitlab.push(lab.project, "feature/x#y%20z", "Second");
    lab.gitlab.tag(lab.project, "v1.0", &sha);
    lab.gitlab.protect(lab.project, "main", true);
    lab.gitlab.protect(lab.project, "v1.0", false);
    lab.gitlab.protect(lab.project, "feature/x#y%20z", false);
    let state = |protected| Some(RefState { protected });
    // A tag with the branch's name is a separate ref.
    lab.gitlab.tag(lab.project, "main", &sha);
    let (branch, tag) = (RefType::Branch, RefType::Tag);
    let table = [
        (branch, "main", state(true)),
        (tag, "main", state(false)),
        (branch, "feature/x#y%20z", state(false)),
        (tag, "v1.0", state(false)),
        (branch, "v1.0", None),
        (branch, "no-such", None),
        (tag, "no such..name", None),
    ];
    for (kind, name, expected) in table {
        let found = client.git_ref(id, kind, name).await.unwrap();
        assert_eq!(found, expected, "{kind:?} {name}");
    }
    let error = client.git_ref(1, branch, "main").await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::NotFound);
    assert!(error.message.contains("project does not exist"), "{error}");
}

#[tokio::test]
async fn unchanged_answers_take_a_304() {
    let lab = Lab::start().await;
    let client = lab.client().await;
    let id = lab.project_id();
    let pipeline = lab.run(vec![package()]);
    let read = async || {
        let pipelines = client
            .pipelines(id, &main_branch(), 0)
            .await
            .unwrap()
            .pipelines;
        let jobs = client.jobs(id, pipeline).await.unwrap();
        (pipelines, jobs)
    };
    let first = read().await;
    let (second, requests) = lab.requests(read()).await;
    assert_eq!(first, second);
    let answers: Vec<_> = requests.iter().map(|r| (r.conditional, r.status)).collect();
    assert_eq!(answers, [(true, Some(304)), (true, Some(304))]);

    let newer = lab.run(vec![package()]);
    let pipelines = client
        .pipelines(id, &main_branch(), 0)
        .await
        .unwrap()
        .pipelines;
    let ids: Vec<_> = pipelines.iter().map(|pipeline| pipeline.id).collect();
    assert_eq!(ids, [newer, pipeline]);
}

#[tokio::test]
async fn reads_as_of_the_same_moment_share_one_answer() {
    let lab = Lab::start().await;
    let client = lab.client().await;
    let id = lab.project_id();
    let pipeline = lab.run(vec![package()]);
    let read = async || client.jobs(id, pipeline).await.unwrap();
    let moment = AsOf(tokio::time::Instant::now());
    let together = async || {
        let readers = (0..20).map(|_| moment.scope(read()));
        futures::future::join_all(readers).await
    };
    let (answers, requests) = lab.requests(together()).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(requests.len(), 1);
    let (_, requests) = lab.requests(together()).await;
    assert_eq!(requests.len(), 0, "the answer is shared");

    let later = AsOf(tokio::time::Instant::now());
    let (_, requests) = lab.requests(later.scope(read())).await;
    let statuses: Vec<_> = requests.iter().map(|request| request.status).collect();
    assert_eq!(statuses, [Some(304)]);
    let (_, requests) = lab.requests(read()).await;
    assert_eq!(requests.len(), 1, "a read without a moment sends a request");
}

#[tokio::test]
async fn earlier_reads_can_be_revalidated() {
    let lab = Lab::start().await;
    let client = lab.client().await;
    let id = lab.project_id();
    let pipeline = lab.run(vec![package()]);
    let read = async || {
        let pipelines = client.pipelines(id, &main_branch(), 0).await.unwrap();
        (pipelines, client.jobs(id, pipeline).await.unwrap())
    };
    let statuses = |requests: &[RequestRecord]| {
        let all = requests.iter().map(|request| request.status.unwrap());
        all.collect::<Vec<_>>()
    };
    let (_, validators) = Validators::of(read()).await;
    assert!(validators.can_revalidate());
    let holds = async || client.are_unchanged(&validators).await;
    let (still, requests) = lab.requests(holds()).await;
    assert_eq!(still, Ok(true));
    assert_eq!(statuses(&requests), [304, 304]);

    // A read as of the same moment sends no more requests.
    let moment = AsOf(tokio::time::Instant::now());
    let (_, requests) = lab.requests(moment.scope(holds())).await;
    assert_eq!(statuses(&requests), [304, 304]);
    let (_, requests) = lab.requests(moment.scope(read())).await;
    assert_eq!(requests.len(), 0);
    let (still, requests) = lab.requests(moment.scope(holds())).await;
    assert_eq!((still, requests.len()), (Ok(true), 0));

    lab.run(vec![package()]);
    let (still, requests) = lab.requests(holds()).await;
    assert_eq!(still, Ok(false));
    assert_eq!(statuses(&requests).last(), Some(&200));
    let (_, newer) = Validators::of(read()).await;
    assert_eq!(client.are_unchanged(&newer).await, Ok(true));

    // A failed read leaves no validators.
    let (_, failed) = Validators::of(client.jobs(id, 4711)).await;
    assert!(!failed.can_revalidate());
}

#[tokio::test]
async fn long_lists_are_read_on_every_page() {
    let lab = Lab::with(SimulatorOptions {
        // Links have another address than the one that the client uses.
        external_url: Some("https://git.example.com".to_owned()),
        ..SimulatorOptions::default()
    })
    .await;
    let client = lab.client().await;
    let jobs = (0..230).map(|index| JobSpec::new(&format!("job-{index}"), "test"));
    let pipeline = lab.run(jobs.collect());
    for status in [200, 304] {
        let read = client.jobs(lab.project_id(), pipeline);
        let (jobs, requests) = lab.requests(read).await;
        let names: BTreeSet<_> = jobs.unwrap().into_iter().map(|job| job.name).collect();
        assert_eq!(names.len(), 230);
        assert_eq!(requests.len(), 3);
        assert!(
            requests
                .iter()
                .all(|request| request.status == Some(status))
        );
    }
}

#[tokio::test]
async fn moved_project_is_followed_to_its_id() {
    let lab = Lab::with(SimulatorOptions {
        external_url: Some("https://git.example.com".to_owned()),
        ..SimulatorOptions::default()
    })
    .await;
    let client = lab.client().await;
    lab.gitlab.move_project(lab.project, "shop/till");
    let (project, requests) = lab.requests(client.project("shop/checkout")).await;
    let project = project.unwrap();
    assert_eq!(project.id, lab.project_id());
    assert_eq!(project.path, "shop/till");
    let statuses: Vec<_> = requests.iter().map(|request| request.status).collect();
    assert_eq!(statuses, [Some(301), Some(200)]);
}

#[tokio::test]
async fn moved_project_with_a_dot_is_followed() {
    let lab = Lab::start().await;
    let client = lab.client().await;
    for (old, new) in [
        ("jo.doe/check.out", "shop/till"),
        ("shop/v1.0", "shop/v2.0"),
    ] {
        let project = lab.gitlab.create_project(old);
        lab.gitlab.move_project(project, new);
        let found = client.project(old).await.unwrap();
        assert_eq!(
            (found.id, found.path.as_str()),
            (i64::try_from(project.0).unwrap(), new)
        );
    }
}

#[tokio::test]
async fn relative_url_root_is_kept() {
    let lab = Lab::with(SimulatorOptions {
        relative_root: "/gitlab".to_owned(),
        ..SimulatorOptions::default()
    })
    .await;
    let client = lab.client().await;
    lab.gitlab.move_project(lab.project, "shop/till");
    let project = client.project("shop/checkout").await.unwrap();
    assert_eq!(project.path, "shop/till");
}

#[tokio::test]
async fn client_is_shared_until_the_connection_changes() {
    let mut lab = Lab::start().await;
    let first = lab.client().await;
    assert!(Arc::ptr_eq(&first, &lab.client().await));
    assert_eq!(lab.secrets.reads.load(Ordering::SeqCst), 1);
    lab.connection.metadata.generation = Some(2);
    assert!(!Arc::ptr_eq(&first, &lab.client().await));
}

fn requirements() -> Requirements {
    Requirements {
        git_ref: "main".to_owned(),
        artifact_jobs: ["package".into()].into(),
        required_jobs: ["test".into()].into(),
        minimum_tests: None,
    }
}

/// Reads from GitLab until the rules have a verdict.
async fn decide(lab: &Lab, released: Option<i64>) -> Verdict {
    decide_by(&requirements(), lab, released).await
}

async fn decide_by(requirements: &Requirements, lab: &Lab, released: Option<i64>) -> Verdict {
    let (client, id) = (lab.client().await, lab.project_id());
    let (mut pipelines, mut pages, mut listed) = (Vec::new(), 0, Listed::More);
    let (mut jobs, mut bridges) = (BTreeMap::new(), BTreeMap::new());
    let mut verdict = Verdict::NeedPipelines;
    loop {
        match verdict {
            Verdict::NeedPipelines => {
                let page = client.pipelines(id, &main_branch(), pages).await.unwrap();
                pages += 1;
                pipelines.extend(page.pipelines);
                if !page.more {
                    listed = Listed::All;
                }
            }
            Verdict::NeedJobs(pipeline) => {
                let of_it = client.jobs(id, pipeline).await.unwrap();
                assert!(jobs.insert(pipeline, of_it).is_none());
            }
            Verdict::NeedBridges(pipeline) => {
                let of_it = client.bridges(id, pipeline).await.unwrap();
                assert!(bridges.insert(pipeline, of_it).is_none());
            }
            verdict => return verdict,
        }
        let known = Known {
            pipelines: &pipelines,
            listed,
            jobs: &jobs,
            bridges: &bridges,
            tests: &BTreeMap::new(),
        };
        verdict = requirements.next(known, released);
    }
}

#[tokio::test]
async fn pipeline_held_open_by_a_manual_job_is_eligible() {
    let lab = Lab::start().await;
    let held = lab.run(vec![
        package(),
        JobSpec::new("test", "test").ends(JobEnd::success()),
        JobSpec::new("approve-prod", "approve").manual_blocking(),
        JobSpec::new("deploy-prod", "deploy"),
    ]);
    let client = lab.client().await;
    let pipelines = client.pipelines(lab.project_id(), &main_branch(), 0).await;
    assert_eq!(pipelines.unwrap().pipelines[0].status, "manual");
    let taken = Verdict::Eligible {
        pipeline: held,
        note: None,
    };
    assert_eq!(decide(&lab, None).await, taken);

    // A newer pipeline runs: the older one is still eligible, but only once.
    let newer = lab.run(vec![package(), JobSpec::new("test", "test")]);
    let test = lab
        .gitlab
        .job(PipelineId(newer.try_into().unwrap()), "test");
    lab.gitlab.start_job(test);
    let message = format!("pipeline {newer} waits for job test (running)");
    let taken = Verdict::Eligible {
        pipeline: held,
        note: Some(message.clone()),
    };
    assert_eq!(decide(&lab, None).await, taken);
    let waiting = Verdict::Waiting {
        pipeline: newer,
        message,
    };
    assert_eq!(decide(&lab, Some(held)).await, waiting);

    // The newer one fails: no pipeline is eligible, and the older one never is again.
    lab.gitlab.finish_job(test, JobEnd::failed());
    let failed = format!("pipeline {newer}: job test failed");
    let message = format!("no new pipeline of main can be released: {failed}");
    assert_eq!(decide(&lab, Some(held)).await, Verdict::Nothing { message });
}
