//! Approvals that the API server accepts and refuses, by user and by the name that they approve in.
//!
//! The chart's role lets the approvers' group create Approvals in one namespace. Not even the administrator
//! may approve in another user's name, change an Approval, or write that it counted.

mod attempts;
mod installed;

pub use installed::is_in_force;

use std::process::Output;

use serde_json::{Value, json};
use sluice_lab::kube::User;

use crate::cluster::{accepted, as_controller, cluster, namespace, stderr};

const APPROVAL: &str = include_str!("../manifests/approval.yaml");

/// The approver's Approval with some fields changed; `null` removes a field.
fn approval(changes: &[(&str, Value)]) -> String {
    let mut object: Value = serde_saphyr::from_str(APPROVAL).unwrap();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = object.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(name);
        } else {
            parent.insert(name.to_owned(), value.clone());
        }
    }
    object.to_string()
}

/// kubectl in the namespace, with something on its standard input.
fn kubectl(user: User, namespace: &str, arguments: &[&str], input: &str) -> Output {
    let namespace = format!("--namespace={namespace}");
    let arguments = [arguments, &[namespace.as_str()]].concat();
    cluster()
        .kubectl_with_input(user, &arguments, input)
        .unwrap()
}

fn create(user: User, namespace: &str, options: &[&str], changes: &[(&str, Value)]) -> Output {
    let arguments = [&["create", "--validate=strict", "--filename=-"], options].concat();
    kubectl(user, namespace, &arguments, &approval(changes))
}

/// Creates a namespace where the approvers may approve and the tenants may deliver.
fn approval_namespace(name: &str) {
    namespace(name);
    for (role, group) in [
        ("sluice-approver", "sluice:approvers"),
        ("sluice-tenant-edit", "sluice:tenants"),
    ] {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": role, "namespace": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
        });
        cluster().apply(User::Admin, &binding.to_string()).unwrap();
    }
    // The authorizer observes a binding a moment later.
    crate::cluster::eventually("tenants may read Approvals", || {
        let arguments = ["get", "approvals.sluice.dev"];
        kubectl(User::Tenant, name, &arguments, "").status.success()
    });
}

fn get(namespace: &str, name: &str) -> Value {
    let arguments = [
        "get",
        "approvals.sluice.dev",
        name,
        "--namespace",
        namespace,
    ];
    cluster().kubectl_json(User::Admin, &arguments).unwrap()
}

#[test]
fn approver_approves_in_their_own_name() {
    let here = "approvals-own";
    approval_namespace(here);
    for (name, changes) in [
        ("with-group", vec![]),
        (
            "without-group",
            vec![("/spec/approver/groups", Value::Null)],
        ),
        ("no-groups", vec![("/spec/approver/groups", json!([]))]),
        (
            "with-both-groups",
            vec![(
                "/spec/approver/groups",
                json!(["sluice:approvers", "system:authenticated"]),
            )],
        ),
        ("no", vec![("/spec/decision", json!("Reject"))]),
        ("silent", vec![("/spec/comment", Value::Null)]),
    ] {
        let changes = [changes, vec![("/metadata/name", json!(name))]].concat();
        println!("{name}");
        accepted(&create(User::Approver, here, &[], &changes));
    }
    let named = [("/metadata", json!({"generateName": "checkout-1-prod-"}))];
    accepted(&create(User::Approver, here, &[], &named));
    accepted(&create(User::Approver, here, &["--dry-run=server"], &[]));
    // The authenticated user counts: an administrator may impersonate another user.
    let as_bea = ["--as=bea", "--as-group=sluice:approvers"];
    let bea = [
        ("/metadata/name", json!("of-bea")),
        ("/spec/approver/username", json!("bea")),
    ];
    accepted(&create(User::Admin, here, &as_bea, &bea));
    let list = ["get", "sappr"];
    let table = String::from_utf8(kubectl(User::Approver, here, &list, "").stdout).unwrap();
    let header: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        header.join(" "),
        "NAME RELEASE STAGE DECISION APPROVER COUNTED REASON AGE"
    );
    assert_eq!(table.lines().count(), 9, "{table}");
}

