//! A CloudWatch metric, compared with a threshold or with the previous version.
//!
//! Expected flow: at each analysis, [`DesiredMetric::window`] returns the time that can be judged,
//! [`DesiredMetric::query`] the query (a comparison makes another one for the previous version), and
//! [`DesiredMetric::judge`] or [`DesiredMetric::compare`] the verdict.
//!
//! The verdict uses one number over all whole periods since the rollout began. The query has one period as
//! long as that time, which returns percentiles and averages of all of its data. CloudWatch begins a period
//! where the query begins, and so returns one data point; several data points are combined as well as
//! possible.
//!
//! Guarantees: too few samples, no data, and a window that has not ended never make a check pass or fail.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{cloudwatch::CLOUDWATCH_DELAY, verdict::Verdict};
use crate::{
    api::v1alpha1::{ComparedToPrevious, MetricCheck, MetricMath, MetricStat, Threshold},
    domain::{
        duration::{duration, shown},
        invalid::Invalid,
        substitution::Variables,
    },
};

/// The longest period that CloudWatch accepts.
const LONGEST_PERIOD: SignedDuration = SignedDuration::from_hours(24);

/// The namespace whose metrics have the executed version as a dimension.
const LAMBDA: &str = "AWS/Lambda";

/// The metric or expression of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricSource {
    /// A statistic of one metric.
    Stat(MetricStat),
    /// An expression.
    Math(MetricMath),
}

/// A query for one number over a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricQuery {
    /// The metric or expression.
    pub source: MetricSource,
    /// The time.
    pub window: Window,
}

/// A time between whole minutes, at most a day long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The beginning, inclusive.
    pub from: Timestamp,
    /// The end, exclusive.
    pub to: Timestamp,
}

impl Window {
    /// The length, which is the query's period.
    pub fn length(self) -> Duration {
        self.to.duration_since(self.from).unsigned_abs()
    }
}

/// The data points of a query's result, by the beginning of each period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// The values.
    pub values: BTreeMap<Timestamp, f64>,
    /// The numbers of samples (`SampleCount`); empty if the query does not include them.
    pub samples: BTreeMap<Timestamp, f64>,
}

/// A function's version behind its alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served<'a> {
    /// The function's name.
    pub function: &'a str,
    /// The alias that is invoked.
    pub alias: &'a str,
    /// The version that runs.
    pub version: &'a str,
}

/// A metric check on a Target.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredMetric {
    /// The Lambda component of which only one version's data counts.
    pub component: Option<String>,
    /// The metric or expression.
    pub source: MetricSource,
    /// The window begins and ends at a multiple of this period.
    pub period: Duration,
    /// The minimum number of samples for a verdict.
    pub minimum_samples: i64,
    /// The bound of the number.
    pub bound: Bound,
}

/// The bound of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// A minimum, a maximum or both.
    Threshold(Threshold),
    /// A maximum difference to the previous version's number.
    Previous(ComparedToPrevious),
}

/// One number and its samples.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Measured {
    value: f64,
    samples: f64,
}

impl DesiredMetric {
    /// The check with substituted names. The field of an error is relative to the check:
    /// `metric.metricStat.dimensions.Stage`.
    pub fn new(check: &MetricCheck, variables: &Variables) -> Result<Self, Invalid> {
        let invalid = |field: &str, message: &str| Invalid {
            field: format!("metric{field}"),
            message: message.to_owned(),
        };
        let source = match (&check.metric_stat, &check.metric_math) {
            (Some(stat), None) => {
                MetricSource::Stat(definite(stat, "metric.metricStat", variables)?)
            }
            (None, Some(math)) => MetricSource::Math(definite_math(math, variables)?),
            _ => {
                let message = "exactly one of metricStat and metricMath must be set";
                return Err(invalid("", message));
            }
        };
        let bound = match (check.threshold, check.compared_to_previous) {
            (Some(threshold), None) => Bound::Threshold(threshold),
            (None, Some(compared)) if check.component.is_some() => Bound::Previous(compared),
            (None, Some(_)) => {
                return Err(invalid(".comparedToPrevious", "component must be set"));
            }
            _ => {
                let message = "exactly one of threshold and comparedToPrevious must be set";
                return Err(invalid("", message));
            }
        };
        let period = duration(&check.period)
            .filter(|period| period.as_secs() >= 60 && period.as_secs().is_multiple_of(60))
            .ok_or_else(|| invalid(".period", "must be a duration in whole minutes, such as 1m"))?;
        Ok(Self {
            component: check.component.clone(),
            source,
            period,
            minimum_samples: check.minimum_samples,
            bound,
        })
    }

