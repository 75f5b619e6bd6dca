//! A Deployment that is read back and run as a process.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::Value;
use sluice_lab::{
    kube::{Controller, Overrides, User},
    lab::PATIENCE,
    toolchain::Toolchain,
};

use super::{control_plane, exists, namespace};

/// A controller that prints its input, is ready when probed, and ends on SIGTERM.
fn stand_in(dir: &Path) -> PathBuf {
    let python = Toolchain::shared().unwrap().python();
    let script = format!(
        r#"#!{}
import http.server, json, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("asked to end", flush=True), os._exit(0)))
flags = dict(arg.split("=", 1) for arg in sys.argv[1:] if "=" in arg)
files = {{flag: open(path).read() for flag, path in flags.items() if os.path.isfile(path)}}
print(json.dumps({{"args": sys.argv[1:], "env": dict(os.environ), "files": files}}), flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
    def log_message(self, *args):
        pass
host, port = flags["--listen"].split(":")
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"#,
        python.display()
    );
    let path = dir.join("stand-in");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Installs a Deployment with one of everything that the chart may use.
fn install(namespace_name: &str) {
    namespace(namespace_name);
    let manifest = r"
{apiVersion: v1, kind: ServiceAccount, metadata: {name: sluice, namespace: NS}}
---
{apiVersion: v1, kind: Secret, metadata: {name: keys, namespace: NS}, stringData: {one: '1', two: '2'}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: NS}, data: {config.yaml: 'a: b', LEVEL: debug}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: sluice, namespace: NS}
spec:
  selector: {matchLabels: {app: sluice}}
  template:
    metadata: {labels: {app: sluice}}
    spec:
      serviceAccountName: sluice
      terminationGracePeriodSeconds: 20
      containers:
      - name: controller
        image: sluice
        command: [/usr/bin/sluice, run]
        args: ['--listen=0.0.0.0:8080', '--config=/etc/sluice/config.yaml', '--key=/etc/keys/deep/second',
               '--token=/var/run/tokens/aws', '--id=$(POD_NAME)', '--scratch', /tmp/scratch]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /readyz, port: http}}
        livenessProbe: {httpGet: {path: /gone, port: 8080}}
        env:
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
        - {name: KEY, valueFrom: {secretKeyRef: {name: keys, key: one}}}
        - {name: LEVEL, valueFrom: {configMapKeyRef: {name: settings, key: LEVEL}}}
        - {name: ABSENT, valueFrom: {secretKeyRef: {name: none, key: none, optional: true}}}
        - {name: CONFIG, value: /etc/sluice/config.yaml}
        volumeMounts:
        - {name: settings, mountPath: /etc/sluice}
        - {name: keys, mountPath: /etc/keys}
        - {name: tokens, mountPath: /var/run/tokens}
        - {name: scratch, mountPath: /tmp/scratch}
      volumes:
      - {name: settings, configMap: {name: settings}}
      - {name: keys, secret: {secretName: keys, items: [{key: two, path: deep/second}]}}
      - name: tokens
        projected: {sources: [{serviceAccountToken: {audience: sts.amazonaws.com, path: aws}}]}
      - {name: scratch, emptyDir: {}}
";
    control_plane()
        .apply(User::Admin, &manifest.replace("NS", namespace_name))
        .unwrap();
}

fn overrides(dir: &Path) -> Overrides {
    Overrides {
        binary: stand_in(dir),
        extra_env: vec![("SSL_CERT_FILE".into(), "/lab/ca.pem".into())],
    }
}

