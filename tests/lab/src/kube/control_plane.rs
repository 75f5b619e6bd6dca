//! etcd, the API server and the controller manager as processes.
//!
//! Requires the programs of [`Toolchain`]. Authentication and RBAC are on, as in any cluster with Sluice.
//! Everything listens on 127.0.0.1 on ports that were free a moment before; if another program takes one in
//! between, everything starts again on others.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    access::{User, checked, write_kubeconfig},
    audit::Audit,
    keys, programs,
};
use crate::{
    error::LabError,
    process::{Process, Signal, free_port},
    toolchain::Toolchain,
};

/// A start takes three seconds on an idle machine; the limit allows for one that builds at the same time.
const START_LIMIT: Duration = Duration::from_mins(3);

/// Options of a [`ControlPlane`].
#[derive(Debug, Clone, Default)]
pub struct ControlPlaneOptions {
    /// Behave as an older Kubernetes, for example `1.34`.
    pub emulated_version: Option<String>,
    /// Record every request ([`ControlPlane::audit`]).
    pub audit: bool,
    /// The directory of data, logs and kubeconfigs. Files of an earlier control plane in it are removed.
    pub dir: PathBuf,
}

/// A running Kubernetes API. Dropping it ends its processes.
#[derive(Debug)]
pub struct ControlPlane {
    pub(super) tools: Toolchain,
    pub(super) dir: PathBuf,
    /// The `cluster` entry of every kubeconfig.
    pub(super) cluster: Value,
    audit_log: Option<PathBuf>,
    /// The options of the start; unused for an existing cluster.
    options: ControlPlaneOptions,
    /// `None` for an existing cluster.
    processes: Option<Processes>,
}

/// In the order in which they end, so that none logs the loss of one it depends on.
#[derive(Debug)]
struct Processes {
    controller_manager: Process,
    api_server: Process,
    etcd: Process,
}

enum StartError {
    PortTaken(String),
    Other(LabError),
}

impl From<LabError> for StartError {
    fn from(e: LabError) -> Self {
        Self::Other(e)
    }
}

impl From<std::io::Error> for StartError {
    fn from(e: std::io::Error) -> Self {
        Self::Other(e.into())
    }
}

impl ControlPlane {
    /// Starts a control plane and waits until its API and its controllers work.
    pub fn start(tools: &Toolchain, options: &ControlPlaneOptions) -> Result<Self, LabError> {
        // The programs run in other directories than the lab.
        let dir = std::path::absolute(&options.dir)?;
        let options = &ControlPlaneOptions {
            dir,
            ..options.clone()
        };
        let mut taken = String::new();
        for _ in 0..3 {
            match Self::try_start(tools, options) {
                Ok(control_plane) => return Ok(control_plane),
                Err(StartError::Other(e)) => return Err(e),
                Err(StartError::PortTaken(message)) => taken = message,
            }
        }
        Err(LabError::new(format!(
            "three times in a row another program took the port first: {taken}"
        )))
    }

    /// Uses the cluster of `kubeconfig`, whose user must be a cluster admin.
    ///
    /// The tests' other users are impersonated. Files go to `dir`.
    pub fn existing(tools: &Toolchain, kubeconfig: &Path, dir: &Path) -> Result<Self, LabError> {
        let dir = &std::path::absolute(dir)?;
        fs::create_dir_all(dir)?;
        let mut view = Command::new(tools.kubectl());
        view.args([
            "config",
            "view",
            "--raw",
            "--minify",
            "--flatten",
            "-o",
            "json",
            "--kubeconfig",
        ])
        .arg(kubeconfig);
        let view = checked(
            &view.output()?,
            &format!("kubectl config view of {}", kubeconfig.display()),
        )?;
        let view: Value = serde_json::from_str(&view).map_err(|e| {
            LabError::new(format!("{}: not a kubeconfig: {e}", kubeconfig.display()))
        })?;
        let (cluster, user) = (
            view["clusters"][0]["cluster"].clone(),
            view["users"][0]["user"].clone(),
        );
        if !cluster.is_object() || !user.is_object() {
            return Err(LabError::new(format!(
                "{}: its current context names no cluster and user",
                kubeconfig.display()
            )));
        }
        for who in User::ALL {
            let mut user = user.clone();
            if who != User::Admin {
                user["as"] = json!(who.name());
                user["as-groups"] = json!(who.groups());
            }
            write_kubeconfig(&who.kubeconfig(dir), &cluster, &user)?;
        }
        Ok(Self {
            tools: tools.clone(),
            dir: dir.to_owned(),
            cluster,
            audit_log: None,
            options: ControlPlaneOptions::default(),
            processes: None,
        })
    }

