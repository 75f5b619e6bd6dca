//! Verdicts on numbers, and on missing data.

use serde_json::{Value, json};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn metric(change: &Value) -> DesiredMetric {
    let mut check = json!({
        "metricStat": {"namespace": "AWS/Lambda", "metricName": "Errors", "statistic": "Average"},
        "threshold": {"max": 0.05},
        "minimumSamples": 10,
    });
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => check.as_object_mut().unwrap().remove(name),
            value => check
                .as_object_mut()
                .unwrap()
                .insert(name.clone(), value.clone()),
        };
    }
    DesiredMetric::new(
        &serde_json::from_value(check).unwrap(),
        &Variables::default(),
    )
    .unwrap()
}

fn comparison(bound: &Value) -> DesiredMetric {
    metric(&json!({"component": "api", "threshold": null, "comparedToPrevious": bound}))
}

fn window() -> Window {
    Window {
        from: at(600),
        to: at(900),
    }
}

/// One data point.
fn series(value: f64, samples: f64) -> Series {
    Series {
        values: BTreeMap::from([(at(600), value)]),
        samples: BTreeMap::from([(at(600), samples)]),
    }
}

fn points(points: &[(i64, f64, f64)]) -> Series {
    Series {
        values: points
            .iter()
            .map(|(second, value, _)| (at(*second), *value))
            .collect(),
        samples: points
            .iter()
            .map(|(second, _, samples)| (at(*second), *samples))
            .collect(),
    }
}

#[track_caller]
fn assert_outcome(verdict: &Verdict, expected: &str) {
    let outcome = match verdict {
        Verdict::Passed => "passed".to_owned(),
        Verdict::Failed(why) => format!("failed: {why}"),
        Verdict::Inconclusive(why) => format!("not yet: {why}"),
    };
    assert_eq!(outcome, expected);
}

#[test]
fn metric_window_has_whole_periods_whose_data_has_arrived() {
    let one = metric(&json!({}));
    let five = metric(&json!({"period": "5m"}));
    for (check, since, now, expected) in [
        (&one, 600, 779, None),
        (&one, 600, 780, Some((600, 660))),
        (&one, 601, 900, Some((660, 780))),
        (&five, 600, 1019, None),
        (&five, 600, 1020, Some((600, 900))),
        (&five, 660, 1320, Some((900, 1200))),
        (&one, 600, 90_120, Some((3600, 90_000))),
        (&one, 600, 0, None),
    ] {
        let window = check.window(at(since), at(now));
        let expected = expected.map(|(from, to)| Window {
            from: at(from),
            to: at(to),
        });
        assert_eq!(window, expected, "{since} to {now}");
    }
    let late = at(660) + SignedDuration::from_millis(1);
    let window = one.window(late, at(1000)).unwrap();
    assert_eq!(
        window.from,
        at(720),
        "the minute in which the rollout began does not count"
    );
    assert_eq!(window.length(), Duration::from_mins(2));
}

#[test]
fn metric_value_is_compared_with_its_threshold() {
    let both = metric(&json!({"threshold": {"min": 1, "max": 5}}));
    let name = "Average of AWS/Lambda Errors";
    for (value, expected) in [
        (1.0, "passed".to_owned()),
        (5.0, "passed".to_owned()),
        (
            5.25,
            format!("failed: {name} is 5.25 over 5m (40 samples), more than 5"),
        ),
        (
            0.5,
            format!("failed: {name} is 0.5 over 5m (40 samples), less than 1"),
        ),
    ] {
        assert_outcome(&both.judge(window(), &series(value, 40.0)), &expected);
    }
    let most = metric(&json!({"threshold": {"max": 0}}));
    assert_outcome(&most.judge(window(), &series(-3.0, 40.0)), "passed");
    assert_outcome(
        &most.judge(window(), &series(1e-9, 40.0)),
        &format!("failed: {name} is 1e-9 over 5m (40 samples), more than 0"),
    );
}

