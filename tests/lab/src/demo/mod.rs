//! The story of Sluice, told on a lab of its own, each sentence of it checked.
//!
//! Ends without an error only if everything was seen to happen. An error says what was expected
//! and what is there in its place, with the controller's last words.

mod approve;
mod canary;
mod close;
mod fail;
mod kill;
mod start;
mod story;
pub mod tell;
mod together;

use std::path::Path;

use sluice_lab::{error::LabError, lab::package};

pub use self::canary::ALARM;
use self::story::{DEPLOYMENT, NAMESPACE, Story};

/// What the story delivers.
pub const CHECKOUT: &str = include_str!("checkout.yaml");

const TITLE: &str = "demo: starts Kubernetes, AWS and GitLab on this machine, delivers v1 and v2 of a \
function through dev to prod, sees a bad v3, a v4 that turns an alarm red and a site with a broken function rolled back, kills \
the controller in the middle of v5, and has people let v6 and v7 into prod; less than two minutes";

/// Tells it, with data and logs in `dir`.
pub fn demo(dir: &Path) -> Result<(), LabError> {
    tell::begin(TITLE);
    let mut story = start::lab(dir)?;
    tell_on(&mut story).map_err(|e| failed(&story, &e))?;
    tell::say("the end: everything above was seen to happen");
    Ok(())
}

fn tell_on(story: &mut Story) -> Result<(), LabError> {
    let alarm = story.lab.alarm("prod", canary::ALARM)?;
    start::wish(story)?;

    tell::step("1  v1: the first delivery");
    let v1 = story.push("v1", "Answer v1", package("v1"))?;
    story.served(v1, 1)?;

    tell::step(
        "2  v2: a new pipeline is all it takes; prod sends it 10 % of its traffic for 5 s first",
    );
    let v2 = story.push("v2", "Answer v2", package("v2"))?;
    story.served(v2, 2)?;

    tell::step("3  v3 passes the pipeline, but not the smoke check in dev");
    fail::put_back(story)?;

    tell::step("4  v4 passes the smoke check, but an alarm goes off while prod tries it");
    canary::put_back(story, &alarm)?;

    tell::step("5  Two functions and a site move as one; the second function is broken");
    together::put_back(story)?;

    tell::step("6  Nothing new: what that costs");
    fail::rest(story)?;

    tell::step("7  v5: the controller is killed while it delivers");
    kill::killed_and_started_again(story)?;

    tell::step("8  v6: from now on somebody has to approve what gets into prod, with kubectl");
    approve::with_kubectl(story)?;

    tell::step("9  v7: or with the play button of a manual job in GitLab");
    approve::with_the_play_button(story)?;

    tell::step("10  What it took");
    close::figures(story)
}

fn failed(story: &Story, error: &LabError) -> LabError {
    let status = story
        .lab
        .get_json("deployment", Some(NAMESPACE), DEPLOYMENT)
        .map_or_else(|e| e.to_string(), |it| format!("{:#}", it["status"]));
    LabError::new(format!(
        "the demo failed after {:.1} s: {error}\n\nstatus of {DEPLOYMENT}: {status}\n\n\
         the controller's last lines:\n{}\n\nall logs are below {}",
        tell::elapsed().as_secs_f32(),
        story.lab.log_tail(25),
        story.lab.dir.display()
    ))
}