#[test]
fn shown_command_approves_as_the_user_who_runs_it() {
    use sluice::{
        api::v1alpha1::Decision,
        domain::gates::{Subject, approve_command},
    };
    let here = "approvals-command";
    approval_namespace(here);
    let subject = Subject {
        release: "checkout-1",
        release_uid: "uid-1",
        stage: "prod",
        stage_digest: &"a".repeat(64),
        author: None,
    };
    let kubectl = sluice_lab::toolchain::Toolchain::shared()
        .unwrap()
        .kubectl();
    let mut paths = vec![kubectl.parent().unwrap().to_owned()];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let run = |decision| {
        let output = std::process::Command::new("sh")
            .args(["-c", &approve_command(here, &subject, decision)])
            .env("PATH", std::env::join_paths(&paths).unwrap())
            .env("KUBECONFIG", cluster().kubeconfig(User::Approver))
            .output()
            .unwrap();
        accepted(&output);
        let made = String::from_utf8(output.stdout).unwrap();
        made.trim().strip_suffix(" created").unwrap().to_owned()
    };
    for decision in [Decision::Approve, Decision::Reject] {
        let made = run(decision);
        let name = made.strip_prefix("approval.sluice.dev/").unwrap();
        assert!(name.starts_with("checkout-1-prod-"), "{name}");
        let spec = get(here, name)["spec"].clone();
        assert_eq!(
            spec["releaseRef"],
            json!({"name": "checkout-1", "uid": "uid-1"})
        );
        assert_eq!(spec["stageDigest"], "a".repeat(64));
        assert_eq!(spec["decision"], format!("{decision:?}"));
        assert_eq!(
            spec["approver"],
            json!({"username": "approver", "groups": ["sluice:approvers", "system:authenticated"]})
        );
    }
}

#[test]
fn only_the_controller_sets_the_status_of_an_approval() {
    let here = "approvals-status";
    approval_namespace(here);
    // The API server ignores a status at creation.
    let condition = json!({"status": {"conditions": [{
        "type": "Counted", "status": "True", "reason": "Counted", "message": "",
        "lastTransitionTime": "2026-11-26T10:00:00Z",
    }]}});
    let with_status = [("/status", condition["status"].clone())];
    accepted(&create(User::Approver, here, &[], &with_status));
    assert_eq!(get(here, "checkout-1-prod")["status"], Value::Null);

    let [user, group] = as_controller();
    let patch = condition.to_string();
    let arguments = [
        "patch",
        "approvals.sluice.dev",
        "checkout-1-prod",
        "--subresource=status",
        "--type=merge",
        "--patch",
        &patch,
        &user,
        &group,
    ];
    accepted(&kubectl(User::Admin, here, &arguments, ""));
    assert_eq!(get(here, "checkout-1-prod")["status"], condition["status"]);
}

#[test]
fn labels_and_owners_of_an_approval_stay_editable() {
    let here = "approvals-metadata";
    approval_namespace(here);
    accepted(&create(User::Approver, here, &[], &[]));
    let label = [
        "label",
        "approvals.sluice.dev",
        "checkout-1-prod",
        "seen=yes",
    ];
    accepted(&kubectl(User::Admin, here, &label, ""));
    // So that it is deleted with its Release.
    let [user, group] = as_controller();
    let owner = json!({"metadata": {"ownerReferences": [{
        "apiVersion": "sluice.dev/v1alpha1", "kind": "Release", "name": "checkout-1", "uid": "none",
    }]}})
    .to_string();
    let arguments = [
        "patch",
        "approvals.sluice.dev",
        "checkout-1-prod",
        "--type=merge",
        "--patch",
        &owner,
        &user,
        &group,
    ];
    accepted(&kubectl(User::Admin, here, &arguments, ""));
    crate::cluster::eventually("garbage collection deletes it with its Release", || {
        let arguments = ["get", "approvals.sluice.dev", "checkout-1-prod"];
        stderr(&kubectl(User::Admin, here, &arguments, "")).contains("NotFound")
    });
}
