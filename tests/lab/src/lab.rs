//! The whole lab: control plane, AWS, GitLab and the controller of one organisation.
//!
//! [`Lab::start`] starts a cluster with the installed chart, three Ready Accounts, and the controller,
//! running as the chart describes. [`Lab::create_namespace`] adds a team that can deliver.
//!
//! # Style
//! Every method blocks; asynchronous work runs on the lab's own runtime. Asynchronous code calls the methods
//! in `spawn_blocking`; plain `#[test]` functions call them directly.
//!
//! # Requirements
//! The controller's binary and the folder `charts/sluice`, both from the same sources.
//!
//! ```no_run
//! # fn example(dir: std::path::PathBuf) -> Result<(), sluice_lab::error::LabError> {
//! use sluice_lab::lab::{self, Lab, LabOptions};
//! let lab = Lab::start(&LabOptions { dir, ..Default::default() })?;
//! let team = lab.create_namespace("shop")?;
//! lab.deliverable_pipeline(team.project, "main", &lab::package("v1"));
//! lab.apply("…")?;
//! # Ok(()) }
//! ```

mod alarm;
mod files;
mod install;
mod look;
mod package;
mod tenant;
mod wait;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

pub use self::{
    alarm::Alarm,
    files::SiteFile,
    install::{HUB_REGION, NAMESPACE},
    look::condition_of,
    package::{archive, package, package_answering, package_of},
    tenant::Tenant,
    wait::{Known, PATIENCE, wait_for, wait_until},
};
use crate::{
    aws::Cloud,
    error::LabError,
    gitlab::{Simulator, SimulatorOptions},
    kube::{ControlPlane, ControlPlaneOptions, Controller, Overrides, User},
    runtime,
    toolchain::Toolchain,
};

/// The limit for the controller and the Accounts to get ready. It takes seconds, but longer on a machine that
/// builds at the same time.
const START_LIMIT: Duration = Duration::from_mins(2);

/// Options of a lab.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// The folder for data and logs. One lab at a time locks it; another one waits.
    pub dir: PathBuf,
    /// Whether the API server writes an audit log of every request.
    pub audit: bool,
    /// An older Kubernetes version to emulate, such as `1.34`.
    pub emulated_version: Option<String>,
    /// The controller's binary; by default `sluice` of the profile of this program.
    pub binary: Option<PathBuf>,
    /// Extra arguments of the controller, such as `--lease-duration=15s`.
    pub controller_args: Vec<String>,
    /// Values of the chart that override the lab's own, each as `helm --set` takes it.
    pub values: Vec<(String, String)>,
    /// Namespaces to create before the chart is installed. The controller may read Secrets only in these and
    /// its own. If empty, it may read Secrets everywhere, which namespaces that are created later need.
    pub namespaces: Vec<String>,
    /// Receives the progress, one line at a time.
    pub progress: fn(&str),
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            dir: PathBuf::new(),
            audit: false,
            emulated_version: None,
            binary: None,
            controller_args: Vec::new(),
            values: Vec::new(),
            namespaces: Vec::new(),
            progress: |_| (),
        }
    }
}

/// A running lab. Dropping it stops everything, the controller first.
#[derive(Debug)]
pub struct Lab {
    /// The controller, running as the chart describes, under its own ServiceAccount.
    pub controller: Mutex<Controller>,
    /// The cluster.
    pub kube: ControlPlane,
    /// The accounts hub, dev and prod.
    pub aws: Cloud,
    /// GitLab.
    pub gitlab: Simulator,
    /// The folder with data and logs.
    pub dir: PathBuf,
    overrides: Overrides,
    _lock: File,
}

