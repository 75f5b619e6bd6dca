//! Many Deployments of one function each, and their progress.

use std::{
    collections::BTreeSet,
    pin::pin,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::GroupVersionKind,
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use sluice_lab::{
    error::LabError,
    gitlab::ProjectId,
    kube::User,
    lab::{Tenant, condition_of, package},
    runtime,
};

use super::super::bench_lab::{BenchLab, NAMESPACE, manifest};

/// Concurrent requests that create them.
const CREATED_AT_A_TIME: usize = 16;
/// Far more than any wait takes.
const LIMIT: Duration = Duration::from_mins(40);

/// Many Deployments.
pub struct Fleet {
    api: Api<DynamicObject>,
    members: Vec<Member>,
    /// Each project once.
    projects: Vec<ProjectId>,
}

struct Member {
    name: String,
    deployment: Value,
}

/// When the Deployments were live.
pub struct Arrival {
    /// When the first one was.
    pub first: Instant,
}

impl Fleet {
    /// Creates their GitLab projects. The Deployments do not exist yet.
    pub fn gather(
        bench_lab: &BenchLab,
        objects: u32,
        projects: Option<u32>,
        checked: bool,
    ) -> Result<Self, LabError> {
        let count = projects.unwrap_or(objects).min(objects);
        let paths: Vec<String> = (0..count).map(|nth| format!("fleet/p{nth:05}")).collect();
        let gitlab = &bench_lab.lab.gitlab;
        let projects: Vec<ProjectId> = paths
            .iter()
            .map(|path| gitlab.create_project(path))
            .collect();
        let members = (0..objects).map(|nth| {
            let name = format!("f{nth:05}");
            let path = &paths[usize::try_from(nth % count).unwrap_or_default()];
            let team = Tenant {
                path: path.clone(),
                ..bench_lab.team.clone()
            };
            let mut deployment = manifest(&team, &name, "package", &[]);
            deployment["spec"]["source"]["ref"] = json!("main");
            deployment["spec"]["source"]["interval"] = json!("1m");
            if !checked {
                deployment["spec"]["stages"][0]["checks"] = json!([]);
            }
            Member { name, deployment }
        });
        Ok(Self {
            api: api(bench_lab)?,
            members: members.collect(),
            projects,
        })
    }

    /// The number of Deployments.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Runs a pipeline in each project, with an artifact of its own.
    pub fn push(&self, bench_lab: &BenchLab, revision: u32) {
        for (nth, project) in self.projects.iter().enumerate() {
            let bytes = package(&format!("p{nth} v{revision}"));
            bench_lab
                .lab
                .pipeline(*project, "main", &format!("Answer v{revision}"), &bytes);
        }
    }

    /// Creates all Deployments.
    pub fn create(&self) -> Result<(), LabError> {
        let create = |member: &Member| {
            let object = serde_json::from_value::<DynamicObject>(member.deployment.clone());
            let api = self.api.clone();
            async move {
                let object = object.map_err(|error| LabError::new(error.to_string()))?;
                let created = api.create(&PostParams::default(), &object).await;
                created
                    .map(drop)
                    .map_err(|error| LabError::new(error.to_string()))
            }
        };
        let created = stream::iter(self.members.iter().map(create))
            .buffer_unordered(CREATED_AT_A_TIME)
            .try_collect::<Vec<()>>();
        runtime::handle().block_on(created).map(drop)
    }

    /// Waits until `revision` is live everywhere.
    pub fn wait_live(&self, revision: u32) -> Result<Arrival, LabError> {
        let live = format!("dev=r{revision}");
        let mut missing: BTreeSet<&str> = self.members.iter().map(|it| it.name.as_str()).collect();
        let mut first = None;
        let arrive = async {
            let watch = watcher(self.api.clone(), watcher::Config::default());
            let mut watch = pin!(watch.default_backoff().applied_objects());
            while let Some(seen) = watch.next().await {
                let Ok(object) = seen else { continue };
                let ready =
                    condition_of(&object.data, "Ready").is_some_and(|it| it["status"] == "True");
                let arrived = ready && object.data["status"]["live"] == live;
                let name = object.metadata.name.unwrap_or_default();
                if arrived && missing.remove(name.as_str()) {
                    first.get_or_insert_with(Instant::now);
                }
                if missing.is_empty() {
                    break;
                }
            }
        };
        let ended = runtime::handle().block_on(async { tokio::time::timeout(LIMIT, arrive).await });
        match first {
            Some(first) if ended.is_ok() => Ok(Arrival { first }),
            _ => Err(LabError::new(format!(
                "{} of {} did not arrive at r{revision}, such as {:?}",
                missing.len(),
                self.members.len(),
                missing.first()
            ))),
        }
    }

    /// Waits until polls of GitLab cause no more reconciles.
    pub fn wait_until_idle(&self, bench_lab: &BenchLab) -> Result<(), LabError> {
        let what = "polls of GitLab cause no reconciles";
        bench_lab.lab.wait_for(what, LIMIT, || {
            let passes = || Passes::now(bench_lab).map_err(|error| error.to_string());
            let before = passes()?;
            let polled = bench_lab.wait_for_polls(self.projects.len());
            polled.map_err(|error| error.to_string())?;
            match passes()?.since(before) {
                Passes { deployments: 0, .. } => Ok(()),
                more => Err(format!("{} reconciles", more.deployments)),
            }
        })
    }

    /// Waits until a restarted controller has reconciled each Deployment once.
    pub fn wait_until_reconciled(&self, bench_lab: &BenchLab) -> Result<(), LabError> {
        bench_lab
            .lab
            .wait_for("every Deployment is reconciled", LIMIT, || {
                let passes = Passes::now(bench_lab).map_err(|error| error.to_string())?;
                let all = self.members.len();
                (passes.deployments >= all)
                    .then_some(())
                    .ok_or_else(|| format!("{} of {all}", passes.deployments))
            })
    }
}

/// How many reconciles have ended since the controller was started.
#[derive(Clone, Copy, Default)]
pub struct Passes {
    /// Of Deployments.
    pub deployments: usize,
    /// Of Targets.
    pub targets: usize,
}

impl Passes {
    /// The current counts.
    pub fn now(bench_lab: &BenchLab) -> Result<Self, LabError> {
        let controller = bench_lab.lab.controller();
        Ok(Self {
            deployments: controller.reconciles("deployment")?,
            targets: controller.reconciles("target")?,
        })
    }

    /// The counts since `then`.
    pub fn since(self, then: Self) -> Self {
        Self {
            deployments: self.deployments - then.deployments,
            targets: self.targets - then.targets,
        }
    }
}

fn api(bench_lab: &BenchLab) -> Result<Api<DynamicObject>, LabError> {
    let wrong = |error: &dyn std::error::Error| LabError::new(format!("the cluster: {error}"));
    let path = bench_lab.lab.kube.kubeconfig(User::Admin);
    let config = Kubeconfig::read_from(path).map_err(|error| wrong(&error))?;
    let options = KubeConfigOptions::default();
    let client = runtime::handle().block_on(async {
        let config = Config::from_custom_kubeconfig(config, &options)
            .await
            .map_err(|error| wrong(&error))?;
        Client::try_from(config).map_err(|error| wrong(&error))
    })?;
    let kind = GroupVersionKind::gvk("sluice.dev", "v1alpha1", "Deployment");
    Ok(Api::namespaced_with(
        client,
        NAMESPACE,
        &ApiResource::from_gvk(&kind),
    ))
}
