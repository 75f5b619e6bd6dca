//! The controller as a process with the chart's permissions: it stands by, leads, releases the Lease, and
//! reports invalid objects.
//!
//! Each test has a control plane of its own, because the controller works on all objects of a cluster.

use std::{path::Path, process::Output};

use serde_json::Value;
use sluice_lab::{
    kube::{ControlPlane, ControlPlaneOptions, Controller, Overrides, User},
    lab::PATIENCE,
    toolchain::Toolchain,
};
use tempfile::TempDir;

use crate::cluster::{NAMESPACE, accepted, create, eventually, install};

fn control_plane() -> (ControlPlane, TempDir) {
    let dir = TempDir::new().unwrap();
    let options = ControlPlaneOptions {
        dir: dir.path().to_owned(),
        ..Default::default()
    };
    let control_plane = ControlPlane::start(Toolchain::shared().unwrap(), &options).unwrap();
    install(&control_plane);
    (control_plane, dir)
}

fn controller(control_plane: &ControlPlane) -> Controller {
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let overrides = Overrides {
        binary: Path::new(env!("CARGO_BIN_EXE_sluice")).to_owned(),
        extra_env: vec![
            setting("SLUICE_LEASE_DURATION", "10s"),
            setting("SLUICE_TAKEOVER_DELAY", "1s"),
        ],
    };
    let mut controller =
        Controller::from_chart(control_plane, NAMESPACE, "sluice", &overrides).unwrap();
    controller.wait_ready(PATIENCE).unwrap();
    controller
}

/// The holder of the Lease; empty if it has none.
fn leader(control_plane: &ControlPlane) -> String {
    let arguments = ["get", "lease", "sluice", "--namespace", NAMESPACE];
    let lease = control_plane.kubectl_json(User::Admin, &arguments);
    let lease = lease.unwrap_or_default();
    lease["spec"]["holderIdentity"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn leads(control_plane: &ControlPlane, controller: &Controller) -> bool {
    leader(control_plane).starts_with(controller.pod_name())
}

#[test]
fn standby_takes_over_from_the_leader() {
    let (control_plane, _dir) = control_plane();
    let mut first = controller(&control_plane);
    eventually("the first leads", || leads(&control_plane, &first));
    let mut second = controller(&control_plane);
    assert!(
        leads(&control_plane, &first),
        "a standby is ready and waits"
    );

    // The paused controller cannot renew its Lease; when it resumes, another one leads and it ends.
    first.pause().unwrap();
    eventually("the second takes over", || leads(&control_plane, &second));
    first.resume().unwrap();
    eventually("the first says that it lost the Lease", || {
        first.logs().contains("was taken by")
    });
    eventually_ended(&mut first);
    assert!(leads(&control_plane, &second));

    // A controller that is terminated releases the Lease at once.
    first.start().unwrap();
    first.wait_ready(PATIENCE).unwrap();
    let status = second.terminate().unwrap();
    assert!(status.success(), "{status}: {}", second.logs());
    assert!(
        second.logs().contains("released the Lease"),
        "{}",
        second.logs()
    );
    eventually("the first leads again", || leads(&control_plane, &first));

    // The leader reconciles.
    accepted(&create(
        &control_plane,
        &["--namespace=default"],
        include_str!("manifests/connection.yaml"),
    ));
    let connection = || ready(&control_plane, "gitlabconnection", "gitlab");
    eventually("the connection has a condition", || !connection().is_null());
    let status = first.terminate().unwrap();
    assert!(status.success(), "{status}: {}", first.logs());
    assert_eq!(leader(&control_plane), "", "the Lease has no holder");
}

#[test]
fn restarted_container_keeps_its_pods_lease() {
    let (control_plane, _dir) = control_plane();
    let mut controller = controller(&control_plane);
    eventually("it leads", || leads(&control_plane, &controller));
    controller.kill().unwrap();
    controller.start().unwrap();
    eventually("it leads again", || {
        controller.logs().matches("\"message\":\"leading\"").count() == 2
    });
    let arguments = ["get", "lease", "sluice", "--namespace", NAMESPACE];
    let lease = control_plane.kubectl_json(User::Admin, &arguments).unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 0, "{lease}");
}

#[test]
fn missing_secrets_and_invalid_objects_are_reported() {
    let (control_plane, _dir) = control_plane();
    let mut controller = controller(&control_plane);
    accepted(&create(
        &control_plane,
        &["--namespace=default"],
        include_str!("manifests/connection.yaml"),
    ));
    let account = |name: &str, spec: Value| {
        let manifest = serde_json::json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Account",
            "metadata": {"name": name},
            "spec": spec,
        });
        create(&control_plane, &[], &manifest.to_string())
    };
    let spec = serde_json::json!({
        "accountId": "111111111111",
        "regions": [{"name": "eu-west-1", "artifactBucket": "packages"}],
        "credentials": {"accessKey": {"secretRef": {"name": "dev-key"}}},
    });
    accepted(&account("dev", spec.clone()));

    let stalled = |kind: &str, name: &str, parts: &[&str]| {
        eventually(&format!("{kind} {name} says {parts:?}"), || {
            let ready = ready(&control_plane, kind, name);
            let message = ready["message"].as_str().unwrap_or_default();
            ready["status"] == "False" && parts.iter().all(|part| message.contains(part))
        });
    };
    stalled("gitlabconnection", "gitlab", &["Secret", "default/gitlab"]);
    stalled("account", "dev", &["Secret", "dev-key", NAMESPACE]);
    has_warning(&control_plane, "dev");

    // An invalid object from a laxer definition stalls alone.
    accepted(&lax(&control_plane, "accounts.sluice.dev"));
    let mut odd = spec.clone();
    odd["regions"] = serde_json::json!([{"name": "eu-west-1"}]);
    eventually("the definition is lax", || {
        account("odd", odd.clone()).status.success()
    });
    stalled("account", "odd", &["spec.regions[0]", "artifactBucket"]);
    has_warning(&control_plane, "odd");
    accepted(&account("late", spec));
    stalled("account", "late", &["dev-key"]);

    let status = controller.terminate().unwrap();
    assert!(status.success(), "{status}: {}", controller.logs());
}

