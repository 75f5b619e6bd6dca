//! Orders that are given to what has served, waits or was held: a correction, a plan, a retry, and the end of a
//! stage.

use async_trait::async_trait;
use aws_sdk_lambda::operation::get_function::GetFunctionError;
use serde_json::{Value, json};
use sluice::api::v1alpha1::Target;

use crate::{
    play::{LIMIT, Play, Wrong, wait_until, wrong},
    scenarios::{ONE, Scenario, gated, serving, smoke},
};

/// What serves is corrected although an alarm is red, which may be because of what it corrects.
pub struct Corrected;

#[async_trait(?Send)]
impl Scenario for Corrected {
    fn name(&self) -> &'static str {
        "corrected"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.alarm("dev").await?;
        let mut wanted = play.deployment(&ONE, &["dev"]);
        let alarm = json!({"name": "errors", "alarms": {"names": [play.function("errors")]}});
        wanted["spec"]["stages"][0]["checks"] = json!([smoke("api"), alarm]);
        wanted["spec"]["drift"] = json!({"interval": "1h", "policy": "Correct"});
        serving(play, &ONE, &wanted).await?;
        play.push("v2", &ONE, &[]);
        play.delivered(2).await?;
        let lambda = play.ground.lambda("dev");
        let moved = lambda
            .update_alias()
            .function_name(play.function("api"))
            .name("live")
            .function_version("1");
        moved.send().await.map_err(|e| format!("{e:?}"))?;
        play.turn_red("dev").await
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.poke("is all as it was left?").await?;
        play.routed("dev", "api", "2").await?;
        let corrected = wait_until("the correction is over", LIMIT, async || {
            let run = play.target("dev").await?.status.and_then(|it| it.run);
            let run = run.ok_or("there is no run")?;
            let is_over = (run.attempt, run.step.as_str()) == (2, "Succeeded");
            is_over.then_some(()).ok_or_else(|| json!(run).to_string())
        });
        corrected.await.map_err(wrong)?;
        play.delivered(2).await?;
        // Asked once more, each Target would answer that it looked.
        play.ignore_drift().await
    }
}

/// What a Release would change can't be told for a while, behind a gate.
pub struct PlannedLate;

#[async_trait(?Send)]
impl Scenario for PlannedLate {
    fn name(&self) -> &'static str {
        "planned-late"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        gated(play).await?;
        let gate = &play.slot.gate;
        gate.refuse("GetFunction", play.function("api"));
        Ok(())
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.push("v2", &ONE, &[]);
        play.stalled_or_asks("TargetStalled", "dev").await?;
        play.slot.gate.allow("GetFunction");
        play.poke("it is allowed now").await?;
        play.let_in("dev").await?;
        play.delivered(2).await
    }
}

/// What is held goes on when somebody tries it again.
pub struct RetriedHeld;

#[async_trait(?Send)]
impl Scenario for RetriedHeld {
    fn name(&self) -> &'static str {
        "retried-held"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        let mut wanted = play.deployment(&ONE, &["dev"]);
        wanted["spec"]["stages"][0]["checks"] = json!([smoke("api")]);
        wanted["spec"]["rollback"] = json!({"onFailure": "Hold"});
        serving(play, &ONE, &wanted).await?;
        let gate = &play.slot.gate;
        gate.refuse("PublishVersion", play.function("api"));
        Ok(())
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.push("v2", &ONE, &[]);
        play.stalled("Held").await?;
        play.slot.gate.allow("PublishVersion");
        play.annotate("sluice.dev/retry", "it is allowed now")
            .await?;
        play.delivered(2).await
    }
}

/// A stage is wanted no more.
pub struct StageRemoved;

impl StageRemoved {
    fn wanted(play: &Play<'_>, stages: &[&str]) -> Value {
        let mut wanted = play.deployment(&ONE, stages);
        wanted["spec"]["deletionPolicy"] = json!("Delete");
        wanted
    }
}

#[async_trait(?Send)]
impl Scenario for StageRemoved {
    fn name(&self) -> &'static str {
        "stage-removed"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        serving(play, &ONE, &Self::wanted(play, &["dev", "prod"])).await
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.apply(&Self::wanted(play, &["dev"])).await?;
        play.delivered(2).await?;
        let gone = wait_until("the Target of the stage is gone", LIMIT, async || {
            let targets = play.list::<Target>().await?;
            let stages: Vec<_> = targets.iter().map(|it| it.spec.stage.as_str()).collect();
            if stages == ["dev"] {
                Ok(())
            } else {
                Err(format!("{stages:?}"))
            }
        });
        gone.await.map_err(wrong)?;
        let lambda = play.ground.lambda("prod");
        let function = lambda.get_function().function_name(play.function("api"));
        match function.send().await {
            Ok(_) => Err("the function of the stage is still there".to_owned()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetFunctionError::is_resource_not_found_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(format!("{error:?}")),
        }
    }
}