impl Lab {
    /// Starts everything and waits until the controller and every Account are ready.
    ///
    /// If a part does not start within minutes, the error has the reason and the place of the logs.
    pub fn start(options: &LabOptions) -> Result<Self, LabError> {
        let dir = std::path::absolute(&options.dir)?;
        let binary = match &options.binary {
            Some(binary) => binary.clone(),
            None => default_binary()?,
        };
        let lock = lock_directory(&dir, options.progress)?;
        let tools = Toolchain::ensure(&options.progress)?;
        let gitlab = runtime::handle().block_on(Simulator::start(SimulatorOptions::default()))?;
        let (kube, aws) = thread::scope(|scope| {
            let aws = scope.spawn(|| start_cloud(&tools, &dir.join("aws"), options.progress));
            let kube = start_cluster(&tools, &dir.join("kube"), options);
            let aws = aws
                .join()
                .unwrap_or_else(|_| Err(LabError::new("starting the AWS emulator panicked")));
            (kube, aws)
        });
        let (kube, aws) = (kube?, aws?);
        aws.trust(kube.token_key()?);
        kube.apply(
            User::Admin,
            &install::accounts(aws.accounts(), aws.endpoint(), aws.hub_access_key()),
        )?;
        let overrides = Overrides {
            binary,
            extra_env: Vec::new(),
        };
        let mut controller =
            Controller::from_chart(&kube, NAMESPACE, install::RELEASE, &overrides)?;
        controller.wait_ready(START_LIMIT)?;
        (options.progress)("the controller is ready");
        let lab = Self {
            controller: Mutex::new(controller),
            kube,
            aws,
            gitlab,
            dir,
            overrides,
            _lock: lock,
        };
        for account in ["hub", "dev", "prod"] {
            lab.wait_for_condition("account", None, account, ("Ready", "True"), START_LIMIT)?;
        }
        Ok(lab)
    }

    /// The controller. The lock survives a test that panicked while it held it.
    pub fn controller(&self) -> MutexGuard<'_, Controller> {
        self.controller
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a second pod of the controller's Deployment beside the first.
    pub fn another_controller(&self) -> Result<Controller, LabError> {
        Controller::from_chart(&self.kube, NAMESPACE, install::RELEASE, &self.overrides)
    }

    /// The last lines of the controller's log, for messages about failures.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.controller().logs();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

/// Locks the directory for this lab and removes the data of an earlier one.
fn lock_directory(dir: &Path, progress: fn(&str)) -> Result<File, LabError> {
    fs::create_dir_all(dir)?;
    let lock = File::create(dir.join("lock"))?;
    if lock.try_lock().is_err() {
        progress(&format!("waiting for another lab in {}", dir.display()));
        lock.lock()?;
    }
    for old in ["aws", "kube"] {
        if dir.join(old).exists() {
            fs::remove_dir_all(dir.join(old))?;
        }
        fs::create_dir_all(dir.join(old))?;
    }
    Ok(lock)
}

/// `sluice` next to this program, which cargo puts into the profile's directory or its `deps`.
fn default_binary() -> Result<PathBuf, LabError> {
    let program = std::env::current_exe()?;
    let candidates = program
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join("sluice"));
    candidates
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| {
            LabError::new(format!(
                "no program `sluice` next to {}: run `cargo build --workspace` first",
                program.display()
            ))
        })
}

fn start_cloud(tools: &Toolchain, dir: &Path, progress: fn(&str)) -> Result<Cloud, LabError> {
    let started = Instant::now();
    let cloud = runtime::handle().block_on(Cloud::start(&tools.python(), dir))?;
    progress(&format!(
        "AWS is ready with three accounts ({:.1} s)",
        started.elapsed().as_secs_f32()
    ));
    Ok(cloud)
}

fn start_cluster(
    tools: &Toolchain,
    dir: &Path,
    options: &LabOptions,
) -> Result<ControlPlane, LabError> {
    let started = Instant::now();
    let mut kube = ControlPlane::start(
        tools,
        &ControlPlaneOptions {
            emulated_version: options.emulated_version.clone(),
            audit: options.audit,
            dir: dir.to_owned(),
        },
    )?;
    (options.progress)(&format!(
        "Kubernetes is ready ({:.1} s)",
        started.elapsed().as_secs_f32()
    ));
    let started = Instant::now();
    install::install(&kube, options)?;
    kube.restart_controller_manager()?;
    (options.progress)(&format!(
        "helm has installed the chart ({:.1} s)",
        started.elapsed().as_secs_f32()
    ));
    Ok(kube)
}

/// A namespace as a manifest.
fn namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"sluice-lab": "tenant"}},
    })
}
