//! One Deployment in another namespace: how long its deliveries take, alone and while a fleet changes.

use std::time::Instant;

use serde_json::json;
use sluice_lab::{
    error::LabError,
    lab::{Tenant, package},
};

use super::{
    super::{
        bench_lab::{BenchLab, LIMIT, NEIGHBOUR, manifest},
        latency::Spread,
    },
    fleet_load::Fleet,
};
use crate::demo::tell::say;

const NAME: &str = "checkout";
/// The number of deliveries of each measurement.
const DELIVERIES: u32 = 7;

/// The seconds of its deliveries.
pub struct Neighbour {
    alone: Spread,
    beside: Spread,
}

/// Measures several deliveries alone, and then while the crowd changes.
pub fn measure(bench_lab: &BenchLab, fleet_load: &Fleet) -> Result<Neighbour, LabError> {
    let team = bench_lab.lab.create_namespace(NEIGHBOUR)?;
    let mut deployment = manifest(&team, NAME, "package", &[]);
    deployment["metadata"]["namespace"] = json!(NEIGHBOUR);
    deployment["spec"]["source"]["ref"] = json!("main");
    bench_lab.lab.apply(&deployment.to_string())?;
    deliver(bench_lab, &team, 1)?;
    say("delivers for another namespace");
    let alone = deliveries(bench_lab, &team, 2)?;
    say("delivers for another namespace while all of them change");
    fleet_load.push(bench_lab, 3);
    let beside = deliveries(bench_lab, &team, 2 + DELIVERIES)?;
    fleet_load.wait_live(3)?;
    Ok(Neighbour { alone, beside })
}

fn deliveries(bench_lab: &BenchLab, team: &Tenant, first: u32) -> Result<Spread, LabError> {
    let revisions = first..first + DELIVERIES;
    let times: Vec<f64> = revisions
        .map(|revision| deliver(bench_lab, team, revision))
        .collect::<Result<_, _>>()?;
    Ok(Spread::of(&times))
}

/// The seconds from the end of a pipeline until its revision is live.
fn deliver(bench_lab: &BenchLab, team: &Tenant, revision: u32) -> Result<f64, LabError> {
    let begun = Instant::now();
    let bytes = package(&format!("neighbour v{revision}"));
    bench_lab
        .lab
        .deliverable_pipeline(team.project, "main", &bytes);
    let live = format!("dev=r{revision}");
    let what = format!("{NEIGHBOUR}/{NAME} says that {live} is live");
    bench_lab.lab.wait_for(&what, LIMIT, || {
        let object = bench_lab
            .lab
            .get_json("deployment", Some(NEIGHBOUR), NAME)
            .map_err(|error| error.to_string())?;
        let current = &object["status"]["live"];
        (*current == live).then_some(()).ok_or(current.to_string())
    })?;
    Ok(begun.elapsed().as_secs_f64())
}

impl Neighbour {
    /// Prints the figures.
    pub fn report(&self) {
        let formatted =
            |spread: &Spread| format!("{:.2} s, {:.2} s at the most", spread.median, spread.max);
        say(&format!(
            "one delivery in another namespace: alone {}; while all of them change {}",
            formatted(&self.alone),
            formatted(&self.beside)
        ));
    }
}
