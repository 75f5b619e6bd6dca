//! One team in a lab: its manifests, its actions, and assertions on the results.

use k8s_openapi::{
    NamespaceResourceScope,
    api::{core::v1::Secret, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sluice::api::v1alpha1::{
    Deployment, GitLabConnection, Release, RunStatus, Target, annotation, condition,
};
use sluice_lab::{
    aws::Calls,
    gitlab::PipelineId,
    lab::{self, Tenant},
};

use super::{Environment, LIMIT, run, shared};

/// The name of the Deployment in most scenes.
pub const NAME: &str = "checkout";

/// One team in a lab.
pub struct Scene<'a> {
    pub environment: &'a Environment,
    pub team: Tenant,
}

/// Suspends the team's Deployments, so that they stop polling GitLab: a hundred of them would use up the
/// budget of the shared lab.
impl Drop for Scene<'_> {
    fn drop(&mut self) {
        let suspended = Patch::Merge(json!({"spec": {"suspend": true}}));
        let api = self.api::<Deployment>();
        // Errors do not matter: where the namespace, a policy of the scene or the API server prevents the
        // update, nothing polls any more or the lab ends anyway.
        let Ok(deployments) = run(api.list(&ListParams::default())) else {
            return;
        };
        for deployment in deployments {
            let name = deployment.name_any();
            let _ = run(api.patch(&name, &PatchParams::default(), &suspended));
        }
    }
}

impl Scene<'static> {
    /// A team in the lab that tests share.
    pub fn new(namespace: &str) -> Self {
        Self::within(shared(), namespace)
    }
}

impl<'a> Scene<'a> {
    /// A team in that lab.
    pub fn within(environment: &'a Environment, namespace: &str) -> Self {
        let team = environment.lab.create_namespace(namespace).unwrap();
        Self { environment, team }
    }

