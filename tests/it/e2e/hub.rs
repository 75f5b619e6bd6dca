//! The Secret with the hub's key is deleted while deliveries go on.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;
use sluice::api::v1alpha1::{Account, annotation};
use sluice_lab::lab::{NAMESPACE, wait_for};

use super::{
    Environment, LIMIT, exclusive_lab, run,
    scene::{Scene, assert_contains, condition_in},
};

const SECRET: &str = "aws-hub";

/// Deletes the Secret, and creates it again when dropped, because other tests use this lab afterwards.
struct Deleted<'a> {
    environment: &'a Environment,
    secret: Secret,
}

impl<'a> Deleted<'a> {
    fn now(environment: &'a Environment) -> Self {
        let secrets = secrets(environment);
        let found = run(secrets.get(SECRET)).unwrap();
        run(secrets.delete(SECRET, &DeleteParams::default())).unwrap();
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(SECRET.to_owned()),
                ..ObjectMeta::default()
            },
            ..found
        };
        Self {
            environment,
            secret,
        }
    }
}

impl Drop for Deleted<'_> {
    fn drop(&mut self) {
        run(secrets(self.environment).create(&PostParams::default(), &self.secret)).unwrap();
    }
}

fn secrets(environment: &Environment) -> Api<Secret> {
    Api::namespaced(environment.client.clone(), NAMESPACE)
}

/// Requests a reconcile of the hub, and waits for Ready with that status and reason. Returns its message.
fn reconcile_hub(environment: &Environment, token: &str, status: &str, reason: &str) -> String {
    let accounts = Api::<Account>::all(environment.client.clone());
    let patch = json!({"metadata": {"annotations": {annotation::RECONCILE: token}}});
    run(accounts.patch("hub", &PatchParams::default(), &Patch::Merge(patch))).unwrap();
    let what = format!("the hub is Ready={status} because of {reason}");
    let message = wait_for(&what, LIMIT, || {
        let hub = run(accounts.get("hub")).map_err(|e| e.to_string())?;
        let conditions = hub.status.unwrap_or_default().conditions;
        let ready = condition_in(&conditions, "Ready").cloned();
        ready
            .filter(|ready| ready.status == status && ready.reason == reason)
            .map(|ready| ready.message)
            .ok_or_else(|| format!("{conditions:?}"))
    });
    message.unwrap_or_else(|e| panic!("{e}\n{}", environment.lab.log_tail(20)))
}

#[test]
fn missing_hub_secret_is_named_and_deliveries_recover() {
    let environment = exclusive_lab();
    let scene = Scene::within(&environment, "hub-secret");
    scene.push("v1");
    scene.apply(&scene.deployment(&["dev"]));
    scene.delivered(1);

    let deleted = Deleted::now(&environment);
    let parts = [SECRET, NAMESPACE];
    assert_contains(
        &reconcile_hub(&environment, "gone", "False", "InvalidCredentials"),
        &parts,
    );
    scene.push("v2");
    let parts = ["Account hub", SECRET, NAMESPACE];
    scene.stalled("InvalidCredentials", &parts);
    scene.event("Deployment", "Warning", "InvalidCredentials", &parts);
    scene.still_serves("dev", "v1");
    assert_eq!(scene.releases().len(), 1);

    drop(deleted);
    scene.delivered(2);
    scene.serves("dev", "v2");
    reconcile_hub(&environment, "back", "True", "Verified");
}
