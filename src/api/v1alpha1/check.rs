//! What must be true before, while and after traffic moves.
#![allow(
    clippy::struct_field_names,
    reason = "a comparison has nothing but bounds, and its schema is made from a copy of the type"
)]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What must be true: exactly one of `invoke`, `alarms`, `metric` and `http`.
///
/// `invoke` uses the new version's number before traffic moves and while a part of it has moved, and the
/// alias after that. Sluice reads alarms before any change. While traffic moves and bakes, Sluice evaluates
/// alarms, metrics and URLs repeatedly.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("[has(self.invoke), has(self.alarms), has(self.metric), has(self.http)].filter(x, x).size() == 1")
    .message("exactly one of invoke, alarms, metric and http must be set"))]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Name of the check, as messages show it.
    #[schemars(regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"), length(max = 63))]
    pub name: String,
    /// Invokes a function and checks its response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoke: Option<InvokeCheck>,
    /// CloudWatch alarms that must not be in `ALARM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarms: Option<AlarmsCheck>,
    /// A CloudWatch metric that must stay within bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricCheck>,
    /// A URL that must give the expected response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
}

/// Invokes a function and checks its response.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvokeCheck {
    /// Name of the component.
    #[schemars(length(min = 1, max = 63))]
    pub component: String,
    /// The event to invoke the function with. Defaults to `{}`. Strings in it take `$(…)`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(schema_with = "any_json")]
    pub payload: Option<serde_json::Value>,
    /// What the response must contain. Without it, any response that is not an error passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expectation>,
    /// Maximum time until the response.
    #[serde(default = "default_check_timeout")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(m|s))+$') && duration(self) >= duration('1s') && duration(self) <= duration('15m')")
        .message("must be a duration from 1s to 15m, such as 10s"))]
    pub timeout: String,
    /// Number of invocations per evaluation, one after the other. Each response must pass. All of them
    /// together may take 15 minutes.
    #[serde(default = "default_repeats")]
    #[schemars(range(min = 1, max = 20))]
    pub repeats: i32,
}

fn default_repeats() -> i32 {
    1
}

fn default_check_timeout() -> String {
    "10s".to_owned()
}

/// The expected value at a path of the response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Expectation {
    /// JSON pointer (RFC 6901) into the response, such as `/statusCode`. Empty for the whole response.
    #[serde(default)]
    #[schemars(regex(pattern = r"^(/.*)?$"), length(max = 512))]
    pub path: String,
    /// The expected value; use `isNull` for null. Strings in it take `$(…)`. Integers of up to 64 bits are
    /// compared exactly; 200 and 200.0 are the same number.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(schema_with = "any_json")]
    pub equals: Option<serde_json::Value>,
    /// Expect null. The same as `equals: null`, which `kubectl apply` and other patches interpret as the
    /// removal of the field.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_null: bool,
}

/// Keeps an explicit null as a value.
fn present<'de, D>(deserializer: D) -> Result<Option<serde_json::Value>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    serde_json::Value::deserialize(deserializer).map(Some)
}

fn any_json(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    // Without `nullable`, the API server drops an explicit null.
    schemars::json_schema!({ "nullable": true, "x-kubernetes-preserve-unknown-fields": true })
}

/// CloudWatch alarms of the Target's account and region that must not be in `ALARM`.
///
/// An alarm fails the check if it is in `ALARM`, or was at any time since the rollout began, even if it is
/// `OK` again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlarmsCheck {
    /// Names of metric and composite alarms. Take `$(…)`.
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 255)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub names: Vec<String>,
    /// How to treat an alarm that is already in `ALARM` when the rollout begins.
    #[serde(default)]
    pub already_in_alarm: AlreadyInAlarm,
    /// How to treat an alarm in `INSUFFICIENT_DATA`.
    #[serde(default)]
    pub insufficient_data: InsufficientData,
}

/// How to treat an alarm that was in `ALARM` before any change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AlreadyInAlarm {
    /// The rollout does not begin, because its own failures could not be distinguished from earlier ones.
    #[default]
    Fail,
    /// The alarm does not count until it has left `ALARM` once, so that a new Release can repair the
    /// failure.
    Ignore,
}