    /// A team that has version v1 serving in dev.
    pub fn running(namespace: &str) -> Scene<'static> {
        let scene = Scene::new(namespace);
        scene.push("v1");
        scene.apply(&scene.deployment(&["dev"]));
        scene.delivered(1);
        scene
    }

    /// The name of the team's function.
    pub fn function(&self) -> String {
        format!("{}-api", self.team.namespace)
    }

    /// A Deployment of one function, from the branch main, with one stage per account in this order.
    pub fn deployment(&self, accounts: &[&str]) -> Value {
        let stage = |account: &&str| {
            json!({
                "name": account,
                "targets": [{"account": account, "region": lab::HUB_REGION}],
            })
        };
        json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Deployment",
            "metadata": {"name": NAME, "namespace": self.team.namespace},
            "spec": {
                "source": {
                    "connection": "gitlab",
                    "project": self.team.path,
                    "ref": "main",
                    "interval": "1s",
                },
                "artifacts": [{"name": "api", "job": {"name": "package", "path": "dist/api.zip"}}],
                "components": [{"name": "api", "lambda": lambda(&self.function())}],
                "stages": accounts.iter().map(stage).collect::<Vec<_>>(),
            },
        })
    }

    /// A commit and a pipeline that builds a function answering with that version.
    pub fn push(&self, version: &str) -> PipelineId {
        self.push_package(&lab::package(version))
    }

    /// A commit and a pipeline that builds that package.
    pub fn push_package(&self, package: &[u8]) -> PipelineId {
        let lab = &self.environment.lab;
        lab.deliverable_pipeline(self.team.project, "main", package)
    }

    /// `kubectl apply --server-side` of one object.
    pub fn apply(&self, manifest: &Value) {
        let (kind, name) = (&manifest["kind"], &manifest["metadata"]["name"]);
        let params = PatchParams::apply("team").force();
        let name_of = name.as_str().unwrap();
        let applied = match kind.as_str().unwrap() {
            "Deployment" => {
                run(self
                    .api::<Deployment>()
                    .patch(name_of, &params, &Patch::Apply(manifest)))
                .map(drop)
            }
            "GitLabConnection" => {
                run(self
                    .api::<GitLabConnection>()
                    .patch(name_of, &params, &Patch::Apply(manifest)))
                .map(drop)
            }
            "Secret" => run(self
                .api::<Secret>()
                .patch(name_of, &params, &Patch::Apply(manifest)))
            .map(drop),
            other => panic!("apply does not support {other}"),
        };
        applied.unwrap_or_else(|e| panic!("applying {kind} {name}: {e}"));
    }

    /// Sets an annotation on the Deployment.
    pub fn annotate(&self, key: &str, value: &str) {
        self.merge(&json!({"metadata": {"annotations": {key: value}}}));
    }

    /// Requests a poll of GitLab, and waits until it is done.
    #[track_caller]
    pub fn poll_gitlab(&self, token: &str) {
        self.annotate(annotation::RECONCILE, token);
        self.wait(NAME, "the command is handled", |deployment| {
            let status = deployment.status.as_ref()?;
            (status.last_handled_reconcile.as_deref() == Some(token)).then_some(())
        });
    }

    /// Waits until the status says that this is live, such as `dev=r2 prod=r1`.
    #[track_caller]
    pub fn wait_until_live(&self, live: &str) {
        self.wait(NAME, &format!("{live} is live"), |deployment| {
            let status = deployment.status.as_ref()?;
            (status.live.as_deref() == Some(live)).then_some(())
        });
    }

    /// The run of the Target in dev.
    pub fn run_in_dev(&self) -> RunStatus {
        self.target("dev").status.unwrap().run.unwrap()
    }

    /// `kubectl patch --type=merge` of the Deployment.
    pub fn merge(&self, patch: &Value) {
        let api = self.api::<Deployment>();
        run(api.patch(NAME, &PatchParams::default(), &Patch::Merge(patch))).unwrap();
    }

    /// A client of one kind in the team's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.environment.client.clone(), &self.team.namespace)
    }

    /// All objects of one kind in the team's namespace.
    pub fn list<K>(&self) -> Vec<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        run(self.api::<K>().list(&ListParams::default()))
            .unwrap()
            .items
    }

    /// The Target in an account.
    pub fn target(&self, account: &str) -> Target {
        let targets = self.list::<Target>();
        let found = targets
            .into_iter()
            .find(|target| target.spec.account == account);
        found.unwrap_or_else(|| panic!("no Target in {account}"))
    }

    /// The Releases, by revision.
    pub fn releases(&self) -> Vec<Release> {
        let mut releases = self.list::<Release>();
        releases.sort_by_key(|release| release.spec.revision);
        releases
    }

    /// Polls a Deployment until `read` returns a value. Otherwise panics with the status and the controller's
    /// log.
    #[track_caller]
    pub fn wait<T>(
        &self,
        name: &str,
        what: &str,
        mut read: impl FnMut(&Deployment) -> Option<T>,
    ) -> T {
        let api = self.api::<Deployment>();
        let found = lab::wait_for(what, LIMIT, || {
            let deployment = run(api.get(name)).map_err(|e| e.to_string())?;
            read(&deployment).ok_or_else(|| {
                serde_json::to_string(&deployment.status).unwrap_or_else(|e| e.to_string())
            })
        });
        found.unwrap_or_else(|e| panic!("{}: {e}\n{}", self.team.namespace, self.log()))
    }

    /// Waits for a condition of the Deployment with that status and reason for its present generation.
    /// Returns the condition's message.
    #[track_caller]
    pub fn condition(&self, kind: &str, status: &str, reason: &str) -> String {
        self.condition_of(NAME, kind, status, reason)
    }

    /// [`Scene::condition`] of another Deployment.
    #[track_caller]
    pub fn condition_of(&self, name: &str, kind: &str, status: &str, reason: &str) -> String {
        let what = format!("{name} has {kind}={status} because of {reason}");
        self.wait(name, &what, |deployment| {
            let found = condition_in(conditions(deployment), kind)?;
            (found.status == status
                && found.reason == reason
                && found.observed_generation == deployment.metadata.generation)
                .then(|| found.message.clone())
        })
    }

    /// Waits until Stalled is True and Ready is False with that reason, and both messages contain these
    /// parts. Returns the message of Stalled.
    #[track_caller]
    pub fn stalled(&self, reason: &str, parts: &[&str]) -> String {
        self.stalled_of(NAME, reason, parts)
    }

    /// [`Scene::stalled`] of another Deployment.
    #[track_caller]
    pub fn stalled_of(&self, name: &str, reason: &str, parts: &[&str]) -> String {
        let message = self.condition_of(name, condition::STALLED, "True", reason);
        assert_contains(&message, parts);
        let ready = self.condition_of(name, condition::READY, "False", reason);
        assert_contains(&ready, parts);
        message
    }

    /// Waits until that revision serves in every stage.
    #[track_caller]
    pub fn delivered(&self, revision: i64) -> Deployment {
        self.delivered_of(NAME, revision)
    }

    /// [`Scene::delivered`] of another Deployment.
    #[track_caller]
    pub fn delivered_of(&self, name: &str, revision: i64) -> Deployment {
        let what = format!("{name} is Ready with revision {revision} everywhere");
        self.wait(name, &what, |deployment| {
            let status = deployment.status.as_ref()?;
            let ready = condition_in(conditions(deployment), condition::READY)?;
            let everywhere = status.stages.len() == deployment.spec.stages.len()
                && status
                    .stages
                    .iter()
                    .all(|stage| stage.live_revision == Some(revision));
            let now = ready.observed_generation == deployment.metadata.generation;
            (everywhere && now && ready.status == "True").then(|| deployment.clone())
        })
    }

    /// Asserts that the alias answers with that version, by an invocation of the emulated AWS.
    #[track_caller]
    pub fn serves(&self, account: &str, version: &str) {
        self.answers(account, &self.function(), Some("live"), version);
    }

    /// Asserts that `$LATEST` answers with that version.
    #[track_caller]
    pub fn serves_unqualified(&self, account: &str, version: &str) {
        self.answers(account, &self.function(), None, version);
    }

    /// Asserts that a function answers with that version.
    #[track_caller]
    pub fn answers(&self, account: &str, function: &str, qualifier: Option<&str>, version: &str) {
        let answer = self
            .environment
            .lab
            .invoke(account, function, qualifier)
            .unwrap_or_else(|e| panic!("{e}\n{}", self.log()));
        assert_eq!(answer["version"], version, "{function} in {account}");
    }

    /// Asserts that Available is True, and that the alias and `$LATEST` answer with that version.
    #[track_caller]
    pub fn still_serves(&self, account: &str, version: &str) {
        self.condition(condition::AVAILABLE, "True", "Serving");
        self.serves(account, version);
        self.serves_unqualified(account, version);
    }

    /// Waits for an Event in the team's namespace, and returns it.
    #[track_caller]
    pub fn event(&self, kind: &str, type_: &str, reason: &str, parts: &[&str]) -> Event {
        let what = format!("an Event {reason} about a {kind} that says {parts:?}");
        let found = lab::wait_for(&what, LIMIT, || {
            let events = self.list::<Event>();
            let is_match = |event: &&Event| {
                let note = event.note.as_deref().unwrap_or_default();
                event.reason.as_deref() == Some(reason)
                    && event.type_.as_deref() == Some(type_)
                    && event.regarding.as_ref().and_then(|it| it.kind.as_deref()) == Some(kind)
                    && parts.iter().all(|part| note.contains(part))
            };
            let found = events.iter().find(is_match).cloned();
            found.ok_or_else(|| {
                let all: Vec<_> = events
                    .iter()
                    .map(|event| (&event.reason, &event.note))
                    .collect();
                format!("{all:?}")
            })
        });
        found.unwrap_or_else(|e| panic!("{}: {e}\n{}", self.team.namespace, self.log()))
    }

    /// The calls to Lambda about the team's functions since a mark.
    pub fn lambda_calls(&self, mark: usize) -> Calls {
        let prefix = self.team.namespace.clone();
        let calls = self
            .environment
            .lab
            .aws
            .calls_since(mark)
            .of_service("lambda");
        calls.only(|call| call.resource.contains(&prefix))
    }

    /// The last lines that the controller logged about the team, for failure messages.
    pub fn log(&self) -> String {
        let log = self.environment.lab.controller().logs();
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| line.contains(&self.team.namespace))
            .collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }
}

