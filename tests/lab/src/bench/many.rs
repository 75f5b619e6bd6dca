//! Many functions at once in one account, against the rate that Lambda's control plane allows.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_lab::{
    aws::{Call, Calls},
    error::LabError,
    lab::{condition_of, package},
};

use super::bench_lab::{BenchLab, NAMESPACE, manifest};
use crate::demo::tell::{block, say};

/// Control-plane calls per second and account that Lambda allows, except `GetFunction`.
pub const ALLOWED: f64 = 15.0;

/// Far more than the calls take.
const LIMIT: Duration = Duration::from_mins(30);

/// The figures.
pub struct Many(Vec<Row>);

struct Row {
    what: String,
    seconds: f64,
    /// Calls that count against the rate.
    control: usize,
    lambda: usize,
    cpu: f64,
}

/// Delivers 100 functions to one Target, then 50 to each of 20 Targets at once; first new ones, then
/// changed code.
pub fn measure(bench_lab: &BenchLab) -> Result<Many, LabError> {
    let mut rows = Vec::new();
    for (targets, functions) in [(1, 100), (20, 50)] {
        let names: Vec<String> = (0..targets)
            .map(|nth| format!("many-{targets}-{nth}"))
            .collect();
        for name in &names {
            bench_lab
                .lab
                .gitlab
                .push(bench_lab.team.project, name, "Begin");
            let deployment = with_functions(bench_lab, name, functions);
            bench_lab.lab.apply(&deployment.to_string())?;
            bench_lab.wait_for_pipeline_request(name)?;
        }
        for (revision, kind) in [(1, "new functions"), (2, "code changes")] {
            let what = format!("{targets} × {functions} {kind}");
            say(&format!("delivers {what}"));
            rows.push(deliver(bench_lab, &names, revision, what)?);
        }
        for name in &names {
            bench_lab.remove(name)?;
        }
    }
    Ok(Many(rows))
}

fn deliver(
    bench_lab: &BenchLab,
    names: &[String],
    revision: u32,
    what: String,
) -> Result<Row, LabError> {
    let lab = &bench_lab.lab;
    let (mark, cpu) = (lab.aws.mark(), lab.controller().cpu_seconds()?);
    let bytes = package(&format!("v{revision}"));
    let begun = Instant::now();
    for name in names {
        lab.deliverable_pipeline(bench_lab.team.project, name, &bytes);
    }
    let live = format!("dev=r{revision}");
    for name in names {
        let what = format!("{name} says that {live} is live");
        lab.wait_for(&what, LIMIT, || arrived(bench_lab, name, &live))?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let calls = lab.aws.calls_since(mark).of_service("lambda");
    Ok(Row {
        what,
        seconds,
        control: controls(&calls),
        lambda: calls.len(),
        cpu: lab.controller().cpu_seconds()? - cpu,
    })
}

fn arrived(bench_lab: &BenchLab, name: &str, live: &str) -> Result<(), String> {
    let object = bench_lab
        .lab
        .get_json("deployment", Some(NAMESPACE), name)
        .map_err(|error| error.to_string())?;
    let ready = condition_of(&object, "Ready").is_some_and(|it| it["status"] == "True");
    if object["status"]["live"] == live && ready {
        Ok(())
    } else {
        Err(format!("status {}", object["status"]["summary"]))
    }
}

/// How many of these Lambda calls count against [`ALLOWED`].
pub fn controls(calls: &Calls) -> usize {
    let is_control = |call: &&Call| !matches!(call.operation.as_str(), "GetFunction" | "Invoke");
    calls.iter().filter(is_control).count()
}

/// A Deployment of `count` functions that share one artifact, without checks.
fn with_functions(bench_lab: &BenchLab, name: &str, count: usize) -> Value {
    let mut deployment = manifest(&bench_lab.team, name, "package", &[]);
    let one = deployment["spec"]["components"][0].take();
    let component = |nth| {
        let mut component = one.clone();
        component["name"] = json!(format!("c{nth}"));
        component["lambda"]["functionName"] = json!(format!("{name}-{nth}"));
        component
    };
    deployment["spec"]["components"] = (0..count).map(component).collect();
    deployment["spec"]["stages"][0]["checks"] = json!([]);
    deployment
}

impl Many {
    /// Prints the figures.
    pub fn report(&self) {
        say("Many functions at once, as shipped; the limit is 15 control-plane calls a second:");
        let head = format!(
            "{:<28} {:>8} {:>9} {:>7} {:>8} {:>8}\n",
            "", "control", "all calls", "limit s", "took (s)", "CPU (s)"
        );
        let line = |row: &Row| {
            #[allow(clippy::cast_precision_loss, reason = "some thousands")]
            let law = row.control as f64 / ALLOWED;
            format!(
                "{:<28} {:>8} {:>9} {law:>7.1} {:>8.1} {:>8.1}\n",
                row.what, row.control, row.lambda, row.seconds, row.cpu
            )
        };
        let lines: String = self.0.iter().map(line).collect();
        block(&(head + &lines));
    }
}
