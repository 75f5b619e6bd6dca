//! The command lines of the control plane's programs.

use std::{path::Path, process::Command};

use super::{ControlPlaneOptions, User};
use crate::toolchain::Toolchain;

/// The controllers that the chart and the tests need; the others would only cost memory.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,serviceaccount-controller,\
    serviceaccount-token-controller,root-ca-certificate-publisher-controller,job-controller,\
    deployment-controller,replicaset-controller,clusterrole-aggregation-controller,\
    validatingadmissionpolicy-status-controller";

/// Logs each request when its response begins or ends, without bodies.
pub(super) const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
";

/// etcd, for clients on one port and (though it has none) peers on another.
pub(super) fn etcd(tools: &Toolchain, dir: &Path, client: u16, peer: u16) -> Command {
    let (client, peer) = (
        format!("http://127.0.0.1:{client}"),
        format!("http://127.0.0.1:{peer}"),
    );
    let mut command = Command::new(tools.etcd());
    command
        .arg("--data-dir")
        .arg(dir.join("etcd"))
        .args([
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
        ])
        .args([
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
        ])
        .args(["--initial-cluster", &format!("default={peer}")])
        // Its data does not outlive the lab.
        .arg("--unsafe-no-fsync");
    command
}

/// The API server. Its files are in the lab's directory already.
pub(super) fn api_server(
    tools: &Toolchain,
    options: &ControlPlaneOptions,
    etcd: u16,
    secure: u16,
) -> Command {
    let dir = &options.dir;
    let file = |flag: &str, name: &str| format!("--{flag}={}", dir.join(name).display());
    let mut command = Command::new(tools.api_server());
    command
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"))
        .arg(format!("--secure-port={secure}"))
        .arg("--bind-address=127.0.0.1")
        .arg(file("cert-dir", "certs"))
        .arg(file("service-account-key-file", "sa.pub"))
        .arg(file("service-account-signing-key-file", "sa.key"))
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg("--authorization-mode=RBAC")
        .arg(file("token-auth-file", "tokens.csv"))
        .arg("--service-cluster-ip-range=10.0.0.0/24")
        .args(emulated(options));
    if options.audit {
        command
            .arg(file("audit-policy-file", "audit-policy.yaml"))
            .arg(file("audit-log-path", "logs/audit.log"))
            // Rotation would lose requests that a long test reads at its end.
            .arg("--audit-log-maxsize=4096");
    }
    command
}

/// The controller manager, with one identity per controller.
pub(super) fn controller_manager(tools: &Toolchain, options: &ControlPlaneOptions) -> Command {
    let mut command = Command::new(tools.controller_manager());
    command
        .arg(format!(
            "--kubeconfig={}",
            User::Admin.kubeconfig(&options.dir).display()
        ))
        .arg(format!(
            "--service-account-private-key-file={}",
            options.dir.join("sa.key").display()
        ))
        .args([
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--secure-port=0",
        ])
        .arg(format!("--controllers={CONTROLLERS}"))
        .args(emulated(options));
    command
}

/// The flag that makes a program behave as an older version.
fn emulated(options: &ControlPlaneOptions) -> Option<String> {
    options
        .emulated_version
        .as_ref()
        .map(|version| format!("--emulated-version=kube={version}"))
}
