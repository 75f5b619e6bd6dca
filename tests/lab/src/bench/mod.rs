//! `make bench`: what a delivery costs and how long it takes, measured on a separate lab.
//!
//! The benchmark never fails because something was slow, only if a measurement is impossible. Counts matter
//! more than times. Times are compared with a plain program that makes the same AWS calls one after the
//! other ([`plain`]) in the same run, because the speed of the machine and the emulator varies from run to
//! run.

mod bench_lab;
mod big;
mod counts;
mod delivery;
pub mod fleet;
mod latency;
mod many;
mod plain;
mod rest;
pub mod sites;
mod timeline;

use std::path::{Path, PathBuf};

use clap::Args;
use sluice_lab::{error::LabError, toolchain::workspace};

use self::{bench_lab::BenchLab, latency::Latencies, plain::Plain};
use crate::demo::tell;

/// Selects the build of the controller to measure: `release`, or `dev`, the one beside this program.
const PROFILE: &str = "SLUICE_BENCH_PROFILE";

const TITLE: &str = "bench: starts Kubernetes, AWS and GitLab on this machine and delivers again and again; about 20 minutes";

/// What to measure.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How often each delivery is timed.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Size of the large artifact in MiB.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(8..=4000))]
    artifact: u32,
    /// Shows every call of the last delivery of each kind, with its times.
    #[arg(long)]
    timeline: bool,
    /// Measures single deliveries only, without rest, start, the large artifact and many functions at once.
    #[arg(long)]
    deliveries_only: bool,
}

/// Measures, with data and logs in `dir`.
pub fn bench(dir: &Path, options: &Options) -> Result<(), LabError> {
    tell::begin(TITLE);
    let (build, binary) = build()?;
    let bench_lab = BenchLab::start(dir, binary)?;
    measure(&bench_lab, options, build).map_err(|error| {
        LabError::new(format!(
            "could not be measured: {error}\n\nthe controller's last lines:\n{}\n\nall logs are below {}",
            bench_lab.lab.log_tail(25),
            bench_lab.lab.dir.display()
        ))
    })
}

fn measure(bench_lab: &BenchLab, options: &Options, build: &str) -> Result<(), LabError> {
    tell::say(&format!("measures the {build} build of the controller"));
    let rest = if options.deliveries_only {
        None
    } else {
        Some(rest::measure(bench_lab)?)
    };
    let plain = Plain::enter(&bench_lab.lab)?;
    let latencies = Latencies::measure(bench_lab, &plain, options.runs)?;
    let big = if options.deliveries_only {
        None
    } else {
        Some(big::measure(bench_lab, options.artifact)?)
    };
    let many = if options.deliveries_only {
        None
    } else {
        Some(many::measure(bench_lab)?)
    };
    tell::step(&format!("Figures of the {build} build"));
    latencies.report();
    counts::report(&latencies);
    if let Some(rest) = rest {
        rest.report();
    }
    if let Some(big) = big {
        big.report();
    }
    if let Some(many) = many {
        many.report();
    }
    if options.timeline {
        timeline::show("new function", latencies.fresh.last());
        timeline::show("code change", latencies.change.last());
    }
    Ok(())
}

/// The name of the build, and the controller's program; `None` for the one beside this program.
fn build() -> Result<(&'static str, Option<PathBuf>), LabError> {
    match std::env::var(PROFILE).as_deref() {
        Ok("release") => {
            let target = std::env::var_os("CARGO_TARGET_DIR")
                .map_or_else(|| workspace().join("target"), PathBuf::from);
            Ok(("release", Some(target.join("release/sluice"))))
        }
        Ok("dev" | "") | Err(_) => Ok(("dev", None)),
        Ok(other) => Err(LabError::new(format!(
            "{PROFILE}={other}: must be dev or release"
        ))),
    }
}

/// Bytes as MiB, for printing.
fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0
}