fn eventually_ended(controller: &mut Controller) {
    let controller = std::cell::RefCell::new(controller);
    eventually("it has ended", || !controller.borrow_mut().is_running());
}

/// The condition Ready.
fn ready(control_plane: &ControlPlane, kind: &str, name: &str) -> Value {
    let arguments = ["get", kind, name, "--namespace=default"];
    let object = control_plane.kubectl_json(User::Admin, &arguments).unwrap();
    let conditions = object["status"]["conditions"].as_array().cloned();
    let ready = |condition: &Value| condition["type"] == "Ready";
    conditions
        .into_iter()
        .flatten()
        .find(ready)
        .unwrap_or_default()
}

/// Waits for a Warning about the object.
fn has_warning(control_plane: &ControlPlane, name: &str) {
    eventually(&format!("an Event about {name}"), || {
        let arguments = ["get", "events.events.k8s.io", "--namespace=default"];
        let events = control_plane.kubectl_json(User::Admin, &arguments).unwrap();
        let about =
            |event: &&Value| event["regarding"]["name"] == name && event["type"] == "Warning";
        events["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|event| about(&event))
    });
}

/// Makes a definition accept anything.
fn lax(control_plane: &ControlPlane, definition: &str) -> Output {
    let patch = r#"[{
        "op": "replace",
        "path": "/spec/versions/0/schema/openAPIV3Schema",
        "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
    }]"#;
    let arguments = ["patch", "crd", definition, "--type=json", "--patch", patch];
    control_plane.kubectl(User::Admin, &arguments).unwrap()
}
