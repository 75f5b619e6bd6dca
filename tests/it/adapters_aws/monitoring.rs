//! Alarms, their histories, and metrics.

use std::{sync::Arc, time::Duration};

use aws_sdk_cloudwatch::{
    Client,
    primitives::DateTime,
    types::{ComparisonOperator, Dimension, MetricDatum, StateValue, Statistic},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sluice::{
    api::v1alpha1::{AlarmsCheck, MetricCheck},
    domain::{
        check::{
            DesiredAlarms, DesiredMetric, Verdict,
            alarms::{AlarmState, Histories},
            metric::{Served, Window},
        },
        substitution::Variables,
    },
    ports::{CallErrorKind, cloud::Cloud as _, monitoring::Monitoring},
};
use sluice_lab::aws::{Action, Pattern, Rule};

use super::{Fixture, REGION, allowed};

impl Fixture {
    /// CloudWatch in dev.
    async fn monitoring(&self) -> Arc<dyn Monitoring> {
        let dev = self.account("dev");
        let permissions = allowed("watched-*");
        let monitoring = self.cloud.monitoring(&dev, REGION, &permissions);
        monitoring.await.expect("CloudWatch in dev")
    }

    /// A CloudWatch client with dev's own credentials.
    fn watch(&self) -> Client {
        Client::new(&self.lab.sdk_config(&self.lab.dev().id, REGION))
    }

    /// The names of the calls about this alarm or metric since that mark.
    fn calls_about(&self, thing: &str, mark: usize) -> Vec<String> {
        let calls = self.lab.calls_since(mark);
        let calls =
            calls.only(|call| call.service == "monitoring" && call.resource.contains(thing));
        calls.names().iter().map(ToString::to_string).collect()
    }
}

/// Creates an alarm on a metric without data: only [`set`] changes its state.
async fn make_alarm(watch: &Client, name: &str) {
    watch
        .put_metric_alarm()
        .alarm_name(name)
        .namespace("Watched")
        .metric_name(name)
        .statistic(Statistic::Sum)
        .period(60)
        .evaluation_periods(3)
        .threshold(1.0)
        .comparison_operator(ComparisonOperator::GreaterThanThreshold)
        .send()
        .await
        .expect("an alarm");
}

async fn make_composite(watch: &Client, name: &str, rule: &str) {
    let request = watch
        .put_composite_alarm()
        .alarm_name(name)
        .alarm_rule(rule);
    request.send().await.expect("a composite alarm");
}

async fn set(watch: &Client, name: &str, state: StateValue) {
    watch
        .set_alarm_state()
        .alarm_name(name)
        .state_value(state)
        .state_reason("the test says so")
        .send()
        .await
        .expect("the alarm's state is set");
}

fn check(names: &[&str]) -> DesiredAlarms {
    let check: AlarmsCheck = serde_json::from_value(json!({ "names": names })).expect("a check");
    DesiredAlarms::new(&check, &Variables::default()).expect("no variables")
}

/// Reads the alarms and the histories that the check needs, and returns the verdict.
async fn evaluate(monitoring: &dyn Monitoring, check: &DesiredAlarms, since: Timestamp) -> Verdict {
    let alarms = monitoring.alarms(&check.names).await.expect("the alarms");
    let mut histories = Histories::new();
    for name in check.needs_history(since, &alarms) {
        let changes = monitoring.transitions(&name, since - SignedDuration::from_mins(1));
        let changes = changes.await.expect("a history");
        histories.insert(name, changes);
    }
    check.evaluate(since, &alarms, &histories)
}

/// A time so long after `at` that clock skew does not matter.
fn long_after(at: Timestamp) -> Timestamp {
    at + SignedDuration::from_mins(1)
}

#[tokio::test]
async fn metric_and_composite_alarms_are_read() {
    let fixture = Fixture::new().await;
    let (watch, monitoring) = (fixture.watch(), fixture.monitoring().await);
    let began = Timestamp::now();
    make_alarm(&watch, "asis-errors").await;
    make_composite(&watch, "asis-shop", "ALARM(asis-errors)").await;
    set(&watch, "asis-errors", StateValue::Alarm).await;

    let mark = fixture.lab.mark();
    let names = ["asis-errors", "asis-shop", "asis-missing"].map(str::to_owned);
    let alarms = monitoring.alarms(&names).await.expect("the alarms");
    assert_eq!(
        fixture.calls_about("asis-", mark),
        ["monitoring:DescribeAlarms"]
    );
    assert_eq!(
        alarms.keys().collect::<Vec<_>>(),
        ["asis-errors", "asis-shop"]
    );
    for alarm in alarms.values() {
        assert_eq!(alarm.state, AlarmState::Alarm, "{alarm:?}");
        let since = alarm.since.expect("since when");
        let tolerance = SignedDuration::from_secs(1);
        assert!(since > began - tolerance, "{alarm:?}");
        assert!(since < Timestamp::now() + tolerance, "{alarm:?}");
        assert_eq!(alarm.trouble, None);
    }
    let errors = &alarms["asis-errors"];
    assert_eq!(errors.reason, "the test says so");
    assert_eq!(errors.window, Some(Duration::from_mins(3)));
    assert_eq!(errors.rule, None);
    let shop = &alarms["asis-shop"];
    assert_eq!(shop.rule.as_deref(), Some("ALARM(asis-errors)"));
    assert_eq!(shop.window, None);
    let refused = check(&["asis-shop"]).refuse_bake(&alarms, Duration::from_mins(4));
    assert!(refused.is_some_and(|why| why.contains("asis-errors")));
}

#[tokio::test]
async fn alarm_that_was_briefly_red_fails_by_its_history() {
    let fixture = Fixture::new().await;
    let (watch, monitoring) = (fixture.watch(), fixture.monitoring().await);
    make_alarm(&watch, "spell-errors").await;
    make_composite(&watch, "spell-shop", "ALARM(spell-errors)").await;
    set(&watch, "spell-errors", StateValue::Ok).await;
    let began = Timestamp::now();
    set(&watch, "spell-errors", StateValue::Alarm).await;
    set(&watch, "spell-errors", StateValue::Ok).await;

    for name in ["spell-errors", "spell-shop"] {
        let alarms = monitoring.alarms(&[name.to_owned()]).await;
        let alarms = alarms.expect("the alarm");
        assert_eq!(alarms[name].state, AlarmState::Ok, "it is over");
        let verdict = evaluate(&*monitoring, &check(&[name]), began).await;
        let Verdict::Failed(why) = verdict else {
            panic!("{name}: {verdict:?}");
        };
        assert!(why.contains(&format!("{name} entered ALARM")), "{why}");

        let changes = monitoring.transitions(name, began - SignedDuration::from_secs(1));
        let changes = changes.await.expect("the history");
        let last: Vec<_> = changes
            .iter()
            .rev()
            .take(2)
            .map(|one| (&one.from, &one.to))
            .collect();
        let expected = [
            (&AlarmState::Alarm, &AlarmState::Ok),
            (&AlarmState::Ok, &AlarmState::Alarm),
        ];
        assert_eq!(last, expected, "{changes:?}");
        assert!(changes.is_sorted_by_key(|change| change.at), "{changes:?}");
    }
}

#[tokio::test]
async fn alarm_history_is_read_on_every_page() {
    let fixture = Fixture::new().await;
    let (watch, monitoring) = (fixture.watch(), fixture.monitoring().await);
    make_alarm(&watch, "busy-errors").await;
    let began = Timestamp::now() - SignedDuration::from_secs(1);
    for _ in 0..51 {
        set(&watch, "busy-errors", StateValue::Ok).await;
        set(&watch, "busy-errors", StateValue::Alarm).await;
    }
    let mark = fixture.lab.mark();
    let changes = monitoring.transitions("busy-errors", began).await;
    let changes = changes.expect("the history");
    // CloudWatch may have set the alarm to INSUFFICIENT_DATA in between.
    assert!(changes.len() >= 102, "{}", changes.len());
    let red = changes.iter().filter(|one| one.to == AlarmState::Alarm);
    assert_eq!(red.count(), 51);
    assert_eq!(fixture.calls_about("busy-errors", mark).len(), 2);
}

#[tokio::test]
async fn unchanged_alarm_takes_one_call() {
    let fixture = Fixture::new().await;
    let (watch, monitoring) = (fixture.watch(), fixture.monitoring().await);
    make_alarm(&watch, "quiet-errors").await;
    set(&watch, "quiet-errors", StateValue::Ok).await;
    let since = long_after(Timestamp::now());
    let mark = fixture.lab.mark();
    let verdict = evaluate(&*monitoring, &check(&["quiet-errors"]), since).await;
    assert_eq!(verdict, Verdict::Passed);
    let calls = fixture.calls_about("quiet-errors", mark);
    assert_eq!(calls, ["monitoring:DescribeAlarms"]);

    set(&watch, "quiet-errors", StateValue::InsufficientData).await;
    let verdict = evaluate(&*monitoring, &check(&["quiet-errors"]), since).await;
    assert!(matches!(verdict, Verdict::Inconclusive(_)), "{verdict:?}");
    let verdict = evaluate(&*monitoring, &check(&["quiet-missing"]), since).await;
    assert!(matches!(verdict, Verdict::Failed(_)), "{verdict:?}");
}

#[tokio::test]
async fn alarm_names_are_split_into_several_calls() {
    let fixture = Fixture::new().await;
    let (watch, monitoring) = (fixture.watch(), fixture.monitoring().await);
    make_alarm(&watch, "many-100").await;
    let names: Vec<String> = (0..=100).map(|n| format!("many-{n}")).collect();
    let mark = fixture.lab.mark();
    let alarms = monitoring.alarms(&names).await.expect("the alarms");
    assert_eq!(alarms.keys().collect::<Vec<_>>(), ["many-100"]);
    assert_eq!(fixture.calls_about("many-", mark).len(), 2);
}

fn datum(name: &str, value: f64, version: Option<&str>, at: Timestamp) -> MetricDatum {
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    let dimensions = version.map(|version| {
        vec![
            dimension("FunctionName", "shop"),
            dimension("Resource", "shop:live"),
            dimension("ExecutedVersion", version),
        ]
    });
    MetricDatum::builder()
        .metric_name(name)
        .value(value)
        .set_dimensions(dimensions)
        .timestamp(DateTime::from_millis(at.as_millisecond()))
        .build()
}

async fn publish(watch: &Client, namespace: &str, data: Vec<MetricDatum>) {
    let request = watch.put_metric_data().namespace(namespace);
    let request = request.set_metric_data(Some(data)).send();
    request.await.expect("the data is taken");
}

fn metric(value: Value) -> DesiredMetric {
    let check: MetricCheck = serde_json::from_value(value).expect("a check");
    DesiredMetric::new(&check, &Variables::default()).expect("no variables")
}

/// The ten minutes before the last two.
fn window() -> Window {
    let check = metric(json!({
        "metricStat": {"namespace": "N", "metricName": "M", "statistic": "Sum"},
        "threshold": {"max": 0},
    }));
    let now = Timestamp::now();
    let window = check.window(now - SignedDuration::from_mins(13), now);
    window.expect("ten minutes of data")
}

#[tokio::test]
async fn metric_is_one_value_over_the_window_with_its_samples() {
    let fixture = Fixture::new().await;
    let (watch, monitoring) = (fixture.watch(), fixture.monitoring().await);
    let window = window();
    let minute = |n: i64| window.from + SignedDuration::from_mins(n);
    let mut data: Vec<_> = (0..10)
        .map(|n| datum("Latency", f64::from(n), None, minute(i64::from(n))))
        .collect();
    // Data before and after the window, and of another metric by its dimensions.
    data.push(datum("Latency", 1000.0, None, minute(-1)));
    data.push(datum("Latency", 1000.0, None, window.to));
    data.push(datum("Latency", 1000.0, Some("7"), minute(1)));
    publish(&watch, "Window", data).await;

    for (statistic, expected) in [
        ("Sum", 45.0),
        ("Average", 4.5),
        ("Maximum", 9.0),
        ("SampleCount", 10.0),
        ("p50", 4.5),
    ] {
        let check = metric(json!({
            "metricStat": {"namespace": "Window", "metricName": "Latency", "statistic": statistic},
            "threshold": {"min": expected, "max": expected},
            "minimumSamples": 10,
        }));
        let series = monitoring.measure(&check.query(window, None)).await;
        let series = series.expect("a series");
        assert_eq!(
            series.values.len(),
            1,
            "{statistic}: one period, one number"
        );
        assert_eq!(check.judge(window, &series), Verdict::Passed, "{series:?}");
        let more = DesiredMetric {
            minimum_samples: 11,
            ..check
        };
        let verdict = more.judge(window, &series);
        assert!(matches!(verdict, Verdict::Inconclusive(_)), "{verdict:?}");
    }
}

#[tokio::test]
async fn metric_without_data_is_inconclusive() {
    let fixture = Fixture::new().await;
    let monitoring = fixture.monitoring().await;
    let check = metric(json!({
        "metricStat": {"namespace": "Nothing", "metricName": "Errors", "statistic": "Sum"},
        "threshold": {"max": 0},
    }));
    let window = window();
    let series = monitoring.measure(&check.query(window, None)).await;
    let series = series.expect("an empty series");
    assert!(series.values.is_empty() && series.samples.is_empty());
    let verdict = check.judge(window, &series);
    assert!(matches!(verdict, Verdict::Inconclusive(_)), "{verdict:?}");
}

#[tokio::test]
async fn expression_is_computed_over_the_whole_window() {
    let fixture = Fixture::new().await;
    let (watch, monitoring) = (fixture.watch(), fixture.monitoring().await);
    let window = window();
    let minute = |n: i64| window.from + SignedDuration::from_mins(n);
    let mut data = Vec::new();
    for n in 0..5 {
        data.push(datum("Calls", 10.0, None, minute(n)));
        data.push(datum("Errors", 1.0, None, minute(n)));
    }
    publish(&watch, "Math", data).await;
    let stat = |name: &str| json!({"namespace": "Math", "metricName": name, "statistic": "Sum"});
    let rate = |expression: &str, max: f64| {
        metric(json!({
            "metricMath": {
                "expression": expression,
                "metrics": [
                    {"id": "errors", "metricStat": stat("Errors")},
                    {"id": "calls", "metricStat": stat("Calls")},
                ],
                "samples": "calls",
            },
            "threshold": {"max": max},
            "minimumSamples": 5,
        }))
    };
    let fine = rate("100 * errors / calls", 10.0);
    let series = monitoring.measure(&fine.query(window, None)).await;
    let series = series.expect("a series");
    assert_eq!(fine.judge(window, &series), Verdict::Passed);
    let strict = rate("100 * errors / calls", 9.0);
    let verdict = strict.judge(window, &series);
    assert_eq!(
        verdict,
        Verdict::Failed("100 * errors / calls is 10 over 10m (5 samples), more than 9".into())
    );
    let wrong = rate("100 * errors / kalls", 10.0);
    let error = monitoring.measure(&wrong.query(window, None)).await;
    let error = error.expect_err("refused");
    assert_eq!(error.kind, CallErrorKind::Invalid, "{error}");
    assert!(error.message.contains("kalls"), "{error}");
}

#[tokio::test]
async fn metrics_of_two_function_versions_are_separate() {
    let fixture = Fixture::new().await;
    let (watch, monitoring) = (fixture.watch(), fixture.monitoring().await);
    let window = window();
    let minute = |n: i64| window.from + SignedDuration::from_mins(n);
    let mut data = Vec::new();
    for n in 0..4 {
        data.push(datum("Errors", 0.0, Some("6"), minute(n)));
        data.push(datum(
            "Errors",
            f64::from(u8::from(n == 2)),
            Some("7"),
            minute(n),
        ));
    }
    publish(&watch, "AWS/Lambda", data).await;
    let check = metric(json!({
        "component": "shop",
        "metricStat": {"namespace": "AWS/Lambda", "metricName": "Errors", "statistic": "Average"},
        "comparedToPrevious": {"maxIncreasePercent": 10, "maxIncrease": 0.2},
        "minimumSamples": 4,
    }));
    let of = |version: &'static str| {
        let served = Served {
            function: "shop",
            alias: "live",
            version,
        };
        let query = check.query(window, Some(served));
        let monitoring = &monitoring;
        async move { monitoring.measure(&query).await.expect("a series") }
    };
    let (new, old, older) = (of("7").await, of("6").await, of("5").await);
    let verdict = check.compare(window, &new, &old);
    let Verdict::Failed(why) = verdict else {
        panic!("{verdict:?}");
    };
    assert!(why.contains("is 0.25 over"), "{why}");
    assert_eq!(check.compare(window, &old, &new), Verdict::Passed);
    let verdict = check.compare(window, &new, &older);
    assert!(matches!(verdict, Verdict::Inconclusive(_)), "{verdict:?}");
}

