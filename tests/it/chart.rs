//! The chart, installed by helm on a real API server.

mod approvals;
mod commands;
mod lint;
mod policy;
mod rights;
mod uninstall;

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};
use sluice_lab::{
    kube::{ControlPlane, User},
    toolchain::Toolchain,
};

use crate::cluster::{
    NAMESPACE, accepted, chart, cluster, create, eventually, install, namespace, oldest, refused,
    stderr, upgrade,
};

/// Every template, and every value that changes one.
const EVERYTHING: &str = r#"{
    "hub": {"account": "hub", "region": "eu-west-1"},
    "gitlab": {"allowedNetworks": ["10.0.0.0/8"], "requestsPerMinute": 1000000, "requestsPerMinuteByHost": {"gitlab.com": 1500}},
    "transfers": {"maxParallel": 8, "maxPerNamespace": 3, "minBytesPerSecond": 131072},
    "secretNamespaces": ["team-a", "sluice-system"],
    "replicaCount": 2,
    "logFormat": "text",
    "image": {"digest": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
    "imagePullSecrets": [{"name": "registry"}],
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::111111111111:role/sluice"}},
    "extraArgs": ["--lease-duration=15s"],
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "extraVolumes": [{"name": "certificates", "configMap": {"name": "certificates"}}],
    "extraVolumeMounts": [{"name": "certificates", "mountPath": "/certificates", "readOnly": true}],
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "platform"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
         "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "sluice"}}}
    ],
    "priorityClassName": "system-cluster-critical",
    "tenantRoles": {"aggregate": true, "separateCommands": true},
    "networkPolicy": {
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "egress": [{"ports": [{"port": 443, "protocol": "TCP"}]}]
    }
}"#;

/// Runs helm without a cluster.
fn helm(arguments: &[&str]) -> Output {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm");
    let mut command = Command::new(Toolchain::shared().unwrap().helm());
    command
        .args(arguments)
        .env("HELM_CACHE_HOME", home.join("cache"))
        .env("HELM_CONFIG_HOME", home.join("config"))
        .env("HELM_DATA_HOME", home.join("data"))
        .env_remove("KUBECONFIG");
    command.output().unwrap()
}

/// `helm template` with the values, given as JSON.
fn render(values: &str) -> Result<String, String> {
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(&file, values).unwrap();
    let path = file.path().display().to_string();
    let output = helm(&[
        "template",
        "sluice",
        &chart(),
        "--namespace",
        NAMESPACE,
        "--values",
        &path,
    ]);
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(stderr(&output))
    }
}

/// Asserts that the API server accepts everything that the chart renders with the values.
fn is_accepted(control_plane: &ControlPlane, values: &str) {
    let rendered = render(values).unwrap();
    let output = control_plane
        .kubectl_with_input(
            User::Admin,
            &[
                "apply",
                "--server-side",
                "--force-conflicts",
                "--field-manager=helm",
                "--dry-run=server",
                "--validate=strict",
                "--filename=-",
            ],
            &rendered,
        )
        .unwrap();
    accepted(&output);
    assert!(!stderr(&output).contains("Warning"), "{}", stderr(&output));
}

#[test]
fn newest_kubernetes_accepts_the_chart() {
    namespace("team-a");
    is_accepted(cluster(), "{}");
    is_accepted(cluster(), EVERYTHING);
    is_accepted(
        cluster(),
        r#"{"secretsInAllNamespaces": true, "leaderElection": false}"#,
    );
}

#[test]
fn oldest_kubernetes_accepts_the_chart_and_uninstall_keeps_the_crds() {
    let dir = tempfile::tempdir().unwrap();
    let oldest = oldest(dir.path());
    for name in [NAMESPACE, "team-a"] {
        let manifest = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}");
        oldest.apply(User::Admin, &manifest).unwrap();
    }
    is_accepted(&oldest, "{}");
    is_accepted(&oldest, EVERYTHING);

    install(&oldest);
    approvals::is_in_force(&oldest);
    accepted(&create(
        &oldest,
        &[],
        include_str!("manifests/account.yaml"),
    ));
    let upgrade = [
        "upgrade",
        "sluice",
        &chart(),
        "--namespace",
        NAMESPACE,
        "--set=replicaCount=0,leaderElection=false",
    ];
    oldest.helm_text(&upgrade).unwrap();
    let uninstall = ["uninstall", "sluice", "--namespace", NAMESPACE];
    oldest.helm_text(&uninstall).unwrap();
    let account = ["get", "accounts.sluice.dev", "dev"];
    oldest.kubectl_text(User::Admin, &account).unwrap();
    let policies = ["get", "validatingadmissionpolicies"];
    let policies = oldest.kubectl_json(User::Admin, &policies).unwrap();
    assert_eq!(policies["items"], json!([]), "only the definitions stay");
    install(&oldest);
    oldest.kubectl_text(User::Admin, &account).unwrap();
}

#[test]
fn missing_secret_namespace_does_not_fail_an_upgrade() {
    namespace("secrets-there");
    let rendered = upgrade(&[
        "--set=secretNamespaces={secrets-there,secrets-not-yet}",
        "--dry-run=server",
    ]);
    assert!(rendered.contains("namespace: secrets-there"), "{rendered}");
    assert!(
        !rendered.contains("namespace: secrets-not-yet"),
        "{rendered}"
    );
    assert!(rendered.contains("Not in secrets-not-yet"), "{rendered}");
    // The command for the next team keeps the first one.
    let next = "--set 'secretNamespaces={secrets-there,secrets-not-yet,<team>}'";
    assert!(rendered.contains(next), "{rendered}");
    // Without a cluster, as with helm template, the chart renders all of them.
    let blind = render(r#"{"secretNamespaces": ["secrets-not-yet"]}"#).unwrap();
    assert!(blind.contains("namespace: secrets-not-yet"), "{blind}");
}

#[test]
fn pods_meet_the_restricted_pod_security_standard() {
    let restricted = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": "restricted",
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    });
    cluster()
        .apply(User::Admin, &restricted.to_string())
        .unwrap();
    let workload = [
        "get",
        "deployments.apps",
        "sluice",
        "--namespace",
        NAMESPACE,
    ];
    let workload = cluster().kubectl_json(User::Admin, &workload).unwrap();
    let mut spec = workload["spec"]["template"]["spec"].clone();
    spec["serviceAccountName"] = json!("default");
    let pod = |spec: &Value| {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "sluice", "namespace": "restricted"},
            "spec": spec,
        });
        create(cluster(), &["--dry-run=server"], &pod.to_string())
    };
    eventually("the namespace has its default ServiceAccount", || {
        let account = ["get", "serviceaccount", "default", "--namespace=restricted"];
        cluster()
            .kubectl(User::Admin, &account)
            .unwrap()
            .status
            .success()
    });
    accepted(&pod(&spec));
    spec["containers"][0]["securityContext"]["capabilities"] = json!({});
    refused(&pod(&spec), "PodSecurity");
}
