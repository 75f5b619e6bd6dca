//! A stalled deletion reports why, and how to abandon it.

use kube::api::DeleteParams;
use serde_json::json;
use sluice::api::v1alpha1::{Account, Deployment};
use sluice_lab::aws::{Action, Pattern, Rule};

use super::{
    aws::{copy_dev_account, deployment_in_account},
    run,
    scene::{NAME, Scene, assert_contains, gone},
};

#[test]
fn deletion_without_its_account_stalls_until_abandoned() {
    let scene = Scene::new("lost-account");
    let account = copy_dev_account(&scene, |_| ());
    scene.push("v1");
    let mut wanted = deployment_in_account(&scene, &account);
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    scene.apply(&wanted);
    scene.delivered(1);

    let accounts = kube::Api::<Account>::all(scene.environment.client.clone());
    run(accounts.delete(&account, &DeleteParams::default())).unwrap();
    gone(&accounts, &account);
    run(scene
        .api::<Deployment>()
        .delete(NAME, &DeleteParams::default()))
    .unwrap();
    let message = scene.stalled("DeletionStalled", &["lost-account", "sluice.dev/abandon"]);
    assert_contains(&message, &["There is no Account"]);
    scene.event(
        "Target",
        "Warning",
        "AccountNotFound",
        &["sluice.dev/abandon"],
    );

    scene.annotate("sluice.dev/abandon", "true");
    gone(&scene.api::<Deployment>(), NAME);
    scene.serves("dev", "v1");
}

#[test]
fn denied_deletion_continues_once_allowed() {
    let scene = Scene::new("denied-delete");
    scene.push("v1");
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    scene.apply(&wanted);
    scene.delivered(1);
    let delete = Pattern::operation("lambda", "DeleteFunction").about(&scene.function());
    let denial = Action::respond(
        403,
        "AccessDeniedException",
        "User is not authorized to perform: lambda:DeleteFunction",
    );
    let fault = scene
        .environment
        .lab
        .aws
        .faults()
        .add(Rule::always(delete, denial));
    run(scene
        .api::<Deployment>()
        .delete(NAME, &DeleteParams::default()))
    .unwrap();
    let parts = [
        "lambda:DeleteFunction",
        "denied-delete-api",
        "sluice.dev/abandon",
    ];
    scene.stalled("DeletionStalled", &parts);
    scene.event("Deployment", "Warning", "DeletionStalled", &parts);
    scene.serves("dev", "v1");
    fault.remove();
    // The annotation triggers a retry at once; otherwise Sluice retries some minutes later.
    scene.annotate("sluice.dev/reconcile", "allowed now");
    gone(&scene.api::<Deployment>(), NAME);
}
