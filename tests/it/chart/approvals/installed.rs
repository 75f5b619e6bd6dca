//! The controller distinguishes the policy that the chart installs from any other.

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use serde_json::{Value, json};
use sluice::{
    controllers::approval::policy::{Shipped, judge},
    domain::gates::PolicyForce,
};
use sluice_lab::kube::{ControlPlane, User};

use crate::cluster::{CONTROLLER, cluster};

const APPROVALS: &str = "sluice-approvals";
const RECORDS: &str = "sluice-records";
const POLICY: &str = "validatingadmissionpolicies.admissionregistration.k8s.io";
const BINDING: &str = "validatingadmissionpolicybindings.admissionregistration.k8s.io";

/// An object as the API server has it, with its managedFields.
fn get(control_plane: &ControlPlane, kind: &str, name: &str) -> Value {
    let arguments = ["get", kind, name, "--show-managed-fields"];
    control_plane.kubectl_json(User::Admin, &arguments).unwrap()
}

/// The object as it would be after a patch.
fn patched(kind: &str, name: &str, patch: &Value) -> Value {
    let patch = patch.to_string();
    let arguments = [
        "patch",
        kind,
        name,
        "--type=json",
        "--dry-run=server",
        "--show-managed-fields",
        "--patch",
        &patch,
    ];
    cluster().kubectl_json(User::Admin, &arguments).unwrap()
}

fn shipped(name: &str) -> Shipped {
    match name {
        RECORDS => Shipped::records(RECORDS, CONTROLLER),
        other => Shipped::approvals(other),
    }
}

fn judged(name: &str, policy: &Value, binding: &Value) -> PolicyForce {
    let policy: ValidatingAdmissionPolicy = serde_json::from_value(policy.clone()).unwrap();
    let binding: ValidatingAdmissionPolicyBinding =
        serde_json::from_value(binding.clone()).unwrap();
    judge(&shipped(name), Some(&policy), Some(&binding))
}

/// Whether the policy of that name is in force in this control plane.
fn force(control_plane: &ControlPlane, name: &str) -> PolicyForce {
    let (policy, binding) = (POLICY, BINDING);
    judged(
        name,
        &get(control_plane, policy, name),
        &get(control_plane, binding, name),
    )
}

/// Asserts that the policies of this control plane are in force. Used for the oldest Kubernetes as well.
pub fn is_in_force(control_plane: &ControlPlane) {
    for name in [APPROVALS, RECORDS] {
        let force = force(control_plane, name);
        assert!(matches!(force, PolicyForce::Since(_)), "{name}: {force:?}");
    }
}

#[test]
fn installed_policies_are_in_force() {
    is_in_force(cluster());
}

#[test]
fn modified_policies_are_not_in_force() {
    for name in [APPROVALS, RECORDS] {
        changed_is_not_in_force(name);
    }
}

fn changed_is_not_in_force(name: &str) {
    let policy = get(cluster(), POLICY, name);
    let binding = get(cluster(), BINDING, name);
    let add = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]);
    let selector = json!({"matchLabels": {"approvals": "checked"}});
    for patch in [
        add("/spec/failurePolicy", json!("Ignore")),
        add("/spec/validations/0/expression", json!("true")),
        json!([{"op": "remove", "path": "/spec/validations/1"}]),
        add("/spec/matchConstraints/namespaceSelector", selector.clone()),
        add(
            "/spec/matchConditions",
            json!([{"name": "not-everybody", "expression": "request.userInfo.username != 'admin'"}]),
        ),
        add(
            "/spec/matchConstraints/excludeResourceRules",
            json!([{"apiGroups": ["sluice.dev"], "apiVersions": ["*"], "operations": ["CREATE"],
                    "resources": ["approvals"]}]),
        ),
    ] {
        let force = judged(name, &patched(POLICY, name, &patch), &binding);
        assert!(
            matches!(force, PolicyForce::NotInForce(_)),
            "{patch}: {force:?}"
        );
    }
    for patch in [
        add("/spec/validationActions", json!(["Warn"])),
        add("/spec/validationActions", json!(["Audit"])),
        add(
            "/spec/matchResources",
            json!({"namespaceSelector": selector}),
        ),
    ] {
        let force = judged(name, &policy, &patched(BINDING, name, &patch));
        assert!(
            matches!(force, PolicyForce::NotInForce(_)),
            "{patch}: {force:?}"
        );
    }
}

#[test]
fn upgrade_without_changes_keeps_waiting_approvals() {
    let both = || [APPROVALS, RECORDS].map(|name| force(cluster(), name));
    let before = both();
    crate::cluster::upgrade(&[]);
    assert_eq!(before, both());
}

#[test]
fn touched_policy_voids_earlier_approvals() {
    let policy = get(cluster(), POLICY, APPROVALS);
    let label = json!([{"op": "add", "path": "/metadata/labels/touched", "value": "yes"}]);
    let before = force(cluster(), APPROVALS);
    // Times of changes are in whole seconds: the change must be at least one second after the installation.
    crate::cluster::eventually("the change is later than the installation", || {
        let after = judged(APPROVALS, &policy, &patched(BINDING, APPROVALS, &label));
        match (&before, after) {
            (PolicyForce::Since(before), PolicyForce::Since(after)) => after > *before,
            other => panic!("{other:?}"),
        }
    });
}
