//! The calls and writes of a delivery, and that an idle Deployment makes none to AWS.

use std::collections::BTreeSet;

use serde_json::json;
use sluice_lab::{aws::Calls, gitlab::Mark, kube::Request, lab::wait_for};

use super::{
    Environment, LIMIT, exclusive_lab,
    scene::{Scene, lambda, smoke},
    shared,
};

/// The controller's writes to the API server in a namespace, except Events and Leases.
fn writes(environment: &Environment, namespace: &str) -> Vec<Request> {
    let user = environment.lab.controller().username();
    let audit = environment.lab.kube.audit().unwrap();
    let of_team = |request: &&Request| {
        request.is_write()
            && request.namespace == namespace
            && !["events", "leases"].contains(&request.resource.as_str())
    };
    audit.by(&user).filter(of_team).cloned().collect()
}

/// One line per write, as in an audit log.
fn described(writes: &[Request]) -> Vec<String> {
    let one = |it: &Request| format!("{} {} {} {}", it.verb, it.rbac_resource(), it.name, it.code);
    writes.iter().map(one).collect()
}

/// The number of calls without invocations by checks, and with repeated polls of one resource counted once.
fn counted(calls: &Calls) -> usize {
    let mut polled = BTreeSet::new();
    calls
        .iter()
        .filter(|call| call.operation != "Invoke")
        .filter(|call| {
            let waits = call.operation == "GetFunction";
            let what = (
                call.operation.clone(),
                call.resource.clone(),
                call.qualifier.clone(),
            );
            !waits || polled.insert(what)
        })
        .count()
}

/// Seconds between the first and the last of these requests, which are in order.
pub fn lasted(requests: &[Request]) -> f64 {
    let at = |it: &Request| it.at.parse::<jiff::Timestamp>().unwrap();
    let first = requests.first().map(at);
    let last = requests.last().map(at);
    let took = first.zip(last).map(|(first, last)| last - first);
    took.unwrap_or_default().total(jiff::Unit::Second).unwrap()
}

/// At most eight writes, and four more per five seconds: the Target and the Deployment each report a long
/// wait and its end.
fn within_budget(writes: &[Request]) {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let reports = 4 * (lasted(writes) / 5.0) as usize;
    assert!(writes.len() <= 8 + reports, "{:#?}", described(writes));
}

#[test]
fn delivery_of_one_function_keeps_to_its_budget() {
    let environment = shared();
    let scene = Scene::new("budget");
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["stages"][0]["checks"] = json!([smoke()]);
    let mark = environment.lab.aws.mark();
    scene.push("v1");
    scene.apply(&wanted);
    scene.delivered(1);
    let calls = scene.lambda_calls(mark);
    assert!(counted(&calls) <= 9, "a new function: {:?}", calls.names());
    let all = settled_writes(&scene, 0);
    let begun = all.iter().position(|it| it.resource == "releases").unwrap() - 1;
    let (before, first) = all.split_at(begun);
    within_budget(first);
    // Written once per Deployment: the finalizer, and a first status.
    let of_deployment = before
        .iter()
        .filter(|it| it.resource == "deployments")
        .count();
    assert!(of_deployment <= 2, "{:#?}", described(before));

    let mark = environment.lab.aws.mark();
    scene.push("v2");
    scene.delivered(2);
    let calls = scene.lambda_calls(mark);
    assert!(
        counted(&calls) <= 7,
        "a change of code: {:?}",
        calls.names()
    );
    let second = settled_writes(&scene, all.len());
    within_budget(&second);
}

/// The writes after the first `skip`, once the audit log has them all: the last one is the Deployment's
/// status.
fn settled_writes(scene: &Scene<'_>, skip: usize) -> Vec<Request> {
    let found = wait_for("the last write is in the audit log", LIMIT, || {
        let writes = writes(scene.environment, &scene.team.namespace);
        let new = writes.get(skip..).unwrap_or_default().to_vec();
        let last = new.last().map(Request::rbac_resource);
        if last.as_deref() == Some("deployments/status") {
            Ok(new)
        } else {
            Err(format!("{last:?}"))
        }
    });
    found.unwrap_or_else(|e| panic!("{e}"))
}

/// The part that only keys of the team's artifacts contain.
fn key_part(scene: &Scene<'_>) -> String {
    format!("/{}/", scene.team.project.0)
}

