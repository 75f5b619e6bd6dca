//! What must be true before, while and after traffic moves.
#![allow(
    clippy::struct_field_names,
    reason = "a comparison has nothing but bounds, and its schema is made from a copy of the type"
)]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What must be true: exactly one of these.
///
/// A function is invoked by its version's number before traffic moves and while a part of it has moved,
/// and through the alias after. Alarms are looked at before anything is changed; they, metrics and URLs
/// are looked at again and again while traffic moves and while it is watched.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("[has(self.invoke), has(self.alarms), has(self.metric), has(self.http)].filter(x, x).size() == 1")
    .message("exactly one of invoke, alarms, metric and http must be set"))]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// How messages call it.
    #[schemars(regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"), length(max = 63))]
    pub name: String,
    /// Invokes a function and looks at its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoke: Option<InvokeCheck>,
    /// CloudWatch alarms that must not be in `ALARM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarms: Option<AlarmsCheck>,
    /// A CloudWatch metric that must keep to a bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricCheck>,
    /// A URL that must answer as it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
}

/// Invokes a function and looks at its answer.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvokeCheck {
    /// Name of the component.
    #[schemars(length(min = 1, max = 63))]
    pub component: String,
    /// The event that the function gets: `{}` where it is left out. Strings in it take `$(…)`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(schema_with = "any_json")]
    pub payload: Option<serde_json::Value>,
    /// What the answer must be. Without it, any answer that is not an error will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expectation>,
    /// How long the answer may take.
    #[serde(default = "default_check_timeout")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(m|s))+$') && duration(self) >= duration('1s') && duration(self) <= duration('15m')")
        .message("must be a duration from 1s to 15m, such as 10s"))]
    pub timeout: String,
    /// How often the function is invoked each time, one after the other: each answer must be right. All
    /// of them together may take 15 minutes.
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

/// What a place in the answer must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Expectation {
    /// JSON pointer (RFC 6901) into the answer, such as `/statusCode`; empty for the whole answer.
    #[serde(default)]
    #[schemars(regex(pattern = r"^(/.*)?$"), length(max = 512))]
    pub path: String,
    /// The value that must be there, or `isNull`. Strings in it take `$(…)`. Integers are compared
    /// exactly, up to those of 64 bits; 200 and 200.0 are the same number.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(schema_with = "any_json")]
    pub equals: Option<serde_json::Value>,
    /// That null must be there. The same as `equals: null`, which `kubectl apply` and other patches take
    /// for a field that is to be removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_null: bool,
}

/// A null that is written is a value.
fn present<'de, D>(deserializer: D) -> Result<Option<serde_json::Value>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    serde_json::Value::deserialize(deserializer).map(Some)
}

fn any_json(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    // Without `nullable` the API server takes a null away as if it were not written.
    schemars::json_schema!({ "nullable": true, "x-kubernetes-preserve-unknown-fields": true })
}

/// CloudWatch alarms of the Target's account and region that must not be in `ALARM`.
///
/// An alarm that is in `ALARM` fails the check, and so does one that was at any time since the rollout
/// began, even if it is `OK` again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlarmsCheck {
    /// Names of metric and composite alarms. Take `$(…)`.
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 255)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub names: Vec<String>,
    /// What it means that one of them is in `ALARM` already when the rollout begins.
    #[serde(default)]
    pub already_in_alarm: AlreadyInAlarm,
    /// What it means that one of them is in `INSUFFICIENT_DATA`.
    #[serde(default)]
    pub insufficient_data: InsufficientData,
}

/// What an alarm means that was in `ALARM` before anything was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AlreadyInAlarm {
    /// The rollout does not begin: nobody could tell its own failures from those before.
    #[default]
    Fail,
    /// The alarm does not count until it has left `ALARM` once, so that what is broken can be
    /// repaired by a new release.
    Ignore,
}

/// What an alarm without enough data means, as one on errors has as long as there is no traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InsufficientData {
    /// Nothing yet: the check waits for data, and fails at its deadline.
    #[default]
    Wait,
    /// All is well.
    Pass,
    /// The check fails.
    Fail,
}

