//! An alarm that is in the state it was told.

use aws_sdk_cloudwatch::{
    Client,
    error::DisplayErrorContext,
    types::{AlarmType, StateValue},
};
use jiff::Timestamp;

use super::{HUB_REGION, Lab};
use crate::{error::LabError, runtime};

/// An alarm that is in the state it was told: composite, so that it has no window for which a bake
/// could be too short, and of nothing, so that nothing else changes it.
pub struct Alarm {
    watch: Client,
    /// Its name.
    pub name: String,
}

impl Lab {
    /// An alarm of that name in an account, which is `OK`.
    pub fn alarm(&self, account: &str, name: &str) -> Result<Alarm, LabError> {
        let config = self.aws.sdk_config(self.account_id(account)?, HUB_REGION);
        let watch = Client::new(&config);
        let put = watch
            .put_composite_alarm()
            .alarm_name(name)
            .alarm_rule("FALSE");
        runtime::handle()
            .block_on(put.send())
            .map_err(|e| LabError::new(format!("alarm {name}: {}", DisplayErrorContext(&e))))?;
        let name = name.to_owned();
        Ok(Alarm { watch, name })
    }
}

impl Alarm {
    /// Goes into `ALARM`, for that reason.
    pub fn turn_red(&self, reason: &str) -> Result<(), LabError> {
        self.set(StateValue::Alarm, reason)
    }

    /// Goes back to `OK`, for that reason.
    pub fn turn_green(&self, reason: &str) -> Result<(), LabError> {
        self.set(StateValue::Ok, reason)
    }

    /// For how many seconds it has been in its state.
    pub fn seconds_since_change(&self) -> Result<i64, LabError> {
        let asked = self
            .watch
            .describe_alarms()
            .alarm_names(&self.name)
            .alarm_types(AlarmType::CompositeAlarm);
        let found = runtime::handle()
            .block_on(asked.send())
            .map_err(|e| self.failed(&DisplayErrorContext(&e)))?;
        let alarm = found.composite_alarms().first();
        let at = alarm.and_then(|alarm| alarm.state_transitioned_timestamp());
        let at = at.ok_or_else(|| self.failed(&"it does not say since when"))?;
        Ok(Timestamp::now().as_second() - at.secs())
    }

    fn set(&self, state: StateValue, reason: &str) -> Result<(), LabError> {
        let set = self
            .watch
            .set_alarm_state()
            .alarm_name(&self.name)
            .state_value(state)
            .state_reason(reason);
        runtime::handle()
            .block_on(set.send())
            .map_err(|e| self.failed(&DisplayErrorContext(&e)))?;
        Ok(())
    }

    fn failed(&self, why: &dyn std::fmt::Display) -> LabError {
        LabError::new(format!("alarm {}: {why}", self.name))
    }
}
