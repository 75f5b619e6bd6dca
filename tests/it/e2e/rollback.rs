//! Rollbacks by command, and pins.

use serde_json::{Value, json};
use sluice::api::v1alpha1::condition;

use super::{
    aws_state::versions,
    scene::{NAME, Scene, assert_contains},
};

const BOTH: [&str; 2] = ["dev", "prod"];

/// A team with v1 to v3 delivered to dev and prod, v3 last.
fn three_delivered(namespace: &str) -> Scene<'static> {
    let scene = Scene::new(namespace);
    scene.apply(&scene.deployment(&BOTH));
    for revision in 1..=3 {
        scene.push(&format!("v{revision}"));
        scene.delivered(revision);
    }
    scene
}

#[test]
fn rollback_serves_the_last_good_release_and_stays() {
    let scene = three_delivered("taken-back");
    let mark = scene.environment.lab.aws.mark();
    scene.annotate("sluice.dev/rollback", "incident-4711");
    scene.wait_until_live("dev=r2 prod=r2");
    scene.stalled(
        "RolledBack",
        &["r3", "rolled back to r2", "sluice.dev/rollback"],
    );
    for account in BOTH {
        scene.still_serves(account, "v2");
        assert_eq!(
            versions(&scene, account, &scene.function()),
            ["1", "2", "3"]
        );
    }
    let calls = scene.lambda_calls(mark);
    assert_eq!(calls.named("lambda", "PublishVersion").count(), 0);

    let mark = scene.environment.lab.aws.mark();
    scene.poll_gitlab("after the rollback");
    assert!(scene.lambda_calls(mark).writes().is_empty());
    scene.wait_until_live("dev=r2 prod=r2");
    scene.push("v4");
    scene.delivered(4);
    for account in BOTH {
        scene.serves(account, "v4");
    }
}

#[test]
fn rollback_serves_the_named_release() {
    let scene = three_delivered("back-to");
    let nowhere = "oops to checkout-7";
    scene.annotate("sluice.dev/rollback", nowhere);
    let answer = scene.wait(NAME, "the command is handled", |deployment| {
        let status = deployment.status.as_ref()?;
        let handled = status.last_handled_rollback.as_deref() == Some(nowhere);
        handled.then(|| status.last_command.clone())?
    });
    assert_contains(&answer, &["there is no Release checkout-7"]);
    let unclear = "incident-4712, checkout-1";
    scene.annotate("sluice.dev/rollback", unclear);
    scene.event("Deployment", "Warning", "Rollback", &["use to=checkout-1"]);
    scene.wait(NAME, "the command is handled", |deployment| {
        let status = deployment.status.as_ref()?;
        (status.last_handled_rollback.as_deref() == Some(unclear)).then_some(())
    });
    scene.wait_until_live("dev=r3 prod=r3");

    let mark = scene.environment.lab.aws.mark();
    scene.annotate("sluice.dev/rollback", "checkout-1");
    scene.wait_until_live("dev=r1 prod=r1");
    scene.stalled("RolledBack", &["rolled back to r1", "dev=r1 prod=r1"]);
    for account in BOTH {
        scene.still_serves(account, "v1");
    }
    let calls = scene.lambda_calls(mark);
    assert_eq!(calls.named("lambda", "PublishVersion").count(), 0);
}

#[test]
fn pinned_release_serves_until_unpinned() {
    let scene = three_delivered("pinned");
    scene.merge(&json!({"spec": {"pin": "checkout-1"}}));
    let message = scene.condition(condition::READY, "True", "Pinned");
    assert_contains(&message, &["checkout-1", "spec.pin"]);
    scene.wait_until_live("dev=r1 prod=r1");
    for account in BOTH {
        scene.still_serves(account, "v1");
    }

    scene.push("v4");
    scene.wait(NAME, "the new pipeline is a Release", |_| {
        (scene.releases().len() == 4).then_some(())
    });
    scene.poll_gitlab("while it is pinned");
    scene.wait_until_live("dev=r1 prod=r1");
    scene.serves("prod", "v1");

    scene.merge(&json!({"spec": {"pin": Value::Null}}));
    scene.delivered(4);
    for account in BOTH {
        scene.serves(account, "v4");
    }
}
