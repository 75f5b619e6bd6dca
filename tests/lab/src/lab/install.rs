//! Installs the chart, and creates the Accounts as a platform team does.

use serde_json::{Value, json};

use super::{LabOptions, namespace};
use crate::{
    aws::{AccessKey, AccountInfo},
    error::LabError,
    kube::{ControlPlane, User},
    toolchain::workspace,
};

/// The namespace of the chart.
pub const NAMESPACE: &str = "sluice-system";
/// The region of the hub that keeps the artifacts.
pub const HUB_REGION: &str = "eu-west-1";
/// The helm release, which names what it installs.
pub(super) const RELEASE: &str = "sluice";
/// The Secret with the hub's access key.
const HUB_SECRET: &str = "aws-hub";

/// The CRDs that must be established before any resource of Sluice can be created.
const DEFINITIONS: [&str; 6] = [
    "accounts",
    "approvals",
    "deployments",
    "gitlabconnections",
    "releases",
    "targets",
];

/// Creates the namespaces and installs the chart.
pub(super) fn install(kube: &ControlPlane, options: &LabOptions) -> Result<(), LabError> {
    let namespaces = options.namespaces.iter().map(String::as_str);
    let list: Vec<Value> = namespaces.chain([NAMESPACE]).map(namespace).collect();
    kube.apply(User::Admin, &documents(&list))?;
    let values = kube.kubeconfig(User::Admin).with_file_name("values.json");
    std::fs::write(&values, format!("{:#}\n", chart_values(options)))?;
    let chart = workspace().join("charts/sluice").display().to_string();
    let values = values.display().to_string();
    let mut args = vec![
        "install",
        RELEASE,
        &chart,
        "--namespace",
        NAMESPACE,
        "--values",
        &values,
    ];
    let set: Vec<String> = options
        .values
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    args.extend(set.iter().flat_map(|set| ["--set", set.as_str()]));
    kube.helm_text(&args)?;
    let definitions: Vec<String> = DEFINITIONS
        .iter()
        .map(|plural| format!("customresourcedefinitions/{plural}.sluice.dev"))
        .collect();
    let mut args = vec!["wait", "--for=condition=Established", "--timeout=120s"];
    args.extend(definitions.iter().map(String::as_str));
    kube.kubectl_text(User::Admin, &args).map(drop)
}

fn chart_values(options: &LabOptions) -> Value {
    json!({
        "hub": {"account": "hub", "region": HUB_REGION},
        "secretNamespaces": options.namespaces,
        "secretsInAllNamespaces": options.namespaces.is_empty(),
        "logFormat": "text",
        // The lab's GitLab runs on this machine, and all tenants of all tests share that host.
        "gitlab": {"allowedNetworks": ["127.0.0.1/32"], "requestsPerMinute": 100_000},
        "extraArgs": options.controller_args,
    })
}

/// The hub's access key and the three Accounts, with grants for every namespace.
pub(super) fn accounts(accounts: &[AccountInfo], endpoint: &str, key: &AccessKey) -> String {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": HUB_SECRET, "namespace": NAMESPACE},
        "stringData": {"AWS_ACCESS_KEY_ID": key.id, "AWS_SECRET_ACCESS_KEY": key.secret},
    });
    let mut list = vec![secret];
    list.extend(accounts.iter().map(|info| account(info, endpoint)));
    documents(&list)
}

fn account(info: &AccountInfo, endpoint: &str) -> Value {
    let credentials = if info.name == "hub" {
        json!({"accessKey": {"secretRef": {"name": HUB_SECRET}}})
    } else {
        json!({"assumeRole": {
            "roleArn": info.role_arn,
            "externalId": info.external_id,
            "via": "hub",
        }})
    };
    let regions: Vec<Value> = info
        .buckets
        .iter()
        .map(|(region, bucket)| {
            json!({
                "name": region,
                "artifactBucket": bucket,
                // The teams of all tests share an account.
                "requestRates": {"cloudFormationRead": 100, "cloudFormationWrite": 50},
            })
        })
        .collect();
    json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Account",
        "metadata": {"name": info.name},
        "spec": {
            "accountId": info.id,
            "regions": regions,
            "endpointUrl": endpoint,
            "credentials": credentials,
            "grants": [{
                "namespaceSelector": {}, "functions": ["*"], "roles": ["*"], "buckets": ["*"],
                "stacks": ["lab-*"], "stackRoles": ["cfn-exec"],
                "cdkQualifiers": ["hnb659fds"],
            }],
        },
    })
}

/// Joins manifests into one document; JSON is YAML.
pub(super) fn documents(list: &[Value]) -> String {
    let texts: Vec<String> = list.iter().map(Value::to_string).collect();
    texts.join("\n---\n")
}
