//! Checks of alarms, metrics and URLs that the schema accepts and refuses, on a real API server. They are as
//! deep inside a resource as in a Deployment: the cost limit of a rule depends on how often it may be
//! evaluated.

use std::sync::LazyLock;

use kube::{CustomResource, CustomResourceExt as _, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sluice::api::v1alpha1::{AlarmsCheck, HttpCheck, MetricCheck};
use sluice_lab::kube::User;

use crate::cluster::{accepted, cluster, create, refused};

#[derive(CustomResource, KubeSchema, Clone, Debug, Serialize, Deserialize)]
#[kube(group = "trial.sluice.dev", version = "v1", kind = "Trial", namespaced)]
struct TrialSpec {
    #[schemars(length(max = 16))]
    stages: Vec<TrialStage>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct TrialStage {
    #[schemars(length(max = 32))]
    checks: Vec<TrialCheck>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct TrialCheck {
    #[serde(skip_serializing_if = "Option::is_none")]
    alarms: Option<AlarmsCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<MetricCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<HttpCheck>,
}

/// Creates the definition, and waits until it is served.
static DEFINED: LazyLock<()> = LazyLock::new(|| {
    let definition = serde_json::to_string(&Trial::crd()).unwrap();
    accepted(&create(cluster(), &[], &definition));
    let arguments = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "customresourcedefinitions/trials.trial.sluice.dev",
    ];
    cluster().kubectl_text(User::Admin, &arguments).unwrap();
});

fn try_create(check: &Value) -> std::process::Output {
    LazyLock::force(&DEFINED);
    let trial = json!({
        "apiVersion": "trial.sluice.dev/v1",
        "kind": "Trial",
        "metadata": {"name": "trial"},
        "spec": {"stages": [{"checks": [check]}]},
    });
    let options = ["--dry-run=server", "--namespace=default", "--output=json"];
    create(cluster(), &options, &trial.to_string())
}

/// The check as the API server stores it.
fn stored(check: &Value) -> Value {
    let output = try_create(check);
    accepted(&output);
    let trial: Value = serde_json::from_slice(&output.stdout).unwrap();
    trial["spec"]["stages"][0]["checks"][0].clone()
}

/// `base` with the members of `change`; null removes one.
fn with(base: &Value, change: &Value) -> Value {
    let mut changed = base.clone();
    for (name, value) in change.as_object().unwrap() {
        let members = changed.as_object_mut().unwrap();
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    changed
}

/// Asserts that the API server accepts each change of `base`, or refuses it with that text.
fn check(kind: &str, base: &Value, cases: &[(Value, Option<&str>)]) {
    for (change, refusal) in cases {
        println!("{kind}: {change}");
        let output = try_create(&json!({kind: with(base, change)}));
        match refusal {
            Some(why) => refused(&output, why),
            None => accepted(&output),
        }
    }
}

#[test]
fn alarms_check_needs_names_and_defaults_the_rest() {
    let base = json!({"names": ["errors"]});
    assert_eq!(
        stored(&json!({"alarms": base}))["alarms"],
        json!({"names": ["errors"], "alreadyInAlarm": "Fail", "insufficientData": "Wait"})
    );
    let many: Vec<String> = (0..21).map(|n| format!("alarm-{n}")).collect();
    check(
        "alarms",
        &base,
        &[
            (json!({"names": ["a b", "errors-$(stage.name)"]}), None),
            (json!({"names": many[..20]}), None),
            (json!({"names": many}), Some("must have at most 20 items")),
            (json!({"names": []}), Some("should have at least 1 items")),
            (json!({"names": ["a", "a"]}), Some("Duplicate value")),
            (json!({"names": [""]}), Some("should be at least 1 chars")),
            (json!({"alreadyInAlarm": "Ignore"}), None),
            (json!({"alreadyInAlarm": "Wait"}), Some("Unsupported value")),
            (json!({"insufficientData": "Pass"}), None),
            (json!({"insufficientData": "OK"}), Some("Unsupported value")),
        ],
    );
}

#[test]
fn metric_check_has_one_source_and_one_bound() {
    let stat = |namespace: &str, statistic: &str| json!({"namespace": namespace, "metricName": "Errors", "statistic": statistic});
    let lambda = |statistic: &str| stat("AWS/Lambda", statistic);
    let base = json!({"metricStat": lambda("Sum"), "threshold": {"max": 5}});
    let stored = stored(&json!({"metric": base}));
    assert_eq!(stored["metric"]["period"], "1m");
    assert_eq!(stored["metric"]["minimumSamples"], 1);
    let math = json!({
        "expression": "errors / calls",
        "metrics": [{"id": "errors", "metricStat": lambda("Sum")}, {"id": "calls", "metricStat": lambda("Sum")}],
        "samples": "calls",
    });
    let either = "exactly one of metricStat and metricMath must be set";
    let bound = "exactly one of threshold and comparedToPrevious must be set";
    let compared = json!({"maxIncreasePercent": 10, "maxIncrease": 0.01});
    check(
        "metric",
        &base,
        &[
            (json!({"metricStat": null, "metricMath": math}), None),
            (json!({"metricMath": math}), Some(either)),
            (json!({"metricStat": null}), Some(either)),
            (json!({"threshold": null}), Some(bound)),
            (json!({"comparedToPrevious": compared}), Some(bound)),
            (
                json!({"threshold": null, "comparedToPrevious": compared, "component": "api", "metricStat": lambda("Average")}),
                None,
            ),
            (
                json!({"threshold": null, "comparedToPrevious": compared, "metricStat": lambda("Average")}),
                Some("comparedToPrevious needs component"),
            ),
            (
                json!({"threshold": null, "comparedToPrevious": compared, "component": "api"}),
                Some("unequal shares of the traffic"),
            ),
            (
                json!({"threshold": null, "comparedToPrevious": {}, "component": "api", "metricStat": lambda("p99")}),
                Some("at least one of maxIncreasePercent"),
            ),
            (json!({"component": "api"}), None),
            (
                json!({"component": "api", "metricStat": stat("Shop", "Sum")}),
                Some("component needs a metric of the namespace AWS/Lambda"),
            ),
            (json!({"threshold": {}}), Some("min or max must be set")),
            (json!({"threshold": {"min": 0.5, "max": 0.5}}), None),
            (
                json!({"threshold": {"min": 2, "max": 1}}),
                Some("min must not be more than max"),
            ),
            (json!({"period": "5m"}), None),
            (
                json!({"period": "90s"}),
                Some("must be a duration from 1m to 1h"),
            ),
            (
                json!({"period": "2h"}),
                Some("must be a duration from 1m to 1h"),
            ),
            (json!({"minimumSamples": 100}), None),
            (json!({"minimumSamples": 0}), Some("minimumSamples")),
            (
                json!({"metricStat": null, "minimumSamples": 2, "metricMath": with(&math, &json!({"samples": null}))}),
                Some("minimumSamples needs metricMath.samples"),
            ),
            (
                json!({"metricStat": null, "metricMath": with(&math, &json!({"samples": "other"}))}),
                Some("samples must be the id of one of metrics[]; there is no other"),
            ),
            (
                json!({"metricStat": null, "metricMath": {"expression": "SELECT AVG(Errors) FROM Shop"}}),
                None,
            ),
        ],
    );
    for statistic in [
        "Average",
        "SampleCount",
        "Maximum",
        "p99",
        "p99.9",
        "p100",
        "tm95",
        "IQM",
        "TM(2%:98%)",
        "PR(:300)",
    ] {
        let metric = with(&base, &json!({"metricStat": stat("Shop", statistic)}));
        accepted(&try_create(&json!({"metric": metric})));
    }
    for statistic in ["average", "p", "p101", "p99,9", "Sum ", ""] {
        let metric = with(&base, &json!({"metricStat": stat("Shop", statistic)}));
        refused(&try_create(&json!({"metric": metric})), "statistic");
    }
}

#[test]
fn http_check_is_within_bounds() {
    let base = json!({"url": "https://shop.example.com/health"});
    assert_eq!(
        stored(&json!({"http": base}))["http"],
        json!({"url": "https://shop.example.com/health", "method": "GET", "timeout": "10s"})
    );
    check(
        "http",
        &base,
        &[
            (json!({"url": "$(components.site.outputs.url)"}), None),
            (json!({"url": "http://10.0.0.1:8080/"}), None),
            (json!({"url": "shop.example.com"}), Some("http.url")),
            (json!({"url": "file:///etc/passwd"}), Some("http.url")),
            (json!({"expectedStatus": [200, 404]}), None),
            (json!({"expectedStatus": [204, "4xx"]}), None),
            (json!({"expectedStatus": [99]}), Some("expectedStatus")),
            (json!({"expectedStatus": ["6xx"]}), Some("expectedStatus")),
            (json!({"expectedStatus": ["404"]}), Some("expectedStatus")),
            (
                json!({"expectedStatus": [200, 200]}),
                Some("Duplicate value"),
            ),
            (json!({"bodyPattern": "\"ok\""}), None),
            (json!({"method": "HEAD"}), None),
            (json!({"method": "POST"}), Some("Unsupported value")),
            (
                json!({"method": "HEAD", "bodyPattern": "ok"}),
                Some("the answer to HEAD has no body"),
            ),
            (json!({"timeout": "1m"}), None),
            (
                json!({"timeout": "2m"}),
                Some("must be a duration from 1s to 1m"),
            ),
        ],
    );
}
