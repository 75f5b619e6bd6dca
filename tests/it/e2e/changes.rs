//! Commands and limits: a retry, and how many Releases are kept.

use serde_json::json;
use sluice_lab::{
    aws::{Action, Pattern, Rule},
    gitlab::{FaultAction, FaultRule},
    lab::wait_for,
};

use super::{
    LIMIT,
    gates::{by_approvers, gated, waiting},
    scene::{NAME, Scene, assert_contains, condition_in, conditions},
};

#[test]
fn failed_release_waits_for_a_retry() {
    let scene = Scene::running("retry");
    let publish = Pattern::operation("lambda", "PublishVersion").about(&scene.function());
    let refusal = Action::respond(
        400,
        "CodeStorageExceededException",
        "Code storage limit exceeded.",
    );
    let fault = scene
        .environment
        .lab
        .aws
        .faults()
        .add(Rule::always(publish, refusal));
    scene.push("v2");
    let parts = [
        "lambda:PublishVersion",
        "Code storage limit exceeded",
        "quota",
    ];
    scene.stalled("RolledBack", &parts);
    scene.still_serves("dev", "v1");
    fault.remove();

    // Sluice does not retry it by itself, however often it polls GitLab.
    let mark = scene.environment.lab.aws.mark();
    scene.poll_gitlab("once");
    scene.stalled("RolledBack", &parts);
    assert!(scene.lambda_calls(mark).writes().is_empty());

    scene.annotate("sluice.dev/retry", "first");
    let deployment = scene.delivered(2);
    let handled = deployment.status.unwrap().last_handled_retry;
    assert_eq!(handled.as_deref(), Some("first"));
    scene.serves("dev", "v2");
    let run = scene.target("dev").status.unwrap().run.unwrap();
    assert_eq!((run.release.revision, run.attempt), (2, 2));
    assert_eq!(scene.releases().len(), 2, "a retry creates no Release");
}

#[test]
fn retry_applies_to_the_last_failure() {
    let scene = Scene::running("tried-last");
    let (aws, gitlab) = (&scene.environment.lab.aws, &scene.environment.lab.gitlab);
    let publish = Pattern::operation("lambda", "PublishVersion").about(&scene.function());
    let refusal = Action::respond(400, "CodeStorageExceededException", "Full.");
    let full = aws.faults().add(Rule::always(publish, refusal));
    scene.push("v2");
    scene.stalled("RolledBack", &["Full."]);
    full.remove();

    // Nothing newer can be released either, and the status reports both failures.
    let artifacts = format!("/projects/{}/jobs/", scene.team.project.0);
    let denial = FaultAction::Respond {
        status: 403,
        content_type: "application/json".to_owned(),
        body: r#"{"message":"403 Forbidden"}"#.to_owned(),
    };
    let denied = gitlab.faults().add(FaultRule::on(&artifacts, denial));
    scene.push("v3");
    let both = [
        "Full.",
        "nothing newer can be released",
        "artifact api (job package)",
    ];
    scene.wait(NAME, "the status reports both failures", |deployment| {
        let stalled = condition_in(conditions(deployment), "Stalled")?;
        let all = both.iter().all(|part| stalled.message.contains(part));
        (stalled.reason == "RolledBack" && all).then_some(())
    });

    let (mark, calls) = (gitlab.mark(), aws.mark());
    retried(&scene, "the artifact");
    // A transfer downloads it, concurrently with the handling of the command.
    let requests = wait_for("the artifact is requested again", LIMIT, || {
        let requests = gitlab.requests_since(mark);
        let again = requests.iter().any(|it| it.path.contains(&artifacts));
        again.then_some(()).ok_or_else(|| format!("{requests:?}"))
    });
    requests.unwrap_or_else(|e| panic!("{e}"));
    let run = scene.target("dev").spec.run.unwrap();
    assert_eq!(
        (run.release.revision, run.attempt),
        (2, 1),
        "nothing else is retried"
    );
    assert!(scene.lambda_calls(calls).writes().is_empty());

    denied.remove();
    retried(&scene, "the artifact, which is there now");
    scene.delivered(3);
    scene.serves("dev", "v3");
}

/// Requests a retry, and waits until Sluice has handled it.
fn retried(scene: &Scene<'_>, token: &str) {
    scene.annotate("sluice.dev/retry", token);
    scene.wait(NAME, "the retry is handled", |deployment| {
        let status = deployment.status.as_ref()?;
        (status.last_handled_retry.as_deref() == Some(token)).then_some(())
    });
}

#[test]
fn invalid_spec_change_names_the_field() {
    let scene = Scene::running("bad-variable");
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["components"][0]["lambda"]["environment"] = json!({"WHERE": "$(target.planet)"});
    scene.apply(&wanted);
    let parts = [
        "spec.components[api].lambda.environment.WHERE",
        "target.planet",
    ];
    let message = scene.stalled("PreflightFailed", &parts);
    assert_contains(&message, &["dev: "]);
    scene.event("Deployment", "Warning", "PreflightFailed", &parts);
    scene.still_serves("dev", "v1");
    scene.apply(&scene.deployment(&["dev"]));
    scene.wait(NAME, "it is Ready again", |deployment| {
        let status = deployment.status.as_ref()?;
        let ready = status.conditions.iter().find(|it| it.type_ == "Ready")?;
        let now = ready.observed_generation == deployment.metadata.generation;
        (now && ready.status == "True").then_some(())
    });
    scene.serves("dev", "v1");
}

#[test]
fn history_limit_deletes_old_releases_and_keeps_the_live_one() {
    let scene = Scene::new("history");
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["historyLimit"] = json!(1);
    for revision in 1..=4 {
        scene.push(&format!("v{revision}"));
        scene.apply(&wanted);
        scene.delivered(revision);
    }
    let kept = sluice_lab::lab::wait_for("two Releases are left", super::LIMIT, || {
        let kept: Vec<i64> = scene
            .releases()
            .iter()
            .map(|release| release.spec.revision)
            .collect();
        if kept.len() == 2 {
            Ok(kept)
        } else {
            Err(format!("{kept:?}"))
        }
    });
    assert_eq!(kept.unwrap(), [3, 4]);
    scene.serves("dev", "v4");
}

#[test]
fn release_waiting_at_a_gate_survives_the_history_limit() {
    let scene = Scene::new("history-gate");
    let mut wanted = gated(&scene, &by_approvers());
    wanted["spec"]["historyLimit"] = json!(1);
    wanted["spec"]["superseding"] = json!("Hold");
    for revision in 1..=4 {
        scene.push(&format!("v{revision}"));
        scene.apply(&wanted);
        waiting(&scene, 1, "WaitingForApproval", &[]);
        scene.wait(NAME, "dev has the newest", |deployment| {
            let dev = &deployment.status.as_ref()?.stages[0];
            (dev.live_revision == Some(revision)).then_some(())
        });
    }
    let kept = sluice_lab::lab::wait_for("r2 is gone", super::LIMIT, || {
        let releases = scene.releases();
        let kept: Vec<i64> = releases.iter().map(|it| it.spec.revision).collect();
        if kept.contains(&2) {
            Err(format!("{kept:?}"))
        } else {
            Ok(kept)
        }
    });
    assert_eq!(kept.unwrap(), [1, 3, 4]);
}
