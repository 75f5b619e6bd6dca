//! The control plane and the controller as a process.

mod process;
mod workload;

use std::{
    fs::{self, File},
    path::Path,
    sync::LazyLock,
};

use serde_json::{Value, json};
use sluice_lab::{
    kube::{ControlPlane, ControlPlaneOptions, User},
    lab::{PATIENCE, wait_for},
    toolchain::Toolchain,
};

/// Emulates the oldest supported version, so that the tests cover both ends.
struct Shared {
    control_plane: ControlPlane,
    /// Held until the tests end: another test run waits for the directory.
    _lock: File,
}

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    // A static is never dropped, so a temporary directory would be left behind by each run.
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lab-kube");
    fs::create_dir_all(&dir).unwrap();
    let lock = File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    let options = ControlPlaneOptions {
        emulated_version: Some("1.34".into()),
        audit: true,
        dir,
    };
    let control_plane = ControlPlane::start(Toolchain::shared().unwrap(), &options).unwrap();
    Shared {
        control_plane,
        _lock: lock,
    }
});

fn control_plane() -> &'static ControlPlane {
    &SHARED.control_plane
}

fn namespace(name: &str) {
    control_plane()
        .apply(
            User::Admin,
            &format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"),
        )
        .unwrap();
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let holds = wait_for(what, PATIENCE, || condition().then_some(()));
    holds.unwrap_or_else(|error| panic!("{error}"));
}

fn exists(pid: u32) -> bool {
    // A program that has ended stays a zombie until its parent waits for it.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn whoami(control_plane: &ControlPlane, user: User) -> Value {
    control_plane
        .kubectl_json(user, &["auth", "whoami"])
        .unwrap()["status"]["userInfo"]
        .clone()
}

#[test]
fn users_have_their_own_identities_and_tenants_no_default_permissions() {
    let me = whoami(control_plane(), User::Approver);
    assert_eq!(me["username"], "approver");
    assert!(
        me["groups"]
            .as_array()
            .unwrap()
            .contains(&json!("sluice:approvers")),
        "{me}"
    );

    let refused = control_plane()
        .kubectl(User::Tenant, &["get", "secrets", "--namespace=default"])
        .unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Forbidden"));
    control_plane()
        .kubectl_text(User::Admin, &["get", "secrets", "--namespace=default"])
        .unwrap();
}

#[test]
fn the_control_plane_emulates_an_older_version_or_runs_the_newest() {
    let version = control_plane()
        .kubectl_json(User::Admin, &["version"])
        .unwrap()["serverVersion"]
        .clone();
    assert_eq!(
        (&version["major"], &version["emulationMinor"]),
        (&json!("1"), &json!("34")),
        "{version}"
    );

    let dir = tempfile::tempdir().unwrap();
    let options = ControlPlaneOptions {
        dir: dir.path().to_owned(),
        ..Default::default()
    };
    let newest = ControlPlane::start(Toolchain::shared().unwrap(), &options).unwrap();
    let version = newest.kubectl_json(User::Admin, &["version"]).unwrap()["serverVersion"].clone();
    assert_eq!(version["gitVersion"], "v1.37.2");
    assert!(newest.audit().is_err());
    let pids = newest.pids();
    assert!(
        pids.len() == 3 && pids.iter().all(|&pid| exists(pid)),
        "{pids:?}"
    );
    drop(newest);
    eventually("the control plane's processes end", || {
        !pids.iter().any(|&pid| exists(pid))
    });
}

#[test]
fn deleting_a_namespace_deletes_its_objects() {
    namespace("passing");
    let map = "{apiVersion: v1, kind: ConfigMap, metadata: {name: it, namespace: passing}}";
    control_plane().apply(User::Admin, map).unwrap();
    control_plane()
        .kubectl_text(
            User::Admin,
            &["delete", "namespace", "passing", "--timeout=120s"],
        )
        .unwrap();
    let left = control_plane()
        .kubectl(
            User::Admin,
            &["get", "configmap", "it", "--namespace=passing"],
        )
        .unwrap();
    assert!(String::from_utf8_lossy(&left.stderr).contains("NotFound"));
}

#[test]
fn an_existing_cluster_can_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = control_plane().kubeconfig(User::Admin);
    let tools = Toolchain::shared().unwrap();
    let existing = ControlPlane::existing(tools, &kubeconfig, dir.path()).unwrap();
    assert!(existing.is_existing());
    assert_eq!(existing.url(), control_plane().url());
    assert_eq!(
        existing.ca_pem().unwrap(),
        control_plane().ca_pem().unwrap()
    );
    let me = whoami(&existing, User::Tenant);
    assert_eq!(me["username"], "tenant");
    assert!(
        me["groups"]
            .as_array()
            .unwrap()
            .contains(&json!("sluice:tenants")),
        "{me}"
    );
    assert!(
        !existing
            .kubectl(User::Tenant, &["get", "secrets"])
            .unwrap()
            .status
            .success()
    );
}

