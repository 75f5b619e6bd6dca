//! Only the controller writes Releases, Targets and statuses, and Kubernetes' own controllers still work on
//! them.

use std::process::Output;

use serde_json::{Value, json};
use sluice_lab::kube::User;

use crate::cluster::{
    accepted, as_controller, cluster, create, eventually, namespace, refused, stderr,
};

const DEPLOYMENT: &str = include_str!("../manifests/deployment.yaml");
const RELEASE: &str = include_str!("../manifests/release.yaml");
const TARGET: &str = include_str!("../manifests/target.yaml");

fn create_in(namespace: &str, manifest: &str) -> Output {
    create(cluster(), &["--namespace", namespace], manifest)
}

fn create_as_controller(namespace: &str, manifest: &str) {
    let [user, group] = as_controller();
    accepted(&create(
        cluster(),
        &["--namespace", namespace, &user, &group],
        manifest,
    ));
}

fn patch(namespace: &str, what: &str, options: &[&str], patch: &Value) -> Output {
    let patch = patch.to_string();
    let arguments = [
        "patch",
        what,
        "--namespace",
        namespace,
        "--type=merge",
        "--patch",
        &patch,
    ];
    cluster()
        .kubectl(User::Admin, &[&arguments[..], options].concat())
        .unwrap()
}

fn get(namespace: &str, what: &str) -> Option<Value> {
    let output = cluster()
        .kubectl(
            User::Admin,
            &["get", what, "--namespace", namespace, "--output=json"],
        )
        .unwrap();
    if output.status.success() {
        return Some(serde_json::from_slice(&output.stdout).unwrap());
    }
    assert!(stderr(&output).contains("NotFound"), "{}", stderr(&output));
    None
}

/// Creates a Deployment with a Release and a Target that it owns.
fn family(namespace: &str) {
    accepted(&create_in(namespace, DEPLOYMENT));
    let owner = get(namespace, "deployments.sluice.dev/checkout").unwrap();
    for manifest in [RELEASE, TARGET] {
        let mut object: Value = serde_saphyr::from_str(manifest).unwrap();
        object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Deployment",
            "name": "checkout",
            "uid": owner["metadata"]["uid"],
            "controller": true,
            "blockOwnerDeletion": true,
        }]);
        create_as_controller(namespace, &object.to_string());
    }
}

fn delete_deployment(namespace: &str, cascade: &str) {
    let arguments = [
        "delete",
        "deployments.sluice.dev/checkout",
        "--namespace",
        namespace,
        "--wait=false",
        cascade,
    ];
    cluster().kubectl_text(User::Admin, &arguments).unwrap();
}

fn is_gone(namespace: &str) {
    eventually("the Deployment and all it owned are gone", || {
        [
            "deployments.sluice.dev/checkout",
            "releases.sluice.dev/checkout-1",
            "targets.sluice.dev/checkout-dev",
        ]
        .iter()
        .all(|what| get(namespace, what).is_none())
    });
}

#[test]
fn only_the_controller_creates_releases_and_targets() {
    namespace("policy-create");
    let only = "created by the Sluice controller only";
    refused(&create_in("policy-create", RELEASE), only);
    refused(&create_in("policy-create", TARGET), only);
    create_as_controller("policy-create", RELEASE);
    create_as_controller("policy-create", TARGET);
}

#[test]
fn only_the_controller_changes_specs_and_statuses() {
    let here = "policy-change";
    namespace(here);
    family(here);
    let run = json!({"spec": {"run": {
        "release": {"name": "checkout-1", "uid": "u", "revision": 1}, "attempt": 1, "goal": "Deliver", "sequence": 1,
    }}});
    let status = json!({"status": {"summary": "all is well"}});
    let (user, status_of) = (as_controller(), "--subresource=status");
    let controller = [user[0].as_str(), user[1].as_str()];

    let target = "targets.sluice.dev/checkout-dev";
    refused(
        &patch(here, target, &[], &run),
        "changed by the Sluice controller only",
    );
    accepted(&patch(here, target, &controller, &run));
    for what in [
        target,
        "releases.sluice.dev/checkout-1",
        "deployments.sluice.dev/checkout",
    ] {
        let only = "written by the Sluice controller only";
        refused(&patch(here, what, &[status_of], &status), only);
        accepted(&patch(
            here,
            what,
            &[&controller[..], &[status_of]].concat(),
            &status,
        ));
        // The second change finds an existing status.
        let other = json!({"status": {"summary": "or is it"}});
        refused(&patch(here, what, &[status_of], &other), only);
        assert_eq!(get(here, what).unwrap()["status"], status["status"]);
    }
}

