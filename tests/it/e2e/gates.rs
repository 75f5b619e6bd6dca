//! Gates from end to end: who approves, how, and what does not count.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use k8s_openapi::api::{events::v1::Event, rbac::v1::RoleBinding};
use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use sluice::api::v1alpha1::{Approval, GateStatus, annotation, condition};
use sluice_lab::{
    aws::{Action, Pattern, Rule},
    gitlab::{JobEnd, JobSpec, PipelineId},
    kube::User,
    lab::{archive, package, wait_for},
};

use super::{
    LIMIT, run,
    scene::{NAME, Scene, assert_contains, condition_in},
};

/// A Deployment to dev and prod, the latter behind this gate.
pub fn gated(scene: &Scene<'_>, gate: &Value) -> Value {
    let mut deployment = scene.deployment(&["dev", "prod"]);
    deployment["spec"]["stages"][1]["gate"] = gate.clone();
    deployment
}

/// Lets the lab's approver create Approvals in the team's namespace.
pub fn allow_approvals(scene: &Scene<'_>) {
    let bindings: Api<RoleBinding> = scene.api();
    let binding = serde_json::from_value(json!({
        "metadata": {"name": "approvers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sluice-approver"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "sluice:approvers"}],
    }))
    .unwrap();
    run(bindings.create(&PostParams::default(), &binding)).unwrap();
}

/// Waits until prod's gate holds the revision with that reason and these parts in its message. Returns its
/// status.
#[track_caller]
pub fn waiting(scene: &Scene<'_>, revision: i64, reason: &str, parts: &[&str]) -> GateStatus {
    let what = format!("r{revision} waits at prod's gate: {reason} {parts:?}");
    scene.wait(NAME, &what, |deployment| {
        let stages = &deployment.status.as_ref()?.stages;
        let prod = stages.iter().find(|stage| stage.name == "prod")?;
        let waiting = prod.waiting.as_ref()?;
        let has_parts = parts.iter().all(|part| waiting.message.contains(part));
        (waiting.release.revision == revision && waiting.reason == reason && has_parts)
            .then(|| waiting.clone())
    })
}

pub fn approval(waiting: &GateStatus, decision: &str) -> String {
    json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Approval",
        "metadata": {"generateName": "checkout-prod-"},
        "spec": {
            "releaseRef": {"name": waiting.release.name, "uid": waiting.release.uid},
            "stage": "prod",
            "stageDigest": waiting.digest,
            "decision": decision,
            "approver": {"username": "approver", "groups": ["sluice:approvers"]},
            "comment": "seen in the dashboards",
        },
    })
    .to_string()
}

/// Creates the Approval as the lab's approver, and returns its name. While the admission policy is too young,
/// nothing counts and Sluice asks to approve again: this creates another one then.
#[track_caller]
pub fn create(scene: &Scene<'_>, approval: &str) -> String {
    let approvals: Api<Approval> = scene.api();
    let found = wait_for("an Approval under a policy in force", LIMIT, || {
        let name = create_one(scene, approval);
        let reason = wait_for("the Approval is judged", LIMIT, || {
            let approval = run(approvals.get(&name)).map_err(|e| e.to_string())?;
            let conditions = approval.status.unwrap_or_default().conditions;
            condition_in(&conditions, condition::COUNTED)
                .map(|counted| counted.reason.clone())
                .ok_or_else(|| "not yet".to_owned())
        });
        match reason.map_err(|e| e.to_string())?.as_str() {
            "PolicyNotInForce" => Err("the policy is too young".to_owned()),
            _ => Ok(name),
        }
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()))
}

