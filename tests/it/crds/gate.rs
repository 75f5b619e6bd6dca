//! Gates that the schema accepts and refuses, in a definition for this test: the schema is the same wherever
//! a gate is used.

use std::sync::LazyLock;

use kube::{CustomResource, CustomResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sluice::api::v1alpha1::{AccountRequires, Gate, GatePassage, ManualJobStatus};
use sluice_lab::kube::User;

use crate::cluster::{accepted, cluster, create, refused};

/// All types of a gate.
#[derive(CustomResource, Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "test.sluice.dev",
    version = "v1",
    kind = "Gated",
    plural = "gateds",
    namespaced,
    status = "GatedStatus"
)]
#[serde(rename_all = "camelCase")]
struct GatedSpec {
    gate: Option<Gate>,
    requires: Option<AccountRequires>,
    /// As many as a Deployment may have: the API server estimates the cost of rules.
    #[serde(default)]
    #[schemars(length(max = 16))]
    stages: Vec<GatedStage>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct GatedStage {
    gate: Option<Gate>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct GatedStatus {
    passed: Option<GatePassage>,
    manual_job: Option<ManualJobStatus>,
}

static DEFINED: LazyLock<()> = LazyLock::new(|| {
    let definition = serde_json::to_string(&Gated::crd()).unwrap();
    cluster().apply(User::Admin, &definition).unwrap();
    let wait = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "customresourcedefinitions/gateds.test.sluice.dev",
    ];
    cluster().kubectl_text(User::Admin, &wait).unwrap();
});

fn gated(spec: &Value, options: &[&str]) -> std::process::Output {
    LazyLock::force(&DEFINED);
    let object = json!({
        "apiVersion": "test.sluice.dev/v1",
        "kind": "Gated",
        "metadata": {"name": "gated"},
        "spec": spec,
    });
    let options = [&["--dry-run=server", "--namespace=default"], options].concat();
    create(cluster(), &options, &object.to_string())
}

#[track_caller]
fn gate_is_accepted(gate: &Value) {
    println!("{gate}");
    accepted(&gated(&json!({"gate": gate}), &[]));
}

#[track_caller]
fn gate_is_refused(gate: &Value, why: &str) {
    println!("{gate}");
    refused(&gated(&json!({"gate": gate}), &[]), why);
}

fn kubernetes(approval: &Value) -> Value {
    json!({"approval": {"kubernetes": approval}})
}

fn window(field: &str, value: &str) -> Value {
    let mut window =
        json!({"schedule": "0 9 * * MON-FRI", "timeZone": "Europe/Berlin", "duration": "8h"});
    window[field] = json!(value);
    json!({"windows": [window]})
}

#[test]
fn empty_gate_is_refused() {
    let nothing = "a gate must require something";
    gate_is_refused(&json!({}), nothing);
    gate_is_refused(&json!({"windows": []}), nothing);
    gate_is_refused(&json!({"respectFreezePeriods": false}), nothing);
    gate_is_accepted(&json!({"respectFreezePeriods": true}));
    gate_is_accepted(&json!({"approval": {"gitlab": {"manualJob": "approve-prod"}}}));
    gate_is_accepted(&window("duration", "8h"));
}

#[test]
fn gate_approval_is_in_kubernetes_or_in_gitlab() {
    let exactly_one = "exactly one of kubernetes and gitlab must be set";
    let gitlab = json!({"manualJob": "approve-prod", "allowAuthor": false, "allowBots": true});
    gate_is_refused(&json!({"approval": {}}), exactly_one);
    gate_is_refused(
        &json!({"approval": {"gitlab": gitlab, "kubernetes": {"users": ["bea"]}}}),
        exactly_one,
    );
    gate_is_accepted(&json!({"approval": {"gitlab": gitlab}}));
    gate_is_refused(&json!({"approval": {"gitlab": {}}}), "manualJob: Required");
    gate_is_refused(
        &json!({"approval": {"gitlab": {"manualJob": ""}}}),
        "manualJob",
    );
}

#[test]
fn approvers_are_named_and_meet_the_minimum() {
    let named = "name who may approve";
    gate_is_refused(&kubernetes(&json!({})), named);
    gate_is_refused(&kubernetes(&json!({"users": [], "groups": []})), named);
    gate_is_refused(&kubernetes(&json!({"users": [""]})), "users");
    gate_is_refused(&kubernetes(&json!({"users": ["bea", "bea"]})), "Duplicate");
    gate_is_accepted(&kubernetes(&json!({"users": ["bea"]})));
    gate_is_accepted(&kubernetes(
        &json!({"groups": ["approvers"], "minimumApprovals": 16}),
    ));
    let more = "must not exceed the number of users";
    gate_is_refused(
        &kubernetes(&json!({"users": ["bea"], "minimumApprovals": 2})),
        more,
    );
    gate_is_accepted(&kubernetes(
        &json!({"users": ["bea", "carl"], "minimumApprovals": 2}),
    ));
    for minimum in [0, 17] {
        let approval = json!({"groups": ["approvers"], "minimumApprovals": minimum});
        gate_is_refused(&kubernetes(&approval), "minimumApprovals");
    }
    for (text, good) in [
        ("1m", true),
        ("24h", true),
        ("1d", false),
        ("30s", false),
        ("9000h", false),
    ] {
        let approval = kubernetes(&json!({"users": ["bea"], "expiresAfter": text}));
        if good {
            gate_is_accepted(&approval);
        } else {
            gate_is_refused(&approval, "must be a duration from 1m to 8760h");
        }
    }
}

#[test]
fn barring_the_author_needs_identities() {
    let identities = json!([{"gitlabUser": "*", "kubernetesUsers": ["oidc:*"]}]);
    let approval = |allowed: bool, identities: &Value| {
        kubernetes(&json!({"users": ["bea"], "allowAuthor": allowed, "identities": identities}))
    };
    gate_is_accepted(&approval(false, &identities));
    gate_is_refused(
        &approval(false, &json!([])),
        "allowAuthor: false needs identities",
    );
    gate_is_refused(
        &approval(true, &identities),
        "identities have no effect without allowAuthor: false",
    );
    let without = kubernetes(&json!({"users": ["bea"], "identities": identities}));
    gate_is_refused(
        &without,
        "identities have no effect without allowAuthor: false",
    );
    let twice = json!([
        {"gitlabUser": "ana", "kubernetesUsers": ["a"]},
        {"gitlabUser": "ana", "kubernetesUsers": ["b"]},
    ]);
    gate_is_refused(&approval(false, &twice), "Duplicate");
    let no_users = json!([{"gitlabUser": "ana", "kubernetesUsers": []}]);
    gate_is_refused(&approval(false, &no_users), "kubernetesUsers");
}

#[test]
fn gate_windows_are_validated() {
    for (field, good, bad, why) in [
        (
            "schedule",
            "*/5 0-6,22 1,15 JAN-MAR sun",
            "0 9 * *",
            "five fields",
        ),
        ("schedule", "0 9 * * 1-5", "0 0 9 * * *", "five fields"),
        ("schedule", "0 9 * * *", "@daily", "five fields"),
        ("schedule", "0 9 * * *", "0 9 * * 5#2", "five fields"),
        ("timeZone", "CET", "2", "must be the name of a time zone"),
        (
            "timeZone",
            "Pacific Time (US & Canada)",
            "Europe/Berlin; UTC",
            "must be the name of a time zone",
        ),
        (
            "timeZone",
            "America/Argentina/Buenos_Aires",
            "+02:00",
            "must be the name of a time zone",
        ),
        (
            "timeZone",
            "Etc/GMT+12",
            "",
            "must be the name of a time zone",
        ),
        ("duration", "1m", "0m", "must be a duration from 1m to 768h"),
        (
            "duration",
            "1h30m",
            "8",
            "must be a duration from 1m to 768h",
        ),
        (
            "duration",
            "768h",
            "769h",
            "must be a duration from 1m to 768h",
        ),
    ] {
        gate_is_accepted(&window(field, good));
        gate_is_refused(&window(field, bad), why);
    }
    let many: Vec<Value> = vec![window("duration", "1h")["windows"][0].clone(); 17];
    gate_is_refused(&json!({"windows": many}), "windows");
}

#[test]
fn account_requires_approvals_in_kubernetes_only() {
    let requires = |requires: Value| gated(&json!({"requires": requires}), &[]);
    accepted(&requires(json!({})));
    accepted(&requires(json!({
        "approval": {"kubernetes": {"groups": ["platform"], "minimumApprovals": 2}},
        "windows": window("duration", "8h")["windows"],
        "protectedRef": true,
    })));
    refused(
        &requires(json!({"approval": {"gitlab": {"manualJob": "approve-prod"}}})),
        "unknown field",
    );
    refused(&requires(json!({"approval": {}})), "kubernetes: Required");
    refused(
        &requires(json!({"approval": {"kubernetes": {}}})),
        "name who may approve",
    );
}

#[test]
fn gate_defaults_are_filled_in() {
    let gate = json!({
        "approval": {"kubernetes": {"users": ["bea"]}},
    });
    let output = gated(&json!({"gate": gate}), &["--output=json"]);
    accepted(&output);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    let gate = &object["spec"]["gate"];
    assert_eq!(gate["respectFreezePeriods"], false);
    let approval = &gate["approval"]["kubernetes"];
    assert_eq!(approval["minimumApprovals"], 1);
    assert_eq!(approval["allowAuthor"], true);
    let gate = json!({"approval": {"gitlab": {"manualJob": "approve-prod"}}});
    let output = gated(&json!({"gate": gate}), &["--output=json"]);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    let approval = &object["spec"]["gate"]["approval"]["gitlab"];
    assert_eq!(approval["allowAuthor"], true);
    assert_eq!(approval["allowBots"], false);
}
