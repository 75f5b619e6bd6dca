//! One run of a scenario: a team of its own, what it does, and the controllers that work for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aws_sdk_cloudwatch::types::StateValue;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::{NamespaceResourceScope, api::core::v1::Namespace};
use kube::{
    Api, Resource,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sluice::api::v1alpha1::{
    Approval, Deployment, GateStatus, GitLabConnection, Release, Target, annotation, condition,
};
use sluice_lab::{
    gitlab::{JobEnd, JobSpec, ProjectId, zip},
    lab::package_answering,
};
use tokio::sync::{Mutex, mpsc};

use crate::{
    gate::Order,
    ground::{ACCOUNTS, Ground, ON_ITS_WAY, Slot, secret},
    instance::{Instance, Log, Pause, Place},
    names::Names,
    plan::{Blow, CallName},
};

/// A bound for whatever takes seconds, on a machine that does much else.
pub const LIMIT: Duration = Duration::from_mins(2);
const EVERY: Duration = Duration::from_millis(200);
/// How often it is looked whether a controller has ended by itself.
const RESTART: Duration = Duration::from_secs(1);
/// The Deployment that scenarios are about.
pub const NAME: &str = "checkout";
/// The component that is files and no function.
pub const SITE: &str = "site";
/// One that can do nothing, beside it.
const BROKEN: &str = "broken";

/// What went wrong with a run, in words.
pub type Wrong = String;

/// The controllers of a run.
#[derive(Default)]
struct Cast {
    /// The one that works.
    present: Option<Instance>,
    /// The one that was paused while it worked.
    paused: Option<(Instance, Pause)>,
}

/// One run of a scenario.
pub struct Play<'a> {
    /// The lab.
    pub ground: &'a Ground,
    /// Where it takes place.
    pub slot: &'a Slot,
    /// The team's namespace, with which the names of its functions begin.
    pub team: String,
    /// What its controllers say.
    pub log: Log,
    project: ProjectId,
    path: String,
    place: Place,
    components: std::sync::Mutex<BTreeSet<String>>,
    cast: Arc<Mutex<Cast>>,
    supervisor: tokio::task::JoinHandle<()>,
}

impl<'a> Play<'a> {
    /// A team with a controller, and nothing yet delivered.
    pub async fn begin(ground: &'a Ground, slot: &'a Slot, lease: bool) -> Result<Self, Wrong> {
        static TEAMS: AtomicU64 = AtomicU64::new(1);
        // As long as any other: it is in packages, whose sizes are on record.
        let team = format!("team{:05}", TEAMS.fetch_add(1, Ordering::Relaxed));
        let mut names = Names::default();
        names.replace(team.clone(), "TEAM");
        names.replace(format!("{}-", slot.name), "");
        let (orders, ordered) = mpsc::unbounded_channel();
        slot.gate.begin(names, orders);
        let path = format!("{team}/checkout");
        let gitlab = &ground.lab.gitlab;
        let project = gitlab.create_project(&path);
        gitlab.push(project, "main", "Begin");
        let user = gitlab.create_user(&format!("sluice-{team}"));
        let token = gitlab.create_token(user, &["read_api"], None);
        let place = Place {
            config: ground.controller.clone(),
            gate: Arc::clone(&slot.gate),
            namespace: team.clone(),
            slot: slot.name.clone(),
            log: Log::default(),
            lease: lease.then(|| format!("chaos-{team}")),
        };
        let cast = Arc::new(Mutex::new(Cast::default()));
        let supervisor = tokio::spawn(supervise(place.clone(), Arc::clone(&cast), ordered));
        let play = Self {
            ground,
            slot,
            team,
            log: place.log.clone(),
            project,
            path,
            place,
            components: std::sync::Mutex::default(),
            cast,
            supervisor,
        };
        play.furnish(&token).await?;
        play.cast.lock().await.present = Some(Instance::start(play.place.clone()));
        Ok(play)
    }

