//! The team of one run: its namespace, its GitLab project, its actions, and its controllers.

mod aws;
mod gates;
mod packages;
mod stacks;

use std::{
    collections::BTreeSet,
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use k8s_openapi::{NamespaceResourceScope, api::core::v1::Namespace};
use kube::{
    Api, Resource,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sluice::api::v1alpha1::{Deployment, GitLabConnection, Release, Target, annotation, condition};
use sluice_lab::{aws::StackHold, gitlab::ProjectId};
use tokio::sync::mpsc;

use crate::{
    controllers::Controllers,
    fixture::{ACCOUNTS, Fixture, Slot, secret},
    instance::{Environment, Log},
    names::Names,
    plan::{CallName, Injection},
    waiting::{LIMIT, Problem, problem, wait_until},
    witness::Witness,
};

/// The Deployment that scenarios deliver.
pub const NAME: &str = "checkout";
/// The component of kind `s3`.
pub const SITE: &str = "site";
/// The component of kind `cloudFormation`; all others are functions.
pub const STACK: &str = "infra";
/// A Deployment that can't make progress (I9).
const BROKEN: &str = "broken";

/// A team for one run of a scenario.
pub struct Team<'a> {
    /// The lab.
    pub fixture: &'a Fixture,
    /// The slot of the run.
    pub slot: &'a Slot,
    /// The team's namespace, which is also the prefix of the names of its functions.
    pub namespace: String,
    /// The log of its controllers.
    pub log: Log,
    project: ProjectId,
    path: String,
    environment: Environment,
    components: std::sync::Mutex<BTreeSet<String>>,
    controllers: Controllers,
    witness: Arc<Witness>,
    /// The hold of the team's stack, if a scenario needs one.
    hold: tokio::sync::Mutex<Option<StackHold>>,
}

impl<'a> Team<'a> {
    /// Creates a team without anything delivered, and starts its controller.
    pub async fn begin(
        fixture: &'a Fixture,
        slot: &'a Slot,
        needs_lease: bool,
    ) -> Result<Self, Problem> {
        static TEAMS: AtomicU64 = AtomicU64::new(1);
        // All names have the same length: the name is in the packages, and the status has their sizes.
        let namespace = format!("team{:05}", TEAMS.fetch_add(1, Ordering::Relaxed));
        let mut names = Names::default();
        names.replace(namespace.clone(), "TEAM");
        names.replace(format!("{}-", slot.name), "");
        let (sender, signals) = mpsc::unbounded_channel();
        slot.interceptor.begin(names, sender);
        let readers = ACCOUNTS.map(|account| fixture.stacks(account).clone());
        let witness = Witness::new(
            fixture.admin.clone(),
            namespace.clone(),
            readers.into_iter(),
        );
        let witness = Arc::new(witness);
        slot.interceptor.show_to(Arc::clone(&witness));
        let path = format!("{namespace}/checkout");
        let gitlab = &fixture.lab.gitlab;
        let project = gitlab.create_project(&path);
        gitlab.push(project, "main", "Begin");
        let user = gitlab.create_user(&format!("sluice-{namespace}"));
        let token = gitlab.create_token(user, &["read_api"], None);
        let environment = Environment {
            config: fixture.controller.clone(),
            interceptor: Arc::clone(&slot.interceptor),
            namespace: namespace.clone(),
            slot: slot.name.clone(),
            log: Log::default(),
            lease: needs_lease.then(|| format!("chaos-{namespace}")),
        };
        let controllers = Controllers::new(environment.clone(), signals);
        let team = Self {
            fixture,
            slot,
            namespace,
            log: environment.log.clone(),
            project,
            path,
            environment,
            components: std::sync::Mutex::default(),
            controllers,
            witness,
            hold: tokio::sync::Mutex::default(),
        };
        team.create_prerequisites(&token).await?;
        team.controllers.start(team.environment.clone()).await;
        Ok(team)
    }

    /// Creates the namespace, the GitLabConnection, and a Deployment that can't make progress.
    async fn create_prerequisites(&self, token: &str) -> Result<(), Problem> {
        let namespace: Namespace = serde_json::from_value(
            json!({"metadata": {"name": self.namespace, "labels": {"sluice-lab": "tenant"}}}),
        )
        .map_err(problem)?;
        let namespaces: Api<Namespace> = Api::all(self.fixture.admin.clone());
        let params = PostParams::default();
        namespaces
            .create(&params, &namespace)
            .await
            .map_err(problem)?;
        let token = secret("gitlab-token", token);
        self.api().create(&params, &token).await.map_err(problem)?;
        let connection: GitLabConnection = serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "GitLabConnection",
            "metadata": {"name": "gitlab"},
            "spec": {
                "url": self.slot.gitlab,
                "tokenSecretRef": {"name": "gitlab-token", "key": "token"},
            },
        }))
        .map_err(problem)?;
        self.api()
            .create(&params, &connection)
            .await
            .map_err(problem)?;
        let mut broken = self.deployment(&["broken"], &["dev"]);
        broken["metadata"]["name"] = json!(BROKEN);
        broken["spec"]["source"]["connection"] = json!("nowhere");
        broken["spec"]["source"]["interval"] = json!("1h");
        self.apply(&broken).await
    }

    /// The name of the function of a component.
    pub fn function(&self, component: &str) -> String {
        format!("{}-{component}", self.namespace)
    }

    /// The prefix of the team's files in the bucket.
    pub fn prefix(&self) -> String {
        format!("{}/", self.namespace)
    }

    /// A Deployment of these components to one stage in each of these accounts.
    pub fn deployment(&self, components: &[&str], accounts: &[&str]) -> Value {
        let artifact = |name: &&str| json!({"name": name, "job": {"name": "package", "path": format!("dist/{name}.zip")}});
        let component = |name: &&str| {
            if *name == STACK {
                return self.stack_component();
            }
            if *name == SITE {
                let bucket = self.fixture.site_bucket("dev");
                let files = json!({"bucket": bucket, "prefix": self.prefix(), "artifact": SITE});
                return json!({"name": SITE, "s3": files});
            }
            let lambda = json!({
                "functionName": self.function(name),
                "artifact": name,
                "runtime": "python3.13",
                "handler": "app.handler",
                "role": "lambda-exec",
                "environment": {"REVISION": "$(release.revision)", "STAGE": "$(stage.name)"},
            });
            json!({"name": name, "lambda": lambda})
        };
        let stage = |account: &&str| {
            let target = json!({"account": self.slot.account_name(account), "region": "eu-west-1"});
            json!({"name": account, "targets": [target]})
        };
        json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Deployment",
            "metadata": {"name": NAME, "namespace": self.namespace},
            "spec": {
                "source": {"connection": "gitlab", "project": self.path, "ref": "main", "interval": "1s"},
                // A drift check would be recorded after each reconcile.
                "drift": {"policy": "Ignore"},
                "artifacts": components.iter().map(artifact).collect::<Vec<_>>(),
                "components": components.iter().map(component).collect::<Vec<_>>(),
                "stages": accounts.iter().map(stage).collect::<Vec<_>>(),
            },
        })
    }

    /// `kubectl apply --server-side` of a Deployment.
    pub async fn apply(&self, manifest: &Value) -> Result<(), Problem> {
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
        let params = PatchParams::apply("team").force();
        let api = self.api::<Deployment>();
        let applied = api.patch(name, &params, &Patch::Apply(manifest)).await;
        applied.map(drop).map_err(problem)
    }

    /// Sets an annotation on the Deployment.
    pub async fn annotate(&self, key: &str, value: &str) -> Result<(), Problem> {
        self.merge(json!({"metadata": {"annotations": {key: value}}}))
            .await
    }

    /// Disables drift checks.
    pub async fn ignore_drift(&self) -> Result<(), Problem> {
        self.merge(json!({"spec": {"drift": {"policy": "Ignore"}}}))
            .await
    }

    /// Merges this into the Deployment.
    async fn merge(&self, patch: Value) -> Result<(), Problem> {
        let params = PatchParams::default();
        self.api::<Deployment>()
            .patch(NAME, &params, &Patch::Merge(patch))
            .await
            .map(drop)
            .map_err(problem)
    }

    /// The API of one kind in the team's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.fixture.admin.clone(), &self.namespace)
    }

    /// All objects of one kind in the team's namespace.
    pub async fn list<K>(&self) -> Result<Vec<K>, Problem>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let listed = self.api::<K>().list(&ListParams::default()).await;
        listed.map(|list| list.items).map_err(problem)
    }

    /// Waits until `find` returns a value for the Deployment.
    pub async fn wait<T>(
        &self,
        what: &str,
        find: impl Fn(&Deployment) -> Option<T>,
    ) -> Result<T, Problem> {
        self.wait_for(NAME, what, find).await
    }

    async fn wait_for<T>(
        &self,
        name: &str,
        what: &str,
        find: impl Fn(&Deployment) -> Option<T>,
    ) -> Result<T, Problem> {
        let api = self.api::<Deployment>();
        let found = wait_until(what, LIMIT, async || {
            let deployment = api.get(name).await.map_err(problem)?;
            find(&deployment).ok_or_else(|| json!(deployment.status).to_string())
        });
        found.await
    }

    /// Waits until the revision is live in every stage, and the rest is pruned.
    pub async fn wait_until_delivered(&self, revision: i64) -> Result<(), Problem> {
        let what = format!("r{revision} is delivered");
        self.wait(&what, |deployment| {
            let status = deployment.status.as_ref()?;
            let is_live = status.stages.len() == deployment.spec.stages.len()
                && status
                    .stages
                    .iter()
                    .all(|stage| stage.live_revision == Some(revision));
            (is_live && is_true(deployment, condition::READY, None)).then_some(())
        })
        .await?;
        // Removed components are pruned after that, and so are proposals.
        let pruned = wait_until("nothing is left to prune", LIMIT, async || {
            let targets = self.list::<Target>().await?;
            let inventories = targets.iter().filter_map(|target| target.status.as_ref());
            let mut items = inventories.flat_map(|status| &status.inventory);
            let left = items.find(|item| item.needs_prune());
            left.map_or(Ok(()), |item| Err(json!(item).to_string()))
        });
        pruned.await?;
        self.wait_for_proposals(0).await
    }

    /// Waits until the Deployment is stalled for this reason.
    pub async fn wait_until_stalled(&self, reason: &str) -> Result<(), Problem> {
        let what = format!("the Deployment is stalled: {reason}");
        self.wait(&what, |deployment| {
            is_true(deployment, condition::STALLED, Some(reason)).then_some(())
        })
        .await
    }

    /// Waits until the broken Deployment is stalled, so that it makes no calls during the scenario.
    pub async fn wait_for_broken(&self) -> Result<(), Problem> {
        self.wait_for(BROKEN, "the broken Deployment is stalled", |deployment| {
            is_true(deployment, condition::STALLED, None).then_some(())
        })
        .await
    }

    /// Waits until `status.live` has this value.
    pub async fn wait_until_live(&self, wanted: &str) -> Result<(), Problem> {
        self.wait(&format!("{wanted} is live"), |deployment| {
            let live = deployment.status.as_ref()?.live.as_deref();
            (live == Some(wanted)).then_some(())
        })
        .await
    }

    /// The Target in an account.
    pub async fn target(&self, account: &str) -> Result<Target, Problem> {
        let targets = self.list::<Target>().await?;
        let name = self.slot.account_name(account);
        let found = targets.into_iter().find(|it| it.spec.account == name);
        found.ok_or_else(|| format!("account {account} has no Target"))
    }

    /// Records calls from now on, with this injection.
    pub fn arm(&self, injection: Option<(CallName, Injection)>) {
        self.slot.interceptor.arm(injection);
    }

    /// Requests a reconcile of the Deployment, and waits until it is handled.
    pub async fn reconcile(&self, token: &str) -> Result<(), Problem> {
        self.annotate(annotation::RECONCILE, token).await?;
        self.wait("the reconcile is handled", |deployment| {
            let handled = deployment
                .status
                .as_ref()?
                .last_handled_reconcile
                .as_deref();
            (handled == Some(token)).then_some(())
        })
        .await
    }

    /// Waits until the Deployment and its Targets and Releases are deleted.
    pub async fn wait_until_deleted(&self) -> Result<(), Problem> {
        let gone = wait_until("all objects are deleted", LIMIT, async || {
            let mut left: Vec<String> = Vec::new();
            let deployments = self.list::<Deployment>().await?;
            left.extend(deployments.iter().map(kube::ResourceExt::name_any));
            left.retain(|name| name != BROKEN);
            let targets = self.list::<Target>().await?;
            left.extend(targets.iter().map(kube::ResourceExt::name_any));
            let releases = self.list::<Release>().await?;
            left.extend(releases.iter().map(kube::ResourceExt::name_any));
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            }
        });
        gone.await
    }

    /// Resumes a paused controller and its held call, and waits until it ends. Any other write to AWS is a
    /// violation.
    pub async fn resume_paused(&self, violations: &mut Vec<String>) -> Result<(), Problem> {
        let Some((former, guard)) = self.controllers.take_paused().await else {
            return Ok(());
        };
        let interceptor = &self.slot.interceptor;
        let mark = interceptor.call_count();
        interceptor.release();
        drop(guard);
        let ended = wait_until("the former leader ends", LIMIT, async || {
            let still_runs = || "it still runs".to_owned();
            former.has_ended().then_some(()).ok_or_else(still_runs)
        });
        ended.await?;
        let calls = interceptor.calls();
        let late = calls[mark..]
            .iter()
            .filter(|call| call.is_write && call.is_to_aws());
        let late: Vec<String> = late.map(|call| call.name.to_string()).collect();
        if !late.is_empty() {
            violations.push(format!(
                "I7: the former leader wrote after another one became leader: {late:?}"
            ));
        }
        Ok(())
    }

    /// Kills the controllers and deletes the functions and stacks, to keep the emulator small.
    pub async fn tear_down(self, functions: &[String]) {
        let stack = self.stack();
        self.controllers.kill_all().await;
        drop(self.hold);
        for account in ACCOUNTS {
            self.fixture.stacks(account).delete(&stack).await;
            for function in functions {
                let delete = self.fixture.lambda(account).delete_function();
                // The function may not exist.
                let _ = delete.function_name(function).send().await;
            }
        }
    }
}

/// Whether a condition is True for the current generation, with this reason if one is given.
fn is_true(deployment: &Deployment, kind: &str, reason: Option<&str>) -> bool {
    let status = deployment.status.iter();
    let mut conditions = status.flat_map(|status| &status.conditions);
    conditions.any(|condition| {
        condition.type_ == kind
            && condition.status == "True"
            && condition.observed_generation == deployment.metadata.generation
            && reason.is_none_or(|reason| condition.reason == reason)
    })
}
