//! One Deployment of another namespace: how long its deliveries take, alone and while a fleet changes.

use std::time::Instant;

use serde_json::json;
use sluice_lab::{
    error::LabError,
    lab::{Tenant, package},
};

use super::{
    super::{
        ground::{Ground, LIMIT, NEIGHBOUR, manifest},
        latency::Spread,
    },
    crowd::Crowd,
};
use crate::demo::tell::say;

const NAME: &str = "checkout";
/// How often it is delivered each time.
const DELIVERIES: u32 = 7;

/// Seconds that its deliveries took.
pub struct Neighbour {
    alone: Spread,
    beside: Spread,
}

/// Delivers it again and again, and then while the crowd changes.
pub fn measure(ground: &Ground, crowd: &Crowd) -> Result<Neighbour, LabError> {
    let team = ground.lab.create_namespace(NEIGHBOUR)?;
    let mut wish = manifest(&team, NAME, "package", &[]);
    wish["metadata"]["namespace"] = json!(NEIGHBOUR);
    wish["spec"]["source"]["ref"] = json!("main");
    ground.lab.apply(&wish.to_string())?;
    deliver(ground, &team, 1)?;
    say("delivers for another namespace");
    let alone = deliveries(ground, &team, 2)?;
    say("delivers for another namespace while all of them change");
    crowd.push(ground, 3);
    let beside = deliveries(ground, &team, 2 + DELIVERIES)?;
    crowd.wait_live(3)?;
    Ok(Neighbour { alone, beside })
}

fn deliveries(ground: &Ground, team: &Tenant, first: u32) -> Result<Spread, LabError> {
    let revisions = first..first + DELIVERIES;
    let times: Vec<f64> = revisions
        .map(|revision| deliver(ground, team, revision))
        .collect::<Result<_, _>>()?;
    Ok(Spread::of(&times))
}

/// The seconds from the end of a pipeline until what it made serves.
fn deliver(ground: &Ground, team: &Tenant, revision: u32) -> Result<f64, LabError> {
    let begun = Instant::now();
    let bytes = package(&format!("neighbour v{revision}"));
    ground
        .lab
        .deliverable_pipeline(team.project, "main", &bytes);
    let live = format!("dev=r{revision}");
    let what = format!("{NEIGHBOUR}/{NAME} says that {live} is live");
    ground.lab.wait_for(&what, LIMIT, || {
        let object = ground
            .lab
            .get_json("deployment", Some(NEIGHBOUR), NAME)
            .map_err(|error| error.to_string())?;
        let said = &object["status"]["live"];
        (*said == live).then_some(()).ok_or(said.to_string())
    })?;
    Ok(begun.elapsed().as_secs_f64())
}

impl Neighbour {
    /// Prints the figures.
    pub fn report(&self) {
        let told =
            |spread: &Spread| format!("{:.2} s, {:.2} s at the most", spread.median, spread.max);
        say(&format!(
            "one delivery in another namespace: alone {}; while all of them change {}",
            told(&self.alone),
            told(&self.beside)
        ));
    }
}
