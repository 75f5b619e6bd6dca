//! The demo: a transcript of what Sluice does, on a lab of its own, with every line verified.
//!
//! It succeeds only if every expectation holds. An error names the expected and the actual state, with the
//! end of the controller's log.

mod application;
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
use self::story::{DEPLOYMENT, Demo, NAMESPACE};

/// The Deployment that the demo delivers.
pub const CHECKOUT: &str = include_str!("checkout.yaml");

const TITLE: &str = "demo: starts Kubernetes, AWS and GitLab on this machine, and takes less than two minutes.
Sluice delivers v1 and v2 of a function to dev and then to prod. It rolls back v3, which fails its check, v4,
which sets off an alarm, and a site with a broken function. The controller is killed during v5. People approve
v6 and v7 for prod, and the stack of a SAM application.";

/// Runs the demo, with data and logs in `dir`.
pub fn demo(dir: &Path) -> Result<(), LabError> {
    tell::begin(TITLE);
    let mut demo = start::start_lab(dir)?;
    run_steps(&mut demo).map_err(|e| failed(&demo, &e))?;
    tell::say("done: every step behaved as described");
    Ok(())
}

fn run_steps(demo: &mut Demo) -> Result<(), LabError> {
    let alarm = demo.lab.alarm("prod", canary::ALARM)?;
    start::apply_deployment(demo)?;

    tell::step("1  v1: the first delivery");
    let v1 = demo.push("v1", "Answer v1", package("v1"))?;
    demo.expect_delivered(v1, 1)?;

    tell::step("2  v2: a new pipeline starts a delivery; prod is a canary with 10 % for 5 s first");
    let v2 = demo.push("v2", "Answer v2", package("v2"))?;
    demo.expect_delivered(v2, 2)?;

    tell::step("3  v3: passes its pipeline, fails the smoke check in dev, and is rolled back");
    fail::roll_back_failed_check(demo)?;

    tell::step("4  v4: passes the smoke check, sets off an alarm in prod, and is rolled back");
    canary::roll_back_on_alarm(demo, &alarm)?;

    tell::step("5  Two functions and a site: one is broken, and all are rolled back together");
    together::roll_back_together(demo)?;

    tell::step("6  No new pipeline: Sluice polls GitLab and leaves AWS alone");
    fail::stay_idle(demo)?;

    tell::step(
        "7  v5: the controller is killed during the delivery and finishes it after a restart",
    );
    kill::kill_and_restart(demo)?;

    tell::step("8  v6: prod needs an approval, given with kubectl");
    approve::with_kubectl(demo)?;

    tell::step(
        "9  v7: prod needs an approval, given with the play button of a manual job in GitLab",
    );
    approve::with_manual_job(demo)?;

    tell::step("10  A SAM application: from sam build in GitLab to stacks in dev and prod");
    application::deliver(demo)?;

    tell::step("11  Figures");
    close::print_figures(demo)
}

fn failed(demo: &Demo, error: &LabError) -> LabError {
    let status = demo
        .lab
        .get_json("deployment", Some(NAMESPACE), DEPLOYMENT)
        .map_or_else(|e| e.to_string(), |it| format!("{:#}", it["status"]));
    LabError::new(format!(
        "the demo failed after {:.1} s: {error}\n\nstatus of {DEPLOYMENT}: {status}\n\n\
         the end of the controller's log:\n{}\n\nall logs are in {}",
        tell::elapsed().as_secs_f32(),
        demo.lab.log_tail(25),
        demo.lab.dir.display()
    ))
}