    /// The existing cluster that `SLUICE_LAB_KUBECONFIG` names, else a new control plane.
    pub fn from_env(tools: &Toolchain, options: &ControlPlaneOptions) -> Result<Self, LabError> {
        match std::env::var_os("SLUICE_LAB_KUBECONFIG").filter(|path| !path.is_empty()) {
            Some(kubeconfig) => Self::existing(tools, Path::new(&kubeconfig), &options.dir),
            None => Self::start(tools, options),
        }
    }

    /// Whether this is an existing cluster, which the lab did not start.
    pub fn is_existing(&self) -> bool {
        self.processes.is_none()
    }

    /// The API server's URL, `https://…`.
    pub fn url(&self) -> String {
        self.cluster["server"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The certificate authority of the API server, in PEM.
    pub fn ca_pem(&self) -> Result<String, LabError> {
        let data = self.cluster["certificate-authority-data"]
            .as_str()
            .unwrap_or_default();
        let pem = STANDARD
            .decode(data)
            .ok()
            .and_then(|pem| String::from_utf8(pem).ok());
        pem.filter(|pem| !pem.is_empty())
            .ok_or_else(|| LabError::new("the cluster's kubeconfig holds no certificate authority"))
    }

    /// The API server's audit log.
    pub fn audit_log(&self) -> Result<PathBuf, LabError> {
        self.audit_log.clone().ok_or_else(|| {
            LabError::new("no audit log: the control plane was started without one, or is an existing cluster")
        })
    }

    /// The requests to the API server so far.
    pub fn audit(&self) -> Result<Audit, LabError> {
        Audit::read(&self.audit_log()?)
    }

    /// Restarts the controller manager, so that it knows the kinds that were defined since its start; does
    /// nothing to an existing cluster.
    ///
    /// By itself, it discovers kinds every 30 seconds. Until then foreground deletion waits, and the
    /// garbage collector may learn of an owner before its dependents, which it then deletes instead of
    /// orphaning them.
    pub fn restart_controller_manager(&mut self) -> Result<(), LabError> {
        let Some(processes) = &mut self.processes else {
            return Ok(());
        };
        let manager = &mut processes.controller_manager;
        manager.stop()?;
        let log = manager.log().to_owned();
        let starts = || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            text.matches("Proceeding to collect garbage").count()
        };
        let before = starts();
        *manager = start_controller_manager(&self.tools, &self.options)?;
        until(Instant::now() + START_LIMIT, &mut [manager], || {
            Ok(starts() > before)
        })
        .map_err(|error| match error {
            StartError::PortTaken(message) => LabError::new(message),
            StartError::Other(error) => error,
        })
    }

    /// The process ids of etcd, API server and controller manager; none for an existing cluster.
    pub fn pids(&self) -> Vec<u32> {
        self.processes
            .iter()
            .flat_map(|p| [p.etcd.pid(), p.api_server.pid(), p.controller_manager.pid()])
            .collect()
    }

    /// The public key of the service accounts' tokens: ECDSA P-256 in X.509 format (DER).
    pub fn token_key(&self) -> Result<Vec<u8>, LabError> {
        keys::public_key(&fs::read_to_string(self.dir.join("sa.pub"))?)
    }

    fn try_start(tools: &Toolchain, options: &ControlPlaneOptions) -> Result<Self, StartError> {
        let dir = &options.dir;
        for old in ["etcd", "certs", "logs"] {
            if dir.join(old).exists() {
                fs::remove_dir_all(dir.join(old))?;
            }
        }
        fs::create_dir_all(dir)?;
        let logs = dir.join("logs");
        keys::write_signing_key(&dir.join("sa.key"), &dir.join("sa.pub"))?;
        let tokens = User::ALL
            .into_iter()
            .map(|user| Ok((user, keys::random_token()?)));
        let tokens = tokens.collect::<Result<Vec<_>, LabError>>()?;
        let lines = tokens.iter().map(|(user, token)| {
            format!(
                "{token},{name},{name},\"{groups}\"\n",
                name = user.name(),
                groups = user.groups().join(",")
            )
        });
        fs::write(dir.join("audit-policy.yaml"), programs::AUDIT_POLICY)?;
        fs::write(dir.join("tokens.csv"), lines.collect::<String>())?;

        let (client, peer, secure) = (free_port()?, free_port()?, free_port()?);
        let mut etcd = Process::start_ending_with(
            Signal::Kill,
            "etcd",
            &programs::etcd(tools, dir, client, peer),
            &logs.join("etcd.log"),
        )?;
        // Killed, because after SIGTERM it holds its memory for up to a minute.
        let mut api_server = Process::start_ending_with(
            Signal::Kill,
            "kube-apiserver",
            &programs::api_server(tools, options, client, secure),
            &logs.join("kube-apiserver.log"),
        )?;
        let give_up_at = Instant::now() + START_LIMIT;
        let certificate = dir.join("certs/apiserver.crt");
        let address = SocketAddr::from(([127, 0, 0, 1], secure));
        until(give_up_at, &mut [&mut etcd, &mut api_server], || {
            Ok(certificate.exists()
                && TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
        })?;

        let cluster = json!({
            "server": format!("https://127.0.0.1:{secure}"),
            "certificate-authority-data": STANDARD.encode(fs::read(&certificate)?),
        });
        for (user, token) in tokens {
            write_kubeconfig(&user.kubeconfig(dir), &cluster, &json!({"token": token}))?;
        }
        let ask = |args: &[&str]| -> Result<bool, LabError> {
            let mut kubectl = Command::new(tools.kubectl());
            kubectl
                .env("KUBECACHEDIR", dir.join("kubectl-cache"))
                .arg("--kubeconfig")
                .arg(User::Admin.kubeconfig(dir));
            Ok(kubectl
                .arg("--request-timeout=5s")
                .args(args)
                .output()?
                .status
                .success())
        };
        until(give_up_at, &mut [&mut etcd, &mut api_server], || {
            ask(&["get", "--raw=/readyz"])
        })?;

        let mut controller_manager = start_controller_manager(tools, options)?;
        until(
            give_up_at,
            &mut [&mut etcd, &mut api_server, &mut controller_manager],
            || {
                // The first object that it creates and that everything else needs.
                ask(&["get", "serviceaccount", "default", "--namespace=default"])
            },
        )?;
        Ok(Self {
            tools: tools.clone(),
            dir: dir.clone(),
            cluster,
            audit_log: options.audit.then(|| dir.join("logs/audit.log")),
            options: options.clone(),
            processes: Some(Processes {
                controller_manager,
                api_server,
                etcd,
            }),
        })
    }
}

fn start_controller_manager(
    tools: &Toolchain,
    options: &ControlPlaneOptions,
) -> std::io::Result<Process> {
    Process::start_ending_with(
        Signal::Kill,
        "kube-controller-manager",
        &programs::controller_manager(tools, options),
        &options.dir.join("logs/kube-controller-manager.log"),
    )
}

/// Polls `ready`; fails when one of the processes has ended or time is up.
fn until(
    give_up_at: Instant,
    processes: &mut [&mut Process],
    ready: impl Fn() -> Result<bool, LabError>,
) -> Result<(), StartError> {
    loop {
        if let Some(process) = processes
            .iter_mut()
            .find_map(|p| (!p.is_running()).then_some(p))
        {
            let tail = process.tail(15);
            let message = format!(
                "{} ended; see {}:\n{tail}",
                process.name(),
                process.log().display()
            );
            return Err(if tail.contains("address already in use") {
                StartError::PortTaken(message)
            } else {
                StartError::Other(LabError::new(message))
            });
        }
        if ready()? {
            return Ok(());
        }
        if Instant::now() >= give_up_at {
            let logs: Vec<_> = processes
                .iter()
                .map(|p| p.log().display().to_string())
                .collect();
            return Err(StartError::Other(LabError::new(format!(
                "the control plane was not ready within {} s; see {}",
                START_LIMIT.as_secs(),
                logs.join(", ")
            ))));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