#[test]
fn too_few_samples_are_inconclusive() {
    let check = metric(&json!({}));
    let name = "Average of AWS/Lambda Errors";
    for (series, expected) in [
        (
            Series::default(),
            format!("not yet: {name} has 0 of 10 samples over 5m"),
        ),
        (
            series(0.0, 9.0),
            format!("not yet: {name} has 9 of 10 samples over 5m"),
        ),
        (
            series(1.0, 9.0),
            format!("not yet: {name} has 9 of 10 samples over 5m"),
        ),
        (
            series(f64::NAN, 10.0),
            format!("not yet: {name} has no value over 5m"),
        ),
        (
            Series {
                values: BTreeMap::new(),
                ..series(0.0, 10.0)
            },
            format!("not yet: {name} has no value over 5m"),
        ),
    ] {
        assert_outcome(&check.judge(window(), &series), &expected);
    }
    assert_outcome(&check.judge(window(), &series(0.0, 10.0)), "passed");
    assert_outcome(
        &check.too_early(),
        "not yet: no whole period of 1m lies between the beginning of the step and CloudWatch's newest data yet",
    );
    // A check without a minimum still needs one sample.
    let none = DesiredMetric {
        minimum_samples: 0,
        ..metric(&json!({}))
    };
    assert!(matches!(
        none.judge(window(), &Series::default()),
        Verdict::Inconclusive(_)
    ));
}

#[test]
fn several_data_points_are_combined() {
    let series = points(&[(600, 1.0, 90.0), (660, 11.0, 10.0)]);
    for (statistic, expected) in [
        ("Sum", 12.0),
        ("SampleCount", 12.0),
        ("Minimum", 1.0),
        ("Maximum", 11.0),
        ("Average", 2.0),
        ("p99", 2.0),
    ] {
        let check = metric(&json!({
            "metricStat": {"namespace": "N", "metricName": "M", "statistic": statistic},
        }));
        assert_eq!(check.value(&series), Some(expected), "{statistic}");
    }
}

#[test]
fn expression_counts_the_samples_of_the_named_metric() {
    let stat = |name: &str| json!({"namespace": "N", "metricName": name, "statistic": "Sum"});
    let math = |samples: Value| {
        metric(&json!({
            "metricStat": null,
            "metricMath": {
                "expression": "100 * errors / calls",
                "metrics": [
                    {"id": "errors", "metricStat": stat("Errors")},
                    {"id": "calls", "metricStat": stat("Calls")},
                ],
                "samples": samples,
            },
            "threshold": {"max": 1},
            "minimumSamples": if samples.is_null() { 1 } else { 10 },
        }))
    };
    let counted = math(json!("calls"));
    assert_outcome(
        &counted.judge(window(), &series(0.0, 9.0)),
        "not yet: 100 * errors / calls has 9 of 10 samples over 5m",
    );
    assert_outcome(&counted.judge(window(), &series(0.5, 10.0)), "passed");
    let uncounted = math(Value::Null);
    let value_alone = |value| Series {
        samples: BTreeMap::new(),
        ..series(value, 0.0)
    };
    assert_outcome(&uncounted.judge(window(), &value_alone(0.5)), "passed");
    assert_outcome(
        &uncounted.judge(window(), &value_alone(2.0)),
        "failed: 100 * errors / calls is 2 over 5m (1 samples), more than 1",
    );
    assert_outcome(
        &uncounted.judge(window(), &Series::default()),
        "not yet: 100 * errors / calls has 0 of 1 samples over 5m",
    );
}

#[test]
fn metric_value_is_compared_with_the_previous_version() {
    let relative = comparison(&json!({"maxIncreasePercent": 10}));
    let absolute = comparison(&json!({"maxIncrease": 0.01}));
    let either = comparison(&json!({"maxIncreasePercent": 10, "maxIncrease": 0.01}));
    let fewer = comparison(&json!({"maxDecreasePercent": 50}));
    for (case, check, new, old, passes) in [
        ("within", &relative, 0.11, 0.10, true),
        ("above", &relative, 0.12, 0.10, false),
        ("less is fine", &relative, 0.01, 0.10, true),
        ("nothing before", &relative, 0.001, 0.0, false),
        (
            "nothing before, by a fixed amount",
            &absolute,
            0.001,
            0.0,
            true,
        ),
        ("more than the amount", &absolute, 0.02, 0.0, false),
        ("the larger of both counts", &either, 0.005, 0.0, true),
        ("the larger of both counts", &either, 1.09, 1.0, true),
        ("more than both", &either, 1.2, 1.0, false),
        ("half as much", &fewer, 5.0, 10.0, true),
        ("much less", &fewer, 4.0, 10.0, false),
        ("more is fine", &fewer, 40.0, 10.0, true),
    ] {
        let verdict = check.compare(window(), &series(new, 100.0), &series(old, 900.0));
        assert_eq!(verdict == Verdict::Passed, passes, "{case}: {verdict:?}");
        assert!(
            !matches!(verdict, Verdict::Inconclusive(_)),
            "{case}: {verdict:?}"
        );
    }
    assert_outcome(
        &relative.compare(window(), &series(0.2, 100.0), &series(0.1, 900.0)),
        "failed: Average of AWS/Lambda Errors is 0.2 over 5m (100 samples), higher than the 0.1 of the \
         previous version (900 samples) by more than 0.01",
    );
}

