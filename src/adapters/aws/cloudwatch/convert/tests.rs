//! Responses of CloudWatch that the emulator does not give.

use aws_sdk_cloudwatch::{
    primitives::DateTime,
    types::{AlarmType, MessageData},
};
use jiff::Timestamp;

use super::*;
use crate::{api::v1alpha1::MetricMath, domain::check::metric::Window};

fn call() -> Call {
    Call::read("cloudwatch:GetMetricData", "AWS/Lambda Errors")
}

fn result(id: &str, label: &str, values: &[(i64, f64)], status: StatusCode) -> MetricDataResult {
    MetricDataResult::builder()
        .id(id)
        .label(label)
        .set_timestamps(Some(
            values
                .iter()
                .map(|(at, _)| DateTime::from_secs(*at))
                .collect(),
        ))
        .set_values(Some(values.iter().map(|(_, value)| *value).collect()))
        .status_code(status)
        .build()
}

fn answer(pages: Vec<Vec<MetricDataResult>>) -> Result<Series, CallError> {
    let mut answer = Answer::default();
    for page in pages {
        answer.take(page);
    }
    answer.complete(&call())
}

#[test]
fn values_and_samples_are_separated_and_pages_are_joined() {
    let series = answer(vec![
        vec![
            result(VALUE, "Errors", &[(60, 0.5)], StatusCode::PartialData),
            result(SAMPLES, "Errors", &[(60, 40.0)], StatusCode::Complete),
        ],
        vec![result(
            VALUE,
            "Errors",
            &[(120, 0.25)],
            StatusCode::Complete,
        )],
    ])
    .unwrap();
    let values: Vec<f64> = series.values.into_values().collect();
    assert_eq!(values, [0.5, 0.25]);
    let samples: Vec<_> = series.samples.into_iter().collect();
    assert_eq!(samples, [(Timestamp::from_second(60).unwrap(), 40.0)]);
}

#[test]
fn incomplete_metric_result_is_an_error() {
    let failed = |id: &str, status| {
        let message = MessageData::builder()
            .code("Late")
            .value("try again")
            .build();
        let mut result = result(id, "Errors", &[(60, 0.0)], status);
        result.messages = Some(vec![message]);
        answer(vec![vec![result]]).unwrap_err()
    };
    for id in [VALUE, SAMPLES] {
        let error = failed(id, StatusCode::InternalError);
        assert_eq!(error.kind, CallErrorKind::Unavailable);
        assert!(
            error.message.ends_with("(InternalError): try again"),
            "{error}"
        );
    }
    assert_eq!(
        failed(VALUE, StatusCode::PartialData).kind,
        CallErrorKind::Unavailable
    );
    assert_eq!(
        failed(VALUE, StatusCode::Forbidden).kind,
        CallErrorKind::Denied
    );
}

#[test]
fn expression_with_several_series_is_refused() {
    let error = answer(vec![vec![
        result(VALUE, "api", &[(60, 0.0)], StatusCode::Complete),
        result(VALUE, "site", &[(60, 9.0)], StatusCode::Complete),
    ]])
    .unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Invalid);
    assert!(error.message.contains("2 series (api, site)"), "{error}");
}

#[test]
fn expression_is_queried_with_its_metrics_and_samples() {
    let stat = |name: &str| MetricStat {
        namespace: "AWS/Lambda".into(),
        metric_name: name.into(),
        dimensions: BTreeMap::from([("FunctionName".into(), "api".into())]),
        statistic: "Sum".into(),
    };
    let named = |id: &str, name: &str| crate::api::v1alpha1::NamedMetric {
        id: id.into(),
        metric_stat: stat(name),
    };
    let math = MetricMath {
        expression: "errors / calls".into(),
        metrics: vec![named("errors", "Errors"), named("calls", "Invocations")],
        samples: Some("calls".into()),
    };
    let at = |second| Timestamp::from_second(second).unwrap();
    let query = MetricQuery {
        source: MetricSource::Math(math),
        window: Window {
            from: at(600),
            to: at(1020),
        },
    };
    let shown: Vec<_> = queries(&query)
        .into_iter()
        .map(|query| {
            let stat = query.metric_stat;
            (
                query.id.unwrap(),
                query.expression,
                query.return_data,
                query.period.or(stat.as_ref().and_then(|stat| stat.period)),
                stat.and_then(|stat| stat.stat),
            )
        })
        .collect();
    let metric = |id: &str, wanted, statistic: &str| {
        (
            id.to_owned(),
            None,
            Some(wanted),
            Some(420),
            Some(statistic.to_owned()),
        )
    };
    assert_eq!(
        shown,
        [
            metric("errors", false, "Sum"),
            metric("calls", false, "Sum"),
            (
                VALUE.to_owned(),
                Some("errors / calls".to_owned()),
                Some(true),
                Some(420),
                None
            ),
            metric(SAMPLES, true, "SampleCount"),
        ]
    );
}

