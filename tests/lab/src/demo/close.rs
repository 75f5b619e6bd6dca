//! The figures that the steps have counted.

use std::fmt::Write as _;

use sluice_lab::error::LabError;

use super::{
    story::{Demo, STAGES, in_words},
    tell::{block, say},
};

/// Prints calls, times and memory.
pub fn print_figures(demo: &Demo) -> Result<(), LabError> {
    say(
        "time from the pipeline's success to the poll that finds it, and to the live alias in each stage:",
    );
    let mut table = format!(
        "{:<8} {:>9} {:>9} {:>9}   {}\n",
        "", "polled", "dev", "prod", "AWS calls: Lambda in dev + Lambda in prod + others"
    );
    for delivery in &demo.deliveries {
        let _ = write!(
            table,
            "{:<8} {:>7.1} s",
            delivery.version, delivery.noticed_after
        );
        for stage in STAGES {
            let _ = write!(table, " {:>7.1} s", delivery.served_after[stage]);
        }
        let lambda = delivery.calls.of_service("lambda");
        let mut calls = Vec::new();
        for stage in STAGES {
            let account = demo.lab.account_id(stage)?;
            let of_stage = lambda.only(|call| call.account.as_deref() == Some(account));
            calls.push(of_stage.len());
        }
        let others = delivery.calls.len() - lambda.len();
        let _ = writeln!(
            table,
            "   {:>2} + {:>2} + {:>2}",
            calls[0], calls[1], others
        );
    }
    block(&table);
    if let Some(v2) = demo.deliveries.iter().find(|it| it.version == "v2") {
        say(&format!(
            "the AWS calls of v2: {}",
            in_words(&v2.calls.counts())
        ));
    }
    let controller = demo.lab.controller();
    say(&format!(
        "the controller's memory: {:.1} MiB resident; {:.1} MiB are data, the rest is the program, built \
         without optimisation",
        mebibytes(controller.rss_bytes()?),
        mebibytes(controller.anonymous_bytes()?)
    ));
    Ok(())
}

fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0
}
