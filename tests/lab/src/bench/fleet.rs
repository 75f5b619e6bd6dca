//! `make bench-fleet`: many Deployments at once. Measures what a fleet costs, and whether it is slower than
//! AWS's rate limits require.

mod crowd;
mod figures;
mod neighbour;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::json;
use sluice_lab::{error::LabError, kube::User};

use self::{
    crowd::{Crowd, Passes},
    figures::Figures,
};
use super::{
    build,
    ground::{Ground, Moment},
    mebibytes,
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
    let ground = Ground::start_with(dir, binary, arguments)?;
    say(&format!("measures the {build} build of the controller"));
    measure(&ground, options).map_err(|error| {
        LabError::new(format!(
            "could not be measured: {error}\n\nthe controller's last lines:\n{}\n\nall logs are below {}",
            ground.lab.log_tail(25),
            ground.lab.dir.display()
        ))
    })
}

fn measure(ground: &Ground, options: &Options) -> Result<(), LabError> {
    if options.lifted {
        lift(ground)?;
    }
    let _slow = ground.slow(options.delay);
    say(&format!("makes {} projects and pipelines", options.objects));
    let crowd = Crowd::gather(
        ground,
        options.objects,
        options.projects,
        !options.unchecked,
    )?;
    crowd.push(ground, 1);
    let mut rows = Vec::new();
    say("creates them all at once");
    rows.push(delivered(ground, &crowd, "new", || {
        crowd.create()?;
        crowd.wait_live(1)
    })?);
    say("changes the code of them all at once");
    rows.push(delivered(ground, &crowd, "changed", || {
        crowd.push(ground, 2);
        crowd.wait_live(2)
    })?);
    say("starts the controller anew");
    rows.push(restarted(ground, &crowd)?);
    if options.idle > 0 {
        say("waits until all of them rest");
        crowd.wait_at_rest(ground)?;
        say(&format!("leaves them alone for {} s", options.idle));
        rows.push(idle(ground, &crowd, Duration::from_secs(options.idle))?);
    }
    let neighbour = if options.neighbour {
        Some(neighbour::measure(ground, &crowd)?)
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
    let controller = ground.lab.controller();
    say(&format!(
        "memory at the end: {:.0} MiB resident, {:.0} MiB at the most since the restart",
        mebibytes(controller.rss_bytes()?),
        mebibytes(controller.peak_rss_bytes()?)
    ));
    Ok(())
}

/// Measures one row: everything until `run` returns.
fn delivered(
    ground: &Ground,
    crowd: &Crowd,
    what: &str,
    run: impl FnOnce() -> Result<crowd::Arrival, LabError>,
) -> Result<Figures, LabError> {
    let then = (ground.moment()?, Passes::now(ground)?);
    let begun = Instant::now();
    let arrival = run()?;
    let figures = figures(ground, crowd, what, &then, begun)?;
    Ok(Figures {
        first: Some(arrival.first.duration_since(begun)),
        ..figures
    })
}

fn restarted(ground: &Ground, crowd: &Crowd) -> Result<Figures, LabError> {
    let moment = ground.moment()?;
    ground.lab.controller().terminate()?;
    let begun = Instant::now();
    {
        let mut controller = ground.lab.controller();
        controller.start()?;
        controller.wait_ready(START)?;
    }
    let ready = begun.elapsed();
    crowd.wait_judged(ground)?;
    let then = (moment.restarted(), Passes::default());
    let figures = figures(ground, crowd, "restart", &then, begun)?;
    Ok(Figures {
        first: Some(ready),
        ..figures
    })
}

fn idle(ground: &Ground, crowd: &Crowd, time: Duration) -> Result<Figures, LabError> {
    let then = (ground.moment()?, Passes::now(ground)?);
    let begun = Instant::now();
    ground.lab.wait_for("time passes", time * 2, || {
        (begun.elapsed() >= time).then_some(())
    })?;
    figures(ground, crowd, "idle", &then, begun)
}

fn figures(
    ground: &Ground,
    crowd: &Crowd,
    what: &str,
    (moment, passes): &(Moment, Passes),
    begun: Instant,
) -> Result<Figures, LabError> {
    let took = begun.elapsed();
    let servers = ground.server_cpu_seconds()? - moment.server_cpu();
    let passes = Passes::now(ground)?.since(*passes);
    let peak = ground.lab.controller().peak_rss_bytes()?;
    let record = ground.since(moment)?;
    Ok(Figures {
        what: what.to_owned(),
        objects: crowd.len(),
        first: None,
        took,
        servers,
        peak,
        passes,
        record,
    })
}

/// Raises every Account's rates far above what the lab can answer.
fn lift(ground: &Ground) -> Result<(), LabError> {
    let kube = &ground.lab.kube;
    for account in ["hub", "dev", "prod"] {
        let object = ground.lab.get_json("account", None, account)?;
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
