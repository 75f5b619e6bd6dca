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
    LIMIT, World, run,
    scene::{Scene, condition_in, says},
    solo,
};

const SECRET: &str = "aws-hub";

/// Deletes the Secret, and creates it again when dropped, because other tests use this lab afterwards.
struct Deleted<'a> {
    world: &'a World,
    secret: Secret,
}

impl<'a> Deleted<'a> {
    fn now(world: &'a World) -> Self {
        let secrets = secrets(world);
        let found = run(secrets.get(SECRET)).unwrap();
        run(secrets.delete(SECRET, &DeleteParams::default())).unwrap();
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(SECRET.to_owned()),
                ..ObjectMeta::default()
            },
            ..found
        };
        Self { world, secret }
    }
}

impl Drop for Deleted<'_> {
    fn drop(&mut self) {
        run(secrets(self.world).create(&PostParams::default(), &self.secret)).unwrap();
    }
}

fn secrets(world: &World) -> Api<Secret> {
    Api::namespaced(world.client.clone(), NAMESPACE)
}

/// Requests a reconcile of the hub, and waits for Ready with that status and reason. Returns its message.
fn reconcile_hub(world: &World, token: &str, status: &str, reason: &str) -> String {
    let accounts = Api::<Account>::all(world.client.clone());
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
    message.unwrap_or_else(|e| panic!("{e}\n{}", world.lab.log_tail(20)))
}

#[test]
fn missing_hub_secret_is_named_and_deliveries_recover() {
    let world = solo();
    let scene = Scene::within(&world, "hub-secret");
    scene.push("v1");
    scene.apply(&scene.deployment(&["dev"]));
    scene.delivered(1);

    let deleted = Deleted::now(&world);
    let parts = [SECRET, NAMESPACE];
    says(
        &reconcile_hub(&world, "gone", "False", "InvalidCredentials"),
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
    reconcile_hub(&world, "back", "True", "Verified");
}
