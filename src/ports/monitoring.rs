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
    /// `DescribeAlarms`: the metric and composite alarms of these names, as they are now. One call for
    /// every hundred names. What there is no alarm of is left out.
    async fn alarms(&self, names: &[String]) -> Result<Alarms, CallError>;

    /// `DescribeAlarmHistory`: how the alarm's state changed since then, oldest first. A change shows a
    /// little late. Empty where there is no such alarm.
    async fn transitions(&self, name: &str, since: Timestamp)
    -> Result<Vec<Transition>, CallError>;

    /// `GetMetricData`: one number, as one period as long as the window, with the samples behind it
    /// where the query says what to count. No data is an empty series. A result that CloudWatch
    /// itself calls incomplete is [`super::CallErrorKind::Unavailable`], a query that does not give
    /// exactly one series [`super::CallErrorKind::Invalid`].
    async fn measure(&self, query: &MetricQuery) -> Result<Series, CallError>;
}
