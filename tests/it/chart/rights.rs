//! The permissions of each role, as decided by the API server's own authorizer.

use serde_json::json;
use sluice_lab::kube::User;

use crate::cluster::{CONTROLLER, NAMESPACE, cluster, namespace};

/// `kubectl auth can-i` in the namespace.
fn can(user: User, namespace: &str, options: &[&str], verb: &str, resource: &str) -> bool {
    let (resource, status) = match resource.strip_suffix("/status") {
        Some(resource) => (resource, "--subresource=status"),
        None => (resource, "--subresource="),
    };
    let arguments = [
        "auth",
        "can-i",
        verb,
        resource,
        status,
        "--namespace",
        namespace,
    ];
    let output = cluster()
        .kubectl(user, &[&arguments[..], options].concat())
        .unwrap();
    let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(matches!(answer.as_str(), "yes" | "no"), "{output:?}");
    answer == "yes"
}

#[test]
fn controller_permissions_are_minimal() {
    namespace("rights-team");
    let controller = format!("--as={CONTROLLER}");
    let can =
        |namespace, verb, resource| can(User::Admin, namespace, &[&controller], verb, resource);
    for (namespace, verb, resource) in [
        ("rights-team", "watch", "deployments.sluice.dev"),
        ("rights-team", "patch", "deployments.sluice.dev/status"),
        ("rights-team", "create", "releases.sluice.dev"),
        ("rights-team", "patch", "releases.sluice.dev"),
        ("rights-team", "patch", "targets.sluice.dev"),
        ("rights-team", "watch", "approvals.sluice.dev"),
        ("rights-team", "patch", "approvals.sluice.dev/status"),
        (
            NAMESPACE,
            "get",
            "validatingadmissionpolicies.admissionregistration.k8s.io/sluice-approvals",
        ),
        (
            NAMESPACE,
            "get",
            "validatingadmissionpolicybindings.admissionregistration.k8s.io/sluice-approvals",
        ),
        (
            NAMESPACE,
            "get",
            "validatingadmissionpolicies.admissionregistration.k8s.io/sluice-records",
        ),
        (
            NAMESPACE,
            "get",
            "validatingadmissionpolicybindings.admissionregistration.k8s.io/sluice-records",
        ),
        ("rights-team", "create", "events.events.k8s.io"),
        (NAMESPACE, "get", "secrets"),
        (NAMESPACE, "update", "leases.coordination.k8s.io/sluice"),
    ] {
        assert!(
            can(namespace, verb, resource),
            "{verb} {resource} in {namespace}"
        );
    }
    for (namespace, verb, resource) in [
        ("rights-team", "get", "secrets"),
        (NAMESPACE, "list", "secrets"),
        (NAMESPACE, "watch", "secrets"),
        (NAMESPACE, "update", "leases.coordination.k8s.io/another"),
        (NAMESPACE, "get", "configmaps"),
        ("rights-team", "delete", "deployments.sluice.dev"),
        ("rights-team", "update", "releases.sluice.dev"),
        ("rights-team", "create", "accounts.sluice.dev"),
        ("rights-team", "create", "approvals.sluice.dev"),
        ("rights-team", "delete", "approvals.sluice.dev"),
        (
            NAMESPACE,
            "get",
            "validatingadmissionpolicies.admissionregistration.k8s.io/another",
        ),
        (
            NAMESPACE,
            "patch",
            "validatingadmissionpolicies.admissionregistration.k8s.io/sluice-approvals",
        ),
        ("rights-team", "get", "namespaces/rights-team"),
        ("rights-team", "create", "pods"),
        ("rights-team", "*", "*"),
    ] {
        assert!(
            !can(namespace, verb, resource),
            "{verb} {resource} in {namespace}"
        );
    }
    let token = |account: &str| {
        let arguments = [
            "create",
            "token",
            account,
            "--namespace",
            NAMESPACE,
            &controller,
        ];
        cluster()
            .kubectl(User::Admin, &arguments)
            .unwrap()
            .status
            .success()
    };
    assert!(token("sluice"), "its own token, for AWS");
    assert!(!token("default"), "the token of another");
}

