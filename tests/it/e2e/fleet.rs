//! Two hundred Deployments at once: each takes no more calls than one alone, and the first to begin are the
//! first to finish.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use sluice::api::v1alpha1::{Account, Deployment, Target, condition};
use sluice_lab::{aws::Calls, kube::Request, lab::wait_for};

use super::{
    Environment,
    counts::lasted,
    exclusive_lab, run,
    scene::{Scene, condition_in, lambda},
};

/// The number of Deployments.
const MANY: usize = 200;

/// A request rate above what the lab can answer.
const LIFTED: i32 = 10_000;

/// Long enough for a busy machine.
const LIMIT: std::time::Duration = std::time::Duration::from_mins(15);

/// Raises Lambda's request rates in the Account dev to [`LIFTED`] until dropped.
struct Lifted<'a>(&'a Environment);

impl<'a> Lifted<'a> {
    fn new(environment: &'a Environment) -> Self {
        let rates = json!({"lambdaControlPlane": LIFTED, "lambdaGetFunction": LIFTED});
        allow(environment, &rates);
        Self(environment)
    }
}

impl Drop for Lifted<'_> {
    fn drop(&mut self) {
        allow(self.0, &Value::Null);
    }
}

fn allow(environment: &Environment, rates: &Value) {
    let accounts: Api<Account> = Api::all(environment.client.clone());
    let account = run(accounts.get("dev")).unwrap();
    let mut regions = serde_json::to_value(&account.spec.regions).unwrap();
    for region in regions.as_array_mut().unwrap() {
        region["requestRates"] = rates.clone();
    }
    let patch = Patch::Merge(json!({"spec": {"regions": regions}}));
    run(accounts.patch("dev", &PatchParams::default(), &patch)).unwrap();
}

fn name(nth: usize) -> String {
    format!("f{nth:03}")
}

/// Creates `many` Deployments.
fn create(scene: &Scene<'_>, many: usize) {
    let api = scene.api::<Deployment>();
    let create = |nth| {
        let mut wanted = scene.deployment(&["dev"]);
        wanted["metadata"]["name"] = json!(name(nth));
        let function = format!("{}-{nth}", scene.team.namespace);
        wanted["spec"]["components"][0]["lambda"] = lambda(&function);
        let wanted: Deployment = serde_json::from_value(wanted).unwrap();
        let api = api.clone();
        async move { api.create(&PostParams::default(), &wanted).await.unwrap() }
    };
    run(stream::iter(0..many)
        .map(create)
        .buffer_unordered(16)
        .count());
}