#[tokio::test]
async fn cloudwatch_failures_are_inconclusive() {
    let fixture = Fixture::new().await;
    let monitoring = fixture.monitoring().await;
    let name = "troubled-errors";
    for (action, kind) in [
        (
            Action::Throttle,
            CallErrorKind::Throttled { retry_after: None },
        ),
        (
            Action::respond(500, "InternalServiceFault", "no"),
            CallErrorKind::Unavailable,
        ),
        (Action::DropRequest, CallErrorKind::Unavailable),
    ] {
        let on = Pattern::operation("monitoring", "DescribeAlarms").about(name);
        let _fault = fixture.lab.faults().add(Rule::always(on, action));
        let error = monitoring.alarms(&[name.to_owned()]).await;
        let error = error.expect_err("no answer");
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.resource.contains(name), "{error}");
        assert!(matches!(
            Verdict::unreadable(&error),
            Verdict::Inconclusive(_)
        ));
    }
}

#[tokio::test]
async fn missing_cloudwatch_permission_is_named() {
    let fixture = Fixture::new().await;
    // The hub's user may only assume roles and read the artifacts.
    let hub = fixture.account("hub");
    let permissions = allowed("*");
    let monitoring = fixture.cloud.monitoring(&hub, REGION, &permissions);
    let monitoring = monitoring.await.expect("a client");
    let error = monitoring.alarms(&["denied-errors".to_owned()]).await;
    let error = error.expect_err("refused");
    assert_eq!(error.kind, CallErrorKind::Denied, "{error}");
    assert!(
        error.message.contains("cloudwatch:DescribeAlarms"),
        "{error}"
    );
    let history = monitoring.transitions("denied-errors", Timestamp::now());
    let error = history.await.expect_err("refused");
    assert_eq!(error.kind, CallErrorKind::Denied, "{error}");
}