    /// What a team has, and a Deployment that can do nothing: the others must not mind it.
    async fn furnish(&self, token: &str) -> Result<(), Wrong> {
        let namespace: Namespace = serde_json::from_value(
            json!({"metadata": {"name": self.team, "labels": {"sluice-lab": "tenant"}}}),
        )
        .map_err(wrong)?;
        let namespaces: Api<Namespace> = Api::all(self.ground.admin.clone());
        let params = PostParams::default();
        namespaces
            .create(&params, &namespace)
            .await
            .map_err(wrong)?;
        let token = secret("gitlab-token", token);
        self.api().create(&params, &token).await.map_err(wrong)?;
        let connection: GitLabConnection = serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "GitLabConnection",
            "metadata": {"name": "gitlab"},
            "spec": {
                "url": self.slot.gitlab,
                "tokenSecretRef": {"name": "gitlab-token", "key": "token"},
            },
        }))
        .map_err(wrong)?;
        self.api()
            .create(&params, &connection)
            .await
            .map_err(wrong)?;
        let mut broken = self.deployment(&["broken"], &["dev"]);
        broken["metadata"]["name"] = json!(BROKEN);
        broken["spec"]["source"]["connection"] = json!("nowhere");
        broken["spec"]["source"]["interval"] = json!("1h");
        self.apply(&broken).await
    }

    /// A function's name by its component's.
    pub fn function(&self, component: &str) -> String {
        format!("{}-{component}", self.team)
    }

    /// What the keys of the team's files begin with.
    pub fn prefix(&self) -> String {
        format!("{}/", self.team)
    }

    /// A Deployment of these functions, or files, to a stage in each of these accounts.
    pub fn deployment(&self, components: &[&str], accounts: &[&str]) -> Value {
        let artifact = |name: &&str| json!({"name": name, "job": {"name": "package", "path": format!("dist/{name}.zip")}});
        let component = |name: &&str| {
            if *name == SITE {
                let bucket = self.ground.site("dev");
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
            "metadata": {"name": NAME, "namespace": self.team},
            "spec": {
                "source": {"connection": "gitlab", "project": self.path, "ref": "main", "interval": "1s"},
                // Being asked to look at AWS would be something to write down.
                "drift": {"policy": "Ignore"},
                "artifacts": components.iter().map(artifact).collect::<Vec<_>>(),
                "components": components.iter().map(component).collect::<Vec<_>>(),
                "stages": accounts.iter().map(stage).collect::<Vec<_>>(),
            },
        })
    }

    /// A pipeline that builds these functions, each of which answers with that version; those in `bad`
    /// with status 500.
    pub fn push(&self, version: &str, components: &[&str], bad: &[&str]) {
        let gitlab = &self.ground.lab.gitlab;
        gitlab.push(self.project, "main", &format!("Change to {version}"));
        let packages: BTreeMap<String, Vec<u8>> = components
            .iter()
            .map(|name| {
                if *name == SITE {
                    let package = site(version);
                    self.learn(&package, &format!("{name}:{version}"));
                    return (format!("dist/{name}.zip"), package);
                }
                let status = if bad.contains(name) { 500 } else { 200 };
                let answer = json!({
                    "statusCode": status, "version": version, "component": name, "team": self.team,
                });
                let package = package_answering(&answer);
                self.learn(&package, &format!("{name}:{version}"));
                self.components().insert((*name).to_owned());
                (format!("dist/{name}.zip"), package)
            })
            .collect();
        let files: Vec<(&str, &[u8])> = packages
            .iter()
            .map(|(path, package)| (path.as_str(), package.as_slice()))
            .collect();
        let job = JobSpec::new("package", "package").ends(JobEnd::uploads(zip(&files)));
        gitlab.run_pipeline(self.project, "main", vec![job]);
    }

    fn components(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.components
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of all functions that were built.
    pub fn known_functions(&self) -> Vec<String> {
        let components = self.components();
        components.iter().map(|one| self.function(one)).collect()
    }

    /// Digests are other ones in each run, because the team's name is in the packages.
    fn learn(&self, package: &[u8], word: &str) {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, package);
        let gate = &self.slot.gate;
        gate.replace(hex::encode(digest.as_ref()), format!("<{word}>"));
        gate.replace(STANDARD.encode(digest.as_ref()), format!("<{word}>"));
    }

    /// `kubectl apply --server-side` of a Deployment.
    pub async fn apply(&self, manifest: &Value) -> Result<(), Wrong> {
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
        let params = PatchParams::apply("team").force();
        let api = self.api::<Deployment>();
        let applied = api.patch(name, &params, &Patch::Apply(manifest)).await;
        applied.map(drop).map_err(wrong)
    }

    /// Sets an annotation on the Deployment.
    pub async fn annotate(&self, key: &str, value: &str) -> Result<(), Wrong> {
        self.change(json!({"metadata": {"annotations": {key: value}}}))
            .await
    }

    /// Has nothing look for drift any more.
    pub async fn ignore_drift(&self) -> Result<(), Wrong> {
        self.change(json!({"spec": {"drift": {"policy": "Ignore"}}}))
            .await
    }

    /// Merges this into the Deployment.
    async fn change(&self, patch: Value) -> Result<(), Wrong> {
        let params = PatchParams::default();
        self.api::<Deployment>()
            .patch(NAME, &params, &Patch::Merge(patch))
            .await
            .map(drop)
            .map_err(wrong)
    }

    /// A client of one kind in the team's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.ground.admin.clone(), &self.team)
    }

    /// All objects of one kind.
    pub async fn list<K>(&self) -> Result<Vec<K>, Wrong>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let listed = self.api::<K>().list(&ListParams::default()).await;
        listed.map(|list| list.items).map_err(wrong)
    }

    /// Waits until `look` is content with the Deployment.
    pub async fn wait<T>(
        &self,
        what: &str,
        look: impl Fn(&Deployment) -> Option<T>,
    ) -> Result<T, Wrong> {
        self.wait_of(NAME, what, look).await
    }

    async fn wait_of<T>(
        &self,
        name: &str,
        what: &str,
        look: impl Fn(&Deployment) -> Option<T>,
    ) -> Result<T, Wrong> {
        let api = self.api::<Deployment>();
        let seen = wait_until(what, LIMIT, async || {
            let deployment = api.get(name).await.map_err(wrong)?;
            look(&deployment).ok_or_else(|| json!(deployment.status).to_string())
        });
        seen.await.map_err(wrong)
    }

    /// Waits until that revision serves in every stage.
    pub async fn delivered(&self, revision: i64) -> Result<(), Wrong> {
        let what = format!("r{revision} is delivered");
        self.wait(&what, |deployment| {
            let status = deployment.status.as_ref()?;
            let everywhere = status.stages.len() == deployment.spec.stages.len()
                && status
                    .stages
                    .iter()
                    .all(|stage| stage.live_revision == Some(revision));
            (everywhere && holds(deployment, condition::READY, None)).then_some(())
        })
        .await?;
        // What it no longer has goes after that.
        let pruned = wait_until("nothing is left to prune", LIMIT, async || {
            let targets = self.list::<Target>().await?;
            let inventories = targets.iter().filter_map(|target| target.status.as_ref());
            let mut items = inventories.flat_map(|status| &status.inventory);
            let left = items.find(|item| item.is_to_prune());
            left.map_or(Ok(()), |item| Err(json!(item).to_string()))
        });
        pruned.await.map_err(wrong)
    }

    /// Waits until only a person can help, for that reason.
    pub async fn stalled(&self, reason: &str) -> Result<(), Wrong> {
        let what = format!("it is stalled: {reason}");
        self.wait(&what, |deployment| {
            holds(deployment, condition::STALLED, Some(reason)).then_some(())
        })
        .await
    }

    /// The other Deployment has come to its own end: nothing of it holds up this one.
    pub async fn broken_is_told(&self) -> Result<(), Wrong> {
        self.wait_of(BROKEN, "the broken one is stalled", |deployment| {
            holds(deployment, condition::STALLED, None).then_some(())
        })
        .await
    }

    /// Waits until a stage waits at its gate for an approval.
    pub async fn waits_for_approval(&self, stage: &str) -> Result<GateStatus, Wrong> {
        let what = format!("{stage} waits for an approval");
        self.wait(&what, |deployment| asks(deployment, stage)).await
    }

    /// Waits until only a person can help, for that reason; or until an approval is asked for before the
    /// stage, where an old answer was enough to come so far.
    pub async fn stalled_or_asks(&self, reason: &str, stage: &str) -> Result<(), Wrong> {
        let what = format!("it is stalled: {reason}, or {stage} waits for an approval");
        self.wait(&what, |deployment| {
            let stalled = holds(deployment, condition::STALLED, Some(reason));
            (stalled || asks(deployment, stage).is_some()).then_some(())
        })
        .await
    }

    /// Somebody says yes to exactly that.
    pub async fn approve(&self, stage: &str, waiting: &GateStatus) -> Result<(), Wrong> {
        let approval: Approval = serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Approval",
            "metadata": {"name": format!("yes-{}", waiting.release.revision)},
            "spec": {
                "releaseRef": {"name": waiting.release.name, "uid": waiting.release.uid},
                "stage": stage,
                "stageDigest": waiting.digest,
                "decision": "Approve",
                "approver": {"username": "approver", "groups": ["sluice:approvers"]},
            },
        }))
        .map_err(wrong)?;
        let api: Api<Approval> = Api::namespaced(self.ground.approver.clone(), &self.team);
        let made = api.create(&PostParams::default(), &approval).await;
        made.map(drop).map_err(wrong)
    }

    /// Waits until a stage asks for an approval, and gives it.
    pub async fn let_in(&self, stage: &str) -> Result<(), Wrong> {
        let waiting = self.waits_for_approval(stage).await?;
        self.approve(stage, &waiting).await
    }

    /// Waits until the alias of a function sends its traffic there: `1`, or `1, 10 % to 2`.
    pub async fn routed(&self, account: &str, component: &str, wanted: &str) -> Result<(), Wrong> {
        let lambda = self.ground.lambda(account);
        let function = self.function(component);
        let seen = wait_until("the traffic has moved", LIMIT, async || {
            let alias = lambda.get_alias().function_name(&function).name("live");
            let alias = alias.send().await.map_err(|e| format!("{e:?}"))?;
            let weights = alias
                .routing_config
                .and_then(|it| it.additional_version_weights);
            let shares = weights.into_iter().flatten();
            let shares =
                shares.map(|(version, share)| format!(", {:.0} % to {version}", share * 100.0));
            let now = alias.function_version.unwrap_or_default() + &shares.collect::<String>();
            if now == wanted { Ok(()) } else { Err(now) }
        });
        seen.await.map_err(wrong)
    }

    /// The Target in an account.
    pub async fn target(&self, account: &str) -> Result<Target, Wrong> {
        let targets = self.list::<Target>().await?;
        let name = self.slot.account_name(account);
        let found = targets.into_iter().find(|one| one.spec.account == name);
        found.ok_or_else(|| format!("there is no Target in {account}"))
    }

    /// Counts from here on, and lets that go wrong.
    pub fn arm(&self, blow: Option<(CallName, Blow)>) {
        self.slot.gate.arm(blow);
    }

    /// Has the controller look at everything again, and waits until it has.
    pub async fn poke(&self, token: &str) -> Result<(), Wrong> {
        self.annotate(annotation::RECONCILE, token).await?;
        self.wait("it was looked at again", |deployment| {
            let handled = deployment
                .status
                .as_ref()?
                .last_handled_reconcile
                .as_deref();
            (handled == Some(token)).then_some(())
        })
        .await
    }

    /// An alarm `<team>-errors` in an account, which is `OK`.
    pub async fn alarm(&self, account: &str) -> Result<(), Wrong> {
        let alarm = self.ground.watch(account).put_composite_alarm();
        let alarm = alarm
            .alarm_name(self.function("errors"))
            .alarm_rule("FALSE");
        alarm.send().await.map(drop).map_err(|e| format!("{e:?}"))
    }

    /// The alarm goes into `ALARM`.
    pub async fn turn_red(&self, account: &str) -> Result<(), Wrong> {
        let alarm = self.ground.watch(account).set_alarm_state();
        let alarm = alarm
            .alarm_name(self.function("errors"))
            .state_value(StateValue::Alarm);
        let set = alarm.state_reason("the test says so").send().await;
        set.map(drop).map_err(|e| format!("{e:?}"))
    }

    /// Waits until the Deployment and all it owned are gone from the cluster.
    pub async fn all_gone(&self) -> Result<(), Wrong> {
        let gone = wait_until("everything is gone", LIMIT, async || {
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
        gone.await.map_err(wrong)
    }

    /// Has a paused controller go on, with what it had sent, and waits for its end. What else it writes
    /// then is a violation.
    pub async fn let_the_late_one_go(&self, violations: &mut Vec<String>) -> Result<(), Wrong> {
        let Some((first, pause)) = self.cast.lock().await.paused.take() else {
            return Ok(());
        };
        let gate = &self.slot.gate;
        let mark = gate.mark();
        gate.release();
        drop(pause);
        let ended = wait_until("the former leader ends", LIMIT, async || {
            let runs = || "it runs".to_owned();
            first.has_ended().then_some(()).ok_or_else(runs)
        });
        ended.await.map_err(wrong)?;
        let made = gate.made();
        let late = made[mark..]
            .iter()
            .filter(|call| call.is_write && call.is_of_aws());
        let late: Vec<String> = late.map(|call| call.name.to_string()).collect();
        if !late.is_empty() {
            violations.push(format!(
                "I7: after another one led, the former leader wrote {late:?}"
            ));
        }
        Ok(())
    }

    /// Ends the controllers and takes what was made out of AWS, so that the emulator does not grow.
    pub async fn end(self, functions: &[String]) {
        self.supervisor.abort();
        let mut cast = self.cast.lock().await;
        let paused = cast.paused.take().map(|(paused, _)| paused);
        for instance in cast.present.take().into_iter().chain(paused) {
            let _ = tokio::task::spawn_blocking(|| instance.kill()).await;
        }
        for account in ACCOUNTS {
            for function in functions {
                let delete = self.ground.lambda(account).delete_function();
                // It may not be there.
                let _ = delete.function_name(function).send().await;
            }
        }
    }
}

/// Files of that version: one that is always the same, one that changes, and one of its own.
fn site(version: &str) -> Vec<u8> {
    let index = format!("<h1>{version}</h1>");
    let own = format!("only-{version}.js");
    let files: [(&str, &[u8]); 3] = [
        ("index.html", index.as_bytes()),
        ("style.css", b"h1 { color: teal }"),
        (&own, b"'use strict'"),
    ];
    zip(&files)
}

/// Does what the gate orders: after each kill another controller takes over. One that lost its Lease ends
/// by itself, and is started once more, as a kubelet does.
async fn supervise(
    place: Place,
    cast: Arc<Mutex<Cast>>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    loop {
        let order = match tokio::time::timeout(RESTART, orders.recv()).await {
            Ok(Some(order)) => order,
            Ok(None) => break,
            Err(_) => {
                let mut cast = cast.lock().await;
                let has_ended = cast.present.as_ref().is_some_and(Instance::has_ended);
                if has_ended && place.lease.is_some() {
                    cast.present = Some(Instance::start(place.clone()));
                }
                continue;
            }
        };
        match order {
            Order::Kill => {
                tokio::time::sleep(ON_ITS_WAY).await;
                let mut cast = cast.lock().await;
                if let Some(killed) = cast.present.take() {
                    let _ = tokio::task::spawn_blocking(|| killed.kill()).await;
                }
                place.gate.revive();
                cast.present = Some(Instance::start(place.clone()));
            }
            Order::Pause => {
                let mut cast = cast.lock().await;
                if let Some(first) = cast.present.take() {
                    let pause = first.pause();
                    cast.paused = Some((first, pause));
                    cast.present = Some(Instance::start(place.clone()));
                }
            }
        }
    }
}

/// Whether a condition is True of the present generation, for that reason.
/// What a stage waits for an approval of.
fn asks(deployment: &Deployment, stage: &str) -> Option<GateStatus> {
    let stages = &deployment.status.as_ref()?.stages;
    let mut waiting = stages
        .iter()
        .filter(|one| one.name == stage)
        .filter_map(|one| one.waiting.as_ref());
    let waits = |one: &&GateStatus| one.reason == "WaitingForApproval" && one.digest.is_some();
    waiting.find(waits).cloned()
}

fn holds(deployment: &Deployment, kind: &str, reason: Option<&str>) -> bool {
    let status = deployment.status.iter();
    let mut conditions = status.flat_map(|status| &status.conditions);
    conditions.any(|one| {
        one.type_ == kind
            && one.status == "True"
            && one.observed_generation == deployment.metadata.generation
            && reason.is_none_or(|reason| one.reason == reason)
    })
}

/// Looks again and again until there is a value. A look costs the API server or the emulator something,
/// and many are waiting.
pub async fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<T, Wrong>,
) -> Result<T, Wrong> {
    let end = Instant::now() + limit;
    loop {
        match look().await {
            Ok(value) => return Ok(value),
            Err(state) if Instant::now() >= end => {
                let limit = limit.as_secs();
                return Err(format!(
                    "not within {limit} s: {what}; the last state was: {state}"
                ));
            }
            Err(_) => tokio::time::sleep(EVERY).await,
        }
    }
}

/// An error as words.
pub fn wrong(error: impl std::fmt::Display) -> Wrong {
    error.to_string()
}
