//! The controller, started as the installed chart says.
//!
//! The lab reads the Deployment back from the API and runs its container's command as a process of the host
//! with exactly its arguments, environment and mounted files, under its own service account.
//! Only this differs from a pod:
//! - the API server is found by `KUBECONFIG`, which holds the service account's token, and
//!   not by the in-cluster variables;
//! - mounted files lie below a directory of the host: a value that begins with a mount path begins
//!   with that directory's instead;
//! - a value that is an address to listen on (`0.0.0.0:8080`, `[::]:8080`, `:8080`) becomes
//!   127.0.0.1 and a free port, the same one as long as this `Controller` lives.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    ControlPlane, User, env,
    pod::{HostView, Pod, expand},
    probe, volumes,
};
use crate::{
    error::LabError,
    process::{Process, Signal},
    runtime,
};

/// The default `PATH` of a container.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `USER_HZ`, in which Linux reports processor time to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long a killed process may take to end.
const KILL_LIMIT: Duration = Duration::from_mins(1);

/// Replacements for an image and a node.
#[derive(Debug, Clone)]
pub struct Overrides {
    /// Runs in place of the image's entrypoint.
    pub binary: PathBuf,
    /// Added to the Deployment's environment, with precedence over it: only for the lab's own needs, such
    /// as `SSL_CERT_FILE`.
    pub extra_env: Vec<(String, String)>,
}

/// One pod of the controller. Dropping it ends its process.
#[derive(Debug)]
pub struct Controller {
    pod: Pod,
    command: Command,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    ports: BTreeMap<u16, u16>,
    log: PathBuf,
    root: PathBuf,
    process: Option<Process>,
}

impl Controller {
    /// Reads the Deployment back and starts one pod of it. Each call starts another pod.
    pub fn from_chart(
        control_plane: &ControlPlane,
        namespace: &str,
        deployment: &str,
        overrides: &Overrides,
    ) -> Result<Self, LabError> {
        let binary = std::path::absolute(&overrides.binary)?;
        if !binary.is_file() {
            let message = format!(
                "{}: there is no such program; build it first",
                binary.display()
            );
            return Err(LabError::new(message));
        }
        let args = [
            "get",
            "deployments.apps",
            deployment,
            "--namespace",
            namespace,
        ];
        let read: Deployment =
            serde_json::from_value(control_plane.kubectl_json(User::Admin, &args)?)
                .map_err(|e| LabError::new(format!("deployment {namespace}/{deployment}: {e}")))?;
        let suffix: String = std::iter::repeat_with(fastrand::lowercase)
            .take(5)
            .collect();
        let pod = Pod::of(read, format!("{deployment}-{suffix}"))?;

        let dir = control_plane.dir.join("pods").join(&pod.name);
        let root = dir.join("root");
        fs::create_dir_all(&root)?;
        volumes::materialise(control_plane, &pod, &root)?;
        let token = control_plane.token_for(namespace, pod.service_account(), None)?;
        let kubeconfig = control_plane.kubeconfig_with_token(&pod.name, &token)?;

        let mut view = HostView::of(pod.container(), &root);
        let declared = env::declared(control_plane, &pod)?;
        let mut env = BTreeMap::from([
            ("PATH".to_owned(), PATH.to_owned()),
            ("HOSTNAME".to_owned(), pod.name.clone()),
            ("KUBECONFIG".to_owned(), kubeconfig.display().to_string()),
        ]);
        for (name, value) in &declared {
            env.insert(name.clone(), view.value(value)?);
        }
        env.extend(overrides.extra_env.iter().cloned());

        // The first word of `command` is the program, which here is the binary.
        let container = pod.container();
        let words = container
            .command
            .iter()
            .flatten()
            .skip(1)
            .chain(container.args.iter().flatten());
        let args = words
            .map(|word| view.argument(&expand(word, &declared)))
            .collect::<Result<Vec<_>, _>>()?;

        let mut command = Command::new(&binary);
        for (inherited, _) in std::env::vars_os() {
            command.env_remove(inherited);
        }
        command.args(&args).envs(&env).current_dir(&root);
        let ports = view.ports().clone();
        let mut controller = Self {
            pod,
            command,
            args,
            env,
            ports,
            log: dir.join("log"),
            root,
            process: None,
        };
        controller.start()?;
        Ok(controller)
    }

