//! The page of metrics describes exactly the registered metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use sluice::{
    api::v1alpha1::RunStatus,
    domain::reason::Reason,
    metrics::{Metrics, ObjectCounts},
};
use sluice_lab::toolchain;

use super::{pages, root};
use crate::architecture::program;

const PAGE: &str = "docs/metrics.md";

/// One metric: its type and its labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Family {
    kind: String,
    labels: BTreeSet<String>,
}

fn ended_run() -> RunStatus {
    serde_json::from_value(serde_json::json!({
        "release": {"name": "shop-1", "uid": "1", "revision": 1},
        "attempt": 1,
        "journalVersion": 1,
        "step": "Succeeded",
        "startedAt": "2026-01-01T00:00:00Z",
        "progressedAt": "2026-01-01T00:00:00Z",
        "finishedAt": "2026-01-01T00:00:07Z",
    }))
    .unwrap()
}

/// The answer of `/metrics` with a sample of every metric: it leaves out metrics without samples.
fn encoded_metrics() -> String {
    feed(&Metrics::new()).encode().unwrap()
}

/// Adds a sample of every metric.
fn feed(metrics: &Metrics) -> &Metrics {
    let took = Duration::from_secs(1);
    metrics.reconciled("account", "done", Reason::Verified, took);
    metrics.malformed("Account");
    metrics.delivery_ended("Succeeded", &ended_run());
    metrics.gitlab_request("GET /user", "ok", took);
    metrics.aws_call("lambda", "UpdateAlias", "ok", took);
    metrics.aws_calls_waiting("lambda_control_plane");
    metrics.http_probe("ok");
    metrics.transferred_in(1);
    metrics.drift_checked("in_sync");
    metrics.count_drifted(|| 1);
    metrics.count_waiting(|| 1);
    metrics.event("published");
    metrics.leading(true);
    metrics.count_objects("Account", ObjectCounts::default);
    metrics
}

/// The metrics by name, without the suffixes of types and histograms.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut found = BTreeMap::<String, Family>::new();
    for line in text.lines() {
        if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let family = Family {
                kind: kind.to_owned(),
                labels: BTreeSet::new(),
            };
            found.insert(name.to_owned(), family);
        } else if let Some((name, rest)) = line.split_once('{') {
            let family = found.iter_mut().find(|(known, _)| base(name) == **known);
            let (_, family) = family.unwrap_or_else(|| panic!("{line} has no type"));
            let labels = rest.split("=\"").filter_map(|part| {
                let label = part.rsplit([',', '"']).next()?;
                label
                    .chars()
                    .all(|c| c.is_ascii_lowercase())
                    .then_some(label)
            });
            let labels = labels.filter(|label| !label.is_empty() && *label != "le");
            family.labels.extend(labels.map(str::to_owned));
        }
    }
    found
}

fn base(sample: &str) -> &str {
    ["_total", "_info", "_bucket", "_sum", "_count"]
        .iter()
        .find_map(|ending| sample.strip_suffix(ending))
        .unwrap_or(sample)
}

/// The name of the metric in queries.
fn shown(name: &str, family: &Family) -> String {
    match family.kind.as_str() {
        "counter" => format!("{name}_total"),
        "info" => format!("{name}_info"),
        _ => name.to_owned(),
    }
}

/// The texts between backquotes.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The metrics of the page's table rows that begin with a metric's name.
fn described(page: &str) -> BTreeMap<String, Family> {
    page.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let name = cells.next()?.strip_suffix('`')?.to_owned();
            let is_ours = ["sluice_", "process_"]
                .iter()
                .any(|one| name.starts_with(one));
            if !is_ours {
                return None;
            }
            let family = Family {
                kind: cells.next()?.to_owned(),
                labels: quoted(cells.next()?),
            };
            Some((name, family))
        })
        .collect()
}

#[test]
fn metrics_page_describes_the_registered_metrics() {
    let text = encoded_metrics();
    let found = families(&text);
    let sources = ["src/metrics.rs", "src/metrics/objects.rs"].map(|path| {
        let source = fs::read_to_string(root().join(path)).unwrap();
        program(&source)
    });
    let source = sources.concat();
    let registered = ["registry.register", "encode_descriptor("]
        .iter()
        .map(|call| source.matches(call).count())
        .sum::<usize>()
        // The collector itself has no name.
        - source.matches("register_collector").count();
    let ours = found
        .keys()
        .filter(|name| name.starts_with("sluice_"))
        .count();
    assert_eq!(ours, registered, "a metric has no sample: {found:#?}");

    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let expected: BTreeMap<_, _> = found
        .into_iter()
        .map(|(name, family)| (shown(&name, &family), family))
        .collect();
    assert_eq!(described(&page), expected, "{PAGE}");
}

#[test]
fn documented_queries_use_existing_metrics() {
    let known = families(&encoded_metrics());
    let mut tried = 0;
    for (path, page) in pages() {
        for (at, _) in page.match_indices("sluice_") {
            let name: String = page[at..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            let is_known = known.contains_key(base(&name));
            assert!(is_known, "{path}: there is no metric {name}");
            tried += 1;
        }
    }
    assert!(tried >= 20, "only {tried} names were found");
}

/// `promtool check metrics` calls this very package of Prometheus' client library.
#[test]
fn promlint_finds_no_problems() {
    let text = feed(&Metrics::new()).encode_for_prometheus().unwrap();
    let names = [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ];
    for name in names {
        assert!(
            text.contains(&format!("\n{name} ")),
            "{name} is not in\n{text}"
        );
    }
    assert_eq!(linted(&text), "", "{text}");
    // The linter does find problems.
    let wrong = "# TYPE sluice_calls counter\nsluice_calls 1\n";
    assert!(linted(wrong).contains("_total"));
}

fn linted(text: &str) -> String {
    let checks = toolchain::checks(&|line| eprintln!("lab: {line}")).unwrap();
    let mut lint = Command::new(checks.join("promlint"))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = lint.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = lint.wait_with_output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn metrics_page_names_every_kind_of_failure() {
    let source = fs::read_to_string(root().join("src/domain/failure.rs")).unwrap();
    let source = program(&source);
    let classes: Vec<&str> = source
        .split("=> \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(classes.len() >= 10, "only {classes:?} were found");
    let page = quoted(&fs::read_to_string(root().join(PAGE)).unwrap());
    for class in classes {
        assert!(page.contains(class), "{PAGE} does not name {class}");
    }
}
