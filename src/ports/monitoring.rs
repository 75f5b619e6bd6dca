//! CloudWatch in one account and region: alarms and metrics, read only.

use async_trait::async_trait;
use jiff::Timestamp;

use super::CallError;
use crate::domain::check::{
    alarms::{Alarms, Transition},
    metric::{MetricQuery, Series},
};

/// CloudWatch in one account and region, under one grant.
#[async_trait]
pub trait Monitoring: Send + Sync {
    /// `DescribeAlarms`: the current state of the metric and composite alarms with these names. Makes one
    /// call per hundred names. Omits names without an alarm.
    async fn alarms(&self, names: &[String]) -> Result<Alarms, CallError>;

    /// `DescribeAlarmHistory`: the changes of the alarm's state since then, oldest first. A change appears
    /// with a short delay. Empty if the alarm does not exist.
    async fn transitions(&self, name: &str, since: Timestamp)
    -> Result<Vec<Transition>, CallError>;

    /// `GetMetricData`: one number over one period as long as the window, with the number of samples if
    /// the query says what to count. Without data, the series is empty. A result that CloudWatch
    /// marks as incomplete is [`super::CallErrorKind::Unavailable`], a query that does not return
    /// exactly one series [`super::CallErrorKind::Invalid`].
    async fn measure(&self, query: &MetricQuery) -> Result<Series, CallError>;
}