    /// Starts the process again after [`Controller::kill`] or [`Controller::terminate`]: the same pod with
    /// a restarted container.
    pub fn start(&mut self) -> Result<(), LabError> {
        if self.is_running() {
            return Err(LabError::new(format!("{} runs already", self.pod.name)));
        }
        self.process = Some(Process::start(&self.pod.name, &self.command, &self.log)?);
        Ok(())
    }

    /// Writes the mounted files again, as a kubelet does some time after a Secret or `ConfigMap` has
    /// changed. The environment stays the same.
    pub fn refresh_mounts(&self, control_plane: &ControlPlane) -> Result<(), LabError> {
        volumes::materialise(control_plane, &self.pod, &self.root)
    }

    /// Kills the process (SIGKILL), as the loss of a node does.
    pub fn kill(&mut self) -> Result<(), LabError> {
        let process = self.running()?;
        process.signal(Signal::Kill)?;
        match process.wait(KILL_LIMIT)? {
            Some(_) => Ok(()),
            None => Err(LabError::new(format!(
                "process {} did not end by SIGKILL",
                process.pid()
            ))),
        }
    }

    /// Sends SIGTERM, waits for the pod's grace period and then kills the process, as a kubelet does. The
    /// exit code is 137 if it had to be killed.
    pub fn terminate(&mut self) -> Result<ExitStatus, LabError> {
        let grace = self.pod.spec.termination_grace_period_seconds.unwrap_or(30);
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or_default());
        let process = self.running()?;
        process.signal(Signal::Term)?;
        if let Some(status) = process.wait(grace)? {
            return Ok(status);
        }
        process.signal(Signal::Kill)?;
        let status = process.wait(KILL_LIMIT)?;
        status.ok_or_else(|| {
            LabError::new(format!("process {} did not end by SIGKILL", process.pid()))
        })
    }

    /// Freezes the process (SIGSTOP).
    pub fn pause(&mut self) -> Result<(), LabError> {
        Ok(self.running()?.signal(Signal::Stop)?)
    }

    /// Continues the process after [`Controller::pause`].
    pub fn resume(&mut self) -> Result<(), LabError> {
        Ok(self.running()?.signal(Signal::Cont)?)
    }

    /// Whether the process is running.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Waits until the readiness probe of the Deployment succeeds; an error with the end of the log if that
    /// takes longer than `limit` or the process ends first.
    pub fn wait_ready(&mut self, limit: Duration) -> Result<(), LabError> {
        let end = Instant::now() + limit;
        while !self.is_ready()? {
            let state = if !self.is_running() {
                "ended before it was ready".to_owned()
            } else if Instant::now() >= end {
                format!("was not ready within {} s", limit.as_secs())
            } else {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            };
            return Err(self.failed(&state));
        }
        Ok(())
    }

    /// Whether the Deployment's readiness probe succeeds now.
    pub fn is_ready(&self) -> Result<bool, LabError> {
        let probe = self.pod.container().readiness_probe.as_ref();
        self.answers(probe.ok_or_else(|| self.pod.cannot("readiness: there is no readinessProbe"))?)
    }

    /// Whether the Deployment's liveness probe succeeds now.
    pub fn is_live(&self) -> Result<bool, LabError> {
        let probe = self.pod.container().liveness_probe.as_ref();
        self.answers(probe.ok_or_else(|| self.pod.cannot("liveness: there is no livenessProbe"))?)
    }

    /// The port on 127.0.0.1 in place of the container's. An error if no argument and no variable is an
    /// address with the container's port.
    pub fn port(&self, container_port: u16) -> Result<u16, LabError> {
        self.ports.get(&container_port).copied().ok_or_else(|| {
            LabError::new(format!(
                "pod {}: no argument or variable is an address with port {container_port}; known: {:?}",
                self.pod.name,
                self.ports.keys().collect::<Vec<_>>()
            ))
        })
    }

    /// [`Controller::port`] by the port's name in the container.
    pub fn port_named(&self, name: &str) -> Result<u16, LabError> {
        let ports = self.pod.container().ports.iter().flatten();
        let port = ports
            .filter(|port| port.name.as_deref() == Some(name))
            .find_map(|port| port.container_port.try_into().ok());
        self.port(port.ok_or_else(|| {
            self.pod.cannot(&format!(
                "the port {name}: the container has none of that name"
            ))
        })?)
    }

    /// How many reconciles of `controller` (such as `deployment`) have ended since the process started.
    pub fn reconciles(&self, controller: &str) -> Result<usize, LabError> {
        let url = format!("http://127.0.0.1:{}/metrics", self.port_named("http")?);
        let text = runtime::handle().block_on(async { reqwest::get(&url).await?.text().await });
        let text = text.map_err(|error| LabError::new(format!("{url}: {error}")))?;
        let label = format!("controller=\"{controller}\"");
        let lines = text.lines().filter(|line| {
            line.starts_with("sluice_reconciles_total{") && line.contains(label.as_str())
        });
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
        Ok(values.sum())
    }

    /// The process id; after the end, that of the last process.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::pid)
    }

    /// The current resident memory.
    pub fn rss_bytes(&self) -> Result<u64, LabError> {
        self.memory("VmRSS:")
    }

    /// The part of [`Controller::rss_bytes`] that no file backs: without the program's own code, which is
    /// large in an unoptimised build.
    pub fn anonymous_bytes(&self) -> Result<u64, LabError> {
        self.memory("RssAnon:")
    }

    /// The peak resident memory of this process.
    pub fn peak_rss_bytes(&self) -> Result<u64, LabError> {
        self.memory("VmHWM:")
    }

    /// The processor time of this process, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64, LabError> {
        cpu_seconds(self.pid())
    }

    /// The output of all starts.
    pub fn logs(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The pod's name, as `metadata.name` gives it to the container.
    pub fn pod_name(&self) -> &str {
        &self.pod.name
    }

    /// The username for the API server.
    pub fn username(&self) -> String {
        format!(
            "system:serviceaccount:{}:{}",
            self.pod.namespace,
            self.pod.service_account()
        )
    }

    /// The arguments of the process.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// The environment of the process.
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    fn running(&mut self) -> Result<&mut Process, LabError> {
        if !self.is_running() {
            return Err(self.failed("has ended"));
        }
        self.process
            .as_mut()
            .ok_or_else(|| LabError::new("never started"))
    }

    fn failed(&self, state: &str) -> LabError {
        let tail = self
            .process
            .as_ref()
            .map(|process| process.tail(25))
            .unwrap_or_default();
        LabError::new(format!(
            "{} {state}; see {}:\n{tail}",
            self.pod.name,
            self.log.display()
        ))
    }

    fn memory(&self, field: &str) -> Result<u64, LabError> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib: Option<u64> = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| {
            LabError::new(format!(
                "process {}: no {field} in its status; has it ended?",
                self.pid()
            ))
        })
    }

    fn answers(&self, probe: &Probe) -> Result<bool, LabError> {
        let (port, path) = probe::http_get(&self.pod, probe)?;
        let port = match port {
            IntOrString::Int(port) => self.port(u16::try_from(*port).unwrap_or_default())?,
            IntOrString::String(name) => self.port_named(name)?,
        };
        Ok(probe::succeeds(port, path))
    }
}

/// The processor time of a process, in seconds.
pub fn cpu_seconds(pid: u32) -> Result<f64, LabError> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The program's name, in parentheses, may hold anything; what follows has no spaces in it.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|text| text.parse::<u32>().ok())
            .map(f64::from)
    };
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok((user + system) / TICKS_PER_SECOND),
        _ => Err(LabError::new(format!(
            "process {pid}: its processor time cannot be read"
        ))),
    }
}
