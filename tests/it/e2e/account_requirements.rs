//! Requirements of an Account, and how gates treat rollbacks.

use kube::{Api, ResourceExt as _, api::PostParams};
use serde_json::{Value, json};
use sluice::api::v1alpha1::{Account, annotation};
use sluice_lab::lab::wait_for;

use super::{
    LIMIT,
    gates::{
        ALWAYS, NEVER, allow_approvals, approval, by_approvers, counted, create, gated, waiting,
        windows,
    },
    run,
    scene::Scene,
};

/// Creates another Account for prod's AWS account with these requirements. Returns its name.
pub fn strict(scene: &Scene<'_>, requires: &Value) -> String {
    let accounts: Api<Account> = Api::all(scene.environment.client.clone());
    let mut account = run(accounts.get("prod")).unwrap();
    let name = format!("prod-of-{}", scene.team.namespace);
    let mut strict = Account::new(&name, account.spec.clone());
    strict.spec.requires = serde_json::from_value(requires.clone()).unwrap();
    account = run(accounts.create(&PostParams::default(), &strict)).unwrap();
    account.name_any()
}

/// Replaces the requirements of the Account, and retries until the write succeeds.
pub fn require(scene: &Scene<'_>, account: &str, requires: &Value) {
    let accounts: Api<Account> = Api::all(scene.environment.client.clone());
    let found = wait_for("the Account is changed", LIMIT, || {
        let mut found = run(accounts.get(account)).map_err(|e| e.to_string())?;
        found.spec.requires = serde_json::from_value(requires.clone()).unwrap();
        run(accounts.replace(account, &PostParams::default(), &found)).map_err(|e| e.to_string())
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
}

fn platform(schedule: &str) -> Value {
    json!({"approval": by_approvers()["approval"], "windows": windows(schedule)})
}

/// A Deployment whose stage prod targets `account`, behind `gate`.
pub fn to(scene: &Scene<'_>, account: &str, gate: Option<&Value>) -> Value {
    let mut wanted = match gate {
        Some(gate) => gated(scene, gate),
        None => scene.deployment(&["dev", "prod"]),
    };
    wanted["spec"]["stages"][1]["targets"][0]["account"] = json!(account);
    wanted
}

#[test]
fn rollback_needs_the_accounts_approvals_but_no_window() {
    let scene = Scene::new("required");
    allow_approvals(&scene);
    let account = strict(&scene, &json!({"windows": windows(NEVER)}));
    let asker = format!("Account {account}");
    scene.push("v1");
    let gate = json!({"windows": windows(ALWAYS)});
    scene.apply(&to(&scene, &account, Some(&gate)));
    waiting(&scene, 1, "OutsideWindow", &[&asker]);
    require(&scene, &account, &platform(ALWAYS));
    for revision in 1..=2 {
        let parts = ["0 of 1 approvals", asker.as_str()];
        let waits = waiting(&scene, revision, "WaitingForApproval", &parts);
        create(&scene, &approval(&waits, "Approve"));
        scene.delivered(revision);
        scene.push(&format!("v{}", revision + 1));
    }
    let third = waiting(&scene, 3, "WaitingForApproval", &[]);
    create(&scene, &approval(&third, "Approve"));
    scene.delivered(3);

    // Windows of the stage and of the Account do not hold a rollback; the Account's approvers do.
    let gate = json!({"windows": windows(NEVER)});
    scene.apply(&to(&scene, &account, Some(&gate)));
    require(&scene, &account, &platform(NEVER));
    scene.annotate(annotation::ROLLBACK, "incident");
    let parts = ["0 of 1 approvals", asker.as_str()];
    let waits = waiting(&scene, 2, "WaitingForApproval", &parts);
    assert!(!waits.message.contains("window"), "{}", waits.message);
    scene.wait_until_live("dev=r2 prod=r3");
    scene.serves("prod", "v3");
    let name = create(&scene, &approval(&waits, "Approve"));
    scene.wait_until_live("dev=r2 prod=r2");
    scene.serves("prod", "v2");
    counted(&scene, &name, "True", "Used");

    // A pin passes the same gate, and an approver may reject it.
    scene.merge(&json!({"spec": {"pin": "checkout-1"}}));
    let waits = waiting(&scene, 1, "WaitingForApproval", &parts);
    assert!(!waits.message.contains("window"), "{}", waits.message);
    let name = create(&scene, &approval(&waits, "Reject"));
    counted(&scene, &name, "True", "Used");
    scene.wait_until_live("dev=r1 prod=r2");
    scene.serves("prod", "v2");
}

#[test]
fn rollback_to_a_served_release_passes_the_gate_of_the_stage() {
    let scene = Scene::new("back-past");
    for version in 1..=3 {
        scene.push(&format!("v{version}"));
        scene.apply(&gated(&scene, &json!({"windows": windows(ALWAYS)})));
        scene.delivered(version);
    }
    scene.apply(&gated(&scene, &json!({"windows": windows(NEVER)})));
    scene.push("v4");
    waiting(&scene, 4, "OutsideWindow", &[]);
    // Only dev has r4; prod never had it.
    scene.annotate(annotation::ROLLBACK, "the first incident");
    scene.wait_until_live("dev=r3 prod=r3");
    scene.annotate(annotation::ROLLBACK, "the second incident");
    scene.wait_until_live("dev=r2 prod=r2");
    scene.serves("prod", "v2");
    scene.merge(&json!({"spec": {"pin": "checkout-1"}}));
    scene.wait_until_live("dev=r1 prod=r1");
    scene.serves("prod", "v1");
    // r4 served in dev alone, so the rollback to it affects dev alone: it never passed the gate.
    scene.annotate(annotation::ROLLBACK, "the third incident to checkout-4");
    scene.wait_until_live("dev=r4 prod=r1");
    scene.serves("prod", "v1");
}
