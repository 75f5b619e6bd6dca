//! The start: the lab, and the Deployment before its first pipeline.

use std::path::Path;

use sluice_lab::{
    error::LabError,
    kube::User,
    lab::{Lab, LabOptions},
};

use super::{
    CHECKOUT, application,
    story::{Demo, LIMIT, NAMESPACE},
    tell::{block, say, step, verified},
    together,
};

/// Starts the lab and prints the versions of its parts.
pub fn start_lab(dir: &Path) -> Result<Demo, LabError> {
    step(
        "0  The lab: a real Kubernetes API, emulated AWS, simulated GitLab, Sluice from its chart",
    );
    let lab = Lab::start(&LabOptions {
        dir: dir.to_owned(),
        namespaces: [NAMESPACE, together::NAME, application::NAME]
            .map(str::to_owned)
            .to_vec(),
        progress: say,
        ..Default::default()
    })?;
    let team = lab.create_namespace(NAMESPACE)?;
    let connection = lab.wait_for_condition(
        "gitlabconnection",
        Some(NAMESPACE),
        "gitlab",
        ("Ready", "True"),
        LIMIT,
    )?;
    let version = lab.kube.kubectl_json(User::Admin, &["version"])?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("unknown").to_owned();
    verified(format!(
        "Kubernetes API {}, chart {}, GitLab {} (simulated), AWS (MiniStack {})",
        text(&version["serverVersion"]["gitVersion"]),
        chart(&lab)?,
        text(&connection["status"]["version"]),
        ministack()
    ));
    let demo = Demo {
        lab,
        team,
        deliveries: Vec::new(),
    };
    demo.show(&[
        "get",
        "accounts,gitlabconnections",
        "--namespace",
        NAMESPACE,
    ])?;
    Ok(demo)
}

/// Applies the Deployment before its first pipeline exists.
pub fn apply_deployment(demo: &Demo) -> Result<(), LabError> {
    say("the team applies its Deployment; no pipeline exists yet:");
    block(CHECKOUT);
    demo.lab.apply(CHECKOUT)?;
    demo.follow(
        "the Deployment reports that it waits for a pipeline",
        |object| match object["status"]["summary"].as_str() {
            Some(summary) if summary.contains("pipeline") => Ok(()),
            other => Err(format!("the summary is {other:?}")),
        },
    )?;
    Ok(())
}

fn chart(lab: &Lab) -> Result<String, LabError> {
    let list = lab
        .kube
        .helm_text(&["list", "--all-namespaces", "--output", "json"])?;
    let list: serde_json::Value = serde_json::from_str(&list)
        .map_err(|e| LabError::new(format!("helm list gave no JSON: {e}")))?;
    Ok(list[0]["chart"].as_str().unwrap_or("unknown").to_owned())
}

/// The emulator's version, as the lab pins it.
fn ministack() -> &'static str {
    let mut lines = include_str!("../../requirements.txt").lines();
    let pinned = lines.find_map(|line| line.strip_prefix("ministack"));
    let version = pinned.and_then(|rest| rest.split("==").nth(1));
    version
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap_or("unknown")
}