#[test]
fn alarm_window_is_the_longest_period_times_evaluation_periods() {
    let alarm = |change: fn(
        aws_sdk_cloudwatch::types::builders::MetricAlarmBuilder,
    ) -> aws_sdk_cloudwatch::types::builders::MetricAlarmBuilder| {
        let builder = MetricAlarm::builder()
            .alarm_name("errors")
            .state_value(StateValue::Ok);
        metric_alarm(&call(), change(builder).build()).unwrap()
    };
    let simple = alarm(|builder| builder.period(60).evaluation_periods(3));
    assert_eq!(simple.window, Some(Duration::from_mins(3)));
    let math = alarm(|builder| {
        let metric = |period| {
            let stat = SdkMetricStat::builder().period(period).build();
            MetricDataQuery::builder().metric_stat(stat).build()
        };
        builder
            .metrics(metric(60))
            .metrics(metric(300))
            .metrics(MetricDataQuery::builder().expression("a / b").build())
            .evaluation_periods(2)
    });
    assert_eq!(math.window, Some(Duration::from_mins(10)));
    let query = alarm(|builder| {
        let sql = MetricDataQuery::builder()
            .expression("SELECT 1")
            .period(120);
        builder.metrics(sql.build()).evaluation_periods(1)
    });
    assert_eq!(query.window, Some(Duration::from_mins(2)));
    assert_eq!(alarm(|builder| builder.evaluation_periods(1)).window, None);
    assert_eq!(alarm(|builder| builder).trouble, None);
    let partial = alarm(|builder| builder.evaluation_state(EvaluationState::PartialData));
    assert_eq!(partial.trouble, None);
    let broken = alarm(|builder| builder.evaluation_state(EvaluationState::EvaluationError));
    assert_eq!(broken.trouble.as_deref(), Some("EVALUATION_ERROR"));
}

#[test]
fn alarm_transition_is_read_from_history_data_or_summary() {
    let item = |data: Option<&str>, summary: Option<&str>| {
        let item = AlarmHistoryItem::builder()
            .alarm_type(AlarmType::MetricAlarm)
            .timestamp(DateTime::from_millis(1_500))
            .set_history_data(data.map(str::to_owned))
            .set_history_summary(summary.map(str::to_owned));
        transition(&call(), &item.build())
    };
    let expected = Transition {
        at: Timestamp::from_millisecond(1_500).unwrap(),
        from: AlarmState::InsufficientData,
        to: AlarmState::Alarm,
        reason: String::new(),
    };
    let data = r#"{"version":"1.0","oldState":{"stateValue":"INSUFFICIENT_DATA"},"newState":{"stateValue":"ALARM"}}"#;
    let summary = "Alarm updated from INSUFFICIENT_DATA to ALARM";
    for (data, summary) in [
        (Some(data), None),
        (Some(&data[..80]), Some(summary)),
        (None, Some(summary)),
    ] {
        assert_eq!(item(data, summary).as_ref(), Ok(&expected));
    }
    let detailed = data.replace(
        r#""ALARM"}"#,
        r#""ALARM","stateReason":"Threshold Crossed"}"#,
    );
    let reason = item(Some(&detailed), None).map(|change| change.reason);
    assert_eq!(reason.as_deref(), Ok("Threshold Crossed"));
    let error = item(None, Some("Alarm created")).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unavailable);
}
