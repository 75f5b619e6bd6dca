//! The controller knows the policy that the chart installs, and any other.

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use serde_json::{Value, json};
use sluice::{controllers::approval::policy::judge, domain::gates::PolicyForce};
use sluice_lab::kube::{ControlPlane, User};

use crate::cluster::cluster;

const NAME: &str = "sluice-approvals";
const POLICY: &str = "validatingadmissionpolicies.admissionregistration.k8s.io";
const BINDING: &str = "validatingadmissionpolicybindings.admissionregistration.k8s.io";

/// An object as the API server has it, with its managedFields.
fn get(control_plane: &ControlPlane, kind: &str) -> Value {
    let arguments = ["get", kind, NAME, "--show-managed-fields"];
    control_plane.kubectl_json(User::Admin, &arguments).unwrap()
}

/// What it would be after a patch.
fn patched(kind: &str, patch: &Value) -> Value {
    let patch = patch.to_string();
    let arguments = [
        "patch",
        kind,
        NAME,
        "--type=json",
        "--dry-run=server",
        "--show-managed-fields",
        "--patch",
        &patch,
    ];
    cluster().kubectl_json(User::Admin, &arguments).unwrap()
}

fn judged(policy: &Value, binding: &Value) -> PolicyForce {
    let policy: ValidatingAdmissionPolicy = serde_json::from_value(policy.clone()).unwrap();
    let binding: ValidatingAdmissionPolicyBinding =
        serde_json::from_value(binding.clone()).unwrap();
    judge(NAME, Some(&policy), Some(&binding))
}

/// The policy that this control plane has is in force. Used for the oldest one as well.
pub fn is_in_force(control_plane: &ControlPlane) {
    let force = judged(&get(control_plane, POLICY), &get(control_plane, BINDING));
    assert!(matches!(force, PolicyForce::Since(_)), "{force:?}");
}

#[test]
fn what_the_chart_installs_is_what_this_version_ships() {
    is_in_force(cluster());
}

#[test]
fn what_somebody_changed_is_not() {
    let (policy, binding) = (get(cluster(), POLICY), get(cluster(), BINDING));
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
        let force = judged(&patched(POLICY, &patch), &binding);
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
        let force = judged(&policy, &patched(BINDING, &patch));
        assert!(
            matches!(force, PolicyForce::NotInForce(_)),
            "{patch}: {force:?}"
        );
    }
}

#[test]
fn an_upgrade_that_changes_nothing_leaves_the_approvals_that_wait() {
    let before = judged(&get(cluster(), POLICY), &get(cluster(), BINDING));
    // As helm does it.
    let chart = crate::cluster::chart();
    let arguments = [
        "upgrade",
        "sluice",
        &chart,
        "--namespace",
        crate::cluster::NAMESPACE,
    ];
    cluster().helm_text(&arguments).unwrap();
    let after = judged(&get(cluster(), POLICY), &get(cluster(), BINDING));
    assert_eq!(before, after);
}

#[test]
fn a_change_that_leaves_it_as_it_was_voids_what_was_made_before() {
    let policy = get(cluster(), POLICY);
    let label = json!([{"op": "add", "path": "/metadata/labels/touched", "value": "yes"}]);
    let before = judged(&policy, &get(cluster(), BINDING));
    // The time of a change is in whole seconds: the test's installation is older than one.
    crate::cluster::eventually("the change is later than the installation", || {
        let after = judged(&policy, &patched(BINDING, &label));
        match (&before, after) {
            (PolicyForce::Since(before), PolicyForce::Since(after)) => after > *before,
            other => panic!("{other:?}"),
        }
    });
}
