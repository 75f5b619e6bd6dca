//! The metrics of Sluice, for Prometheus.
//!
//! Every label has a small, closed set of values: no names of objects, projects, accounts or
//! functions. Durations are in seconds, sizes in bytes; counters end in `_total`.

mod objects;
mod process;
mod text;
mod wait_gauge;

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text as openmetrics},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
        info::Info,
    },
    registry::{Registry, Unit},
};

use self::objects::Objects;
pub use self::{
    objects::ObjectCounts,
    wait_gauge::{WaitGauge, WaitGuard},
};
use crate::{api::v1alpha1::RunStatus, domain::reason::Reason};

/// Buckets from a cached answer to a long wait.
const RECONCILE_BUCKETS: [f64; 9] = [0.005, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];
/// Buckets of one call over the network.
const CALL_BUCKETS: [f64; 8] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0];
/// Buckets of a run from its start to its end, bakes included.
const DELIVERY_BUCKETS: [f64; 10] = [
    1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14400.0,
];

/// How a run on a Target ends.
const ENDS: [&str; 4] = ["Succeeded", "Failed", "RolledBack", "RollbackFailed"];

/// All metrics of the process. Shared; every method is cheap.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    process: Registry,
    objects: std::sync::Arc<Objects>,
    drift_checks: Family<OutcomeLabels, Counter>,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_duration: Family<ControllerLabels, Histogram, Buckets>,
    malformed: Family<KindLabels, Counter>,
    deliveries: Family<OutcomeLabels, Counter>,
    delivery_duration: Family<OutcomeLabels, Histogram, Buckets>,
    gitlab_requests: Family<OperationLabels, Counter>,
    gitlab_duration: Histogram,
    aws_calls: Family<AwsLabels, Counter>,
    aws_duration: Family<ServiceLabels, Histogram, Buckets>,
    aws_waiting: Family<BudgetLabels, Gauge>,
    http_probes: Family<OutcomeLabels, Counter>,
    transferred: Family<DirectionLabels, Counter>,
    events: Family<OutcomeLabels, Counter>,
    leader: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    controller: &'static str,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabels {
    service: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AwsLabels {
    service: &'static str,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BudgetLabels {
    budget: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabels {
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// A histogram with these upper bounds.
#[derive(Clone, Debug)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers all metrics under the prefix `sluice`, and process metrics under their usual names.
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("sluice"),
            process: process::registry(),
            objects: std::sync::Arc::default(),
            drift_checks: Family::default(),
            reconciles: Family::default(),
            reconcile_duration: Family::new_with_constructor(Buckets(&RECONCILE_BUCKETS)),
            malformed: Family::default(),
            deliveries: Family::default(),
            delivery_duration: Family::new_with_constructor(Buckets(&DELIVERY_BUCKETS)),
            gitlab_requests: Family::default(),
            gitlab_duration: Histogram::new(CALL_BUCKETS),
            aws_calls: Family::default(),
            aws_duration: Family::new_with_constructor(Buckets(&CALL_BUCKETS)),
            aws_waiting: Family::default(),
            http_probes: Family::default(),
            transferred: Family::default(),
            events: Family::default(),
            leader: Gauge::default(),
        };
        // Counters with alerts exist from the start: the increase of a counter that appears with its first
        // failure is 0.
        for outcome in ENDS {
            metrics
                .deliveries
                .get_or_create(&OutcomeLabels { outcome })
                .inc_by(0);
        }
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "reconciles",
            "Reconciles by outcome and reason",
            self.reconciles.clone(),
        );
        registry.register_with_unit(
            "reconcile_duration",
            "How long a reconcile took",
            Unit::Seconds,
            self.reconcile_duration.clone(),
        );
        registry.register(
            "malformed_objects",
            "Reads of objects that this version can't parse",
            self.malformed.clone(),
        );
        registry.register(
            "deliveries",
            "Runs of a Release on a Target by outcome",
            self.deliveries.clone(),
        );
        registry.register(
            "drift_checks",
            "Drift checks by result",
            self.drift_checks.clone(),
        );
        registry.register_with_unit(
            "delivery_duration",
            "How long a run on a Target took, bakes included",
            Unit::Seconds,
            self.delivery_duration.clone(),
        );
        registry.register(
            "gitlab_requests",
            "Requests to GitLab by operation and outcome",
            self.gitlab_requests.clone(),
        );
        registry.register_with_unit(
            "gitlab_request_duration",
            "From a request to GitLab to the response headers; for a refusal, to the end of the response",
            Unit::Seconds,
            self.gitlab_duration.clone(),
        );
        registry.register(
            "aws_calls",
            "Calls to AWS by service, operation and outcome",
            self.aws_calls.clone(),
        );
        registry.register_with_unit(
            "aws_call_duration",
            "How long a call to AWS took, retries included",
            Unit::Seconds,
            self.aws_duration.clone(),
        );
        registry.register(
            "aws_calls_waiting",
            "Calls to AWS that wait for their turn in Sluice's own budgets, by kind of call",
            self.aws_waiting.clone(),
        );
        registry.register(
            "http_probes",
            "Requests of checks to URLs, by outcome",
            self.http_probes.clone(),
        );
        registry.register_with_unit(
            "transferred",
            "Bytes of artifacts read from GitLab (in), and of artifacts and packages written to artifact buckets (out)",
            Unit::Bytes,
            self.transferred.clone(),
        );
        registry.register(
            "events",
            "Kubernetes Events by outcome",
            self.events.clone(),
        );
        registry.register(
            "leader",
            "1 while this process holds the Lease",
            self.leader.clone(),
        );
        registry.register(
            "build",
            "The running version",
            Info::new(BuildLabels {
                version: env!("CARGO_PKG_VERSION"),
            }),
        );
        registry.register_collector(Box::new(std::sync::Arc::clone(&self.objects)));
        self
    }

    /// The text of `/metrics`, as OpenMetrics.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        openmetrics::encode_registry(&mut text, &self.process)?;
        openmetrics::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// The same in Prometheus' own text format, version 0.0.4.
    pub fn encode_for_prometheus(&self) -> Result<String, fmt::Error> {
        Ok(text::prometheus(&self.encode()?))
    }

    /// Counts a reconcile that ended. `outcome` and `reason` are from closed sets.
    pub fn reconciled(
        &self,
        controller: &'static str,
        outcome: &'static str,
        reason: Reason,
        took: Duration,
    ) {
        self.reconciles
            .get_or_create(&ReconcileLabels {
                controller,
                outcome,
                reason: reason.as_str(),
            })
            .inc();
        self.reconcile_duration
            .get_or_create(&ControllerLabels { controller })
            .observe(took.as_secs_f64());
    }

    /// Counts an object that this version can't read.
    pub fn malformed(&self, kind: &'static str) {
        self.malformed.get_or_create(&KindLabels { kind }).inc();
    }

    /// Counts a run on a Target that ended in this step: `Succeeded`, `Failed`, `RolledBack`,
    /// `RollbackFailed`.
    pub fn delivery_ended(&self, step: &str, run: &RunStatus) {
        let outcome = ENDS
            .into_iter()
            .find(|known| *known == step)
            .unwrap_or("Other");
        let labels = OutcomeLabels { outcome };
        self.deliveries.get_or_create(&labels).inc();
        if let Some(finished) = &run.finished_at {
            let took = finished.0.duration_since(run.started_at.0);
            self.delivery_duration
                .get_or_create(&labels)
                .observe(took.as_secs_f64().max(0.0));
        }
    }

    /// Counts a drift check: `in_sync`, `drifted` or `unknown`.
    pub fn drift_checked(&self, outcome: &'static str) {
        let labels = OutcomeLabels { outcome };
        self.drift_checks.get_or_create(&labels).inc();
    }

    /// Counts a request to GitLab, such as `GET /projects/:id/pipelines` with outcome `not_modified`.
    pub fn gitlab_request(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        self.gitlab_requests
            .get_or_create(&OperationLabels { operation, outcome })
            .inc();
        self.gitlab_duration.observe(took.as_secs_f64());
    }

    /// Counts a call to AWS, such as `lambda`, `UpdateAlias` with outcome `ok`.
    pub fn aws_call(
        &self,
        service: &'static str,
        operation: &'static str,
        outcome: &'static str,
        took: Duration,
    ) {
        self.aws_calls
            .get_or_create(&AwsLabels {
                service,
                operation,
                outcome,
            })
            .inc();
        self.aws_duration
            .get_or_create(&ServiceLabels { service })
            .observe(took.as_secs_f64());
    }

    /// The calls that wait for budgets of a kind, such as `lambda_control_plane`.
    pub fn aws_calls_waiting(&self, budget: &'static str) -> WaitGauge {
        let labels = BudgetLabels { budget };
        WaitGauge::of(self.aws_waiting.get_or_create(&labels).clone())
    }

    /// Counts a request to the URL of a check: `ok` for any response, another outcome for none.
    pub fn http_probe(&self, outcome: &'static str) {
        self.http_probes
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
    }

    /// Counts bytes of an artifact read from GitLab.
    pub fn transferred_in(&self, bytes: u64) {
        self.transferred("in", bytes);
    }

    /// Counts bytes of an artifact or package written to an artifact bucket.
    pub fn transferred_out(&self, bytes: u64) {
        self.transferred("out", bytes);
    }

    fn transferred(&self, direction: &'static str, bytes: u64) {
        self.transferred
            .get_or_create(&DirectionLabels { direction })
            .inc_by(bytes);
    }

    /// Counts an Event: `published`, `repeated`, `dropped` or `failed`.
    pub fn event(&self, outcome: &'static str) {
        self.events.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Sets whether this process holds the Lease.
    pub fn leading(&self, leading: bool) {
        self.leader.set(i64::from(leading));
    }

    /// Counts the objects of a kind whenever the metrics are read.
    pub fn count_objects(
        &self,
        kind: &'static str,
        count: impl Fn() -> ObjectCounts + Send + Sync + 'static,
    ) {
        self.malformed.get_or_create(&KindLabels { kind }).inc_by(0);
        self.objects.count(kind, Box::new(count));
    }

    /// Counts the drifted Targets whenever the metrics are read.
    pub fn count_drifted(&self, count: impl Fn() -> u32 + Send + Sync + 'static) {
        self.objects.count_drifted(Box::new(count));
    }

    /// Counts the stages that wait for an approval whenever the metrics are read.
    pub fn count_waiting(&self, count: impl Fn() -> u32 + Send + Sync + 'static) {
        self.objects.count_waiting(Box::new(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seconds: i64) -> RunStatus {
        serde_json::from_value(serde_json::json!({
            "release": {"name": "shop-1", "uid": "1", "revision": 1},
            "attempt": 1,
            "journalVersion": 1,
            "step": "Succeeded",
            "startedAt": jiff::Timestamp::UNIX_EPOCH,
            "progressedAt": jiff::Timestamp::UNIX_EPOCH,
            "finishedAt": jiff::Timestamp::from_second(seconds).unwrap(),
        }))
        .unwrap()
    }

    #[test]
    fn metric_names_have_prefix_and_unit() {
        let metrics = Metrics::new();
        let none_yet = r#"sluice_deliveries_total{outcome="RollbackFailed"} 0"#;
        assert!(metrics.encode().unwrap().contains(none_yet));
        metrics.reconciled(
            "account",
            "done",
            Reason::Verified,
            Duration::from_millis(30),
        );
        metrics.delivery_ended("Succeeded", &run(7));
        metrics.aws_call("lambda", "UpdateAlias", "ok", Duration::from_millis(80));
        metrics.gitlab_request("GET /user", "not_modified", Duration::from_millis(80));
        metrics.transferred_in(5);
        metrics.transferred_in(7);
        metrics.leading(true);
        metrics.drift_checked("drifted");
        metrics.count_drifted(|| 3);
        metrics.count_objects("Account", || ObjectCounts {
            ready: 2,
            stalled: 1,
            moving: 0,
        });
        let text = metrics.encode().unwrap();
        for line in [
            r#"sluice_reconciles_total{controller="account",outcome="done",reason="Verified"} 1"#,
            r#"sluice_reconcile_duration_seconds_bucket{le="0.05",controller="account"} 1"#,
            r#"sluice_deliveries_total{outcome="Succeeded"} 1"#,
            r#"sluice_delivery_duration_seconds_sum{outcome="Succeeded"} 7.0"#,
            r#"sluice_aws_calls_total{service="lambda",operation="UpdateAlias",outcome="ok"} 1"#,
            r#"sluice_gitlab_requests_total{operation="GET /user",outcome="not_modified"} 1"#,
            r#"sluice_transferred_bytes_total{direction="in"} 12"#,
            "sluice_leader 1",
            r#"sluice_drift_checks_total{outcome="drifted"} 1"#,
            "sluice_drifted_targets 3",
            r#"sluice_malformed_objects_total{kind="Account"} 0"#,
            r#"sluice_objects{kind="Account",state="ready"} 2"#,
            r#"sluice_objects{kind="Account",state="stalled"} 1"#,
            concat!(
                r#"sluice_build_info{version=""#,
                env!("CARGO_PKG_VERSION"),
                r#""} 1"#
            ),
        ] {
            assert!(
                text.lines().any(|one| one == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
