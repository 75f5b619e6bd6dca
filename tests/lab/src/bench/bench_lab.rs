//! The lab of the benchmarks, and its records of calls and writes.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use sluice_lab::{
    aws::{Action, Calls, Fault, Pattern, Rule},
    error::LabError,
    gitlab::{Mark, Origin, RequestRecord},
    kube::{Request, User, cpu_seconds},
    lab::{HUB_REGION, Lab, LabOptions, Tenant, condition_of},
};

use crate::demo::tell::say;

/// The namespace of the measured Deployments.
pub const NAMESPACE: &str = "shop";
/// Another namespace.
pub const NEIGHBOUR: &str = "neighbour";
/// Far more than any wait takes.
pub const LIMIT: Duration = Duration::from_mins(2);

/// A lab, and a team that delivers on it.
pub struct BenchLab {
    /// The lab.
    pub lab: Lab,
    /// The team.
    pub team: Tenant,
    markers: AtomicUsize,
}

/// A position in all records.
pub struct Moment {
    aws: usize,
    gitlab: Mark,
    audit: usize,
    cpu: f64,
    server_cpu: f64,
}

impl Moment {
    /// The processor time of etcd and API server by then, in seconds.
    pub fn server_cpu(&self) -> f64 {
        self.server_cpu
    }

    /// The same moment for a controller that was restarted since.
    pub fn restarted(self) -> Self {
        Self { cpu: 0.0, ..self }
    }
}

/// The events between two moments.
pub struct Record {
    /// AWS calls.
    pub calls: Calls,
    /// Requests to GitLab.
    pub gitlab: Vec<RequestRecord>,
    /// The controller's requests to the API server.
    pub api: Vec<Request>,
    /// The controller's processor time, in seconds.
    pub cpu: f64,
}

impl BenchLab {
    /// Starts the lab.
    pub fn start(dir: &Path, binary: Option<PathBuf>) -> Result<Self, LabError> {
        Self::start_with(dir, binary, Vec::new())
    }

    /// Starts the lab with additional arguments of the controller.
    pub fn start_with(
        dir: &Path,
        binary: Option<PathBuf>,
        controller_args: Vec<String>,
    ) -> Result<Self, LabError> {
        let lab = Lab::start(&LabOptions {
            dir: dir.to_owned(),
            audit: true,
            binary,
            controller_args,
            namespaces: vec![NAMESPACE.to_owned(), NEIGHBOUR.to_owned()],
            progress: say,
            ..Default::default()
        })?;
        let team = lab.create_namespace(NAMESPACE)?;
        let connection = ("gitlabconnection", "gitlab");
        lab.wait_for_condition(
            connection.0,
            Some(NAMESPACE),
            connection.1,
            ("Ready", "True"),
            LIMIT,
        )?;
        Ok(Self {
            lab,
            team,
            markers: AtomicUsize::new(0),
        })
    }

    /// Adds `milliseconds` to each AWS call, until the result is dropped.
    pub fn slow(&self, milliseconds: u64) -> Option<Fault> {
        let delay = Action::delay(Duration::from_millis(milliseconds));
        let rule = Rule::always(Pattern::default(), delay);
        (milliseconds > 0).then(|| self.lab.aws.faults().add(rule))
    }

    /// The current moment.
    pub fn moment(&self) -> Result<Moment, LabError> {
        let audit = self.audit_mark()?;
        Ok(Moment {
            aws: self.lab.aws.mark(),
            gitlab: self.lab.gitlab.mark(),
            audit,
            cpu: self.lab.controller().cpu_seconds()?,
            server_cpu: self.server_cpu_seconds()?,
        })
    }

    /// The events since `moment`. The controller must not have restarted meanwhile.
    pub fn since(&self, moment: &Moment) -> Result<Record, LabError> {
        let cpu = self.lab.controller().cpu_seconds()? - moment.cpu;
        let calls = self.calls_since(moment);
        let gitlab = self.lab.gitlab.requests_since(moment.gitlab);
        let end = self.audit_mark()?;
        let user = self.lab.controller().username();
        let audit = self.lab.kube.audit()?;
        let span = audit.requests().get(moment.audit..end).unwrap_or_default();
        let api = span.iter().filter(|request| request.user == user);
        Ok(Record {
            calls,
            gitlab,
            api: api.cloned().collect(),
            cpu,
        })
    }

    /// Processor time that etcd, API server and controller manager have used, in seconds.
    pub fn server_cpu_seconds(&self) -> Result<f64, LabError> {
        let servers = self.lab.kube.pids();
        servers.into_iter().map(cpu_seconds).sum()
    }

