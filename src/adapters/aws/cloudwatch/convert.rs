//! Converts between CloudWatch's types and Sluice's.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_cloudwatch::types::{
    AlarmHistoryItem, CompositeAlarm, Dimension, EvaluationState, Metric, MetricAlarm,
    MetricDataQuery, MetricDataResult, MetricStat as SdkMetricStat, StateValue, StatusCode,
};
use serde_json::Value;

use crate::{
    adapters::aws::{errors::Call, timestamps::from_sdk},
    api::v1alpha1::MetricStat,
    domain::check::{
        alarms::{Alarm, AlarmState, Transition},
        metric::{MetricQuery, MetricSource, Series},
    },
    ports::{CallError, CallErrorKind},
};

/// The ids of Sluice's own queries. Users name the metrics of their expressions.
const VALUE: &str = "sluice_value";
const SAMPLES: &str = "sluice_samples";

pub(super) fn metric_alarm(call: &Call, alarm: MetricAlarm) -> Result<Alarm, CallError> {
    let window = window(&alarm);
    Ok(Alarm {
        name: present(call, alarm.alarm_name)?,
        state: state(call, alarm.state_value.as_ref())?,
        since: alarm.state_transitioned_timestamp.and_then(from_sdk),
        reason: alarm.state_reason.unwrap_or_default(),
        trouble: alarm.evaluation_state.as_ref().and_then(trouble),
        window,
        rule: None,
    })
}

pub(super) fn composite_alarm(call: &Call, alarm: CompositeAlarm) -> Result<Alarm, CallError> {
    Ok(Alarm {
        name: present(call, alarm.alarm_name)?,
        state: state(call, alarm.state_value.as_ref())?,
        since: alarm.state_transitioned_timestamp.and_then(from_sdk),
        reason: alarm.state_reason.unwrap_or_default(),
        trouble: None,
        window: None,
        rule: alarm.alarm_rule,
    })
}

fn present(call: &Call, name: Option<String>) -> Result<String, CallError> {
    name.ok_or_else(|| call.unusable("an alarm without a name"))
}

fn state(call: &Call, state: Option<&StateValue>) -> Result<AlarmState, CallError> {
    state
        .map(|state| AlarmState::parse(state.as_str()))
        .ok_or_else(|| call.unusable("an alarm without a state"))
}

/// CloudWatch also evaluates partial data.
fn trouble(state: &EvaluationState) -> Option<String> {
    match state {
        EvaluationState::PartialData => None,
        other => Some(other.as_str().to_owned()),
    }
}

/// Period times evaluation periods. The period of an expression is the longest one of its metrics.
fn window(alarm: &MetricAlarm) -> Option<Duration> {
    let of_query = |query: &MetricDataQuery| {
        let stat = query.metric_stat.as_ref().and_then(|stat| stat.period);
        stat.max(query.period)
    };
    let of_expression = || alarm.metrics.iter().flatten().filter_map(of_query).max();
    let period = alarm.period.or_else(of_expression)?;
    let seconds = u64::try_from(period).ok()?;
    let periods = u64::try_from(alarm.evaluation_periods?).ok()?;
    Some(Duration::from_secs(seconds.saturating_mul(periods)))
}

/// The states are in `HistoryData`, as JSON, and in `HistorySummary`, as text; the JSON may be cut off.
pub(super) fn transition(call: &Call, item: &AlarmHistoryItem) -> Result<Transition, CallError> {
    let unusable = || call.unusable("an unreadable item in the alarm history");
    let at = item.timestamp.and_then(from_sdk).ok_or_else(unusable)?;
    let of_data = || {
        let data: Value = serde_json::from_str(item.history_data.as_deref()?).ok()?;
        let state = |name: &str| Some(AlarmState::parse(data[name]["stateValue"].as_str()?));
        let reason = data["newState"]["stateReason"].as_str().unwrap_or_default();
        Some((state("oldState")?, state("newState")?, reason.to_owned()))
    };
    let of_summary = || {
        let summary = item.history_summary.as_deref()?;
        let (from, to) = summary
            .strip_prefix("Alarm updated from ")?
            .split_once(" to ")?;
        let (from, to) = (AlarmState::parse(from), AlarmState::parse(to.trim_end()));
        Some((from, to, String::new()))
    };
    let (from, to, reason) = of_data().or_else(of_summary).ok_or_else(unusable)?;
    Ok(Transition {
        at,
        from,
        to,
        reason,
    })
}

