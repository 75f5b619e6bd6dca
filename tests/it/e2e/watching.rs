//! What aliases and alarms are at, as an account's own people see and set them.

use aws_sdk_cloudwatch::{
    Client,
    types::{AlarmType, StateValue},
};
use jiff::Timestamp;
use sluice_lab::lab::{HUB_REGION, wait_for};

use super::{LIMIT, run, scene::Scene};

/// Where the alias of a function sends its traffic: `1`, or `1, 10 % to 2`.
pub fn routed(scene: &Scene<'_>, account: &str, function: &str) -> String {
    let lambda = scene.world.lab.lambda(account, HUB_REGION).unwrap();
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

/// Waits until the alias of the team's function sends its traffic there.
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

/// The versions that were published of a function.
pub fn versions(scene: &Scene<'_>, account: &str, function: &str) -> Vec<String> {
    let lambda = scene.world.lab.lambda(account, HUB_REGION).unwrap();
    let call = lambda.list_versions_by_function().function_name(function);
    let listed = run(call.send()).unwrap().versions.unwrap_or_default();
    let names = listed.into_iter().filter_map(|it| it.version);
    names.filter(|version| version != "$LATEST").collect()
}

/// Whether there is no function of that name.
pub fn is_gone(scene: &Scene<'_>, account: &str, function: &str) -> bool {
    let lambda = scene.world.lab.lambda(account, HUB_REGION).unwrap();
    let found = run(lambda.get_function().function_name(function).send());
    found.is_err_and(|error| {
        let error = error.into_service_error();
        error.is_resource_not_found_exception()
    })
}

/// An alarm that is in the state it was told: composite, so that it has no window that would ask for
/// a bake of minutes, and of nothing, so that nothing else changes it.
pub struct Alarm {
    watch: Client,
    /// Its name, which is the team's.
    pub name: String,
}

impl Alarm {
    /// One that is `OK`.
    pub fn new(scene: &Scene<'_>, account: &str) -> Self {
        let lab = &scene.world.lab;
        let config = lab
            .aws
            .sdk_config(lab.account_id(account).unwrap(), HUB_REGION);
        let alarm = Self {
            watch: Client::new(&config),
            name: format!("{}-errors", scene.team.namespace),
        };
        let put = alarm.watch.put_composite_alarm();
        run(put.alarm_name(&alarm.name).alarm_rule("FALSE").send()).unwrap();
        alarm
    }

    /// Goes into `ALARM`.
    pub fn turn_red(&self) {
        self.set(StateValue::Alarm);
    }

    /// Goes back to `OK`.
    pub fn turn_green(&self) {
        self.set(StateValue::Ok);
    }

    /// Waits until its last change is so long ago that clocks which differ can't make it a later one.
    #[track_caller]
    pub fn wait_settled(&self) {
        let seen = wait_for("the alarm's change is a while ago", LIMIT, || {
            let asked = self.watch.describe_alarms().alarm_names(&self.name);
            let asked = asked.alarm_types(AlarmType::CompositeAlarm);
            let alarms = run(asked.send()).map_err(|e| format!("{e:?}"))?;
            let alarm = alarms.composite_alarms().first().ok_or("it is not there")?;
            let at = alarm.state_transitioned_timestamp().ok_or("no time")?;
            let age = Timestamp::now().as_second() - at.secs();
            if age > 3 {
                Ok(())
            } else {
                Err(format!("{age} s"))
            }
        });
        seen.unwrap_or_else(|e| panic!("{e}"));
    }

    fn set(&self, state: StateValue) {
        let set = self.watch.set_alarm_state().alarm_name(&self.name);
        let set = set.state_value(state).state_reason("the test says so");
        run(set.send()).unwrap();
    }
}
