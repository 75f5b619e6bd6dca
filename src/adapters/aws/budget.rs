//! How fast an account and region is called.
//!
//! Lambda allows 15 control-plane calls a second, `GetFunction` apart with 100; CloudWatch 9 of
//! `DescribeAlarms`, 20 of `DescribeAlarmHistory` and 50 of `GetMetricData`. Ours stay below, so that
//! people and other tools still get through. `Invoke` has limits of its own and is not counted.

use std::{num::NonZeroU32, time::Duration};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::{BUDGET_WAIT, errors::Call};
use crate::ports::{CallError, CallErrorKind};

/// Calls a second.
const CONTROL: u32 = 12;
const GET_FUNCTION: u32 = 80;
const DESCRIBE_ALARMS: u32 = 6;
const ALARM_HISTORY: u32 = 15;
const METRIC_DATA: u32 = 40;

/// The budgets of one account and region.
#[derive(Debug)]
pub(super) struct Budget {
    control: DefaultDirectRateLimiter,
    get_function: DefaultDirectRateLimiter,
    describe_alarms: DefaultDirectRateLimiter,
    alarm_history: DefaultDirectRateLimiter,
    metric_data: DefaultDirectRateLimiter,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            control: limiter(CONTROL),
            get_function: limiter(GET_FUNCTION),
            describe_alarms: limiter(DESCRIBE_ALARMS),
            alarm_history: limiter(ALARM_HISTORY),
            metric_data: limiter(METRIC_DATA),
        }
    }
}

impl Budget {
    /// Waits for leave to make any control-plane call of Lambda's but `GetFunction`.
    pub(super) async fn control(&self, call: &Call) -> Result<(), CallError> {
        wait(&self.control, BUDGET_WAIT, call).await
    }

    /// Waits for leave to call `GetFunction`.
    pub(super) async fn get_function(&self, call: &Call) -> Result<(), CallError> {
        wait(&self.get_function, BUDGET_WAIT, call).await
    }

    /// Waits for leave to call `DescribeAlarms`.
    pub(super) async fn describe_alarms(&self, call: &Call) -> Result<(), CallError> {
        wait(&self.describe_alarms, BUDGET_WAIT, call).await
    }

    /// Waits for leave to call `DescribeAlarmHistory`.
    pub(super) async fn alarm_history(&self, call: &Call) -> Result<(), CallError> {
        wait(&self.alarm_history, BUDGET_WAIT, call).await
    }

    /// Waits for leave to call `GetMetricData`.
    pub(super) async fn metric_data(&self, call: &Call) -> Result<(), CallError> {
        wait(&self.metric_data, BUDGET_WAIT, call).await
    }
}

/// With a burst of one second's calls.
fn limiter(per_second: u32) -> DefaultDirectRateLimiter {
    let cells = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
    RateLimiter::direct(Quota::per_second(cells))
}

async fn wait(
    limiter: &DefaultDirectRateLimiter,
    patience: Duration,
    call: &Call,
) -> Result<(), CallError> {
    tokio::time::timeout(patience, limiter.until_ready())
        .await
        .map_err(|_| {
            let kind = CallErrorKind::Throttled {
                retry_after: Some(patience),
            };
            call.error(
                kind,
                "not sent: our own budget of such calls in this account and region is used up",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_used_up_budget_refuses_without_sending() {
        // Of one call an hour, the first passes and the second would wait too long.
        let slow = RateLimiter::direct(Quota::per_hour(NonZeroU32::MIN));
        let patience = Duration::from_millis(1);
        let call = Call::write("lambda:PublishVersion", "checkout-api");
        assert_eq!(wait(&slow, patience, &call).await, Ok(()));
        let refused = wait(&slow, patience, &call).await.map_err(|e| e.kind);
        let retry_after = Some(patience);
        assert_eq!(refused, Err(CallErrorKind::Throttled { retry_after }));
    }

    #[test]
    fn reading_functions_has_a_budget_of_its_own() {
        let budget = Budget::default();
        while budget.control.check().is_ok() {}
        assert!(budget.get_function.check().is_ok());
    }
}