#[test]
fn helm_installs_a_chart_that_requires_the_emulated_version() {
    let chart = tempfile::tempdir().unwrap();
    fs::create_dir(chart.path().join("templates")).unwrap();
    fs::write(
        chart.path().join("Chart.yaml"),
        "{apiVersion: v2, name: tiny, version: 0.1.0, kubeVersion: '>= 1.34.0-0'}",
    )
    .unwrap();
    fs::write(
        chart.path().join("templates/map.yaml"),
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: '{{ .Release.Name }}'}, data: {minor: '{{ .Capabilities.KubeVersion.Minor }}'}}",
    )
    .unwrap();
    let path = chart.path().to_str().unwrap();
    let args = [
        "upgrade",
        "--install",
        "tiny",
        path,
        "--namespace=charts",
        "--create-namespace",
    ];
    control_plane().helm_text(&args).unwrap();
    let map = control_plane()
        .kubectl_json(
            User::Admin,
            &["get", "configmap", "tiny", "--namespace=charts"],
        )
        .unwrap();
    assert!(
        map["data"]["minor"]
            .as_str()
            .is_some_and(|minor| !minor.is_empty()),
        "{map}"
    );
}

#[test]
fn tokens_are_for_one_service_account_and_audience() {
    namespace("tokens");
    eventually("the namespace's service account", || {
        control_plane().token_for("tokens", "default", None).is_ok()
    });
    let token = control_plane()
        .token_for("tokens", "default", None)
        .unwrap();
    let kubeconfig = control_plane()
        .kubeconfig_with_token("holder", &token)
        .unwrap();
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let me = control_plane()
        .kubectl_json(User::Admin, &["auth", "whoami", &kubeconfig])
        .unwrap();
    assert_eq!(
        me["status"]["userInfo"]["username"],
        "system:serviceaccount:tokens:default"
    );

    let elsewhere = control_plane()
        .token_for("tokens", "default", Some("sts.amazonaws.com"))
        .unwrap();
    let kubeconfig = control_plane()
        .kubeconfig_with_token("elsewhere", &elsewhere)
        .unwrap();
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let refused = control_plane()
        .kubectl(User::Admin, &["auth", "whoami", &kubeconfig])
        .unwrap();
    assert!(
        !refused.status.success(),
        "a token for another audience was accepted"
    );
}

#[test]
fn the_audit_log_has_a_service_accounts_used_and_refused_permissions() {
    namespace("audited");
    let role = "
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: r, namespace: audited},
 rules: [{apiGroups: [''], resources: [configmaps], verbs: [get, create]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: r, namespace: audited},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r},
 subjects: [{kind: ServiceAccount, name: worker, namespace: audited}]}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: worker, namespace: audited}}";
    control_plane().apply(User::Admin, role).unwrap();
    let token = control_plane()
        .token_for("audited", "worker", None)
        .unwrap();
    let kubeconfig = control_plane()
        .kubeconfig_with_token("worker", &token)
        .unwrap();
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let run = |args: &[&str]| {
        control_plane()
            .kubectl(
                User::Admin,
                &[args, &[&kubeconfig, "--namespace=audited"]].concat(),
            )
            .unwrap()
    };
    eventually("the binding takes effect", || {
        run(&["create", "configmap", "made"]).status.success()
    });
    assert!(!run(&["delete", "configmap", "made"]).status.success());

    let user = "system:serviceaccount:audited:worker";
    let right = |resource: &str, verb: &str| (String::new(), resource.to_owned(), verb.to_owned());
    eventually("both requests are in the log", || {
        let audit = control_plane().audit().unwrap();
        audit.used_by(user).contains(&right("configmaps", "create"))
            && audit.refused(user).contains(&right("configmaps", "delete"))
    });
    let audit = control_plane().audit().unwrap();
    assert!(!audit.used_by(user).contains(&right("configmaps", "delete")));
    let made: Vec<_> = audit
        .writes(user)
        .into_iter()
        .filter(|write| write.code == 201)
        .collect();
    assert_eq!(made.len(), 1);
    assert_eq!(
        (made[0].namespace.as_str(), made[0].verb.as_str()),
        ("audited", "create")
    );
}