/// How to treat an alarm with insufficient data, such as an alarm on errors before any traffic arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InsufficientData {
    /// The check is inconclusive: it waits for data, and fails at its deadline.
    #[default]
    Wait,
    /// The check passes.
    Pass,
    /// The check fails.
    Fail,
}

/// A CloudWatch metric, judged by one number over the whole time since the rollout began.
///
/// CloudWatch computes the number from all data since then: whole periods only, without the last two
/// minutes, in which data is still arriving. Exactly one of `metricStat` and `metricMath`, and one of
/// `threshold` and `comparedToPrevious`, must be set.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.metricStat) != has(self.metricMath)")
        .message("exactly one of metricStat and metricMath must be set"),
    validation = Rule::new("has(self.threshold) != has(self.comparedToPrevious)")
        .message("exactly one of threshold and comparedToPrevious must be set"),
    validation = Rule::new("!has(self.component) || (has(self.metricStat) && self.metricStat.namespace == 'AWS/Lambda') || (has(self.metricMath) && has(self.metricMath.metrics) && self.metricMath.metrics.exists(m, m.metricStat.namespace == 'AWS/Lambda'))")
        .message("component needs a metric of the namespace AWS/Lambda"),
    validation = Rule::new("!has(self.comparedToPrevious) || has(self.component)")
        .message("comparedToPrevious needs component: the function whose versions are compared"),
    validation = Rule::new("!has(self.comparedToPrevious) || !has(self.metricStat) || !(self.metricStat.statistic in ['Sum', 'SampleCount'])")
        .message("versions get unequal shares of the traffic: compare an Average or a percentile, or divide by the invocations with metricMath"),
    validation = Rule::new("!has(self.metricMath) || has(self.metricMath.samples) || self.minimumSamples == 1")
        .message("minimumSamples needs metricMath.samples: the metric whose samples are counted")
)]
pub struct MetricCheck {
    /// Name of a Lambda component, of which only the new version's data counts. Metrics of `AWS/Lambda` get
    /// the dimensions `FunctionName`, `Resource` (function and alias) and `ExecutedVersion` if they don't
    /// have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub component: Option<String>,
    /// One metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_stat: Option<MetricStat>,
    /// A value that CloudWatch computes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_math: Option<MetricMath>,
    /// How often the metric gets data, in whole minutes. The evaluated time begins and ends at a multiple
    /// of it.
    #[serde(default = "default_period")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m))+$') && duration(self) >= duration('1m') && duration(self) <= duration('1h')")
        .message("must be a duration from 1m to 1h in whole minutes, such as 1m"))]
    pub period: String,
    /// Bounds of the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
    /// Maximum difference to the previous version's number over the same time. Both versions must have
    /// traffic, so Sluice judges it only while an alias routes to both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_to_previous: Option<ComparedToPrevious>,
    /// Minimum number of samples for a verdict. For `AWS/Lambda`, each invocation is one sample.
    #[serde(default = "default_minimum_samples")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub minimum_samples: i64,
}

fn default_period() -> String {
    "1m".to_owned()
}

fn default_minimum_samples() -> i64 {
    1
}

/// A statistic of one CloudWatch metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricStat {
    /// Namespace of the metric, such as `AWS/Lambda`.
    #[schemars(length(min = 1, max = 255))]
    pub namespace: String,
    /// Name of the metric, such as `Errors`.
    #[schemars(length(min = 1, max = 255))]
    pub metric_name: String,
    /// All dimensions of the metric. CloudWatch treats each combination as a separate metric. Values take
    /// `$(…)`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 30))]
    pub dimensions: BTreeMap<String, String>,
    /// A statistic of CloudWatch, such as `Average`, `Sum`, `Minimum`, `Maximum`, `SampleCount`, `p99`,
    /// `tm95` or `IQM`.
    #[schemars(
        regex(
            pattern = r"^(SampleCount|Average|Sum|Minimum|Maximum|IQM|(p|tm|wm|tc|ts)(100|[0-9]{1,2}([.][0-9]{1,10})?)|(PR|TM|WM|TC|TS)[(][0-9.%:]{1,32}[)])$"
        ),
        length(max = 40)
    )]
    pub statistic: String,
}

