//! An alarm whose state a test sets.

use aws_sdk_cloudwatch::{
    Client,
    error::DisplayErrorContext,
    types::{AlarmType, StateValue},
};
use jiff::Timestamp;

use super::{HUB_REGION, Lab};
use crate::{error::LabError, runtime};

/// An alarm whose state a test sets. It is a composite alarm, so that it has no evaluation window that a bake
/// could be too short for, and its rule is `FALSE`, so that nothing else changes it.
pub struct Alarm {
    cloudwatch: Client,
    /// Its name.
    pub name: String,
}

impl Lab {
    /// Creates an alarm in an account; its state is `OK`.
    pub fn alarm(&self, account: &str, name: &str) -> Result<Alarm, LabError> {
        let config = self.aws.sdk_config(self.account_id(account)?, HUB_REGION);
        let cloudwatch = Client::new(&config);
        let put = cloudwatch
            .put_composite_alarm()
            .alarm_name(name)
            .alarm_rule("FALSE");
        runtime::handle()
            .block_on(put.send())
            .map_err(|e| LabError::new(format!("alarm {name}: {}", DisplayErrorContext(&e))))?;
        let name = name.to_owned();
        Ok(Alarm { cloudwatch, name })
    }
}

impl Alarm {
    /// Sets the state `ALARM`, with a reason.
    pub fn turn_red(&self, reason: &str) -> Result<(), LabError> {
        self.set(StateValue::Alarm, reason)
    }

    /// Sets the state `OK`, with a reason.
    pub fn turn_green(&self, reason: &str) -> Result<(), LabError> {
        self.set(StateValue::Ok, reason)
    }

    /// The number of seconds since the last change of state.
    pub fn seconds_since_change(&self) -> Result<i64, LabError> {
        let describe = self
            .cloudwatch
            .describe_alarms()
            .alarm_names(&self.name)
            .alarm_types(AlarmType::CompositeAlarm);
        let found = runtime::handle()
            .block_on(describe.send())
            .map_err(|e| self.failed(&DisplayErrorContext(&e)))?;
        let alarm = found.composite_alarms().first();
        let at = alarm.and_then(|alarm| alarm.state_transitioned_timestamp());
        let at = at.ok_or_else(|| self.failed(&"the time of its last change is missing"))?;
        Ok(Timestamp::now().as_second() - at.secs())
    }

    fn set(&self, state: StateValue, reason: &str) -> Result<(), LabError> {
        let set = self
            .cloudwatch
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
