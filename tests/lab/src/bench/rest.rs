//! The cost of an idle controller: the demo's objects are delivered and polled once a minute.

use std::time::{Duration, Instant};

use sluice_lab::{aws::Call, error::LabError, gitlab::RequestRecord, lab::package};

use super::{
    bench_lab::{BenchLab, LIMIT, Record},
    counts::{Counts, list_calls},
    latency::Spread,
    mebibytes,
};
use crate::demo::{
    ALARM, CHECKOUT,
    tell::{block, say},
};

/// How many restarts are timed.
const STARTS: usize = 3;
/// The work after the first poll has ended by then.
const SETTLE: Duration = Duration::from_secs(5);
const REST: Duration = Duration::from_mins(1);

/// The figures.
pub struct Rest {
    ready_after: Spread,
    start: Record,
    idle: Record,
    resident: u64,
    anonymous: u64,
}

/// Delivers the demo's first release, restarts the controller and leaves it idle.
pub fn measure(bench_lab: &BenchLab) -> Result<Rest, LabError> {
    let lab = &bench_lab.lab;
    lab.alarm("prod", ALARM)?;
    lab.apply(&CHECKOUT.replace("interval: 2s", "interval: 1m"))?;
    lab.pipeline(bench_lab.team.project, "main", "Answer v1", &package("v1"));
    bench_lab.wait_live("checkout", "dev=r1 prod=r1")?;
    let mut times = Vec::new();
    let mut begun = bench_lab.moment()?;
    for _ in 0..STARTS {
        lab.controller().terminate()?;
        let start = Instant::now();
        {
            let mut controller = lab.controller();
            controller.start()?;
            controller.wait_ready(LIMIT)?;
        }
        times.push(start.elapsed().as_secs_f64());
        begun = bench_lab.moment()?;
    }
    say("leaves the controller idle until it has polled GitLab, and for another minute");
    bench_lab.wait_for_polls(1)?;
    pass(bench_lab, SETTLE)?;
    let start = bench_lab.since(&begun)?;
    let begun = bench_lab.moment()?;
    pass(bench_lab, REST)?;
    let idle = bench_lab.since(&begun)?;
    let controller = lab.controller();
    Ok(Rest {
        ready_after: Spread::of(&times),
        start,
        idle,
        resident: controller.rss_bytes()?,
        anonymous: controller.anonymous_bytes()?,
    })
}

fn pass(bench_lab: &BenchLab, time: Duration) -> Result<(), LabError> {
    let begun = Instant::now();
    bench_lab.lab.wait_for("time passes", LIMIT, || {
        (begun.elapsed() >= time).then_some(())
    })
}

impl Rest {
    /// Prints the figures.
    pub fn report(&self) {
        say(
            "At rest, with the demo's objects (3 Accounts, 1 Deployment to 2 targets, polled every minute):",
        );
        let counts = Counts::of(&self.idle);
        let of_accounts = self.idle.calls.only(checks_account).len();
        let calls = self.idle.calls.len() - of_accounts;
        let of_connections = self.idle.gitlab.iter();
        let of_connections = of_connections.filter(|it| checks_connection(it)).count();
        let ready = &self.ready_after;
        block(&format!(
            "memory             {:.1} MiB resident, of which {:.1} MiB anonymous\n\
             start to ready     {:.2} s (of {STARTS}: {:.2} to {:.2}; polled every 50 ms)\n\
             CPU per minute     {:.2} s\n\
             API writes         {} in a minute, Events and Lease ({}) apart; goal 0: {}\n\
             AWS calls          {calls} in a minute, checks of Accounts ({of_accounts}) apart; goal 0: {}\n\
             GitLab             {} in a minute, checks of connections ({of_connections}) apart, and {} answered 304",
            mebibytes(self.resident),
            mebibytes(self.anonymous),
            ready.median,
            ready.min,
            ready.max,
            self.idle.cpu,
            counts.writes,
            counts.aside,
            met(counts.writes),
            met(calls),
            counts.gitlab - of_connections,
            counts.not_modified,
        ));
        block(&list_calls(&self.idle));
        say("From being ready after a restart until its first poll of GitLab:");
        block(&list_calls(&self.start));
    }
}

/// Whether the call checks an Account: its credentials and buckets are checked every ten minutes, used or
/// not.
fn checks_account(call: &Call) -> bool {
    call.service == "sts" || call.operation.contains("Bucket")
}

/// Whether the request checks a connection's token, as often; its response is never 304.
fn checks_connection(request: &RequestRecord) -> bool {
    let paths = ["/version", "/user", "/personal_access_tokens/self"];
    request.status != Some(304) && paths.iter().any(|end| request.path.ends_with(end))
}

fn met(count: usize) -> &'static str {
    if count == 0 { "met" } else { "not met" }
}
