//! Access to an Account: no edit of the Deployment, no tag and no other GitLab bypasses what the Account
//! requires.

use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use sluice::api::v1alpha1::{Account, GitLabConnection, RefType, Target, condition};
use sluice_lab::{
    gitlab::{JobEnd, JobSpec},
    lab::{archive, package, wait_for},
};

use super::{
    LIMIT,
    account_requirements::{require, strict, to},
    gates::{allow_approvals, approval, by_approvers, create, waiting},
    run,
    scene::{NAME, Scene, assert_contains, condition_in, conditions},
};

/// Asserts that no Target in that Account has a run.
#[track_caller]
fn nothing_is_assigned(scene: &Scene<'_>, account: &str) {
    let targets = scene.list::<Target>();
    let assigned = targets
        .iter()
        .filter(|it| it.spec.account == account && it.spec.run.is_some());
    assert_eq!(assigned.count(), 0, "{targets:#?}");
}

/// Waits until Sluice has observed the present spec. Returns the message of Ready.
#[track_caller]
fn ready_message(scene: &Scene<'_>) -> String {
    scene.wait(NAME, "the edit is observed", |deployment| {
        let ready = condition_in(conditions(deployment), condition::READY)?;
        let now = ready.observed_generation == deployment.metadata.generation;
        now.then(|| ready.message.clone())
    })
}

#[test]
fn pin_of_a_waiting_release_still_needs_the_accounts_approval() {
    let scene = Scene::new("pin-bypass");
    let account = strict(&scene, &by_approvers());
    scene.push("v1");
    scene.apply(&to(&scene, &account, Some(&by_approvers())));
    waiting(&scene, 1, "WaitingForApproval", &["0 of 1 approvals"]);

    // The stage moves to another Account, its gate is removed, and the waiting Release is pinned.
    let mut elsewhere = scene.deployment(&["dev", "prod"]);
    elsewhere["spec"]["pin"] = json!("checkout-1");
    scene.apply(&elsewhere);
    let ready = ready_message(&scene);
    assert_contains(&ready, &["checkout-1", &format!("Account {account}")]);
    let asker = format!("Account {account}");
    waiting(
        &scene,
        1,
        "WaitingForApproval",
        &["0 of 1 approvals", &asker],
    );
    nothing_is_assigned(&scene, &account);
}

/// A commit with that tag, and a pipeline of the tag that builds that version.
fn tag(scene: &Scene<'_>, name: &str, version: &str) {
    let gitlab = &scene.environment.lab.gitlab;
    let project = scene.team.project;
    let sha = gitlab.push(project, &format!("for-{version}"), "Change the answer");
    gitlab.tag(project, name, &sha);
    let jobs =
        vec![JobSpec::new("package", "package").ends(JobEnd::uploads(archive(&package(version))))];
    gitlab.run_pipeline(project, &format!("refs/tags/{name}"), jobs);
}

fn from_tag(mut wanted: Value) -> Value {
    wanted["spec"]["source"]["ref"] = json!("v1.0");
    wanted
}

#[test]
fn unprotected_tag_cannot_enter_an_added_stage() {
    let scene = Scene::new("later-stage");
    let gitlab = &scene.environment.lab.gitlab;
    // GitLab protects the first branch.
    gitlab.push(scene.team.project, "main", "Begin");
    let account = strict(&scene, &json!({"protectedRef": true}));
    tag(&scene, "v1.0", "v1");
    scene.apply(&from_tag(scene.deployment(&["dev"])));
    scene.delivered(1);
    let source = scene.releases()[0].spec.source.clone();
    assert_eq!(source.ref_type, Some(RefType::Tag));
    assert_eq!(source.ref_protected, Some(false));

    scene.apply(&from_tag(to(&scene, &account, None)));
    let parts = ["prod: ", "v1.0", &format!("Account {account}")];
    scene.stalled("RefNotProtected", &parts);
    nothing_is_assigned(&scene, &account);
    scene.serves("dev", "v1");

    gitlab.protect(scene.team.project, "v1.0", true);
    scene.delivered(3);
    scene.serves("prod", "v1");
}

#[test]
fn tag_does_not_inherit_protection_of_a_branch_with_its_name() {
    let scene = Scene::new("tag-main");
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["source"]["requireProtectedRef"] = json!(true);
    scene.push("v1");
    scene.apply(&wanted);
    scene.delivered(1);
    tag(&scene, "main", "v2");
    scene.poll_gitlab("after the tag");
    assert_eq!(scene.releases().len(), 1);
    scene.serves("dev", "v1");
    scene.push("v3");
    scene.delivered(2);
    scene.serves("dev", "v3");
    let source = scene.releases()[1].spec.source.clone();
    assert_eq!(source.ref_type, Some(RefType::Branch));
    assert_eq!(source.ref_protected, Some(true));
}