/// `kubectl create` of an Approval by the lab's approver. Returns its name.
#[track_caller]
fn create_one(scene: &Scene<'_>, approval: &str) -> String {
    let arguments = [
        "create",
        "--namespace",
        &scene.team.namespace,
        "--filename=-",
        "--output=jsonpath={.metadata.name}",
    ];
    let kube = &scene.environment.lab.kube;
    let output = kube
        .kubectl_with_input(User::Approver, &arguments, approval)
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until the condition Counted of the Approval has that status and reason.
#[track_caller]
pub fn counted(scene: &Scene<'_>, name: &str, status: &str, reason: &str) {
    let approvals: Api<Approval> = scene.api();
    let what = format!("Approval {name} has Counted={status} because of {reason}");
    let found = wait_for(&what, LIMIT, || {
        let approval = run(approvals.get(name)).map_err(|e| e.to_string())?;
        let conditions = approval.status.unwrap_or_default().conditions;
        condition_in(&conditions, condition::COUNTED)
            .filter(|counted| counted.status == status && counted.reason == reason)
            .map(drop)
            .ok_or_else(|| format!("{conditions:?}"))
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
}

pub fn by_approvers() -> Value {
    json!({"approval": {"kubernetes": {"groups": ["sluice:approvers"]}}})
}

#[test]
fn kubectl_approval_opens_the_gate_for_exactly_one_plan() {
    let scene = Scene::new("approved");
    allow_approvals(&scene);
    scene.push("v1");
    scene.apply(&gated(&scene, &by_approvers()));
    let first = waiting(&scene, 1, "WaitingForApproval", &["0 of 1 approvals"]);
    assert_contains(
        &first.message,
        &["kubectl auth whoami", first.digest.as_deref().unwrap()],
    );
    scene.condition(condition::READY, "True", "WaitingForApproval");
    scene.serves("dev", "v1");
    let plan = scene.target("prod").status.unwrap_or_default().plan;
    let summary = plan.expect("a plan").summary;
    let function = format!("api: will create function {}", scene.function());
    assert_contains(
        &summary,
        &[
            &function,
            "python3.13",
            "lambda-exec",
            "no check watches api",
        ],
    );
    assert_contains(
        &first.plan.join("; "),
        &["prod/eu-west-1: api: will create function"],
    );

    let name = create(&scene, &approval(&first, "Approve"));
    scene.delivered(1);
    scene.serves("prod", "v1");
    counted(&scene, &name, "True", "Used");

    scene.push("v2");
    let second = waiting(&scene, 2, "WaitingForApproval", &["0 of 1 approvals"]);
    scene.serves("prod", "v1");
    let stale = create(&scene, &approval(&first, "Approve"));
    counted(&scene, &stale, "False", "OtherRelease");
    let rejected = create(&scene, &approval(&second, "Reject"));
    scene.stalled(
        "Rejected",
        &["approver rejected checkout-2", "seen in the dashboards"],
    );
    counted(&scene, &rejected, "True", "Used");
    scene.serves("prod", "v1");
    scene.serves("dev", "v2");
}

#[test]
fn gate_edit_needs_no_new_release_and_keeps_approvals() {
    let scene = Scene::new("voided");
    allow_approvals(&scene);
    let gate = json!({"approval": {"kubernetes": {"groups": ["sluice:approvers"], "minimumApprovals": 2}}});
    scene.push("v1");
    scene.apply(&gated(&scene, &gate));
    let first = waiting(&scene, 1, "WaitingForApproval", &["0 of 2 approvals"]);
    let name = create(&scene, &approval(&first, "Approve"));
    waiting(&scene, 1, "WaitingForApproval", &["1 of 2 approvals"]);
    counted(&scene, &name, "True", "Counted");
    // The same person counts once.
    let again = create(&scene, &approval(&first, "Approve"));
    counted(&scene, &again, "False", "Repeated");

    // An edit of the gate creates no Release. An edit of the template does, and needs a new approval.
    scene.apply(&gated(&scene, &by_approvers()));
    scene.delivered(1);
    assert_eq!(scene.releases().len(), 1);
    scene.serves("prod", "v1");
}

/// A pipeline that waits for the manual job `approve-prod`.
fn pipeline(scene: &Scene<'_>, version: &str) -> PipelineId {
    let gitlab = &scene.environment.lab.gitlab;
    gitlab.push(scene.team.project, "main", "Change the answer");
    let jobs = vec![
        JobSpec::new("package", "package").ends(JobEnd::uploads(archive(&package(version)))),
        JobSpec::new("approve-prod", "approve").manual_blocking(),
    ];
    gitlab.run_pipeline(scene.team.project, "main", jobs)
}

fn by_the_play_button() -> Value {
    json!({"approval": {"gitlab": {"manualJob": "approve-prod"}}})
}

#[test]
fn gitlab_manual_job_opens_the_gate() {
    let scene = Scene::new("play");
    let gitlab = &scene.environment.lab.gitlab;
    let pipeline = pipeline(&scene, "v1");
    scene.apply(&gated(&scene, &by_the_play_button()));
    let text = "start the manual job approve-prod";
    waiting(&scene, 1, "WaitingForApproval", &[text]);
    scene.serves("dev", "v1");
    let bea = gitlab.create_user("bea-of-play");
    let job = gitlab.job(pipeline, "approve-prod");
    gitlab.play(job, bea);
    gitlab.finish_job(job, JobEnd::success());
    let deployment = scene.delivered(1);
    scene.serves("prod", "v1");
    let stages = deployment.status.unwrap().stages;
    let passage = stages[1].passage.as_ref().expect("the passage of the gate");
    assert_eq!(passage.by.jobs[0].username.as_deref(), Some("bea-of-play"));
}

#[test]
fn manual_job_started_before_the_gate_opened_does_not_count() {
    let scene = Scene::new("early");
    let gitlab = &scene.environment.lab.gitlab;
    let pipeline = pipeline(&scene, "v1");
    let bea = gitlab.create_user("bea-of-early");
    let job = gitlab.job(pipeline, "approve-prod");
    gitlab.play(job, bea);
    gitlab.finish_job(job, JobEnd::success());
    scene.apply(&gated(&scene, &by_the_play_button()));
    waiting(
        &scene,
        1,
        "WaitingForApproval",
        &["does not count", "run it again"],
    );
    let again = gitlab.retry(job);
    gitlab.finish_job(again, JobEnd::success());
    scene.delivered(1);
    scene.serves("prod", "v1");
}

#[test]
fn freeze_period_holds_a_stage_until_it_is_over() {
    let scene = Scene::new("frozen");
    let gitlab = &scene.environment.lab.gitlab;
    let period = gitlab.freeze(scene.team.project, "0 0 1 1 *", "59 23 31 12 *", "UTC");
    scene.push("v1");
    scene.apply(&gated(&scene, &json!({"respectFreezePeriods": true})));
    waiting(&scene, 1, "Frozen", &["freeze period"]);
    scene.condition(condition::READY, "True", "Frozen");
    scene.serves("dev", "v1");
    // Sluice read the freeze periods before it reported them.
    scene.event("Deployment", "Normal", "GateWaiting", &["freeze period"]);
    let notes = scene.list::<Event>().into_iter();
    let texts: Vec<String> = notes.filter_map(|event| event.note).collect();
    let unknown = texts.iter().filter(|note| note.contains("not asked yet"));
    assert_eq!(unknown.count(), 0, "{texts:#?}");
    gitlab.thaw(scene.team.project, period);
    scene.annotate(annotation::RECONCILE, "after the thaw");
    scene.delivered(1);
    scene.serves("prod", "v1");
}

/// The schedules of a window that is always open, and of one that opens for a minute on 29 February.
pub const ALWAYS: &str = "* * * * *";
pub const NEVER: &str = "0 0 29 2 *";

pub fn windows(schedule: &str) -> Value {
    json!([{"schedule": schedule, "timeZone": "UTC", "duration": "1m"}])
}

#[test]
fn stage_starts_within_its_windows_only() {
    let scene = Scene::new("windows");
    scene.push("v1");
    scene.apply(&gated(&scene, &json!({"windows": windows(NEVER)})));
    waiting(
        &scene,
        1,
        "OutsideWindow",
        &["the next window opens at", "the stage's gate"],
    );
    scene.condition(condition::READY, "True", "OutsideWindow");
    scene.serves("dev", "v1");
    scene.apply(&gated(&scene, &json!({"windows": windows(ALWAYS)})));
    scene.delivered(1);
    scene.serves("prod", "v1");
    assert_eq!(scene.releases().len(), 1);
}

#[test]
fn window_opens_in_time_despite_a_long_poll_interval() {
    let scene = Scene::new("window-opens");
    // A full minute that is 25 to 85 seconds away.
    let soon = Timestamp::now() + SignedDuration::from_secs(85);
    let opens = soon.to_zoned(TimeZone::UTC);
    let schedule = opens.strftime("%M %H %d %m *").to_string();
    let window = json!([{"schedule": schedule, "timeZone": "UTC", "duration": "30m"}]);
    let mut wanted = gated(&scene, &json!({"windows": window}));
    wanted["spec"]["source"]["interval"] = json!("1h");
    scene.push("v1");
    scene.apply(&wanted);
    waiting(&scene, 1, "OutsideWindow", &["the next window opens at"]);
    scene.delivered(1);
    scene.serves("prod", "v1");
}

#[test]
fn failed_plan_is_reported_and_keeps_the_journal() {
    let scene = Scene::new("plan-denied");
    let mut wanted = scene.deployment(&["dev"]);
    // Drift checks are off; Sluice handles a request to reconcile nevertheless.
    wanted["spec"]["drift"] = json!({"policy": "Ignore"});
    scene.push("v1");
    scene.apply(&wanted);
    scene.delivered(1);
    let before = scene.target("dev").status.unwrap().run;
    let denial = Action::respond(
        403,
        "AccessDeniedException",
        "User is not authorized to perform: lambda:GetFunction",
    );
    let reads = Pattern::operation("lambda", "GetFunction").about(&scene.function());
    let faults = scene.environment.lab.aws.faults();
    let fault = faults.add(Rule::always(reads, denial));
    wanted["spec"]["stages"][0]["gate"] = by_approvers();
    scene.apply(&wanted);
    scene.push("v2");
    let parts = ["can't be planned", "lambda:GetFunction"];
    scene.stalled("TargetStalled", &parts);
    assert_eq!(scene.target("dev").status.unwrap().run, before);

    fault.remove();
    scene.annotate(annotation::RECONCILE, "it is allowed now");
    scene.wait(NAME, "it waits for an approval", |deployment| {
        let stages = &deployment.status.as_ref()?.stages;
        let waiting = stages.first()?.waiting.as_ref()?;
        (waiting.reason == "WaitingForApproval").then_some(())
    });
    assert_eq!(scene.target("dev").status.unwrap().run, before);
}
