//! Far more calls than an account's budget allows per second.

use serde_json::{Value, json};
use sluice::api::v1alpha1::{Target, annotation};
use sluice_lab::lab::wait_for;

use super::{
    LIMIT, exclusive_lab,
    scene::{NAME, Scene, lambda},
};

/// More than four seconds of the control plane's budget for each kind of write.
const MANY: usize = 60;

/// A Deployment of [`MANY`] functions.
fn with_functions(scene: &Scene<'_>) -> Value {
    let mut wanted = scene.deployment(&["dev"]);
    let component = |nth| {
        let function = format!("{}-{nth}", scene.team.namespace);
        json!({"name": format!("c{nth}"), "lambda": lambda(&function)})
    };
    wanted["spec"]["components"] = (0..MANY).map(component).collect();
    wanted["spec"]["drift"] = json!({"policy": "Report", "interval": "24h"});
    wanted
}

#[test]
fn sixty_functions_on_one_target_read_each_alias_once() {
    let environment = exclusive_lab();
    let scene = Scene::within(&environment, "threescore");
    scene.push("v1");
    scene.apply(&with_functions(&scene));
    scene.delivered(1);

    let mark = environment.lab.aws.mark();
    scene.push("v2");
    scene.delivered(2);
    let calls = scene.lambda_calls(mark);
    let count = |operation: &str| calls.named("lambda", operation).count();
    assert_eq!(count("GetAlias"), MANY, "each once, before the run");
    for write in ["UpdateFunctionCode", "PublishVersion", "UpdateAlias"] {
        assert_eq!(count(write), MANY, "{write}");
    }

    // While Sluice checks all of them for drift, another Deployment's rollback takes precedence.
    let other = Scene::within(&environment, "hurried");
    other.push("v1");
    other.apply(&other.deployment(&["dev"]));
    other.delivered(1);
    other.push("v2");
    other.delivered(2);
    let mark = environment.lab.aws.mark();
    scene.annotate(annotation::RECONCILE, "check");
    let alias_reads = |calls: &sluice_lab::aws::Calls| calls.named("lambda", "GetAlias").count();
    let begun = wait_for("the drift check has begun", LIMIT, || {
        let reads = alias_reads(&scene.lambda_calls(mark));
        (reads > 0).then_some(())
    });
    begun.unwrap_or_else(|error| panic!("{error}\n{}", scene.log()));
    other.annotate(annotation::ROLLBACK, "now");
    other.wait(NAME, "r1 serves again", |deployment| {
        let live = deployment.status.as_ref()?.live.clone()?;
        (live == "dev=r1").then_some(())
    });
    other.serves("dev", "v1");
    let ended = wait_for("the drift check has ended", LIMIT, || {
        let targets = scene.list::<Target>();
        let handled = targets.iter().filter_map(|target| {
            target
                .status
                .as_ref()?
                .drift
                .as_ref()?
                .handled_check
                .clone()
        });
        let all: Vec<String> = handled.collect();
        if all == ["check"] {
            Ok(())
        } else {
            Err(format!("{all:?}"))
        }
    });
    ended.unwrap_or_else(|error| panic!("{error}\n{}", scene.log()));
    assert_eq!(alias_reads(&scene.lambda_calls(mark)), MANY, "no read lost");
}