    /// The time since the rollout began whose data has arrived, in whole periods: at most the last day.
    /// `None` until one whole period is over.
    pub fn window(&self, since: Timestamp, now: Timestamp) -> Option<Window> {
        let period = i64::try_from(self.period.as_secs()).ok()?.max(1);
        let delay = i64::try_from(CLOUDWATCH_DELAY.as_secs()).ok()?;
        // The first period begins after the rollout, so a fraction of a second is rounded up.
        let began = since.as_second() + i64::from(since.subsec_nanosecond() > 0);
        let from = began.div_euclid(period) * period;
        let from = if from < began { from + period } else { from };
        let to = (now.as_second() - delay).div_euclid(period) * period;
        let from = from.max(to - LONGEST_PERIOD.as_secs().div_euclid(period) * period);
        (from < to).then_some(Window {
            from: Timestamp::from_second(from).ok()?,
            to: Timestamp::from_second(to).ok()?,
        })
    }

    /// Why a bake is too short: no whole period of data would arrive in it.
    pub fn refuse_bake(&self, bake: Duration) -> Option<String> {
        let needed = self
            .period
            .saturating_mul(2)
            .saturating_add(CLOUDWATCH_DELAY);
        (bake < needed).then(|| {
            format!(
                "a bake of {} is too short for a metric with a period of {}, whose data may be {} late: \
                 it has to be at least {}",
                shown(bake),
                shown(self.period),
                shown(CLOUDWATCH_DELAY),
                shown(needed)
            )
        })
    }

    /// The query for this time. `served` is the version whose data counts, if the check names a component.
    pub fn query(&self, window: Window, served: Option<Served<'_>>) -> MetricQuery {
        let of = |stat: &MetricStat| match served {
            Some(served) => of_version(stat, served),
            None => stat.clone(),
        };
        let source = match &self.source {
            MetricSource::Stat(stat) => MetricSource::Stat(of(stat)),
            MetricSource::Math(math) => {
                let mut math = math.clone();
                for metric in &mut math.metrics {
                    metric.metric_stat = of(&metric.metric_stat);
                }
                MetricSource::Math(math)
            }
        };
        MetricQuery { source, window }
    }

    /// The verdict without a window.
    pub fn too_early(&self) -> Verdict {
        Verdict::Inconclusive(format!(
            "no whole period of {} lies between the beginning of the step and CloudWatch's newest data yet",
            shown(self.period)
        ))
    }

    /// The verdict for the number.
    pub fn judge(&self, window: Window, series: &Series) -> Verdict {
        let Bound::Threshold(threshold) = self.bound else {
            return Verdict::Inconclusive(
                "the previous version has no traffic to compare with".to_owned(),
            );
        };
        let measured = match self.measured(window, series, "") {
            Ok(measured) => measured,
            Err(verdict) => return verdict,
        };
        let failed = |relation: &str, limit: f64| {
            Verdict::Failed(format!(
                "{} is {} over {} ({} samples), {relation} {}",
                self.name(),
                number(measured.value),
                shown(window.length()),
                number(measured.samples),
                number(limit)
            ))
        };
        match (threshold.min, threshold.max) {
            (_, Some(max)) if measured.value > max => failed("more than", max),
            (Some(min), _) if measured.value < min => failed("less than", min),
            _ => Verdict::Passed,
        }
    }

    /// The verdict for the number, compared with the previous version's number over the same time.
    pub fn compare(&self, window: Window, series: &Series, previous: &Series) -> Verdict {
        let Bound::Previous(bound) = self.bound else {
            return self.judge(window, series);
        };
        let measured = self.measured(window, series, "the new version: ");
        let before = self.measured(window, previous, "the previous version: ");
        let (new, old) = match (measured, before) {
            (Ok(new), Ok(old)) => (new, old),
            (Err(verdict), _) | (_, Err(verdict)) => return verdict,
        };
        let more = allowance(old.value, bound.max_increase_percent, bound.max_increase);
        let less = allowance(old.value, bound.max_decrease_percent, bound.max_decrease);
        let failed = |direction: &str, allowed: f64| {
            Verdict::Failed(format!(
                "{} is {} over {} ({} samples), {direction} than the {} of the previous version ({} \
                 samples) by more than {}",
                self.name(),
                number(new.value),
                shown(window.length()),
                number(new.samples),
                number(old.value),
                number(old.samples),
                number(allowed)
            ))
        };
        match (more, less) {
            (Some(more), _) if new.value - old.value > more => failed("higher", more),
            (_, Some(less)) if old.value - new.value > less => failed("lower", less),
            _ => Verdict::Passed,
        }
    }

