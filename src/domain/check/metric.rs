//! A CloudWatch metric against a threshold, or against the version before.
//!
//! Expected flow: at each look [`DesiredMetric::window`] says which time can be judged,
//! [`DesiredMetric::query`] what to ask for (for a comparison once more with the version before), and
//! [`DesiredMetric::judge`] or [`DesiredMetric::compare`] what the answers mean.
//!
//! One number is judged, over all whole periods since the rollout began: CloudWatch is asked for one
//! period as long as that time, which gives percentiles and averages of all of its data. It begins a
//! period where the question begins, so that one data point comes back; where several do, they are
//! put together as well as can be.
//!
//! Guarantees: too few samples, no data, and a window that has not come to its end are never taken
//! for a pass or a failure.

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

/// The longest period that CloudWatch takes.
const LONGEST_PERIOD: SignedDuration = SignedDuration::from_hours(24);

/// The namespace whose metrics know the version that ran.
const LAMBDA: &str = "AWS/Lambda";

/// What is asked of CloudWatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricSource {
    /// A statistic of one metric.
    Stat(MetricStat),
    /// An expression.
    Math(MetricMath),
}

/// A question for one number over a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricQuery {
    /// What.
    pub source: MetricSource,
    /// Over which time.
    pub window: Window,
}

/// A time from and to whole minutes, at most a day long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The beginning, inclusive.
    pub from: Timestamp,
    /// The end, exclusive.
    pub to: Timestamp,
}

impl Window {
    /// How long it is: what CloudWatch is given as the period.
    pub fn length(self) -> Duration {
        self.to.duration_since(self.from).unsigned_abs()
    }
}

/// What CloudWatch answers, by the beginning of each period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// The values.
    pub values: BTreeMap<Timestamp, f64>,
    /// The samples behind them (`SampleCount`); empty where they were not asked for.
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
    /// What is asked for.
    pub source: MetricSource,
    /// What the window begins and ends at a multiple of.
    pub period: Duration,
    /// How many samples it takes.
    pub minimum_samples: i64,
    /// What the number must be.
    pub bound: Bound,
}

/// What a number must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Between two values.
    Threshold(Threshold),
    /// Not far from that of the version before.
    Previous(ComparedToPrevious),
}

/// One number and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Measured {
    value: f64,
    samples: f64,
}

impl DesiredMetric {
    /// The check with its names filled in. An error's field begins below the check:
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
                return Err(invalid(".comparedToPrevious", "it needs component"));
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

    /// The time since the rollout began of which the data has arrived, in whole periods: at most the last
    /// day. None as long as there is no whole period.
    pub fn window(&self, since: Timestamp, now: Timestamp) -> Option<Window> {
        let period = i64::try_from(self.period.as_secs()).ok()?.max(1);
        let delay = i64::try_from(CLOUDWATCH_DELAY.as_secs()).ok()?;
        // A period begins after the rollout did, so a fraction of a second counts as begun.
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

    /// Why a bake time is too short: no whole period would have arrived in it.
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

    /// What to ask for over this time. `served` is the version whose data counts, where the check names
    /// a component.
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

    /// There is no window yet.
    pub fn too_early(&self) -> Verdict {
        Verdict::Inconclusive(format!(
            "no whole period of {} lies between the beginning of the step and CloudWatch's newest data yet",
            shown(self.period)
        ))
    }

    /// What the number means.
    pub fn judge(&self, window: Window, series: &Series) -> Verdict {
        let Bound::Threshold(threshold) = self.bound else {
            return Verdict::Inconclusive("there is nothing to compare with".to_owned());
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

    /// What the number means beside that of the version before, over the same time.
    pub fn compare(&self, window: Window, series: &Series, previous: &Series) -> Verdict {
        let Bound::Previous(bound) = self.bound else {
            return self.judge(window, series);
        };
        let measured = self.measured(window, series, "the new version: ");
        let before = self.measured(window, previous, "the version before: ");
        let (new, old) = match (measured, before) {
            (Ok(new), Ok(old)) => (new, old),
            (Err(verdict), _) | (_, Err(verdict)) => return verdict,
        };
        let more = allowance(old.value, bound.max_increase_percent, bound.max_increase);
        let less = allowance(old.value, bound.max_decrease_percent, bound.max_decrease);
        let failed = |direction: &str, allowed: f64| {
            Verdict::Failed(format!(
                "{} is {} over {} ({} samples), {direction} than the {} of the version before ({} \
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
        // An expression that has no samples of its own rests on its values.
        let samples = match &self.source {
            MetricSource::Math(math) if math.samples.is_none() => points(series),
            _ => counted,
        };
        let wanted = self.minimum_samples.max(1);
        let not_yet = |what: String| {
            let over = shown(window.length());
            Verdict::Inconclusive(format!("{whose}{} {what} over {over}", self.name()))
        };
        #[allow(clippy::cast_precision_loss, reason = "at most a thousand million")]
        let enough = samples >= wanted as f64;
        if !enough {
            let what = format!("has {} of {wanted} samples", number(samples));
            return Err(not_yet(what));
        }
        match value.filter(|value| value.is_finite()) {
            Some(value) => Ok(Measured { value, samples }),
            None => Err(not_yet("has no value".to_owned())),
        }
    }

    /// One number out of what came back, which is one data point as a rule.
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
            // Exact for averages; for the others the best that can be had.
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

/// How far a number may be from `old`; the larger of the two where there are two.
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

/// With at most four digits after the point.
fn number(value: f64) -> String {
    // The sum of nothing is -0.
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
