//! `make bench-fleet`: many Deployments at once. Measures what a fleet costs, and whether it is slower than
//! AWS's rate limits require.

mod figures;
mod fleet_load;
mod neighbour;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::json;
use sluice_lab::{error::LabError, kube::User};

use self::{
    figures::Figures,
    fleet_load::{Fleet, Passes},
};
use super::{
    bench_lab::{BenchLab, Moment},
    build, mebibytes,
};
use crate::demo::tell::{self, block, say};

const TITLE: &str = "bench-fleet: starts Kubernetes, AWS and GitLab on this machine and delivers many Deployments at once; about 10 minutes for a thousand";

/// How long a restarted controller may take to become ready.
const START: Duration = Duration::from_mins(2);

/// More than any lab can answer, so that the benchmark measures Sluice and no budget.
const LIFTED: u32 = 10_000;

/// What to measure.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many Deployments, of one function each.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    objects: u32,
    /// How many GitLab projects they share; by default, each has its own.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    projects: Option<u32>,
    /// Lifts the budgets for AWS and GitLab.
    #[arg(long)]
    lifted: bool,
    /// Milliseconds to add to each AWS call.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    delay: u64,
    /// Delivers without a check: its time is that of the lab's Lambda, not of Sluice.
    #[arg(long)]
    unchecked: bool,
    /// Delivers in another namespace, alone and while all of them change once more.
    #[arg(long)]
    neighbour: bool,
    /// How long they stay idle at the end, in seconds.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(0..=3600))]
    idle: u64,
}

/// Measures, with data and logs in `dir`.
pub fn fleet(dir: &Path, options: &Options) -> Result<(), LabError> {
    tell::begin(TITLE);
    let (build, binary) = build()?;
    let arguments = if options.lifted {
        vec![format!("--gitlab-requests-per-minute={}", LIFTED * 60)]
    } else {
        Vec::new()
    };
    let bench_lab = BenchLab::start_with(dir, binary, arguments)?;
    say(&format!("measures the {build} build of the controller"));
    measure(&bench_lab, options).map_err(|error| {
        LabError::new(format!(
            "could not be measured: {error}\n\nthe controller's last lines:\n{}\n\nall logs are below {}",
            bench_lab.lab.log_tail(25),
            bench_lab.lab.dir.display()
        ))
    })
}

fn measure(bench_lab: &BenchLab, options: &Options) -> Result<(), LabError> {
    if options.lifted {
        lift(bench_lab)?;
    }
    let _slow = bench_lab.slow(options.delay);
    say(&format!("makes {} projects and pipelines", options.objects));
    let fleet_load = Fleet::gather(
        bench_lab,
        options.objects,
        options.projects,
        !options.unchecked,
    )?;
    fleet_load.push(bench_lab, 1);
    let mut rows = Vec::new();
    say("creates them all at once");
    rows.push(delivered(bench_lab, &fleet_load, "new", || {
        fleet_load.create()?;
        fleet_load.wait_live(1)
    })?);
    say("changes the code of them all at once");
    rows.push(delivered(bench_lab, &fleet_load, "changed", || {
        fleet_load.push(bench_lab, 2);
        fleet_load.wait_live(2)
    })?);
    say("restarts the controller");
    rows.push(restarted(bench_lab, &fleet_load)?);
    if options.idle > 0 {
        say("waits until all of them are idle");
        fleet_load.wait_until_idle(bench_lab)?;
        say(&format!("leaves them idle for {} s", options.idle));
        rows.push(idle(
            bench_lab,
            &fleet_load,
            Duration::from_secs(options.idle),
        )?);
    }
    let neighbour = if options.neighbour {
        Some(neighbour::measure(bench_lab, &fleet_load)?)
    } else {
        None
    };
    tell::step(&format!(
        "{} Deployments, {}, {} ms a call, budgets {}",
        options.objects,
        options.projects.map_or_else(
            || "a project each".to_owned(),
            |count| format!("{count} projects")
        ),
        options.delay,
        if options.lifted {
            "lifted"
        } else {
            "as shipped"
        },
    ));
    block(&figures::table(&rows));
    if let Some(neighbour) = neighbour {
        neighbour.report();
    }
    let controller = bench_lab.lab.controller();
    say(&format!(
        "memory at the end: {:.0} MiB resident, {:.0} MiB at most since the restart",
        mebibytes(controller.rss_bytes()?),
        mebibytes(controller.peak_rss_bytes()?)
    ));
    Ok(())
}

/// Measures one row: everything until `run` returns.
fn delivered(
    bench_lab: &BenchLab,
    fleet_load: &Fleet,
    what: &str,
    run: impl FnOnce() -> Result<fleet_load::Arrival, LabError>,
) -> Result<Figures, LabError> {
    let then = (bench_lab.moment()?, Passes::now(bench_lab)?);
    let begun = Instant::now();
    let arrival = run()?;
    let figures = figures(bench_lab, fleet_load, what, &then, begun)?;
    Ok(Figures {
        first: Some(arrival.first.duration_since(begun)),
        ..figures
    })
}

fn restarted(bench_lab: &BenchLab, fleet_load: &Fleet) -> Result<Figures, LabError> {
    let moment = bench_lab.moment()?;
    bench_lab.lab.controller().terminate()?;
    let begun = Instant::now();
    {
        let mut controller = bench_lab.lab.controller();
        controller.start()?;
        controller.wait_ready(START)?;
    }
    let ready = begun.elapsed();
    fleet_load.wait_until_reconciled(bench_lab)?;
    let then = (moment.restarted(), Passes::default());
    let figures = figures(bench_lab, fleet_load, "restart", &then, begun)?;
    Ok(Figures {
        first: Some(ready),
        ..figures
    })
}

fn idle(bench_lab: &BenchLab, fleet_load: &Fleet, time: Duration) -> Result<Figures, LabError> {
    let then = (bench_lab.moment()?, Passes::now(bench_lab)?);
    let begun = Instant::now();
    bench_lab.lab.wait_for("time passes", time * 2, || {
        (begun.elapsed() >= time).then_some(())
    })?;
    figures(bench_lab, fleet_load, "idle", &then, begun)
}

fn figures(
    bench_lab: &BenchLab,
    fleet_load: &Fleet,
    what: &str,
    (moment, passes): &(Moment, Passes),
    begun: Instant,
) -> Result<Figures, LabError> {
    let took = begun.elapsed();
    let servers = bench_lab.server_cpu_seconds()? - moment.server_cpu();
    let passes = Passes::now(bench_lab)?.since(*passes);
    let peak = bench_lab.lab.controller().peak_rss_bytes()?;
    let record = bench_lab.since(moment)?;
    Ok(Figures {
        what: what.to_owned(),
        objects: fleet_load.len(),
        first: None,
        took,
        servers,
        peak,
        passes,
        record,
    })
}

/// Raises every Account's rates far above what the lab can answer.
fn lift(bench_lab: &BenchLab) -> Result<(), LabError> {
    let kube = &bench_lab.lab.kube;
    for account in ["hub", "dev", "prod"] {
        let object = bench_lab.lab.get_json("account", None, account)?;
        let mut regions = object["spec"]["regions"].clone();
        for region in regions.as_array_mut().into_iter().flatten() {
            region["requestRates"] =
                json!({"lambdaControlPlane": LIFTED, "lambdaGetFunction": LIFTED});
        }
        let patch = json!({"spec": {"regions": regions}}).to_string();
        let args = [
            "patch",
            "accounts.sluice.dev",
            account,
            "--type=merge",
            "--patch",
            &patch,
        ];
        kube.kubectl_text(User::Admin, &args)?;
    }
    Ok(())
}
