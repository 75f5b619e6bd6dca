//! How long deliveries take, compared with the plain program.

use sluice_lab::{error::LabError, lab::package};

use super::{
    bench_lab::BenchLab,
    delivery::{Delivery, Subject},
    plain::Plain,
};
use crate::demo::tell::{block, say};

/// The most time that a delivery should take, relative to the calls alone.
const GOAL: f64 = 1.3;

/// How many runs also deliver unchanged code, only for its counts.
const UNCHANGED_RUNS: u32 = 3;

/// All deliveries, by kind.
pub struct Latencies {
    /// Deliveries of a new function.
    pub fresh: Vec<Delivery>,
    /// Deliveries of changed code.
    pub change: Vec<Delivery>,
    /// Deliveries of unchanged code.
    pub unchanged: Vec<Delivery>,
    plain_fresh: Vec<f64>,
    plain_change: Vec<f64>,
}

impl Latencies {
    /// Delivers with the controller and the plain program in turn.
    pub fn measure(bench_lab: &BenchLab, plain: &Plain, runs: u32) -> Result<Self, LabError> {
        let mut all = Self {
            fresh: Vec::new(),
            change: Vec::new(),
            unchanged: Vec::new(),
            plain_fresh: Vec::new(),
            plain_change: Vec::new(),
        };
        // Sets up clients, connections and roles first, on both sides.
        let warm = Subject::create(bench_lab, "warm-up").and_then(|mut subject| {
            subject.moved("warm up")?;
            subject.remove()
        });
        warm?;
        plain.create("plain-warm-up", &package("warm up"))?;
        for run in 1..=runs {
            let (name, other) = (format!("bench-{run}"), format!("plain-{run}"));
            let (first, second) = (format!("{name}-1"), format!("{name}-2"));
            let (v1, v2) = (
                package(&format!("{other}-1")),
                package(&format!("{other}-2")),
            );
            let mut subject = Subject::create(bench_lab, &name)?;
            all.fresh.push(subject.moved(&first)?);
            all.plain_fresh.push(plain.create(&other, &v1)?);
            all.change.push(subject.moved(&second)?);
            all.plain_change.push(plain.change(&other, &v1, &v2)?);
            if run <= UNCHANGED_RUNS {
                all.unchanged.push(subject.unchanged(&second)?);
            }
            subject.remove()?;
            say(&format!(
                "run {run} of {runs}: new function {} (plain {:.2} s), code change {} (plain {:.2} s)",
                shown(all.fresh.last()),
                all.plain_fresh.last().copied().unwrap_or_default(),
                shown(all.change.last()),
                all.plain_change.last().copied().unwrap_or_default()
            ));
        }
        Ok(all)
    }

    /// Prints the table.
    pub fn report(&self) {
        say(
            "From GitLab's answer that lists the pipeline until CreateAlias or UpdateAlias is answered, \
             in seconds, beside",
        );
        say(
            "a plain SDK program that makes the same AWS calls one after the other, polling every 100 ms \
             (always built with this program's own profile):",
        );
        let mut table = format!(
            "{:<14} {:>8} {:>6} {:>6}   {:>8} {:>6} {:>6}   {:>6}\n",
            "", "Sluice", "min", "max", "plain", "min", "max", "ratio"
        );
        table += &row("new function", &self.fresh, &self.plain_fresh);
        table += &row("code change", &self.change, &self.plain_change);
        block(&table);
    }
}

fn row(name: &str, deliveries: &[Delivery], plain: &[f64]) -> String {
    let ours: Vec<f64> = deliveries.iter().filter_map(|it| it.seconds).collect();
    let (ours, plain) = (Spread::of(&ours), Spread::of(plain));
    let ratio = ours.median / plain.median;
    let verdict = if ratio <= GOAL { "met" } else { "not met" };
    format!(
        "{name:<14} {:>8.2} {:>6.2} {:>6.2}   {:>8.2} {:>6.2} {:>6.2}   {ratio:>6.2}   goal ≤ {GOAL}: {verdict}\n",
        ours.median, ours.min, ours.max, plain.median, plain.min, plain.max
    )
}

fn shown(delivery: Option<&Delivery>) -> String {
    let seconds = delivery.and_then(|it| it.seconds);
    seconds.map_or_else(|| "?".to_owned(), |seconds| format!("{seconds:.2} s"))
}

/// The distribution of values.
pub struct Spread {
    /// The middle value, or the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// The distribution of `values`; NaN without values.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            at(middle)
        } else {
            f64::midpoint(at(middle.wrapping_sub(1)), at(middle))
        };
        Self {
            median,
            min: at(0),
            max: at(sorted.len().wrapping_sub(1)),
        }
    }
}
