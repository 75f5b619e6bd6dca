//! The chart is uninstalled before its objects: the documented commands remove them without a controller.

use std::{fs, path::PathBuf, process::Command};

use serde_json::{Value, json};
use sluice_lab::{
    kube::{ControlPlane, User},
    toolchain::Toolchain,
};

use crate::cluster::{
    NAMESPACE, accepted, as_controller, create, eventually, install, oldest, refused,
};

const DEPLOYMENT: &str = include_str!("../manifests/deployment.yaml");
const TARGET: &str = include_str!("../manifests/target.yaml");

/// The script of the chart's README below that heading.
fn script(heading: &str) -> String {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("charts/sluice/README.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once(heading).unwrap();
    let (_, rest) = rest.split_once("```sh\n").unwrap();
    let (script, _) = rest.split_once("```").unwrap();
    script.to_owned()
}

/// Runs the script as the administrator, with the lab's own kubectl.
fn run(cluster: &ControlPlane, script: &str) {
    let kubectl = Toolchain::shared().unwrap().kubectl();
    let mut paths = vec![kubectl.parent().unwrap().to_owned()];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let output = Command::new("sh")
        .args(["-euc", script])
        .env("PATH", std::env::join_paths(&paths).unwrap())
        .env("KUBECONFIG", cluster.kubeconfig(User::Admin))
        .output()
        .unwrap();
    accepted(&output);
}

#[test]
fn documented_commands_delete_objects_without_a_controller() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = oldest(dir.path());
    install(&cluster);
    for namespace in ["shop", "pay"] {
        let manifest =
            format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}");
        cluster.apply(User::Admin, &manifest).unwrap();
        let [user, group] = as_controller();
        for (manifest, finalizer) in [
            (DEPLOYMENT, "sluice.dev/deployment"),
            (TARGET, "sluice.dev/target"),
        ] {
            let mut object: Value = serde_saphyr::from_str(manifest).unwrap();
            object["metadata"]["finalizers"] = json!([finalizer]);
            let namespace = format!("--namespace={namespace}");
            accepted(&create(
                &cluster,
                &[&namespace, &user, &group],
                &object.to_string(),
            ));
        }
    }
    let uninstall = ["uninstall", "sluice", "--namespace", NAMESPACE];
    cluster.helm_text(&uninstall).unwrap();
    let delete = [
        "delete",
        "deployments.sluice.dev,targets.sluice.dev",
        "--all",
        "--all-namespaces",
        "--timeout=2s",
    ];
    refused(&cluster.kubectl(User::Admin, &delete).unwrap(), "timed out");

    // The policies are deleted a moment after the chart.
    eventually("the policies are gone", || {
        let policies = ["get", "validatingadmissionpolicies"];
        let policies = cluster.kubectl_json(User::Admin, &policies).unwrap();
        policies["items"] == json!([])
    });
    run(&cluster, &script("### Without a controller"));
    let list = [
        "get",
        "deployments.sluice.dev,targets.sluice.dev",
        "--all-namespaces",
    ];
    eventually("all is gone", || {
        cluster.kubectl_json(User::Admin, &list).unwrap()["items"] == json!([])
    });
}
