//! The controller's death in the middle of a delivery.

use sluice_lab::{error::LabError, lab::package};

use super::{
    story::{FUNCTION, LIMIT, STAGES, Story, ensure, in_words},
    tell::{say, seen},
};

/// Kills the controller as soon as dev's code is being updated, and starts it again.
pub fn killed_and_started_again(story: &mut Story) -> Result<(), LabError> {
    let v5 = story.push("v5", "Answer v5", package("v5"))?;
    let (bytes, mark) = (v5.package.clone(), v5.mark);
    say("waits until dev's code is being updated, to kill the controller there and then");
    let dev = story.lab.account_id("dev")?.to_owned();
    story
        .lab
        .wait_for("UpdateFunctionCode reaches dev", LIMIT, || {
            let calls = story.lab.aws.calls_since(mark);
            let update = calls.named("lambda", "UpdateFunctionCode");
            update
                .filter(|call| call.account.as_deref() == Some(&dev))
                .last()
                .map(drop)
        })?;
    let mut controller = story.lab.controller();
    let pid = controller.pid();
    controller.kill()?;
    say(&format!("SIGKILL to the controller (process {pid})"));
    let done = story.lab.aws.calls_since(mark);
    let moved = done
        .only(|call| call.status.is_some_and(|status| status < 300))
        .named("lambda", "UpdateAlias")
        .count();
    ensure(moved == 0, || {
        format!(
            "the controller should die in the middle of v5, but had moved the alias: {:?}",
            done.names()
        )
    })?;
    drop(controller);
    story.answers("dev", Some("live"), "v4")?;
    let journal = story.lab.list_json("stgt", super::NAMESPACE)?;
    let intents: Vec<String> = journal
        .iter()
        .filter(|target| target["spec"]["stage"] == "dev")
        .filter_map(|target| target["status"]["run"]["intents"].as_array())
        .flatten()
        .filter_map(|intent| intent["operation"].as_str().map(str::to_owned))
        .collect();
    ensure(!intents.is_empty(), || {
        format!("dev's Target should hold what was intended, but is {journal:?}")
    })?;
    seen(format!(
        "dev's Target has it on record that it was about to {}",
        intents.join(", ")
    ));

    say("starts the controller again");
    {
        let mut controller = story.lab.controller();
        controller.start()?;
        controller.wait_ready(LIMIT)?;
        seen(format!("it is ready (process {})", controller.pid()));
    }
    story.served(v5, 5)?;
    for stage in STAGES {
        let count = story.versions_with(stage, &bytes)?;
        ensure(count == 1, || {
            format!(
                "v5 should have been published once in {stage}, but there are {count} versions of it"
            )
        })?;
        seen(format!(
            "{FUNCTION} in {stage} has one version with v5's code"
        ));
    }
    let calls = story.lab.aws.calls_since(mark).of_service("lambda");
    let of_dev = calls.only(|call| call.account.as_ref() == Some(&dev));
    say(&format!(
        "calls in dev, before and after the kill: {}",
        in_words(&of_dev.writes().counts())
    ));
    Ok(())
}