/// A CloudWatch expression that returns one number: metric math, or a Metrics Insights query.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.samples) || (has(self.metrics) && self.metrics.exists(m, m.id == self.samples))")
        .message(Message::Expression("'samples must be the id of one of metrics[]; there is no ' + self.samples".into()))
)]
pub struct MetricMath {
    /// The expression over ids of `metrics`, such as `100 * errors / invocations`. Takes `$(…)`.
    #[schemars(length(min = 1, max = 1024))]
    pub expression: String,
    /// The metrics that the expression uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub metrics: Vec<NamedMetric>,
    /// The id of the metric whose samples are counted for `minimumSamples`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub samples: Option<String>,
}

/// A metric that an expression uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedMetric {
    /// The id of the metric in the expression.
    #[schemars(regex(pattern = r"^[a-z][a-zA-Z0-9_]*$"), length(max = 32))]
    pub id: String,
    /// The metric and its statistic.
    pub metric_stat: MetricStat,
}

/// Bounds of a number.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.min) || has(self.max)").message("min or max must be set"),
    validation = Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max")
        .message("min must not be more than max")
)]
pub struct Threshold {
    /// The lower bound, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The upper bound, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// Maximum difference to the previous version's number.
///
/// A bound in percent allows no difference if the previous version's number is 0. With an additional bound
/// in the metric's own unit, only a difference that exceeds both fails.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.maxIncreasePercent) || has(self.maxIncrease) || has(self.maxDecreasePercent) || has(self.maxDecrease)")
        .message("at least one of maxIncreasePercent, maxIncrease, maxDecreasePercent and maxDecrease must be set")
)]
pub struct ComparedToPrevious {
    /// Maximum increase, in percent of the previous version's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_increase_percent: Option<f64>,
    /// Maximum increase, in the metric's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_increase: Option<f64>,
    /// Maximum decrease, in percent of the previous version's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_decrease_percent: Option<f64>,
    /// Maximum decrease, in the metric's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_decrease: Option<f64>,
}

/// Requests a URL and checks the response.
///
/// The controller sends the request from its own network. It refuses addresses that are not public unless
/// the platform team allows them.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.bodyPattern) || self.method != 'HEAD'")
        .message("the answer to HEAD has no body: use GET with bodyPattern")
)]
pub struct HttpCheck {
    /// The URL: http or https, without user and password. Takes `$(…)`.
    #[schemars(regex(pattern = r"^(https?://|\$\()"), length(min = 1, max = 2048))]
    pub url: String,
    /// The HTTP method.
    #[serde(default)]
    pub method: HttpMethod,
    /// The status codes that pass: `404`, or `4xx` for all from 400 to 499. Defaults to `2xx`. Sluice
    /// follows a redirect unless its code is listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub expected_status: Vec<ExpectedStatus>,
    /// A regular expression that must match somewhere in the first 64 KiB of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub body_pattern: Option<String>,
    /// Maximum time until the response, redirects included.
    #[serde(default = "default_check_timeout")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(m|s))+$') && duration(self) >= duration('1s') && duration(self) <= duration('1m')")
        .message("must be a duration from 1s to 1m, such as 10s"))]
    pub timeout: String,
}

/// A status code, or a class of status codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(schema_with = "code_or_class")]
pub enum ExpectedStatus {
    /// A status code, such as 404.
    Code(u16),
    /// A class of status codes, such as `4xx`.
    Class(String),
}

fn code_or_class(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "x-kubernetes-int-or-string": true,
        "minimum": 100,
        "maximum": 599,
        "pattern": "^[1-5]xx$",
        "maxLength": 3,
    })
}

/// The HTTP method of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HttpMethod {
    /// The whole response.
    #[default]
    #[serde(rename = "GET")]
    Get,
    /// The response without its body.
    #[serde(rename = "HEAD")]
    Head,
}
