//! [`Monitoring`] over the SDK.
//!
//! All calls are reads, and the SDK retries them.

mod convert;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_cloudwatch::{
    Client,
    types::{AlarmType, HistoryItemType, ScanBy},
};
use jiff::Timestamp;

use super::{
    budget::Budget, clients::Clients, credentials::Verified, errors::Call, timestamps::to_sdk,
};
use crate::{
    domain::check::{
        alarms::{Alarms, Transition},
        metric::{MetricQuery, MetricSource, Series},
    },
    ports::{CallError, CallErrorKind, monitoring::Monitoring},
};

/// The most alarms that `DescribeAlarms` takes, and the most items of a page of a history.
const PAGE: usize = 100;

/// The most pages that are read. An alarm that changes its state a thousand times is red in between.
const PAGES: usize = 10;

/// Without these, CloudWatch leaves composite alarms out.
const TYPES: [AlarmType; 2] = [AlarmType::MetricAlarm, AlarmType::CompositeAlarm];

/// CloudWatch in one account and region.
pub(super) struct CloudWatch {
    /// For messages: the Account and the region.
    scope: String,
    client: Client,
    verified: Arc<Verified>,
    budget: Arc<Budget>,
}

impl CloudWatch {
    /// `scope` is for messages: the Account and the region.
    pub(super) fn new(scope: String, clients: &Clients, verified: Arc<Verified>) -> Self {
        Self {
            scope,
            client: clients.cloudwatch(),
            verified,
            budget: clients.budget(),
        }
    }

    fn read(&self, operation: &'static str, thing: &str) -> Call {
        Call::read(operation, format!("{thing} ({})", self.scope))
    }

    async fn describe(&self, names: &[String]) -> Result<Alarms, CallError> {
        let call = self.read("cloudwatch:DescribeAlarms", &names.join(", "));
        let mut alarms = Alarms::new();
        let mut next = None;
        for _ in 0..PAGES {
            self.budget.describe_alarms.turn(&call).await?;
            let request = self
                .client
                .describe_alarms()
                .set_alarm_names(Some(names.to_vec()))
                .set_alarm_types(Some(TYPES.to_vec()))
                .max_records(i32::try_from(PAGE).unwrap_or(i32::MAX))
                .set_next_token(next)
                .send();
            let answer = self.verified.sent(&call, request).await;
            let answer = answer.inspect_err(|error| self.budget.describe_alarms.note(error))?;
            for alarm in answer.metric_alarms.unwrap_or_default() {
                let alarm = convert::metric_alarm(&call, alarm)?;
                alarms.insert(alarm.name.clone(), alarm);
            }
            for alarm in answer.composite_alarms.unwrap_or_default() {
                let alarm = convert::composite_alarm(&call, alarm)?;
                alarms.insert(alarm.name.clone(), alarm);
            }
            next = answer.next_token;
            if next.is_none() {
                return Ok(alarms);
            }
        }
        Err(call.unusable("the response has more pages than Sluice reads"))
    }
}

#[async_trait]
impl Monitoring for CloudWatch {
    async fn alarms(&self, names: &[String]) -> Result<Alarms, CallError> {
        let mut alarms = Alarms::new();
        for names in names.chunks(PAGE) {
            alarms.extend(self.describe(names).await?);
        }
        Ok(alarms)
    }

    async fn transitions(
        &self,
        name: &str,
        since: Timestamp,
    ) -> Result<Vec<Transition>, CallError> {
        let call = self.read("cloudwatch:DescribeAlarmHistory", name);
        let mut transitions = Vec::new();
        let mut next = None;
        for _ in 0..PAGES {
            self.budget.alarm_history.turn(&call).await?;
            let request = self
                .client
                .describe_alarm_history()
                .alarm_name(name)
                .set_alarm_types(Some(TYPES.to_vec()))
                .history_item_type(HistoryItemType::StateUpdate)
                .start_date(to_sdk(since))
                .scan_by(ScanBy::TimestampAscending)
                .max_records(i32::try_from(PAGE).unwrap_or(i32::MAX))
                .set_next_token(next)
                .send();
            let answer = self.verified.sent(&call, request).await;
            let answer = answer.inspect_err(|error| self.budget.alarm_history.note(error))?;
            for item in answer.alarm_history_items.unwrap_or_default() {
                transitions.push(convert::transition(&call, &item)?);
            }
            next = answer.next_token;
            if next.is_none() {
                return Ok(transitions);
            }
        }
        // The newest transitions are missing, and one of them may be to the state of alarm.
        Err(call.unusable("the response has more pages than Sluice reads"))
    }

    async fn measure(&self, query: &MetricQuery) -> Result<Series, CallError> {
        let thing = match &query.source {
            MetricSource::Stat(stat) => format!("{} {}", stat.namespace, stat.metric_name),
            MetricSource::Math(math) => math.expression.clone(),
        };
        let call = self.read("cloudwatch:GetMetricData", &thing);
        let mut series = convert::Answer::default();
        let mut next = None;
        for _ in 0..PAGES {
            self.budget.metric_data.turn(&call).await?;
            let request = self
                .client
                .get_metric_data()
                .set_metric_data_queries(Some(convert::queries(query)))
                .start_time(to_sdk(query.window.from))
                .end_time(to_sdk(query.window.to))
                .scan_by(ScanBy::TimestampAscending)
                .set_next_token(next)
                .send();
            let answer = self.verified.sent(&call, request).await;
            let answer = answer.inspect_err(|error| self.budget.metric_data.note(error))?;
            series.take(answer.metric_data_results.unwrap_or_default());
            next = answer.next_token;
            if next.is_none() {
                return series.complete(&call);
            }
        }
        let message = "the response has more pages than one number needs";
        Err(call.error(CallErrorKind::Invalid, message))
    }
}
