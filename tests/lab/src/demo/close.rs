//! The figures, as they were counted on the way.

use std::fmt::Write as _;

use sluice_lab::error::LabError;

use super::{
    story::{STAGES, Story, in_words},
    tell::{block, say},
};

/// Calls, times and memory.
pub fn figures(story: &Story) -> Result<(), LabError> {
    say(
        "from the pipeline's success to the poll that found it, to the alias serving in dev and in prod:",
    );
    let mut table = format!(
        "{:<8} {:>9} {:>9} {:>9}   {}\n",
        "", "polled", "dev", "prod", "AWS calls: Lambda in dev, Lambda in prod, others (S3, STS)"
    );
    for delivery in &story.deliveries {
        let _ = write!(
            table,
            "{:<8} {:>7.1} s",
            delivery.version, delivery.noticed_after
        );
        for stage in STAGES {
            let _ = write!(table, " {:>7.1} s", delivery.served_after[stage]);
        }
        let lambda = delivery.calls.of_service("lambda");
        let mut counts = Vec::new();
        for stage in STAGES {
            let account = story.lab.account_id(stage)?;
            let of_stage = lambda.only(|call| call.account.as_deref() == Some(account));
            counts.push(of_stage.len());
        }
        let others = delivery.calls.len() - lambda.len();
        let _ = writeln!(
            table,
            "   {:>2} + {:>2} + {:>2}",
            counts[0], counts[1], others
        );
    }
    block(&table);
    if let Some(v2) = story.deliveries.iter().find(|it| it.version == "v2") {
        say(&format!(
            "the calls of v2: {}",
            in_words(&v2.calls.counts())
        ));
    }
    let controller = story.lab.controller();
    say(&format!(
        "the controller's memory: {:.1} MiB resident, of which {:.1} MiB are its data and the rest its \
         program, built without optimisation",
        mebibytes(controller.rss_bytes()?),
        mebibytes(controller.anonymous_bytes()?)
    ));
    Ok(())
}

fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0
}