#[test]
fn metadata_and_the_deployment_spec_stay_editable() {
    let here = "policy-metadata";
    namespace(here);
    family(here);
    let label = json!({"metadata": {"labels": {"seen": "yes"}}});
    for what in [
        "targets.sluice.dev/checkout-dev",
        "releases.sluice.dev/checkout-1",
        "deployments.sluice.dev/checkout",
    ] {
        accepted(&patch(here, what, &[], &label));
    }
    let suspend = json!({"spec": {"suspend": true}});
    accepted(&patch(
        here,
        "deployments.sluice.dev/checkout",
        &[],
        &suspend,
    ));
}

/// `kubectl delete` without waiting, as the administrator or as the user that the options name.
fn delete(namespace: &str, what: &str, options: &[&str]) -> Output {
    let arguments = ["delete", what, "--namespace", namespace, "--wait=false"];
    cluster()
        .kubectl(User::Admin, &[&arguments[..], options].concat())
        .unwrap()
}

#[test]
fn only_the_controller_deletes_a_needed_release() {
    let here = "policy-history";
    namespace(here);
    family(here);
    let release = "releases.sluice.dev/checkout-1";
    let [user, group] = as_controller();
    let controller = [user.as_str(), group.as_str()];
    let outcomes = |outcome: &str, served: bool| {
        let one = json!({
            "stage": "dev", "outcome": outcome, "served": served, "attempt": 1,
            "finishedAt": "2026-01-01T00:00:00Z",
        });
        let status = json!({"status": {"stages": [one]}});
        let options = [&controller[..], &["--subresource=status"]].concat();
        accepted(&patch(here, release, &options, &status));
    };
    let needed = "deletes it once nothing needs it";
    refused(&delete(here, release, &[]), needed);
    outcomes("Succeeded", true);
    refused(&delete(here, release, &[]), needed);
    outcomes("RolledBack", true);
    refused(&delete(here, release, &[]), needed);
    outcomes("RolledBack", false);
    accepted(&delete(here, release, &["--dry-run=server"]));
    outcomes("Succeeded", true);
    accepted(&delete(here, release, &controller));
}

#[test]
fn release_without_a_deployment_may_be_deleted() {
    let here = "policy-history-orphan";
    namespace(here);
    create_as_controller(here, RELEASE);
    accepted(&delete(here, "releases.sluice.dev/checkout-1", &[]));
}

#[test]
fn only_the_controller_removes_the_finalizer_of_a_target() {
    let here = "policy-finalizer";
    namespace(here);
    family(here);
    let target = "targets.sluice.dev/checkout-dev";
    let [user, group] = as_controller();
    let controller = [user.as_str(), group.as_str()];
    let finalizers = |names: &[&str]| json!({"metadata": {"finalizers": names}});
    accepted(&patch(
        here,
        target,
        &controller,
        &finalizers(&["sluice.dev/target"]),
    ));
    let only = "removed by the Sluice controller only";
    refused(&patch(here, target, &[], &finalizers(&[])), only);
    refused(
        &patch(here, target, &[], &finalizers(&["example.com/other"])),
        only,
    );
    let others = finalizers(&["sluice.dev/target", "example.com/other"]);
    accepted(&patch(here, target, &[], &others));
    accepted(&patch(here, target, &controller, &finalizers(&[])));
}

#[test]
fn foreground_deletion_deletes_owned_objects() {
    let here = "policy-foreground";
    namespace(here);
    family(here);
    delete_deployment(here, "--cascade=foreground");
    is_gone(here);
}

#[test]
fn orphaning_deletion_keeps_owned_objects() {
    let (here, later) = ("policy-orphan", "policy-orphan-later");
    namespace(here);
    namespace(later);
    family(here);
    family(later);
    // The garbage collector observes a new kind up to half a minute late, and treats unknown owners as
    // absent. Once it has collected the later family it knows the earlier one.
    delete_deployment(later, "--cascade=background");
    is_gone(later);
    delete_deployment(here, "--cascade=orphan");
    eventually("the Deployment is gone", || {
        get(here, "deployments.sluice.dev/checkout").is_none()
    });
    for what in [
        "releases.sluice.dev/checkout-1",
        "targets.sluice.dev/checkout-dev",
    ] {
        let orphan = get(here, what).unwrap();
        assert_eq!(orphan["metadata"]["ownerReferences"], Value::Null, "{what}");
    }
}

#[test]
fn namespace_deletion_deletes_releases_and_targets() {
    let here = "policy-namespace";
    namespace(here);
    family(here);
    let arguments = ["delete", "namespace", here, "--timeout=120s"];
    cluster().kubectl_text(User::Admin, &arguments).unwrap();
}