/// Changes the spec of the Account.
fn edit(scene: &Scene<'_>, account: &str, change: impl Fn(&mut Value)) {
    let accounts: Api<Account> = Api::all(scene.environment.client.clone());
    let changed = wait_for("the Account is changed", LIMIT, || {
        let mut found = run(accounts.get(account)).map_err(|e| e.to_string())?;
        let mut spec = serde_json::to_value(&found.spec).unwrap();
        change(&mut spec);
        found.spec = serde_json::from_value(spec).unwrap();
        run(accounts.replace(account, &PostParams::default(), &found)).map_err(|e| e.to_string())
    });
    changed.unwrap_or_else(|e| panic!("{e}"));
}

/// Restricts the Account to these sources.
fn set_sources(scene: &Scene<'_>, account: &str, sources: &Value) {
    edit(scene, account, |spec| spec["sources"] = sources.clone());
}

#[test]
fn tag_with_the_branch_name_is_not_delivered() {
    let scene = Scene::running("tag-of-main");
    tag(&scene, "main", "v2");
    scene.poll_gitlab("after the tag");
    assert_eq!(scene.releases().len(), 1);
    scene.delivered(1);
    scene.serves("dev", "v1");
}

/// Waits until the Target in the Account refuses to start its run with that reason.
#[track_caller]
fn does_not_begin(scene: &Scene<'_>, account: &str, reason: &str, parts: &[&str]) {
    scene.wait(NAME, &format!("its Target says {reason}"), |_| {
        let targets = scene.list::<Target>();
        let target = targets.iter().find(|it| it.spec.account == account)?;
        let conditions = &target.status.as_ref()?.conditions;
        let stalled = condition_in(conditions, condition::STALLED)?;
        (stalled.reason == reason).then(|| assert_contains(&stalled.message, parts))
    });
}

#[test]
fn target_rechecks_the_account_before_a_run_starts() {
    let scene = Scene::new("asked-again");
    allow_approvals(&scene);
    let account = strict(&scene, &json!({}));
    let accounts: Api<Account> = Api::all(scene.environment.client.clone());
    let spec = serde_json::to_value(run(accounts.get(&account)).unwrap().spec).unwrap();
    let role = spec["credentials"]["assumeRole"]["roleArn"].clone();
    let missing_role = json!("arn:aws:iam::333333333333:role/missing");
    edit(&scene, &account, |spec| {
        spec["credentials"]["assumeRole"]["roleArn"] = missing_role.clone();
    });
    scene.push("v1");
    scene.apply(&to(&scene, &account, None));
    does_not_begin(&scene, &account, "AccessDenied", &["sts:AssumeRole"]);

    // AWS admits the controller now, but the Account no longer accepts the source.
    let mark = scene.environment.lab.aws.mark();
    let others = json!([{"url": "https://gitlab.example.com", "projects": ["*"]}]);
    edit(&scene, &account, |spec| {
        spec["credentials"]["assumeRole"]["roleArn"] = role.clone();
        spec["sources"] = others.clone();
    });
    does_not_begin(&scene, &account, "SourceNotAllowed", &["spec.sources"]);
    scene.stalled("SourceNotAllowed", &["prod: ", &account]);
    edit(&scene, &account, |spec| {
        spec["sources"] = json!([]);
        spec["requires"] = by_approvers();
    });
    let parts = ["requires an approval", "waits at the stage's gate"];
    does_not_begin(&scene, &account, "NotApproved", &parts);
    let asker = format!("Account {account}");
    let waits = waiting(&scene, 1, "WaitingForApproval", &[&asker]);
    assert!(scene.lambda_calls(mark).writes().is_empty());
    create(&scene, &approval(&waits, "Approve"));
    scene.delivered(1);
    scene.serves("prod", "v1");
}

#[test]
fn account_accepts_only_its_listed_sources() {
    let scene = Scene::new("sources");
    let account = strict(&scene, &json!({}));
    let connections: Api<GitLabConnection> = scene.api();
    let url = run(connections.get("gitlab")).unwrap().spec.url;
    for (sources, part) in [
        (
            json!([{"url": "https://gitlab.example.com", "projects": ["*"]}]),
            url.as_str(),
        ),
        (
            json!([{"url": url, "projects": ["other/*"]}]),
            scene.team.path.as_str(),
        ),
    ] {
        set_sources(&scene, &account, &sources);
        if scene.releases().is_empty() {
            scene.push("v1");
            scene.apply(&to(&scene, &account, None));
        }
        let parts = ["prod: ", "spec.sources", &account, part];
        scene.stalled("SourceNotAllowed", &parts);
        nothing_is_assigned(&scene, &account);
    }
    let good = json!([{"url": format!("{url}/"), "projects": [scene.team.path]}]);
    set_sources(&scene, &account, &good);
    scene.delivered(1);
    scene.serves("prod", "v1");
}

#[test]
fn gate_that_can_never_open_fails_preflight() {
    let scene = Scene::new("bad-zone");
    let account = strict(&scene, &json!({}));
    let window = json!([{"schedule": "0 9 * * *", "timeZone": "Mars/Olympus", "duration": "1h"}]);
    require(&scene, &account, &json!({"windows": window}));
    scene.push("v1");
    scene.apply(&to(&scene, &account, None));
    let parts = ["prod: ", "windows[0].timeZone", "Mars/Olympus", &account];
    // No stage starts a Release that can never pass a later one.
    scene.stalled("PreflightFailed", &parts);
}
