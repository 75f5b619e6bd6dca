//! A Release that passes its checks and fails under traffic.

use sluice_lab::{
    error::LabError,
    lab::{Alarm, HUB_REGION, condition_of, package},
    runtime,
};

use super::{
    story::{Demo, FUNCTION, LIMIT, NAMESPACE, ensure, writes},
    tell::{say, verified},
};

/// The alarm that prod's rollout watches, as in `checkout.yaml`.
pub const ALARM: &str = "checkout-errors";

/// v4 passes the smoke check, and an alarm fires while prod sends it a tenth of its traffic: Sluice restores
/// prod, and dev keeps v4.
pub fn roll_back_on_alarm(demo: &Demo, alarm: &Alarm) -> Result<(), LabError> {
    let v4 = demo.push("v4", "Answer v4", package("v4"))?;
    say("waiting until v4 is live in dev and prod sends it 10 % of its traffic");
    let (before, canary) = demo.lab.wait_for("prod has a canary", LIMIT, || {
        let (version, weights) = routing(demo, "prod").map_err(|e| e.to_string())?;
        match weights.first() {
            Some((canary, share)) if (share - 0.1).abs() < 1e-6 => Ok((version, canary.clone())),
            other => Err(format!("the alias routes to {version} and {other:?}")),
        }
    })?;
    verified(format!(
        "{FUNCTION}:live in prod sends 90 % to version {before} and 10 % to version {canary}"
    ));
    demo.expect_answer("dev", Some("live"), "v4")?;
    alarm.turn_red("Threshold crossed: 7 errors in 1 minute")?;
    say(&format!("CloudWatch in prod: {ALARM} goes into ALARM"));
    let object = demo.follow("prod is restored", |object| {
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
    let (version, weights) = routing(demo, "prod")?;
    ensure(version == before && weights.is_empty(), || {
        format!("the alias should route to {before} only, but routes to {version} and {weights:?}")
    })?;
    demo.expect_answer("prod", Some("live"), "v2")?;
    demo.expect_answer("prod", None, "v2")?;
    let calls = demo.lab.aws.calls_since(v4.mark);
    let in_prod = writes(&calls, demo.lab.account_id("prod")?);
    let moves = in_prod.named("lambda", "UpdateAlias").count();
    ensure(moves == 2, || {
        format!("the alias in prod should be written twice, but was written {moves} times")
    })?;
    verified("the alias in prod moved twice: to 10 % for v4, and back to v2");
    demo.show(&["get", "sdep,srel,stgt", "--namespace", NAMESPACE])?;
    alarm.turn_green("Threshold no longer crossed")
}

/// The version that an account's alias serves, and its additional versions with their weights.
fn routing(demo: &Demo, account: &str) -> Result<(String, Vec<(String, f64)>), LabError> {
    let lambda = demo.lab.lambda(account, HUB_REGION)?;
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