    fn measured(&self, window: Window, series: &Series, whose: &str) -> Result<Measured, Verdict> {
        let counted: f64 = series.samples.values().sum();
        let value = self.value(series);
        // For an expression without a metric that counts samples, each data point is one sample.
        let samples = match &self.source {
            MetricSource::Math(math) if math.samples.is_none() => points(series),
            _ => counted,
        };
        let wanted = self.minimum_samples.max(1);
        let inconclusive = |what: String| {
            let over = shown(window.length());
            Verdict::Inconclusive(format!("{whose}{} {what} over {over}", self.name()))
        };
        #[allow(clippy::cast_precision_loss, reason = "at most a thousand million")]
        let enough = samples >= wanted as f64;
        if !enough {
            let what = format!("has {} of {wanted} samples", number(samples));
            return Err(inconclusive(what));
        }
        match value.filter(|value| value.is_finite()) {
            Some(value) => Ok(Measured { value, samples }),
            None => Err(inconclusive("has no value".to_owned())),
        }
    }

    /// One number from the data points, of which there is usually one.
    fn value(&self, series: &Series) -> Option<f64> {
        let values = || series.values.values().copied();
        let statistic = match &self.source {
            MetricSource::Stat(stat) => stat.statistic.as_str(),
            MetricSource::Math(_) => "",
        };
        match statistic {
            "Sum" | "SampleCount" => values().reduce(|sum, value| sum + value),
            "Minimum" => values().reduce(f64::min),
            "Maximum" => values().reduce(f64::max),
            // Exact for averages, and an approximation for other statistics.
            _ => {
                let weight = |at| series.samples.get(at).copied().unwrap_or(1.0);
                let (sum, weights) = series
                    .values
                    .iter()
                    .map(|(at, value)| (value * weight(at), weight(at)))
                    .fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
                (weights > 0.0).then_some(sum / weights)
            }
        }
    }

    fn name(&self) -> String {
        match &self.source {
            MetricSource::Stat(stat) => {
                format!(
                    "{} of {} {}",
                    stat.statistic, stat.namespace, stat.metric_name
                )
            }
            MetricSource::Math(math) => math.expression.clone(),
        }
    }
}

/// The maximum difference to `old`: the larger one of the two bounds if both are set.
fn allowance(old: f64, percent: Option<f64>, absolute: Option<f64>) -> Option<f64> {
    let relative = percent.map(|percent| old.abs() * percent / 100.0);
    [relative, absolute].into_iter().flatten().reduce(f64::max)
}

#[allow(clippy::cast_precision_loss, reason = "a handful")]
fn points(series: &Series) -> f64 {
    series.values.len() as f64
}

fn of_version(stat: &MetricStat, served: Served<'_>) -> MetricStat {
    let mut stat = stat.clone();
    if stat.namespace == LAMBDA {
        let Served {
            function,
            alias,
            version,
        } = served;
        for (name, value) in [
            ("FunctionName", function.to_owned()),
            ("Resource", format!("{function}:{alias}")),
            ("ExecutedVersion", version.to_owned()),
        ] {
            stat.dimensions.entry(name.to_owned()).or_insert(value);
        }
    }
    stat
}

fn definite(stat: &MetricStat, field: &str, variables: &Variables) -> Result<MetricStat, Invalid> {
    let mut stat = stat.clone();
    for (name, value) in &mut stat.dimensions {
        *value = variables.expand(value).map_err(|error| Invalid {
            field: format!("{field}.dimensions.{name}"),
            message: error.to_string(),
        })?;
    }
    Ok(stat)
}

fn definite_math(math: &MetricMath, variables: &Variables) -> Result<MetricMath, Invalid> {
    let mut math = math.clone();
    math.expression = variables
        .expand(&math.expression)
        .map_err(|error| Invalid {
            field: "metric.metricMath.expression".to_owned(),
            message: error.to_string(),
        })?;
    for metric in &mut math.metrics {
        let field = format!("metric.metricMath.metrics[{}].metricStat", metric.id);
        metric.metric_stat = definite(&metric.metric_stat, &field, variables)?;
    }
    Ok(math)
}

/// Formats a number with at most four decimal places.
fn number(value: f64) -> String {
    // The sum of an empty series is -0.
    let value = value + 0.0;
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text {
        "0" | "-0" if value != 0.0 => format!("{value:e}"),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