/// The spec of a function that runs the lab's packages.
pub fn lambda(function: &str) -> Value {
    json!({
        "functionName": function,
        "artifact": "api",
        "runtime": "python3.13",
        "handler": "app.handler",
        "role": "lambda-exec",
    })
}

/// A check that the function answers with status 200.
pub fn smoke() -> Value {
    json!({
        "name": "smoke",
        "invoke": {"component": "api", "expect": {"path": "/statusCode", "equals": 200}},
    })
}

/// All the conditions of a Deployment.
pub fn conditions(deployment: &Deployment) -> &[Condition] {
    deployment
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default()
}

/// A condition by its type.
pub fn condition_in<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Asserts that a message contains all these parts.
#[track_caller]
pub fn assert_contains(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

/// Waits until an object of that name is gone.
#[track_caller]
pub fn gone<K>(api: &Api<K>, name: &str)
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + serde::Serialize,
{
    let found = lab::wait_for(&format!("{name} is gone"), LIMIT, || {
        match run(api.get_opt(name)) {
            Ok(None) => Ok(()),
            Ok(Some(object)) => Err(format!(
                "{} with finalizers {:?}: {}",
                object.name_any(),
                object.finalizers(),
                serde_json::to_value(&object).unwrap()["status"]["summary"]
            )),
            Err(e) => Err(e.to_string()),
        }
    });
    found.unwrap_or_else(|e| panic!("{e}"));
}