/// The queries for one number: its own, those of the metrics it is computed from, and that of the samples.
pub(super) fn queries(query: &MetricQuery) -> Vec<MetricDataQuery> {
    // A window is at most a day.
    let period = i32::try_from(query.window.length().as_secs()).unwrap_or(i32::MAX);
    let of = |id: &str, stat: &MetricStat, statistic: &str, wanted: bool| {
        MetricDataQuery::builder()
            .id(id)
            .metric_stat(metric_stat(stat, statistic, period))
            .return_data(wanted)
            .build()
    };
    match &query.source {
        MetricSource::Stat(stat) => vec![
            of(VALUE, stat, &stat.statistic, true),
            of(SAMPLES, stat, "SampleCount", true),
        ],
        MetricSource::Math(math) => {
            let mut queries: Vec<_> = math
                .metrics
                .iter()
                .map(|one| of(&one.id, &one.metric_stat, &one.metric_stat.statistic, false))
                .collect();
            let value = MetricDataQuery::builder()
                .id(VALUE)
                .expression(&math.expression)
                .period(period)
                .return_data(true);
            queries.push(value.build());
            let counted = math
                .metrics
                .iter()
                .find(|one| Some(&one.id) == math.samples.as_ref());
            if let Some(one) = counted {
                queries.push(of(SAMPLES, &one.metric_stat, "SampleCount", true));
            }
            queries
        }
    }
}

fn metric_stat(stat: &MetricStat, statistic: &str, period: i32) -> SdkMetricStat {
    let dimension =
        |(name, value): (&String, &String)| Dimension::builder().name(name).value(value).build();
    let dimensions = stat.dimensions.iter().map(dimension).collect();
    let metric = Metric::builder()
        .namespace(&stat.namespace)
        .metric_name(&stat.metric_name)
        .set_dimensions(Some(dimensions))
        .build();
    SdkMetricStat::builder()
        .metric(metric)
        .period(period)
        .stat(statistic)
        .build()
}

/// The pages of a response.
#[derive(Default)]
pub(super) struct Answer {
    series: Series,
    /// How each series ended, by id and label: only the last page counts.
    ends: BTreeMap<(String, String), Option<(CallErrorKind, String)>>,
}

impl Answer {
    pub(super) fn take(&mut self, results: Vec<MetricDataResult>) {
        for result in results {
            let end = problem(&result);
            let id = result.id.unwrap_or_default();
            let values = result.values.unwrap_or_default();
            let points = result
                .timestamps
                .unwrap_or_default()
                .into_iter()
                .zip(values);
            let points = points.filter_map(|(at, value)| Some((from_sdk(at)?, value)));
            match id.as_str() {
                VALUE => self.series.values.extend(points),
                SAMPLES => self.series.samples.extend(points),
                _ => {}
            }
            self.ends
                .insert((id, result.label.unwrap_or_default()), end);
        }
    }

    pub(super) fn complete(self, call: &Call) -> Result<Series, CallError> {
        let labels: Vec<&str> = self
            .ends
            .keys()
            .filter(|(id, _)| id == VALUE)
            .map(|(_, label)| label.as_str())
            .collect();
        if labels.len() > 1 {
            let message = format!(
                "it returns {} series ({}), but must return one",
                labels.len(),
                labels.join(", ")
            );
            return Err(call.error(CallErrorKind::Invalid, message));
        }
        match self.ends.into_values().flatten().next() {
            Some((kind, message)) => Err(call.error(kind, message)),
            None => Ok(self.series),
        }
    }
}

/// Why a result is not complete; `None` if it is.
fn problem(result: &MetricDataResult) -> Option<(CallErrorKind, String)> {
    let (kind, status) = match result.status_code.as_ref()? {
        StatusCode::Complete => return None,
        StatusCode::Forbidden => (CallErrorKind::Denied, "Forbidden"),
        other => (CallErrorKind::Unavailable, other.as_str()),
    };
    let mut message = format!("the result is incomplete ({status})");
    for detail in result.messages() {
        let text = detail.value().or(detail.code()).unwrap_or_default();
        message = format!("{message}: {text}");
    }
    Some((kind, message))
}

#[cfg(test)]
mod tests;
