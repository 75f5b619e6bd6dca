//! The team's resources in AWS: the traffic of its functions, and its alarm.

use aws_sdk_cloudwatch::types::StateValue;

use super::Team;
use crate::waiting::{LIMIT, Problem, wait_until};

impl Team<'_> {
    /// Waits until the alias of a function routes its traffic like this: `1`, or `1, 10 % to 2`.
    pub async fn wait_until_routed(
        &self,
        account: &str,
        component: &str,
        wanted: &str,
    ) -> Result<(), Problem> {
        let lambda = self.fixture.lambda(account);
        let function = self.function(component);
        let what = format!("the alias of {function} routes to {wanted}");
        let routed = wait_until(&what, LIMIT, async || {
            let alias = lambda.get_alias().function_name(&function).name("live");
            let alias = alias.send().await.map_err(|e| format!("{e:?}"))?;
            let weights = alias
                .routing_config
                .and_then(|it| it.additional_version_weights);
            let shares = weights.into_iter().flatten();
            let shares =
                shares.map(|(version, share)| format!(", {:.0} % to {version}", share * 100.0));
            let routing = alias.function_version.unwrap_or_default() + &shares.collect::<String>();
            if routing == wanted {
                Ok(())
            } else {
                Err(routing)
            }
        });
        routed.await
    }

    /// Creates the alarm `<team>-errors` in an account, in state `OK`.
    pub async fn create_alarm(&self, account: &str) -> Result<(), Problem> {
        let create_alarm = self.fixture.cloudwatch(account).put_composite_alarm();
        let create_alarm = create_alarm
            .alarm_name(self.function("errors"))
            .alarm_rule("FALSE");
        create_alarm
            .send()
            .await
            .map(drop)
            .map_err(|e| format!("{e:?}"))
    }

    /// Sets the team's alarm to `ALARM`.
    pub async fn trigger_alarm(&self, account: &str) -> Result<(), Problem> {
        let set_state = self.fixture.cloudwatch(account).set_alarm_state();
        let set_state = set_state
            .alarm_name(self.function("errors"))
            .state_value(StateValue::Alarm)
            .state_reason("triggered by the test");
        set_state
            .send()
            .await
            .map(drop)
            .map_err(|e| format!("{e:?}"))
    }
}