/// Waits until that revision serves in all of them.
#[track_caller]
fn delivered(scene: &Scene<'_>, revision: i64) {
    let api = scene.api::<Deployment>();
    let serves = |it: &Deployment| {
        let status = it.status.clone().unwrap_or_default();
        let ready = condition_in(&status.conditions, condition::READY);
        let mut stages = status.stages.iter();
        ready.is_some_and(|it| it.status == "True")
            && stages.all(|stage| stage.live_revision == Some(revision))
    };
    // One after the other: listing all of them would dominate the load of the API server.
    let mut there = 0;
    let found = wait_for("all of them serve", LIMIT, || {
        while there < MANY {
            let deployment = run(api.get(&name(there))).map_err(|error| error.to_string())?;
            if !serves(&deployment) {
                return Err(format!("{there} of {MANY}: {:?}", deployment.status));
            }
            there += 1;
        }
        Ok(())
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
}

/// The controller's writes in the namespace, refused ones included, after the first `skip`.
fn writes(scene: &Scene<'_>, skip: usize) -> Vec<Request> {
    let lab = &scene.environment.lab;
    let user = lab.controller().username();
    let audit = lab.kube.audit().unwrap();
    let ours = audit.by(&user).filter(|it| it.is_write());
    let ours = ours.filter(|it| it.namespace == scene.team.namespace);
    ours.skip(skip).cloned().collect()
}

/// The average number of each kind per Deployment.
fn each<'a>(kinds: impl Iterator<Item = &'a str>) -> BTreeMap<String, f64> {
    let share = 1.0 / f64::from(u32::try_from(MANY).unwrap());
    let mut each = BTreeMap::new();
    for kind in kinds {
        *each.entry(kind.to_owned()).or_insert(0.0) += share;
    }
    each
}

/// Writes to the API server per Deployment: its finalizer once; the revision and the end of the delivery; the
/// Release and its outcome; the Target or its run, and the three steps of the run.
const MOST_WRITES: f64 = 9.2;

/// Calls to Lambda per Deployment: three writes and, for a change, the alias; and reads of the function's
/// state.
const MOST_CALLS: f64 = 9.0;

/// The margin for a slow machine, where Sluice also reports progress.
fn slack(writes: &[Request]) -> f64 {
    if lasted(writes) < 60.0 { 0.0 } else { 4.0 }
}

#[track_caller]
fn keep_to_budget(scene: &Scene<'_>, writes: &[Request], calls: &Calls, releases: usize) {
    let (events, others): (Vec<&Request>, Vec<&Request>) =
        writes.iter().partition(|it| it.resource == "events");
    let refused = others.iter().filter(|it| it.code >= 400).count();
    let kinds: Vec<String> = others.iter().map(|it| it.rbac_resource()).collect();
    let kinds = each(kinds.iter().map(String::as_str));
    let operations = each(calls.iter().map(|it| it.operation.as_str()));
    let report = format!("writes {kinds:#?}\ncalls {operations:#?}\nrefused {refused}");
    assert!(
        kinds.values().sum::<f64>() <= MOST_WRITES + slack(writes),
        "{report}"
    );
    assert!(operations.values().sum::<f64>() <= MOST_CALLS, "{report}");
    let found = wait_for("each has its Events", LIMIT, || {
        let all = scene.list::<Event>();
        let kind = |event: &Event| event.regarding.as_ref().and_then(|it| it.kind.clone());
        let about =
            |event: &&Event| matches!(kind(event).as_deref(), Some("Deployment" | "Target"));
        match all.iter().filter(about).count() {
            count if count == 2 * MANY * releases => Ok(()),
            count => Err(format!("{count} Events")),
        }
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
    assert!(events.len() < 2 * MANY + 10, "{} Events", events.len());
    assert!(refused <= MANY / 10, "{report}");
}

#[test]
fn two_hundred_deployments_keep_to_the_budget_of_one() {
    let environment = exclusive_lab();
    let scene = Scene::within(&environment, "fleet");
    let _lifted = Lifted::new(&environment);
    let gitlab = environment.lab.gitlab.mark();
    let aws = environment.lab.aws.mark();
    scene.push("v1");
    create(&scene, MANY);
    delivered(&scene, 1);
    let first = writes(&scene, 0);
    let calls = scene.lambda_calls(aws);
    keep_to_budget(&scene, &first, &calls, 1);

    let aws = environment.lab.aws.mark();
    scene.push("v2");
    delivered(&scene, 2);
    let second = writes(&scene, first.len());
    keep_to_budget(&scene, &second, &scene.lambda_calls(aws), 2);

    let project = format!("/projects/{}/jobs/", scene.team.project.0);
    let requests = environment.lab.gitlab.requests_since(gitlab);
    let downloads = requests.iter().filter(|it| it.path.contains(&project));
    assert!(
        downloads.count() <= 4,
        "each artifact is downloaded once for all"
    );
}

/// Three seconds of the allowed call rate.
const PREPARE: usize = 42;

#[test]
fn number_of_concurrent_prepares_is_limited() {
    const SOME: usize = 60;
    let environment = exclusive_lab();
    let scene = Scene::within(&environment, "admitted");
    let targets = scene.api::<Target>();
    scene.push("v1");
    create(&scene, SOME);
    let mut most = 0;
    let found = wait_for("all of them serve", LIMIT, || {
        let targets = run(targets.list(&ListParams::default())).unwrap().items;
        let at = |step: &str| {
            let runs = targets
                .iter()
                .filter_map(|it| it.status.as_ref()?.run.as_ref());
            runs.filter(|run| run.step == step).count()
        };
        most = most.max(at("Prepare"));
        match at("Succeeded") {
            SOME => Ok(()),
            done => Err(format!("{done} of {SOME}")),
        }
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
    assert!((1..=PREPARE).contains(&most), "{most} prepared at a time");
}
