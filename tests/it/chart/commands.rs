//! Commands with verbs of their own, apart from write access: the API server's authorizer decides.

use std::process::Output;

use serde_json::{Value, json};
use sluice_lab::kube::{ControlPlane, User};

use crate::cluster::{accepted, eventually, install_with, oldest, refused, stderr};

const DEPLOYMENT: &str = include_str!("../manifests/deployment.yaml");

/// `kubectl patch` of the Deployment in the namespace.
fn patch(cluster: &ControlPlane, user: User, patch: &Value) -> Output {
    let patch = patch.to_string();
    let arguments = [
        "patch",
        "deployments.sluice.dev",
        "checkout",
        "--namespace=shop",
        "--type=merge",
        "--patch",
        &patch,
    ];
    cluster.kubectl(user, &arguments).unwrap()
}

/// `kubectl annotate --overwrite`, as in the documentation.
fn annotate(cluster: &ControlPlane, user: User, annotation: &str) -> Output {
    let arguments = [
        "annotate",
        "deployments.sluice.dev",
        "checkout",
        "--namespace=shop",
        "--overwrite",
        annotation,
    ];
    cluster.kubectl(user, &arguments).unwrap()
}

fn bind(cluster: &ControlPlane, role: &str, group: &str) {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": format!("{role}-{}", group.replace(':', "-")), "namespace": "shop"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
    });
    cluster.apply(User::Admin, &binding.to_string()).unwrap();
}

const COMMANDS: [(&str, &str); 6] = [
    ("sluice.dev/abort=1", "the verb abort"),
    ("sluice.dev/pause=1", "the verb pause"),
    ("sluice.dev/promote=1", "the verb promote"),
    ("sluice.dev/resume=1", "the verb pause"),
    ("sluice.dev/retry=1", "the verb retry"),
    ("sluice.dev/rollback=1", "the verb rollback"),
];

#[test]
fn separate_commands_need_their_own_verbs() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = oldest(dir.path());
    let shop = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}";
    cluster.apply(User::Admin, shop).unwrap();
    install_with(&cluster, &["--set=tenantRoles.separateCommands=true"]);
    // The tenants write Deployments, the approvers command them.
    bind(&cluster, "sluice-tenant-edit", "sluice:tenants");
    bind(&cluster, "sluice-release-manager", "sluice:approvers");
    let create = ["create", "--namespace=shop", "--filename=-"];
    eventually("the tenant creates a Deployment", || {
        let made = cluster.kubectl_with_input(User::Tenant, &create, DEPLOYMENT);
        let made = made.unwrap();
        made.status.success() || stderr(&made).contains("AlreadyExists")
    });
    eventually("the policy is in force", || {
        let output = annotate(&cluster, User::Tenant, "sluice.dev/promote=0");
        stderr(&output).contains("sluice-commands")
    });

    for (command, verb) in COMMANDS {
        refused(&annotate(&cluster, User::Tenant, command), verb);
        accepted(&annotate(&cluster, User::Approver, command));
        // A repeated annotation commands nothing, and neither does its removal.
        accepted(&annotate(&cluster, User::Tenant, command));
    }
    let (promote, _) = COMMANDS[2].0.split_once('=').unwrap();
    accepted(&annotate(&cluster, User::Tenant, &format!("{promote}-")));
    let pin = json!({"spec": {"pin": "checkout-1"}});
    refused(&patch(&cluster, User::Tenant, &pin), "the verb pin");
    accepted(&patch(&cluster, User::Approver, &pin));
    let unpin = json!({"spec": {"pin": null}});
    refused(&patch(&cluster, User::Tenant, &unpin), "the verb pin");
    accepted(&patch(&cluster, User::Approver, &unpin));

    // Writers may still write; those who may only command may do nothing else.
    let suspend = json!({"spec": {"suspend": true}});
    accepted(&patch(&cluster, User::Tenant, &suspend));
    accepted(&annotate(&cluster, User::Tenant, "team=shop"));
    accepted(&annotate(
        &cluster,
        User::Approver,
        "sluice.dev/reconcile=1",
    ));
    let nothing_else = "and nothing else";
    for change in [
        json!({"spec": {"suspend": false}}),
        json!({"spec": {"suspend": null}}),
        json!({"spec": {"historyLimit": 3}}),
        json!({"spec": {"pin": "checkout-1", "source": {"ref": "mine"}}}),
        json!({"metadata": {"labels": {"a": "b"}}}),
        json!({"metadata": {"finalizers": ["example.com/held"]}}),
    ] {
        let output = patch(&cluster, User::Approver, &change);
        println!("{change}");
        refused(&output, nothing_else);
    }
    for annotation in ["team=mine", "sluice.dev/abandon=true"] {
        let output = annotate(&cluster, User::Approver, annotation);
        refused(&output, "may set only the annotations");
    }

    // Creating a Deployment does not bypass the verbs.
    let mut pinned: Value = serde_saphyr::from_str(DEPLOYMENT).unwrap();
    pinned["metadata"]["name"] = json!("another");
    pinned["spec"]["pin"] = json!("another-1");
    let made = cluster.kubectl_with_input(User::Tenant, &create, &pinned.to_string());
    refused(&made.unwrap(), "the verb pin");
    // The controller needs none of the verbs.
    let controller = format!("--as={}", crate::cluster::CONTROLLER);
    let finalizers = json!({"metadata": {"finalizers": ["sluice.dev/deployment"]}}).to_string();
    let arguments = [
        "patch",
        "deployments.sluice.dev",
        "checkout",
        "--namespace=shop",
        "--type=merge",
        "--as-group=system:masters",
        &controller,
        "--patch",
        &finalizers,
    ];
    accepted(&cluster.kubectl(User::Admin, &arguments).unwrap());
}

#[test]
fn separate_commands_are_off_by_default() {
    let roles = ["get", "clusterroles", "sluice-release-manager"];
    let output = crate::cluster::cluster()
        .kubectl(User::Admin, &roles)
        .unwrap();
    refused(&output, "NotFound");
    let policies = ["get", "validatingadmissionpolicies", "sluice-commands"];
    let output = crate::cluster::cluster()
        .kubectl(User::Admin, &policies)
        .unwrap();
    refused(&output, "NotFound");
}
