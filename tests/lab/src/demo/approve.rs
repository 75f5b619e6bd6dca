//! People who approve a Release for prod.

use serde_json::{Value, json};
use sluice_lab::{
    error::LabError,
    gitlab::{JobEnd, JobSpec, Status},
    kube::User,
    lab::{archive, package},
};

use super::{
    story::{DEPLOYMENT, Demo, NAMESPACE, ensure, plan_of},
    tell::{say, shown, verified},
};

/// The manual job of the pipeline.
const JOB: &str = "approve-prod";

/// v6 waits at the gate of prod; an approver reads its plan and runs the command from the Deployment's
/// status.
pub fn with_kubectl(demo: &Demo) -> Result<(), LabError> {
    let group = User::Approver.groups()[0];
    demo.show(&[
        "create",
        "rolebinding",
        "approvers",
        "--clusterrole=sluice-approver",
        &format!("--group={group}"),
        "--namespace",
        NAMESPACE,
    ])?;
    set_gate(
        demo,
        &json!({"approval": {"kubernetes": {"groups": [group]}}}),
    )?;
    let v6 = demo.push("v6", "Answer v6", package("v6"))?;
    let waiting = wait_at_gate(demo, "0 of 1 approvals")?;
    let digest = waiting["digest"].as_str().unwrap_or_default();
    verified(format!(
        "prod still serves v5; the plan that waits for approval is {}…",
        &digest[..12]
    ));
    demo.expect_answer("prod", Some("live"), "v5")?;
    show_plan(demo)?;

    let message = waiting["message"].as_str().unwrap_or_default();
    let (_, command) = message.split_once("To approve: ").ok_or_else(|| {
        LabError::new(format!(
            "the message should have the command that approves, but is {message}"
        ))
    })?;
    say("an approver runs the command from the Deployment's status:");
    let output = demo.lab.kube.shell(User::Approver, command)?;
    shown(command, &output);
    let object = demo.expect_live(&v6.version, 6)?;
    let by = passed_by(&object)["approvals"][0]["username"].as_str();
    let by = by.unwrap_or("no user");
    ensure(by == User::Approver.name(), || {
        format!("the status should name the approver, but names {by}")
    })?;
    verified(format!(
        "the Deployment's status records that {by} approved r6 for prod"
    ));
    demo.show(&["get", "sappr", "--namespace", NAMESPACE])
}

/// v7's pipeline has a manual job; the pipeline and prod wait until a person starts it.
pub fn with_manual_job(demo: &Demo) -> Result<(), LabError> {
    set_gate(demo, &json!({"approval": {"gitlab": {"manualJob": JOB}}}))?;
    let gitlab = &demo.lab.gitlab;
    gitlab.push(demo.team.project, "main", "Answer v7");
    let built = JobEnd::uploads(archive(&package("v7")));
    let jobs = vec![
        JobSpec::new("test", "test").ends(JobEnd::success()),
        JobSpec::new("package", "package").ends(built),
        JobSpec::new(JOB, "approve").manual_blocking(),
    ];
    let pipeline = gitlab.run_pipeline(demo.team.project, "main", jobs);
    let status = gitlab.status(pipeline);
    ensure(status == Status::Manual, || {
        format!("pipeline {pipeline} should wait for its manual job, but is {status:?}")
    })?;
    say(&format!(
        "push to {}: \"Answer v7\"; pipeline {pipeline} has built v7 and waits for its job {JOB}",
        demo.team.path
    ));
    wait_at_gate(demo, "start the manual job")?;
    verified("dev did not wait for the manual job; prod does");
    demo.expect_answer("dev", Some("live"), "v7")?;
    demo.expect_answer("prod", Some("live"), "v6")?;

    let job = gitlab.job(pipeline, JOB);
    gitlab.play(job, gitlab.create_user("bea"));
    gitlab.finish_job(job, JobEnd::success());
    say(&format!("bea starts the job {JOB} in GitLab"));
    let object = demo.expect_live("v7", 7)?;
    let by = &passed_by(&object)["jobs"][0];
    ensure(by["username"] == "bea" && by["at"].is_string(), || {
        format!("the status should name who started the job and when, but has {by}")
    })?;
    verified(format!(
        "the Deployment's status records that bea approved r7 for prod with job {} at {}",
        by["jobId"],
        by["at"].as_str().unwrap_or_default()
    ));
    Ok(())
}

/// Sets the gate of prod.
fn set_gate(demo: &Demo, gate: &Value) -> Result<(), LabError> {
    let patch = json!([{"op": "add", "path": "/spec/stages/1/gate", "value": gate}]);
    demo.show(&[
        "patch",
        "sdep",
        DEPLOYMENT,
        "--namespace",
        NAMESPACE,
        "--type=json",
        &format!("--patch={patch}"),
    ])
}

/// Waits until a Release waits at the gate of prod with a message that contains `expected`; returns that
/// status.
fn wait_at_gate(demo: &Demo, expected: &str) -> Result<Value, LabError> {
    let object = demo.follow(&format!("prod waits for approval: {expected}"), |object| {
        let waiting = &object["status"]["stages"][1]["waiting"];
        match waiting["message"].as_str() {
            Some(message) if message.contains(expected) => Ok(()),
            other => Err(format!("prod waits with {other:?}")),
        }
    })?;
    Ok(object["status"]["stages"][1]["waiting"].clone())
}

/// Shows the plan in the status of prod's Target.
fn show_plan(demo: &Demo) -> Result<(), LabError> {
    let (command, plan) = plan_of(demo, User::Approver, (NAMESPACE, "prod"))?;
    ensure(plan.contains("code"), || {
        format!("the plan should have a change of code, but is {plan}")
    })?;
    shown(&command, &plan);
    Ok(())
}

/// The approvals of the last Release that entered prod.
fn passed_by(object: &Value) -> &Value {
    &object["status"]["stages"][1]["passage"]["by"]
}