/// A CloudWatch metric, judged by one number over the whole time since the rollout began.
///
/// The number is what CloudWatch makes of all data since then: whole periods only, and nothing of the
/// last two minutes, in which data is still arriving. Exactly one of `metricStat` and `metricMath`,
/// and one of `threshold` and `comparedToPrevious`.
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
    /// Name of a Lambda component of which only the new version's data counts: the metrics of
    /// `AWS/Lambda` get the dimensions `FunctionName`, `Resource` (function and alias) and
    /// `ExecutedVersion` where they do not have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub component: Option<String>,
    /// One metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_stat: Option<MetricStat>,
    /// A value computed by CloudWatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_math: Option<MetricMath>,
    /// How often the metric gets data, in whole minutes: what is judged begins and ends at a multiple
    /// of it.
    #[serde(default = "default_period")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m))+$') && duration(self) >= duration('1m') && duration(self) <= duration('1h')")
        .message("must be a duration from 1m to 1h in whole minutes, such as 1m"))]
    pub period: String,
    /// Between which values the number must lie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
    /// How far the number may be from that of the version before, over the same time. Both must have
    /// traffic, so it is judged only while an alias sends to both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_to_previous: Option<ComparedToPrevious>,
    /// How many samples there must be before anything is judged. Of `AWS/Lambda` each invocation is
    /// one.
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
    /// Such as `AWS/Lambda`.
    #[schemars(length(min = 1, max = 255))]
    pub namespace: String,
    /// Such as `Errors`.
    #[schemars(length(min = 1, max = 255))]
    pub metric_name: String,
    /// All of the metric's dimensions: CloudWatch keeps each combination as a metric of its own.
    /// Values take `$(…)`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 30))]
    pub dimensions: BTreeMap<String, String>,
    /// One of CloudWatch's statistics: `Average`, `Sum`, `Minimum`, `Maximum`, `SampleCount`, `p99`,
    /// `tm95`, `IQM`.
    #[schemars(
        regex(
            pattern = r"^(SampleCount|Average|Sum|Minimum|Maximum|IQM|(p|tm|wm|tc|ts)(100|[0-9]{1,2}([.][0-9]{1,10})?)|(PR|TM|WM|TC|TS)[(][0-9.%:]{1,32}[)])$"
        ),
        length(max = 40)
    )]
    pub statistic: String,
}

/// A CloudWatch expression that gives one number: metric math, or a Metrics Insights query.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.samples) || (has(self.metrics) && self.metrics.exists(m, m.id == self.samples))")
        .message(Message::Expression("'samples must be the id of one of metrics[]; there is no ' + self.samples".into()))
)]
pub struct MetricMath {
    /// Such as `100 * errors / invocations`, of ids in `metrics`. Takes `$(…)`.
    #[schemars(length(min = 1, max = 1024))]
    pub expression: String,
    /// What the expression names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub metrics: Vec<NamedMetric>,
    /// The id of the metric whose samples are counted for `minimumSamples`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub samples: Option<String>,
}

/// A metric that an expression names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedMetric {
    /// How the expression calls it.
    #[schemars(regex(pattern = r"^[a-z][a-zA-Z0-9_]*$"), length(max = 32))]
    pub id: String,
    /// What it is.
    pub metric_stat: MetricStat,
}

/// Between which values a number must lie.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.min) || has(self.max)").message("min or max must be set"),
    validation = Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max")
        .message("min must not be more than max")
)]
pub struct Threshold {
    /// The least that is fine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The most that is fine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// How far a number may be from that of the version before.
///
/// A bound in percent means nothing where the version before has 0. With a bound in the metric's own
/// unit beside it, only what exceeds both fails.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.maxIncreasePercent) || has(self.maxIncrease) || has(self.maxDecreasePercent) || has(self.maxDecrease)")
        .message("at least one of maxIncreasePercent, maxIncrease, maxDecreasePercent and maxDecrease must be set")
)]
pub struct ComparedToPrevious {
    /// How much more it may be, in percent of the version before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_increase_percent: Option<f64>,
    /// How much more it may be, in the metric's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_increase: Option<f64>,
    /// How much less it may be, in percent of the version before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_decrease_percent: Option<f64>,
    /// How much less it may be, in the metric's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_decrease: Option<f64>,
}

/// Asks a URL and looks at the answer.
///
/// The controller asks, from where it runs. Addresses inside its own network are refused unless the
/// platform team allows them.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.bodyPattern) || self.method != 'HEAD'")
        .message("the answer to HEAD has no body: use GET with bodyPattern")
)]
pub struct HttpCheck {
    /// What is asked: http or https, without user and password. Takes `$(…)`.
    #[schemars(regex(pattern = r"^(https?://|\$\()"), length(min = 1, max = 2048))]
    pub url: String,
    /// How it is asked.
    #[serde(default)]
    pub method: HttpMethod,
    /// The status codes that are fine: `404`, or `4xx` for all from 400 to 499. `2xx` where it is left
    /// out. Redirects are followed, unless one of their codes is among these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub expected_status: Vec<ExpectedStatus>,
    /// A regular expression that must match somewhere in the first 64 KiB of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub body_pattern: Option<String>,
    /// How long the answer may take, redirects included.
    #[serde(default = "default_check_timeout")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(m|s))+$') && duration(self) >= duration('1s') && duration(self) <= duration('1m')")
        .message("must be a duration from 1s to 1m, such as 10s"))]
    pub timeout: String,
}

/// A status code, or all that begin with a digit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(schema_with = "code_or_class")]
pub enum ExpectedStatus {
    /// Such as 404.
    Code(u16),
    /// Such as `4xx`.
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

/// How a URL is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HttpMethod {
    /// The whole answer.
    #[default]
    #[serde(rename = "GET")]
    Get,
    /// The answer without its body.
    #[serde(rename = "HEAD")]
    Head,
}
