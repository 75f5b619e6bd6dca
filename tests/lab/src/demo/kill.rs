//! A controller that is killed during a delivery.

use sluice_lab::{error::LabError, lab::package};

use super::{
    story::{Demo, FUNCTION, LIMIT, STAGES, ensure, in_words},
    tell::{say, verified},
};

/// Kills the controller as soon as it updates dev's code, and restarts it.
pub fn kill_and_restart(demo: &mut Demo) -> Result<(), LabError> {
    let v5 = demo.push("v5", "Answer v5", package("v5"))?;
    let (bytes, mark) = (v5.package.clone(), v5.mark);
    say("waiting until Sluice updates the code in dev, to kill the controller at that moment");
    let dev = demo.lab.account_id("dev")?.to_owned();
    demo.lab
        .wait_for("UpdateFunctionCode reaches dev", LIMIT, || {
            let calls = demo.lab.aws.calls_since(mark);
            let update = calls.named("lambda", "UpdateFunctionCode");
            update
                .filter(|call| call.account.as_deref() == Some(&dev))
                .last()
                .map(drop)
        })?;
    let mut controller = demo.lab.controller();
    let pid = controller.pid();
    controller.kill()?;
    say(&format!("SIGKILL to the controller (process {pid})"));
    let done = demo.lab.aws.calls_since(mark);
    let moved = done
        .only(|call| call.status.is_some_and(|status| status < 300))
        .named("lambda", "UpdateAlias")
        .count();
    ensure(moved == 0, || {
        format!(
            "the controller should be killed before it moves the alias, but made: {:?}",
            done.names()
        )
    })?;
    drop(controller);
    demo.expect_answer("dev", Some("live"), "v4")?;
    let targets = demo.lab.list_json("stgt", super::NAMESPACE)?;
    let intents: Vec<String> = targets
        .iter()
        .filter(|target| target["spec"]["stage"] == "dev")
        .filter_map(|target| target["status"]["run"]["intents"].as_array())
        .flatten()
        .filter_map(|intent| intent["operation"].as_str().map(str::to_owned))
        .collect();
    ensure(!intents.is_empty(), || {
        format!("dev's Target should have intents in its journal, but the Targets are {targets:?}")
    })?;
    verified(format!(
        "the journal of dev's Target has the intents: {}",
        intents.join(", ")
    ));

    say("restarting the controller");
    {
        let mut controller = demo.lab.controller();
        controller.start()?;
        controller.wait_ready(LIMIT)?;
        verified(format!(
            "the controller is ready (process {})",
            controller.pid()
        ));
    }
    demo.expect_delivered(v5, 5)?;
    for stage in STAGES {
        let count = demo.versions_with(stage, &bytes)?;
        ensure(count == 1, || {
            format!("v5 should be published once in {stage}, but has {count} versions")
        })?;
        verified(format!(
            "{FUNCTION} in {stage} has exactly one version with the code of v5"
        ));
    }
    let calls = demo.lab.aws.calls_since(mark).of_service("lambda");
    let of_dev = calls.only(|call| call.account.as_ref() == Some(&dev));
    say(&format!(
        "writes to Lambda in dev, before and after the kill: {}",
        in_words(&of_dev.writes().counts())
    ));
    Ok(())
}
