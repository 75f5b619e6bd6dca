//! One delivery, measured.

use jiff::Timestamp;
use sluice_lab::{
    aws::{Call, Calls},
    error::LabError,
    gitlab::RequestRecord,
    lab::package,
};

use super::bench_lab::{BenchLab, LIMIT, Record, is_poll, manifest};

/// A Deployment with a branch and a function of its own, all with the same name.
pub struct Subject<'a> {
    bench_lab: &'a BenchLab,
    name: String,
    revision: u32,
}

/// The figures of a delivery.
pub struct Delivery {
    /// The time of the GitLab request whose response lists the new pipeline.
    pub listed_at: Timestamp,
    /// Seconds from then until the call that moved the alias was answered; `None` if no alias had to move.
    pub seconds: Option<f64>,
    /// All calls and writes, from before the pipeline until the polls of GitLab after the delivery.
    pub record: Record,
}

impl<'a> Subject<'a> {
    /// Applies the Deployment and waits until it only needs a pipeline.
    pub fn create(bench_lab: &'a BenchLab, name: &str) -> Result<Self, LabError> {
        bench_lab
            .lab
            .gitlab
            .push(bench_lab.team.project, name, "Begin");
        let manifest = manifest(&bench_lab.team, name, "package", &[]);
        bench_lab.lab.apply(&manifest.to_string())?;
        bench_lab.wait_for_pipeline_request(name)?;
        Ok(Self {
            bench_lab,
            name: name.to_owned(),
            revision: 0,
        })
    }

    /// Delivers a pipeline with a package that answers `version`, until the alias serves it.
    pub fn moved(&mut self, version: &str) -> Result<Delivery, LabError> {
        self.deliver(version, true)
    }

    /// Delivers a pipeline whose package already serves.
    pub fn unchanged(&mut self, version: &str) -> Result<Delivery, LabError> {
        self.deliver(version, false)
    }

    /// Deletes the Deployment.
    pub fn remove(self) -> Result<(), LabError> {
        self.bench_lab.remove(&self.name)
    }

    fn deliver(&mut self, version: &str, moves: bool) -> Result<Delivery, LabError> {
        let (bench_lab, name) = (self.bench_lab, &self.name);
        self.revision += 1;
        let before = bench_lab.moment()?;
        let package = package(version);
        bench_lab
            .lab
            .pipeline(bench_lab.team.project, name, version, &package);
        let mut served_at = None;
        if moves {
            // Reads the lab's own records: kubectl would take processor time from what is measured.
            let what = format!("the alias of {name} serves {version}");
            let served = bench_lab.lab.wait_for(&what, LIMIT, || {
                alias_moved_at(&bench_lab.calls_since(&before), name)
            })?;
            served_at = Some(served);
        }
        bench_lab.wait_live(name, &format!("dev=r{}", self.revision))?;
        // Follow-up work of a delivery has ended after the next poll.
        bench_lab.wait_for_polls(2)?;
        let record = bench_lab.since(&before)?;
        let listed_at = listed_at(&record.gitlab)
            .ok_or_else(|| LabError::new(format!("GitLab never listed {name}'s pipeline")))?;
        Ok(Delivery {
            listed_at,
            seconds: served_at.map(|at| at.duration_since(listed_at).as_secs_f64()),
            record,
        })
    }
}

/// When the call that moved the function's alias was answered.
fn alias_moved_at(calls: &Calls, function: &str) -> Option<Timestamp> {
    let is_move = |call: &&Call| {
        let moves = call.operation == "CreateAlias" || call.operation == "UpdateAlias";
        moves && call.resource == function && call.status.is_some_and(|status| status < 300)
    };
    calls
        .of_service("lambda")
        .iter()
        .rfind(is_move)
        .and_then(|call| call.answered_at)
}

/// The first changed list: an unchanged one is answered with 304.
fn listed_at(requests: &[RequestRecord]) -> Option<Timestamp> {
    let listed = |request: &&RequestRecord| is_poll(request) && request.status == Some(200);
    requests.iter().find(listed).map(|request| request.at)
}