/// The printed input of each start of the stand-in.
fn printed(controller: &Controller) -> Vec<Value> {
    controller
        .logs()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[test]
fn a_deployment_runs_as_specified() {
    install("workload");
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::from_chart(
        control_plane(),
        "workload",
        "sluice",
        &overrides(dir.path()),
    )
    .unwrap();
    controller.wait_ready(PATIENCE).unwrap();
    assert!(
        !controller.is_live().unwrap(),
        "the liveness path answers 404"
    );
    assert_eq!(
        controller.port(8080).unwrap(),
        controller.port_named("http").unwrap()
    );
    assert!(controller.port(9090).is_err());

    let printed = printed(&controller).remove(0);
    let args: Vec<&str> = printed["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|arg| arg.as_str().unwrap())
        .collect();
    let scratch = args[7];
    assert!(
        Path::new(scratch).is_dir() && scratch.ends_with("/tmp/scratch"),
        "{args:?}"
    );
    assert_eq!(args[0], "run");
    assert_eq!(
        args[1],
        format!("--listen=127.0.0.1:{}", controller.port(8080).unwrap())
    );
    assert_eq!(args[5], format!("--id={}", controller.pod_name()));
    assert_eq!(printed["files"]["--config"], "a: b");
    assert_eq!(printed["files"]["--key"], "2");
    let token = printed["files"]["--token"].as_str().unwrap();
    assert!(token.starts_with("ey"), "{token}");

    let env: BTreeMap<String, String> = serde_json::from_value(printed["env"].clone()).unwrap();
    assert_eq!(env["POD_NAME"], controller.pod_name());
    assert_eq!(env["POD_NAMESPACE"], "workload");
    assert_eq!((env["KEY"].as_str(), env["LEVEL"].as_str()), ("1", "debug"));
    assert!(
        env["CONFIG"].ends_with("/etc/sluice/config.yaml") && Path::new(&env["CONFIG"]).is_file()
    );
    assert_eq!(env["SSL_CERT_FILE"], "/lab/ca.pem");
    assert!(!env.contains_key("ABSENT"));
    assert!(
        !env.contains_key("CARGO_MANIFEST_DIR"),
        "the environment of the tests leaked into the pod"
    );

    let kubeconfig = format!("--kubeconfig={}", env["KUBECONFIG"]);
    let me = control_plane()
        .kubectl_json(User::Admin, &["auth", "whoami", &kubeconfig])
        .unwrap();
    assert_eq!(
        me["status"]["userInfo"]["username"].as_str().unwrap(),
        controller.username()
    );
}

#[test]
fn a_controller_can_be_killed_paused_restarted_and_terminated() {
    install("lifecycle");
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::from_chart(
        control_plane(),
        "lifecycle",
        "sluice",
        &overrides(dir.path()),
    )
    .unwrap();
    let limit = PATIENCE;
    controller.wait_ready(limit).unwrap();
    let (first, port) = (controller.pid(), controller.port(8080).unwrap());
    assert!(controller.rss_bytes().unwrap() > 1 << 20);
    assert!(controller.peak_rss_bytes().unwrap() >= controller.rss_bytes().unwrap());
    assert!(controller.cpu_seconds().unwrap() > 0.0);
    assert!(controller.start().is_err(), "the controller runs already");

    controller.pause().unwrap();
    assert!(!controller.is_ready().unwrap(), "a frozen process answered");
    controller.resume().unwrap();
    controller.wait_ready(limit).unwrap();

    controller.kill().unwrap();
    assert!(!controller.is_running() && !exists(first));
    assert!(!controller.logs().contains("asked to end"));
    assert!(
        controller.kill().is_err(),
        "the controller has ended already"
    );

    controller.start().unwrap();
    controller.wait_ready(limit).unwrap();
    assert_ne!(controller.pid(), first);
    assert_eq!(controller.port(8080).unwrap(), port);
    assert_eq!(controller.terminate().unwrap().code(), Some(0));
    assert!(controller.logs().contains("asked to end"));
    let starts = printed(&controller);
    assert_eq!(starts.len(), 2);
    assert_eq!(starts[0]["env"]["POD_NAME"], starts[1]["env"]["POD_NAME"]);
}

#[test]
fn a_pod_that_cannot_start_is_an_error_with_the_cause() {
    namespace("broken");
    let manifest = "
{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: broken}, spec: {
  selector: {matchLabels: {app: d}}, template: {metadata: {labels: {app: d}}, spec: {
    volumes: [{name: tls, secret: {secretName: missing}}],
    containers: [{name: controller, image: d, volumeMounts: [{name: tls, mountPath: /tls}]}]}}}}";
    control_plane().apply(User::Admin, manifest).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let error =
        Controller::from_chart(control_plane(), "broken", "d", &overrides(dir.path())).unwrap_err();
    assert!(
        error.to_string().contains("without the secret missing"),
        "{error}"
    );
}

#[test]
fn a_missing_binary_is_an_error() {
    install("unbuilt");
    let missing = Overrides {
        binary: "target/none/sluice".into(),
        extra_env: vec![],
    };
    let error = Controller::from_chart(control_plane(), "unbuilt", "sluice", &missing).unwrap_err();
    assert!(error.to_string().contains("no such program"), "{error}");
}
