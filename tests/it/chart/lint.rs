//! Checks of the chart with helm alone, without a cluster.

use serde_json::Value;

use super::{helm, render};
use crate::cluster::{accepted, chart, refused};

fn documents(rendered: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(rendered).unwrap();
    documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect()
}

#[test]
fn unsupported_kubernetes_is_refused() {
    let on = |version| helm(&["template", "sluice", &chart(), "--kube-version", version]);
    refused(&on("1.33.9"), "kubeVersion");
    accepted(&on("1.34.0"));
    // As EKS writes it.
    accepted(&on("v1.34.1-eks-0123456"));
}

#[test]
fn chart_version_matches_the_program() {
    let rendered = render("{}").unwrap();
    let image = format!("image: sluice:{}", env!("CARGO_PKG_VERSION"));
    assert!(
        rendered.contains(&image),
        "appVersion in Chart.yaml is not that of Cargo.toml"
    );
}

#[test]
fn helm_lint_finds_no_problems() {
    accepted(&helm(&["lint", "--strict", &chart()]));
}

#[test]
fn invalid_values_are_refused() {
    let wrong = [
        (r#"{"replicaCount": "2"}"#, "/replicaCount"),
        (
            r#"{"replicaCount": 2, "leaderElection": false}"#,
            "/replicaCount",
        ),
        (r#"{"replicas": 2}"#, "replicas"),
        (r#"{"hub": {"account": "hub"}}"#, "/hub"),
        (r#"{"hub": {"region": "eu-west-1"}}"#, "/hub"),
        (
            r#"{"hub": {"account": "hub", "region": "Ireland"}}"#,
            "/hub/region",
        ),
        (
            r#"{"gitlab": {"allowedNetworks": ["everywhere"]}}"#,
            "/gitlab/allowedNetworks/0",
        ),
        (
            r#"{"gitlab": {"requestsPerMinuteByHost": {"gitlab.com": 0}}}"#,
            "/gitlab/requestsPerMinuteByHost/gitlab.com",
        ),
        (
            r#"{"transfers": {"maxParallel": 0}}"#,
            "/transfers/maxParallel",
        ),
        (r#"{"secretNamespaces": "team-a"}"#, "/secretNamespaces"),
        (r#"{"secretNamespaces": ["Team A"]}"#, "/secretNamespaces/0"),
        (
            r#"{"secretsInAllNamespaces": "yes"}"#,
            "/secretsInAllNamespaces",
        ),
        (r#"{"leaderElection": "false"}"#, "/leaderElection"),
        (
            r#"{"networkPolicy": {"egress": "none"}}"#,
            "/networkPolicy/egress",
        ),
        (
            r#"{"tenantRoles": {"separateCommands": "yes"}}"#,
            "/tenantRoles/separateCommands",
        ),
        (r#"{"logFormat": "xml"}"#, "/logFormat"),
        (r#"{"image": {"digest": "latest"}}"#, "/image/digest"),
        (r#"{"image": {"name": "sluice"}}"#, "/image"),
        (r#"{"extraEnv": {"A": "b"}}"#, "/extraEnv"),
        (
            r#"{"metrics": {"serviceMonitor": {"interval": "half a minute"}}}"#,
            "/metrics/serviceMonitor/interval",
        ),
    ];
    for (values, path) in wrong {
        let message = render(values).expect_err(values);
        assert!(message.contains(path), "{values}: {message}");
    }
}

#[test]
fn gitlab_and_transfer_values_reach_the_controller() {
    let rendered = render(
        r#"{"gitlab": {"allowedNetworks": ["10.0.0.0/8", "fd00::/8"], "requestsPerMinute": 1000000,
                       "requestsPerMinuteByHost": {"gitlab.com": 1500}},
            "transfers": {"maxParallel": 8, "maxPerNamespace": 3}}"#,
    )
    .unwrap();
    for line in [
        "- --gitlab-networks=10.0.0.0/8,fd00::/8",
        "- --gitlab-host-requests-per-minute=gitlab.com=1500",
        "- --max-transfers-per-namespace=3",
        "value: \"1000000\"",
        "value: \"8\"",
        "value: \"65536\"",
    ] {
        assert!(rendered.contains(line), "no {line} in {rendered}");
    }
    assert!(!render("{}").unwrap().contains("--gitlab-networks"));
}

/// The documents of a kind that the chart renders with these values.
fn rendered(kind: &str, values: &str) -> Vec<Value> {
    let documents = documents(&render(values).unwrap());
    let of_kind = documents
        .into_iter()
        .filter(|document| document["kind"] == kind);
    of_kind.collect()
}

#[test]
fn lease_renewals_have_their_own_flow_schema() {
    let schemas = |values| rendered("FlowSchema", values);
    let by_default = schemas("{}");
    assert_eq!(by_default.len(), 1);
    let spec = &by_default[0]["spec"];
    assert_eq!(
        spec["priorityLevelConfiguration"]["name"],
        "leader-election"
    );
    let rule = &spec["rules"][0];
    let account = &rendered("ServiceAccount", "{}")[0]["metadata"];
    let subject = &rule["subjects"][0]["serviceAccount"];
    assert_eq!(subject["name"], account["name"]);
    assert_eq!(
        subject["namespace"],
        rule["resourceRules"][0]["namespaces"][0]
    );
    assert_eq!(
        rule["resourceRules"][0]["resources"],
        serde_json::json!(["leases"])
    );
    assert!(schemas(r#"{"leaderElectionFlowSchema": false}"#).is_empty());
    assert!(schemas(r#"{"leaderElection": false, "replicaCount": 1}"#).is_empty());
}

#[test]
fn service_monitor_is_optional() {
    let monitors = |values| rendered("ServiceMonitor", values);
    assert!(monitors("{}").is_empty());
    let asked = monitors(
        r#"{"metrics": {"serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}}}}"#,
    );
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(asked[0]["spec"]["endpoints"][0]["interval"], "30s");
}

#[test]
fn network_policy_limits_ingress_and_optionally_egress() {
    let policies = |values| rendered("NetworkPolicy", values);
    let by_default = policies("{}");
    assert_eq!(by_default.len(), 1);
    let spec = &by_default[0]["spec"];
    assert_eq!(spec["policyTypes"], serde_json::json!(["Ingress"]));
    assert_eq!(
        spec["ingress"],
        serde_json::json!([{"ports": [{"port": "http", "protocol": "TCP"}]}])
    );
    let restricted = policies(
        r#"{"networkPolicy": {"metricsFrom": [{"namespaceSelector": {}}], "egress": [{"ports": [{"port": 443}]}]}}"#,
    );
    let spec = &restricted[0]["spec"];
    assert_eq!(
        spec["policyTypes"],
        serde_json::json!(["Ingress", "Egress"])
    );
    assert_eq!(spec["egress"][0]["ports"][0]["port"], 443);
    assert!(spec["ingress"][0]["from"][0]["namespaceSelector"].is_object());
    assert!(policies(r#"{"networkPolicy": {"enabled": false}}"#).is_empty());
}

#[test]
fn aggregation_to_kubernetes_roles_is_optional() {
    let aggregated = |values| {
        let rendered = render(values).unwrap();
        rendered
            .matches("rbac.authorization.k8s.io/aggregate-to-edit")
            .count()
    };
    assert_eq!(aggregated("{}"), 0);
    assert_eq!(aggregated(r#"{"tenantRoles": {"aggregate": true}}"#), 2);
}
