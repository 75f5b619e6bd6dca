//! The figures of a fleet, one row per action.

use std::{fmt::Write as _, time::Duration};

use super::{
    super::{
        bench_lab::{Record, is_poll},
        counts::Counts,
        many::{ALLOWED, controls},
        mebibytes,
    },
    fleet_load::Passes,
};

/// One row.
pub struct Figures {
    /// The action.
    pub what: String,
    /// The number of Deployments.
    pub objects: usize,
    /// The time until the first one was live; after a restart, until the controller was ready.
    pub first: Option<Duration>,
    /// The time until all were.
    pub took: Duration,
    /// Processor time of etcd and API server, in seconds.
    pub servers: f64,
    /// The controller's peak resident memory so far, in bytes.
    pub peak: u64,
    /// Reconciles.
    pub passes: Passes,
    /// All calls.
    pub record: Record,
}

/// Formats the rows as a table.
pub fn table(rows: &[Figures]) -> String {
    let mut text = format!(
        "{:<8} {:>7} {:>8} {:>7} {:>7} {:>7} {:>6} {:>7} {:>7} {:>7} {:>8} {:>7} {:>8}\n",
        "",
        "first s",
        "all s",
        "limit s",
        "CPU s",
        "API s",
        "MiB",
        "writes",
        "refused",
        "Events",
        "control",
        "AWS",
        "GitLab"
    );
    for row in rows {
        let each = |count: usize| amount(count) / amount(row.objects);
        let api = &row.record.api;
        let writes = || api.iter().filter(|request| request.is_write());
        let events = writes().filter(|it| it.resource == "events").count();
        let refused = writes().filter(|it| it.code >= 400).count();
        let control = controls(&row.record.calls.of_service("lambda"));
        let first = row
            .first
            .map_or_else(String::new, |first| format!("{:.2}", first.as_secs_f64()));
        let _ = writeln!(
            text,
            "{:<8} {first:>7} {:>8.1} {:>7.1} {:>7.2} {:>7.1} {:>6.0} {:>7.2} {refused:>7} {:>7.2} {:>8.2} {:>7.2} {:>8.2}",
            row.what,
            row.took.as_secs_f64(),
            amount(control) / ALLOWED,
            row.record.cpu,
            row.servers,
            mebibytes(row.peak),
            each(Counts::of(&row.record).writes),
            each(events),
            each(control),
            each(row.record.calls.len()),
            each(row.record.gitlab.len()),
        );
    }
    for row in rows {
        let polls = row.record.gitlab.iter().filter(|one| is_poll(one)).count();
        let mut names: Vec<(String, usize)> = row.record.calls.counts().into_iter().collect();
        names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let names: Vec<String> = names
            .iter()
            .map(|(name, count)| format!("{name} {:.2}", amount(*count) / amount(row.objects)))
            .collect();
        let passes = &row.passes;
        let _ = writeln!(
            text,
            "{}: {polls} polls of GitLab; reconciles: {:.2} of the Deployment, {:.2} of the Target; {}",
            row.what,
            amount(passes.deployments) / amount(row.objects),
            amount(passes.targets) / amount(row.objects),
            names.join(", ")
        );
        let writes = row.record.api.iter().filter(|request| request.is_write());
        let mut counts = std::collections::BTreeMap::<String, usize>::new();
        for write in writes {
            let name = format!("{} {} {}", write.verb, write.rbac_resource(), write.code);
            *counts.entry(name).or_default() += 1;
        }
        let writes: Vec<String> = counts
            .iter()
            .map(|(name, count)| format!("{name} {:.2}", amount(*count) / amount(row.objects)))
            .collect();
        let _ = writeln!(text, "  {}", writes.join(", "));
    }
    text += "(writes, Events, control, AWS and GitLab: for each Deployment; limit: the time of the control-plane calls at 15 a second)";
    text
}

fn amount(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
