//! The health scripts for Argo CD, run by the interpreter that Argo CD uses.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use sluice_lab::toolchain;

use super::root;

/// The status and the message that a script of `docs/argocd` returns for an object.
fn health(script: &str, object: &Value) -> (String, String) {
    let checks = toolchain::checks(&|line| eprintln!("lab: {line}")).unwrap();
    let mut lua = Command::new(checks.join("health"))
        .arg(root().join("docs/argocd").join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = lua.stdin.take().unwrap();
    input.write_all(object.to_string().as_bytes()).unwrap();
    drop(input);
    let output = lua.wait_with_output().unwrap();
    assert!(output.status.success(), "{script} on {object}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (status, message) = text.split_once('\n').unwrap();
    (status.to_owned(), message.trim_end().to_owned())
}

/// An object of generation 2 with these conditions: type, status and reason.
fn object(conditions: &[(&str, &str, &str)]) -> Value {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(kind, status, reason)| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": format!("{kind} says so"),
                "observedGeneration": 2, "lastTransitionTime": "2026-11-26T10:00:00Z",
            })
        })
        .collect();
    json!({
        "metadata": {"name": "checkout", "generation": 2},
        "spec": {},
        "status": {"observedGeneration": 2, "conditions": conditions},
    })
}

#[test]
fn deployment_health_follows_its_conditions() {
    for (expected, conditions) in [
        (
            "Healthy",
            vec![
                ("Ready", "True", "Delivered"),
                ("Stalled", "False", "Delivered"),
            ],
        ),
        ("Healthy", vec![("Ready", "True", "Idle")]),
        ("Suspended", vec![("Ready", "True", "WaitingForApproval")]),
        ("Suspended", vec![("Ready", "True", "OutsideWindow")]),
        ("Suspended", vec![("Ready", "True", "Frozen")]),
        ("Suspended", vec![("Ready", "True", "Suspended")]),
        ("Suspended", vec![("Ready", "True", "Pinned")]),
        (
            "Suspended",
            vec![
                ("Ready", "Unknown", "Paused"),
                ("Reconciling", "True", "Paused"),
            ],
        ),
        (
            "Progressing",
            vec![
                ("Ready", "Unknown", "Progressing"),
                ("Reconciling", "True", "Progressing"),
            ],
        ),
        ("Progressing", vec![]),
        (
            "Degraded",
            vec![
                ("Ready", "False", "RolledBack"),
                ("Stalled", "True", "RolledBack"),
            ],
        ),
        ("Degraded", vec![("Ready", "True", "InvalidGate")]),
        ("Degraded", vec![("Ready", "False", "ArtifactMissing")]),
    ] {
        let (status, _) = health("deployment-health.lua", &object(&conditions));
        assert_eq!(status, expected, "{conditions:?}");
    }
    let script = |object| health("deployment-health.lua", &object).0;
    let mut changed = object(&[("Ready", "True", "Delivered")]);
    changed["metadata"]["generation"] = json!(3);
    assert_eq!(
        script(changed),
        "Progressing",
        "the spec is not observed yet"
    );
    assert_eq!(script(json!({"metadata": {"name": "new"}})), "Progressing");
    let mut going = object(&[("Ready", "True", "Delivered")]);
    going["metadata"]["deletionTimestamp"] = json!("2026-11-26T10:00:00Z");
    assert_eq!(script(going), "Progressing");
}

#[test]
fn health_message_is_the_stalled_condition_or_the_summary() {
    let stalled = object(&[("Ready", "False", "Held"), ("Stalled", "True", "Held")]);
    let (_, message) = health("deployment-health.lua", &stalled);
    assert_eq!(message, "Stalled says so");
    let mut summary = object(&[("Ready", "True", "Delivered")]);
    summary["status"]["summary"] = json!("r7 serves everywhere");
    let (_, message) = health("deployment-health.lua", &summary);
    assert_eq!(message, "r7 serves everywhere");
}

#[test]
fn accounts_and_connections_are_healthy_when_ready() {
    for (expected, conditions) in [
        ("Healthy", vec![("Ready", "True", "Verified")]),
        ("Degraded", vec![("Ready", "False", "WrongAccount")]),
        ("Progressing", vec![]),
    ] {
        let (status, _) = health("account-health.lua", &object(&conditions));
        assert_eq!(status, expected, "{conditions:?}");
    }
}