    /// The AWS calls since `moment`.
    pub fn calls_since(&self, moment: &Moment) -> Calls {
        self.lab.aws.calls_since(moment.aws)
    }

    /// Waits until the controller has requested `count` lists of pipelines from GitLab.
    pub fn wait_for_polls(&self, count: usize) -> Result<(), LabError> {
        let mark = self.lab.gitlab.mark();
        let what = format!("{count} polls of GitLab");
        self.lab.wait_for(&what, LIMIT, || {
            let since = self.lab.gitlab.requests_since(mark);
            let polls = since.iter().filter(|request| is_poll(request)).count();
            (polls >= count).then_some(())
        })
    }

    /// Waits until the Deployment has `live` as its live Releases and is Ready.
    pub fn wait_live(&self, name: &str, live: &str) -> Result<(), LabError> {
        let what = format!("{name} says that {live} is live");
        self.lab.wait_for(&what, LIMIT, || {
            let object = self.deployment(name)?;
            let ready = condition_of(&object, "Ready").is_some_and(|it| it["status"] == "True");
            if object["status"]["live"] == live && ready {
                Ok(())
            } else {
                Err(format!("status {}", object["status"]))
            }
        })
    }

    /// Waits until the Deployment reports that it waits for a pipeline.
    pub fn wait_for_pipeline_request(&self, name: &str) -> Result<(), LabError> {
        let what = format!("{name} waits for a pipeline");
        self.lab.wait_for(&what, LIMIT, || {
            let object = self.deployment(name)?;
            match object["status"]["summary"].as_str() {
                Some(summary) if summary.contains("pipeline") => Ok(()),
                other => Err(format!("its summary is {other:?}")),
            }
        })
    }

    /// Deletes a Deployment, leaving AWS as it is, and waits until it is gone.
    pub fn remove(&self, name: &str) -> Result<(), LabError> {
        let args = [
            "delete",
            "deployments.sluice.dev",
            name,
            "--namespace",
            NAMESPACE,
            "--timeout=60s",
        ];
        self.lab.kube.kubectl_text(User::Admin, &args).map(drop)
    }

    fn deployment(&self, name: &str) -> Result<Value, String> {
        let object = self.lab.get_json("deployment", Some(NAMESPACE), name);
        object.map_err(|error| error.to_string())
    }

    /// The end of the audit log. Entries are written as requests end, so this makes a request of its own
    /// and waits for its entry.
    fn audit_mark(&self) -> Result<usize, LabError> {
        let number = self.markers.fetch_add(1, Ordering::Relaxed);
        let name = format!("bench-{number}");
        let args = [
            "create",
            "configmap",
            name.as_str(),
            "--namespace",
            "default",
        ];
        self.lab.kube.kubectl_text(User::Admin, &args)?;
        self.lab.wait_for("the audit log is written", LIMIT, || {
            let audit = self.lab.kube.audit().map_err(|error| error.to_string())?;
            let at = audit.requests().iter().position(|request| {
                request.resource == "configmaps" && request.verb == "create" && request.name == name
            });
            at.map(|at| at + 1)
                .ok_or_else(|| "it lacks our own request".to_owned())
        })
    }
}

/// Whether the request lists pipelines.
pub fn is_poll(request: &RequestRecord) -> bool {
    request.origin == Origin::GitLab && request.path.ends_with("/pipelines")
}

/// A Deployment of the function `name` to dev only, from the branch `name`, with a check before and after
/// traffic moves. `artifacts` are added to its own, the file `dist/api.zip` of `job`.
pub fn manifest(team: &Tenant, name: &str, job: &str, artifacts: &[Value]) -> Value {
    let mut all = vec![json!({"name": "api", "job": {"name": job, "path": "dist/api.zip"}})];
    all.extend(artifacts.iter().cloned());
    json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "source": {
                "connection": "gitlab",
                "project": team.path,
                "ref": name,
                "interval": "1s",
                "pipeline": {"requiredJobs": ["test"]},
            },
            "artifacts": all,
            "components": [{
                "name": "api",
                "lambda": {
                    "functionName": name,
                    "artifact": "api",
                    "runtime": "python3.13",
                    "handler": "app.handler",
                    "role": "lambda-exec",
                    "alias": "live",
                },
            }],
            "stages": [{
                "name": "dev",
                "targets": [{"account": "dev", "region": HUB_REGION}],
                "checks": [{
                    "name": "smoke",
                    "invoke": {"component": "api", "expect": {"path": "/statusCode", "equals": 200}},
                }],
            }],
        },
    })
}