/// Waits until Sluice has listed the team's pipelines `times` times since that mark.
fn polled(scene: &Scene<'_>, mark: Mark, times: usize) {
    let lab = &scene.environment.lab;
    let path = format!("/projects/{}/pipelines", scene.team.project.0);
    let found = wait_for("GitLab is polled", LIMIT, || {
        let requests = lab.gitlab.requests_since(mark);
        let polls = requests.iter().filter(|it| it.path.ends_with(&path));
        let polls = polls.count();
        if polls >= times {
            Ok(())
        } else {
            Err(format!("{polls} times"))
        }
    });
    found.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn restart_makes_no_aws_calls_for_delivered_deployments() {
    let environment = exclusive_lab();
    let scene = Scene::within(&environment, "restarted");
    scene.push("v1");
    scene.apply(&scene.deployment(&["dev", "prod"]));
    scene.delivered(1);
    environment.lab.controller().terminate().unwrap();
    let (aws, gitlab) = (environment.lab.aws.mark(), environment.lab.gitlab.mark());
    {
        let mut controller = environment.lab.controller();
        controller.start().unwrap();
        controller.wait_ready(LIMIT).unwrap();
    }
    // When the next poll arrives, whatever the first one triggers has begun.
    polled(&scene, gitlab, 3);
    let calls = environment.lab.aws.calls_since(aws);
    let calls = calls.only(|call| {
        call.resource.contains(&key_part(&scene)) || call.resource.contains(&scene.function())
    });
    assert!(calls.is_empty(), "{calls:?}");
}

#[test]
fn idle_deployment_polls_gitlab_conditionally_and_never_aws() {
    let scene = Scene::running("at-rest");
    let lab = &scene.environment.lab;
    let project = format!("/projects/{}/", scene.team.project.0);
    let since = |mark| {
        let requests = lab.gitlab.requests_since(mark);
        requests
            .into_iter()
            .filter(|request| request.path.contains(&project))
            .collect::<Vec<_>>()
    };
    // The first poll after a delivery may still find something new.
    polled(&scene, lab.gitlab.mark(), 2);
    let writes_before = writes(scene.environment, &scene.team.namespace).len();
    let (gitlab, aws) = (lab.gitlab.mark(), lab.aws.mark());
    polled(&scene, gitlab, 4);
    let requests = since(gitlab);
    let unconditional: Vec<_> = requests
        .iter()
        // The last request may not have its answer yet.
        .filter(|it| !it.conditional || it.status.is_some_and(|status| status != 304))
        .collect();
    assert!(unconditional.is_empty(), "{unconditional:#?}");
    let calls = scene.lambda_calls(aws);
    assert!(calls.is_empty(), "{calls:?}");
    let stored = lab.aws.calls_since(aws).of_service("s3");
    let stored = stored.only(|call| call.resource.contains(&key_part(&scene)));
    assert!(stored.is_empty(), "{stored:?}");
    let after = writes(scene.environment, &scene.team.namespace);
    assert_eq!(
        after.len(),
        writes_before,
        "{:#?}",
        described(&after[writes_before..])
    );
}

/// The number of reconciles of Deployments during three polls of the team's pipelines.
fn reconciles_while_polled(scene: &Scene<'_>) -> usize {
    let lab = &scene.environment.lab;
    let count = || lab.controller().reconciles("deployment").unwrap();
    let before = count();
    polled(scene, lab.gitlab.mark(), 3);
    count() - before
}

#[test]
fn idle_deployments_are_not_reconciled_without_gitlab_changes() {
    let environment = exclusive_lab();
    let scene = Scene::within(&environment, "resting");
    let name = |nth: usize| format!("d{nth}");
    scene.push("v1");
    for nth in 0..4 {
        let mut wanted = scene.deployment(&["dev"]);
        wanted["metadata"]["name"] = json!(name(nth));
        let function = format!("{}-{nth}", scene.team.namespace);
        wanted["spec"]["components"][0]["lambda"] = lambda(&function);
        scene.apply(&wanted);
    }
    let all_serve = |revision: i64| {
        for nth in 0..4 {
            scene.delivered_of(&name(nth), revision);
        }
    };
    all_serve(1);
    // Reconciles triggered by the last report and by the first poll may still follow.
    let found = wait_for("no reconcile happens while GitLab is polled", LIMIT, || {
        match reconciles_while_polled(&scene) {
            0 => Ok(()),
            reconciles => Err(format!("{reconciles} reconciles")),
        }
    });
    found.unwrap_or_else(|e| panic!("{e}"));

    scene.push("v2");
    all_serve(2);
}