#[test]
fn tenant_delivers_in_its_namespace_only() {
    namespace("rights-tenant");
    namespace("rights-other");
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "tenants", "namespace": "rights-tenant"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sluice-tenant-edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "sluice:tenants"}],
    });
    cluster().apply(User::Admin, &binding.to_string()).unwrap();
    let can = |namespace, verb, resource| can(User::Tenant, namespace, &[], verb, resource);
    crate::cluster::eventually("the binding is known", || {
        can("rights-tenant", "create", "deployments.sluice.dev")
    });
    assert!(can(
        "rights-tenant",
        "delete",
        "gitlabconnections.sluice.dev"
    ));
    assert!(can("rights-tenant", "watch", "targets.sluice.dev"));
    assert!(can("rights-tenant", "watch", "approvals.sluice.dev"));
    assert!(!can("rights-tenant", "create", "approvals.sluice.dev"));
    assert!(!can("rights-tenant", "delete", "approvals.sluice.dev"));
    assert!(!can("rights-tenant", "create", "targets.sluice.dev"));
    assert!(!can("rights-tenant", "delete", "releases.sluice.dev"));
    assert!(!can(
        "rights-tenant",
        "patch",
        "deployments.sluice.dev/status"
    ));
    assert!(!can("rights-tenant", "create", "accounts.sluice.dev"));
    assert!(!can("rights-other", "get", "deployments.sluice.dev"));
}

/// The platform team decides whether the role `edit` includes Sluice's resources.
#[test]
fn edit_role_does_not_include_deployments() {
    namespace("rights-editor");
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "editors", "namespace": "rights-editor"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "sluice:tenants"}],
    });
    cluster().apply(User::Admin, &binding.to_string()).unwrap();
    let can = |verb, resource| can(User::Tenant, "rights-editor", &[], verb, resource);
    crate::cluster::eventually("the binding is known", || can("create", "configmaps"));
    for verb in ["get", "create", "patch", "delete"] {
        assert!(!can(verb, "deployments.sluice.dev"), "{verb}");
    }
}

/// Follows the message about a Secret that the controller may not read.
#[test]
fn team_can_let_the_controller_read_one_secret() {
    let here = "rights-secret";
    namespace(here);
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "admins", "namespace": here},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "sluice:tenants"}],
    });
    cluster().apply(User::Admin, &binding.to_string()).unwrap();
    let controller = format!("--as={CONTROLLER}");
    let reads = |secret: &str| {
        let secret = format!("secrets/{secret}");
        can(User::Admin, here, &[&controller], "get", &secret)
    };
    assert!(!reads("gitlab-token"));
    crate::cluster::eventually("the binding is known", || {
        can(User::Tenant, here, &[], "create", "roles")
    });
    let role = [
        "--namespace",
        here,
        "create",
        "role",
        "sluice-gitlab-token",
        "--verb=get",
        "--resource=secrets",
        "--resource-name=gitlab-token",
    ];
    let binding = [
        "--namespace",
        here,
        "create",
        "rolebinding",
        "sluice-gitlab-token",
        "--role=sluice-gitlab-token",
        "--serviceaccount=sluice-system:sluice",
    ];
    for command in [&role[..], &binding[..]] {
        cluster().kubectl_text(User::Tenant, command).unwrap();
    }
    crate::cluster::eventually("the controller may read it", || reads("gitlab-token"));
    assert!(!reads("another"));
}

#[test]
fn approver_approves_in_its_namespace_and_delivers_nothing() {
    namespace("rights-approver");
    namespace("rights-approver-not");
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "approvers", "namespace": "rights-approver"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sluice-approver",
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "sluice:approvers"}],
    });
    cluster().apply(User::Admin, &binding.to_string()).unwrap();
    let can = |namespace, verb, resource| can(User::Approver, namespace, &[], verb, resource);
    for (verb, resource) in [
        ("create", "approvals.sluice.dev"),
        ("list", "approvals.sluice.dev"),
        ("get", "deployments.sluice.dev"),
        ("get", "releases.sluice.dev"),
        ("get", "targets.sluice.dev"),
    ] {
        assert!(can("rights-approver", verb, resource), "{verb} {resource}");
        let elsewhere = can("rights-approver-not", verb, resource);
        assert!(!elsewhere, "{verb} {resource} elsewhere");
    }
    for (verb, resource) in [
        ("update", "approvals.sluice.dev"),
        ("patch", "approvals.sluice.dev"),
        ("delete", "approvals.sluice.dev"),
        ("deletecollection", "approvals.sluice.dev"),
        ("patch", "approvals.sluice.dev/status"),
        ("patch", "deployments.sluice.dev"),
        ("create", "releases.sluice.dev"),
        ("get", "secrets"),
    ] {
        assert!(!can("rights-approver", verb, resource), "{verb} {resource}");
    }
}
