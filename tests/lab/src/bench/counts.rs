//! The calls and writes of deliveries.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use sluice_lab::{
    aws::Calls,
    gitlab::{Origin, RequestRecord},
    kube::Request,
};

use super::{
    bench_lab::Record,
    delivery::Delivery,
    latency::{Latencies, Spread},
};
use crate::demo::tell::{block, say};

/// The most API server writes and Lambda calls that a delivery should need.
struct Goal {
    writes: usize,
    lambda: usize,
}

/// The calls of one record, as the goals count them.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Writes to the API server, except Events and the Lease.
    pub writes: usize,
    /// Writes of Events and renewals of the Lease.
    pub aside: usize,
    /// Lambda calls, except polls and invocations.
    pub lambda: usize,
    /// Repeated reads of something that had not settled.
    pub polls: usize,
    /// Invocations.
    pub invocations: usize,
    /// S3 calls.
    pub s3: usize,
    /// STS calls.
    pub sts: usize,
    /// GitLab responses, except "not modified".
    pub gitlab: usize,
    /// GitLab responses "not modified".
    pub not_modified: usize,
}

impl Counts {
    /// Counts the calls of one record.
    pub fn of(record: &Record) -> Self {
        let lambda = record.calls.of_service("lambda");
        let invocations = lambda.named("lambda", "Invoke").count();
        let polls = polls(&lambda);
        let is_new = |request: &&RequestRecord| request.status != Some(304);
        let gitlab = record.gitlab.iter().filter(is_new).count();
        let (aside, writes): (Vec<&Request>, _) = record
            .api
            .iter()
            .filter(|request| request.is_write())
            .partition(|request| is_event_or_lease(request));
        Self {
            writes: writes.len(),
            aside: aside.len(),
            lambda: lambda.len() - invocations - polls,
            polls,
            invocations,
            s3: record.calls.of_service("s3").len(),
            sts: record.calls.of_service("sts").len(),
            gitlab,
            not_modified: record.gitlab.len() - gitlab,
        }
    }
}

/// Prints the tables.
pub fn report(latencies: &Latencies) {
    say("Counts per delivery to one target (without GitLab's 304 responses to idle polls):");
    let mut table = format!(
        "{:<14} {:>10} {:>7} {:>6} {:>6} {:>5} {:>5} {:>7} {:>9}\n",
        "", "API writes", "Lambda", "polls", "Invoke", "S3", "STS", "GitLab", "CPU (ms)"
    );
    let kinds = [
        ("new function", &latencies.fresh, goal(8, 9)),
        ("code change", &latencies.change, goal(8, 7)),
        ("same again", &latencies.unchanged, goal(8, 2)),
    ];
    for (name, deliveries, goal) in &kinds {
        table += &row(name, deliveries, goal);
    }
    block(&table);
    for (name, deliveries, _) in &kinds {
        if let Some(last) = deliveries.last() {
            say(&format!("{name}, the last one in full:"));
            block(&list_calls(&last.record));
        }
    }
}

/// Every call and write, by name.
pub fn list_calls(record: &Record) -> String {
    let mut text = String::new();
    let writes = record.api.iter().filter(|request| request.is_write());
    let _ = writeln!(text, "API server: {}", listed(writes.map(write_name)));
    let _ = writeln!(text, "AWS:        {}", listed(record.calls.names()));
    let asked = record.gitlab.iter();
    let asked = asked.filter(|request| request.status != Some(304));
    let _ = writeln!(text, "GitLab:     {}", listed(asked.map(gitlab_name)));
    text
}

fn goal(writes: usize, lambda: usize) -> Goal {
    Goal { writes, lambda }
}

fn row(name: &str, deliveries: &[Delivery], goal: &Goal) -> String {
    let counts: Vec<Counts> = deliveries.iter().map(|it| Counts::of(&it.record)).collect();
    let span = |of: fn(&Counts) -> usize| {
        let all: BTreeSet<usize> = counts.iter().map(of).collect();
        match (all.first(), all.last()) {
            (Some(least), Some(most)) if least < most => format!("{least}–{most}"),
            (Some(only), _) => only.to_string(),
            _ => "?".to_owned(),
        }
    };
    let most = |of: fn(&Counts) -> usize| counts.iter().map(of).max().unwrap_or(usize::MAX);
    let met = most(|it| it.writes) <= goal.writes && most(|it| it.lambda) <= goal.lambda;
    let cpu: Vec<f64> = deliveries.iter().map(|it| it.record.cpu * 1000.0).collect();
    format!(
        "{name:<14} {:>10} {:>7} {:>6} {:>6} {:>5} {:>5} {:>7} {:>9.0}   goal ≤ {} and ≤ {}: {}\n",
        span(|it| it.writes),
        span(|it| it.lambda),
        span(|it| it.polls),
        span(|it| it.invocations),
        span(|it| it.s3),
        span(|it| it.sts),
        span(|it| it.gitlab),
        Spread::of(&cpu).median,
        goal.writes,
        goal.lambda,
        if met { "met" } else { "not met" }
    )
}

/// Repeated reads of one function since the last write.
fn polls(lambda: &Calls) -> usize {
    let mut read = BTreeSet::new();
    let mut polls = 0;
    for call in lambda.iter() {
        if call.is_write() {
            read.clear();
        } else if call.operation == "GetFunction" {
            let function = (&call.account, &call.region, &call.resource, &call.qualifier);
            polls += usize::from(!read.insert(function));
        }
    }
    polls
}

fn is_event_or_lease(request: &Request) -> bool {
    request.resource == "events" || request.resource == "leases"
}

fn write_name(request: &Request) -> String {
    format!("{} {}", request.verb, request.rbac_resource())
}

/// The request with its ids replaced by `:id`.
fn gitlab_name(request: &RequestRecord) -> String {
    let origin = match request.origin {
        Origin::GitLab => "",
        Origin::Storage => "storage:",
    };
    let path = request
        .path
        .rsplit_once("/api/v4")
        .map_or(request.path.as_str(), |it| it.1);
    let words: Vec<&str> = path
        .split('/')
        .map(|word| {
            if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
                ":id"
            } else {
                word
            }
        })
        .collect();
    format!("{origin}{} {}", request.method, words.join("/"))
}

/// Names with their counts, in order of first occurrence.
fn listed(names: impl IntoIterator<Item = String>) -> String {
    let mut order = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        if !counts.contains_key(&name) {
            order.push(name.clone());
        }
        *counts.entry(name).or_default() += 1;
    }
    if order.is_empty() {
        return "none".to_owned();
    }
    let with_count = |name: String| match counts.get(&name) {
        Some(1) | None => name,
        Some(count) => format!("{name} ×{count}"),
    };
    let all: Vec<String> = order.into_iter().map(with_count).collect();
    all.join(", ")
}
