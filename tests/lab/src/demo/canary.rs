//! A release whose fault shows only under traffic.

use sluice_lab::{
    error::LabError,
    lab::{Alarm, HUB_REGION, condition_of, package},
    runtime,
};

use super::{
    story::{FUNCTION, LIMIT, NAMESPACE, Story, ensure, writes},
    tell::{say, seen},
};

/// The alarm that prod's rollout watches, as in `checkout.yaml`.
pub const ALARM: &str = "checkout-errors";

/// v4 passes the smoke check, but an alarm goes off while prod sends it a tenth of its traffic: prod goes
/// back by itself, and dev keeps v4.
pub fn put_back(story: &Story, alarm: &Alarm) -> Result<(), LabError> {
    let v4 = story.push("v4", "Answer v4", package("v4"))?;
    say("waits until v4 is live in dev and prod sends it 10 % of its traffic");
    let (before, canary) = story.lab.wait_for("prod has a canary", LIMIT, || {
        let (version, weights) = routed(story, "prod").map_err(|e| e.to_string())?;
        match weights.first() {
            Some((canary, share)) if (share - 0.1).abs() < 1e-6 => Ok((version, canary.clone())),
            other => Err(format!("the alias sends to {version} and {other:?}")),
        }
    })?;
    seen(format!(
        "{FUNCTION}:live in prod sends 90 % to its version {before} and 10 % to version {canary}"
    ));
    story.answers("dev", Some("live"), "v4")?;
    alarm.turn_red("Threshold crossed: 7 errors in 1 minute")?;
    say(&format!("CloudWatch in prod: {ALARM} goes into ALARM"));
    let object = story.follow("prod is restored", |object| {
        match condition_of(object, "Ready") {
            Some(ready) if ready["reason"] == "RolledBack" => Ok(()),
            other => Err(format!("Ready is {other:?}")),
        }
    })?;
    let live = &object["status"]["live"];
    ensure(live == "dev=r4 prod=r2", || {
        format!("live should be dev=r4 prod=r2, but is {live}")
    })?;
    let condition = |type_| condition_of(&object, type_).cloned().unwrap_or_default();
    let message = condition("Ready")["message"].to_string();
    ensure(
        message.contains(ALARM) && message.contains("7 errors"),
        || format!("the Deployment should name the alarm and its reason, but says {message}"),
    )?;
    let (version, weights) = routed(story, "prod")?;
    ensure(version == before && weights.is_empty(), || {
        format!("the alias should be where it was, but sends to {version} and {weights:?}")
    })?;
    story.answers("prod", Some("live"), "v2")?;
    story.answers("prod", None, "v2")?;
    let calls = story.lab.aws.calls_since(v4.mark);
    let in_prod = writes(&calls, story.lab.account_id("prod")?);
    let moves = in_prod.named("lambda", "UpdateAlias").count();
    ensure(moves == 2, || {
        format!("the alias should move there and back, but was written {moves} times")
    })?;
    seen("the alias in prod moved twice: to 10 %, and back");
    story.show(&["get", "sdep,srel,stgt", "--namespace", NAMESPACE])?;
    alarm.turn_green("Threshold no longer crossed")
}

/// The version that an account's alias serves, and further versions with their share.
fn routed(story: &Story, account: &str) -> Result<(String, Vec<(String, f64)>), LabError> {
    let lambda = story.lab.lambda(account, HUB_REGION)?;
    let call = lambda.get_alias().function_name(FUNCTION).name("live");
    let found = runtime::handle()
        .block_on(call.send())
        .map_err(|e| LabError::new(format!("{FUNCTION}:live in {account}: {e:?}")))?;
    let weights = found
        .routing_config
        .and_then(|routing| routing.additional_version_weights)
        .unwrap_or_default();
    Ok((
        found.function_version.unwrap_or_default(),
        weights.into_iter().collect(),
    ))
}