#[tokio::test]
async fn cloudwatch_client_shares_the_session_with_lambda() {
    let fixture = Fixture::new().await;
    let permissions = allowed("sharedwatch-*");
    let dev = fixture.account("dev");
    let functions = fixture.cloud.functions(&dev, REGION, &permissions);
    functions.await.expect("Lambda");
    let client = || async {
        let monitoring = fixture.cloud.monitoring(&dev, REGION, &permissions);
        monitoring.await.expect("CloudWatch")
    };
    assert!(Arc::ptr_eq(&client().await, &client().await));
    let text = fixture.metrics.encode().expect("text");
    let sessions = r#"sluice_aws_calls_total{service="sts",operation="AssumeRole",outcome="ok"} 1"#;
    assert!(text.contains(sessions), "{text}");
    let known =
        r#"sluice_aws_calls_total{service="sts",operation="GetCallerIdentity",outcome="ok"} 1"#;
    assert!(
        text.contains(known),
        "one GetCallerIdentity for both: {text}"
    );

    let names = ["sharedwatch-errors".to_owned()];
    client().await.alarms(&names).await.expect("no alarm");
    let text = fixture.metrics.encode().expect("text");
    let counted =
        r#"sluice_aws_calls_total{service="cloudwatch",operation="DescribeAlarms",outcome="ok"} 1"#;
    assert!(text.contains(counted), "{text}");
}
