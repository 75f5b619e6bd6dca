//! Reads of aliases and versions, and alarms, with the credentials of the AWS account itself.

use sluice_lab::lab::{Alarm, HUB_REGION, wait_for};

use super::{LIMIT, run, scene::Scene};

/// Where the alias of a function sends its traffic: `1`, or `1, 10 % to 2`.
pub fn routed(scene: &Scene<'_>, account: &str, function: &str) -> String {
    let lambda = scene.environment.lab.lambda(account, HUB_REGION).unwrap();
    let call = lambda.get_alias().function_name(function).name("live");
    let alias = run(call.send()).unwrap_or_else(|e| panic!("alias of {function}: {e:?}"));
    let weights = alias
        .routing_config
        .and_then(|routing| routing.additional_version_weights)
        .unwrap_or_default();
    let shares = weights
        .iter()
        .map(|(version, share)| format!(", {:.0} % to {version}", share * 100.0));
    alias.function_version.unwrap_or_default() + &shares.collect::<String>()
}

/// Waits until the alias of the team's function has that routing.
#[track_caller]
pub fn wait_routed(scene: &Scene<'_>, account: &str, wanted: &str) {
    let what = format!("the alias in {account} sends to {wanted}");
    let seen = wait_for(&what, LIMIT, || {
        let routed = routed(scene, account, &scene.function());
        if routed == wanted {
            Ok(())
        } else {
            Err(routed)
        }
    });
    seen.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
}

/// The published versions of a function.
pub fn versions(scene: &Scene<'_>, account: &str, function: &str) -> Vec<String> {
    let lambda = scene.environment.lab.lambda(account, HUB_REGION).unwrap();
    let call = lambda.list_versions_by_function().function_name(function);
    let listed = run(call.send()).unwrap().versions.unwrap_or_default();
    let names = listed.into_iter().filter_map(|it| it.version);
    names.filter(|version| version != "$LATEST").collect()
}

/// Whether the function does not exist.
pub fn is_gone(scene: &Scene<'_>, account: &str, function: &str) -> bool {
    let lambda = scene.environment.lab.lambda(account, HUB_REGION).unwrap();
    let found = run(lambda.get_function().function_name(function).send());
    found.is_err_and(|error| {
        let error = error.into_service_error();
        error.is_resource_not_found_exception()
    })
}

/// Creates an alarm with the team's name in an account, in the state `OK`.
pub fn alarm(scene: &Scene<'_>, account: &str) -> Alarm {
    let name = format!("{}-errors", scene.team.namespace);
    scene.environment.lab.alarm(account, &name).unwrap()
}

/// Waits until the alarm's last change is so old that clock skew cannot make it a later one.
#[track_caller]
pub fn wait_settled(alarm: &Alarm) {
    let seen = wait_for("the alarm's last change is old enough", LIMIT, || {
        let age = alarm.seconds_since_change().map_err(|e| e.to_string())?;
        if age > 3 {
            Ok(())
        } else {
            Err(format!("{age} s"))
        }
    });
    seen.unwrap_or_else(|e| panic!("{e}"));
}
