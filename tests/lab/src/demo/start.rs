//! The beginning: what runs, and what is wished for.

use std::path::Path;

use sluice_lab::{
    error::LabError,
    kube::User,
    lab::{Lab, LabOptions},
};

use super::{
    CHECKOUT,
    story::{LIMIT, NAMESPACE, Story},
    tell::{block, say, seen, step},
    together,
};

/// Starts everything, and says which versions it is.
pub fn lab(dir: &Path) -> Result<Story, LabError> {
    step("0  The lab: a real control plane, AWS and GitLab as processes, Sluice by its chart");
    let lab = Lab::start(&LabOptions {
        dir: dir.to_owned(),
        namespaces: [NAMESPACE, together::NAME].map(str::to_owned).to_vec(),
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
    seen(format!(
        "Kubernetes API {}, chart {}, GitLab {} (simulated), AWS by MiniStack {}",
        text(&version["serverVersion"]["gitVersion"]),
        chart(&lab)?,
        text(&connection["status"]["version"]),
        ministack()
    ));
    let story = Story {
        lab,
        team,
        deliveries: Vec::new(),
    };
    story.show(&[
        "get",
        "accounts,gitlabconnections",
        "--namespace",
        NAMESPACE,
    ])?;
    Ok(story)
}

/// Applies the Deployment, before there is anything to deliver.
pub fn wish(story: &Story) -> Result<(), LabError> {
    say("kubectl apply of what the team wants, before there is anything to deliver:");
    block(CHECKOUT);
    story.lab.apply(CHECKOUT)?;
    story.follow(
        "it says that it waits for a pipeline",
        |object| match object["status"]["summary"].as_str() {
            Some(summary) if summary.contains("pipeline") => Ok(()),
            other => Err(format!("its summary is {other:?}")),
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