#[test]
fn comparison_needs_samples_of_both_versions() {
    let check = comparison(&json!({"maxIncrease": 0}));
    let name = "Average of AWS/Lambda Errors";
    assert_outcome(
        &check.compare(window(), &series(9.0, 1.0), &series(0.0, 900.0)),
        &format!("not yet: the new version: {name} has 1 of 10 samples over 5m"),
    );
    assert_outcome(
        &check.compare(window(), &series(0.0, 100.0), &Series::default()),
        &format!("not yet: the previous version: {name} has 0 of 10 samples over 5m"),
    );
    assert_outcome(
        &check.judge(window(), &series(0.0, 100.0)),
        "not yet: the previous version has no traffic to compare with",
    );
}

#[test]
fn lambda_metrics_get_the_dimensions_of_one_version() {
    let served = Served {
        function: "checkout-api",
        alias: "live",
        version: "7",
    };
    let check = metric(&json!({
        "component": "api",
        "metricStat": {
            "namespace": "AWS/Lambda", "metricName": "Errors", "statistic": "Average",
            "dimensions": {"Resource": "checkout-api:other"},
        },
    }));
    let MetricSource::Stat(stat) = check.query(window(), Some(served)).source else {
        panic!("not a metric stat");
    };
    let dimensions: Vec<_> = stat
        .dimensions
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    assert_eq!(
        dimensions,
        [
            ("ExecutedVersion", "7"),
            ("FunctionName", "checkout-api"),
            ("Resource", "checkout-api:other"),
        ]
    );
    let alone = check.query(window(), None).source;
    assert_eq!(alone, check.source);

    let math = metric(&json!({
        "component": "api",
        "metricStat": null,
        "minimumSamples": 1,
        "metricMath": {
            "expression": "a / b",
            "metrics": [
                {"id": "a", "metricStat": {"namespace": "AWS/Lambda", "metricName": "Errors", "statistic": "Sum"}},
                {"id": "b", "metricStat": {"namespace": "Shop", "metricName": "Orders", "statistic": "Sum"}},
            ],
        },
    }));
    let MetricSource::Math(math) = math.query(window(), Some(served)).source else {
        panic!("not an expression");
    };
    let counts: Vec<_> = math
        .metrics
        .iter()
        .map(|one| one.metric_stat.dimensions.len())
        .collect();
    assert_eq!(counts, [3, 0]);
}

#[test]
fn bake_without_a_whole_period_of_data_is_refused() {
    let check = metric(&json!({"period": "5m"}));
    assert_eq!(check.refuse_bake(Duration::from_mins(12)), None);
    let why = check.refuse_bake(Duration::from_mins(10)).unwrap();
    assert!(why.ends_with("at least 12m"), "{why}");
}

#[test]
fn invalid_check_names_its_field() {
    let refused = |change: fn(&mut MetricCheck)| {
        let mut check: MetricCheck = serde_json::from_value(json!({
            "metricStat": {
                "namespace": "N", "metricName": "M", "statistic": "Sum",
                "dimensions": {"Stage": "$(stage.name)"},
            },
            "threshold": {"max": 1},
        }))
        .unwrap();
        change(&mut check);
        let variables = Variables::default().with("stage.name", "dev");
        DesiredMetric::new(&check, &variables).map_err(|error| error.field)
    };
    let fine = refused(|_| {}).unwrap();
    let MetricSource::Stat(stat) = fine.source else {
        panic!("not a metric stat");
    };
    assert_eq!(stat.dimensions["Stage"], "dev");
    for (change, field) in [
        (
            (|check| check.period = "90s".into()) as fn(&mut MetricCheck),
            "metric.period",
        ),
        (|check| check.period = "0m".into(), "metric.period"),
        (|check| check.threshold = None, "metric"),
        (|check| check.metric_stat = None, "metric"),
        (
            |check| {
                let dimensions = &mut check.metric_stat.as_mut().unwrap().dimensions;
                dimensions.insert("Stage".into(), "$(stage.nmae)".into());
            },
            "metric.metricStat.dimensions.Stage",
        ),
        (
            |check| {
                check.threshold = None;
                check.compared_to_previous = Some(ComparedToPrevious::default());
            },
            "metric.comparedToPrevious",
        ),
    ] {
        assert_eq!(refused(change).unwrap_err(), field);
    }
}
