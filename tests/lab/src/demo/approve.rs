//! People who let a release into prod.

use serde_json::{Value, json};
use sluice_lab::{
    error::LabError,
    gitlab::{JobEnd, JobSpec, Status},
    kube::User,
    lab::{archive, package},
};

use super::{
    story::{DEPLOYMENT, NAMESPACE, Story, ensure, typed},
    tell::{say, seen, shown},
};

/// The manual job of the pipeline.
const JOB: &str = "approve-prod";

/// v6 waits in front of prod; somebody reads what it would change and runs the command that the
/// Deployment shows.
pub fn with_kubectl(story: &Story) -> Result<(), LabError> {
    let group = User::Approver.groups()[0];
    story.show(&[
        "create",
        "rolebinding",
        "approvers",
        "--clusterrole=sluice-approver",
        &format!("--group={group}"),
        "--namespace",
        NAMESPACE,
    ])?;
    gate(
        story,
        &json!({"approval": {"kubernetes": {"groups": [group]}}}),
    )?;
    let v6 = story.push("v6", "Answer v6", package("v6"))?;
    let waiting = waits(story, "0 of 1 approvals")?;
    let digest = waiting["digest"].as_str().unwrap_or_default();
    seen(format!(
        "prod goes on with v5; what waits is the plan {}…",
        &digest[..12]
    ));
    story.answers("prod", Some("live"), "v5")?;
    what_would_change(story)?;

    let message = waiting["message"].as_str().unwrap_or_default();
    let (_, command) = message.split_once("To approve: ").ok_or_else(|| {
        LabError::new(format!("it should tell how to approve, but says {message}"))
    })?;
    say("somebody of that group runs the command that the Deployment shows:");
    let made = story.lab.kube.shell(User::Approver, command)?;
    shown(command, &made);
    let object = story.serves_everywhere(&v6.version, 6)?;
    let by = passage(&object)["approvals"][0]["username"].as_str();
    let by = by.unwrap_or("nobody");
    ensure(by == User::Approver.name(), || {
        format!("it should be on record who approved, but is {by}")
    })?;
    seen(format!(
        "on record in the Deployment's status: {by} let r6 into prod"
    ));
    story.show(&["get", "sappr", "--namespace", NAMESPACE])
}

/// v7's pipeline has a manual job, and waits like prod does until somebody starts it.
pub fn with_the_play_button(story: &Story) -> Result<(), LabError> {
    gate(story, &json!({"approval": {"gitlab": {"manualJob": JOB}}}))?;
    let gitlab = &story.lab.gitlab;
    gitlab.push(story.team.project, "main", "Answer v7");
    let built = JobEnd::uploads(archive(&package("v7")));
    let jobs = vec![
        JobSpec::new("test", "test").ends(JobEnd::success()),
        JobSpec::new("package", "package").ends(built),
        JobSpec::new(JOB, "approve").manual_blocking(),
    ];
    let pipeline = gitlab.run_pipeline(story.team.project, "main", jobs);
    let status = gitlab.status(pipeline);
    ensure(status == Status::Manual, || {
        format!("pipeline {pipeline} should wait for its manual job, but is {status:?}")
    })?;
    say(&format!(
        "push: \"Answer v7\"; pipeline {pipeline} has built v7 and waits for the job {JOB}"
    ));
    waits(story, "start the manual job")?;
    seen("dev did not wait for that job, prod does");
    story.answers("dev", Some("live"), "v7")?;
    story.answers("prod", Some("live"), "v6")?;

    let job = gitlab.job(pipeline, JOB);
    gitlab.play(job, gitlab.create_user("bea"));
    gitlab.finish_job(job, JobEnd::success());
    say(&format!("bea presses play on {JOB} in GitLab"));
    let object = story.serves_everywhere("v7", 7)?;
    let by = &passage(&object)["jobs"][0];
    ensure(by["username"] == "bea" && by["at"].is_string(), || {
        format!("it should be on record who started the job and when, but is {by}")
    })?;
    seen(format!(
        "on record in the Deployment's status: bea let r7 into prod with job {}, at {}",
        by["jobId"],
        by["at"].as_str().unwrap_or_default()
    ));
    Ok(())
}

/// Puts that gate in front of prod.
fn gate(story: &Story, gate: &Value) -> Result<(), LabError> {
    let patch = json!([{"op": "add", "path": "/spec/stages/1/gate", "value": gate}]);
    story.show(&[
        "patch",
        "sdep",
        DEPLOYMENT,
        "--namespace",
        NAMESPACE,
        "--type=json",
        &format!("--patch={patch}"),
    ])
}

/// Waits until a release waits in front of prod for that; what is said of it.
fn waits(story: &Story, what: &str) -> Result<Value, LabError> {
    let object = story.follow(&format!("prod waits: {what}"), |object| {
        let waiting = &object["status"]["stages"][1]["waiting"];
        match waiting["message"].as_str() {
            Some(message) if message.contains(what) => Ok(()),
            other => Err(format!("it waits for {other:?}")),
        }
    })?;
    Ok(object["status"]["stages"][1]["waiting"].clone())
}

/// Shows the plan as prod's Target has it.
fn what_would_change(story: &Story) -> Result<(), LabError> {
    let template = "--output=go-template={{range .items}}{{if eq .spec.stage \"prod\"}}{{range \
                    .status.plan.changes}}{{.action}} {{.resource}}{{with .field}}: {{.}}{{end}}{{\"\\n\"}}{{end}}{{end}}{{end}}";
    let args = ["get", "stgt", "--namespace", NAMESPACE, template];
    let text = story.lab.kube.kubectl_text(User::Approver, &args)?;
    ensure(text.contains("code"), || {
        format!("the plan should say that the code changes, but is {text}")
    })?;
    shown(&typed(&args), &text);
    Ok(())
}

/// Who let the last release into prod.
fn passage(object: &Value) -> &Value {
    &object["status"]["stages"][1]["passage"]["by"]
}
