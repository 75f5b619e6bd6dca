//! The third-party programs that the lab runs, installed in `<workspace>/target/lab`.
//!
//! Kubernetes, etcd and helm are built from `tests/lab/kube/go.mod` (Go 1.26). `MiniStack` and its clients
//! come from `tests/lab/requirements.txt` (Python 3.11 or newer with `venv`). Two small Go programs that
//! check Sluice's output come from `tests/lab/checks`. Each goes into a directory that is named by the hash
//! of its pins, appears there only when complete, and is installed by one process at a time, so any number
//! of test binaries may ask at once.
//!
//! `KUBEBUILDER_ASSETS` (a directory with `etcd`, `kube-apiserver` and `kubectl`, as other
//! Kubernetes projects use it) replaces those three, which avoids building them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use crate::{
    error::LabError,
    process::{Process, Signal},
};

/// The packages to build, and the names that `go install` gives the results.
const API_SERVER: (&str, &str) = ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver");
const KUBECTL: (&str, &str) = ("k8s.io/kubernetes/cmd/kubectl", "kubectl");
/// Its `main` is etcd; Go names the result after the module's directory.
const ETCD: (&str, &str) = ("go.etcd.io/etcd/server/v3", "server");
const CONTROLLER_MANAGER: (&str, &str) = (
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-controller-manager",
);
const HELM: (&str, &str) = ("helm.sh/helm/v4/cmd/helm", "helm");

/// The version in `go.mod`. Without it, the server reports `v0.0.0-master`, which no chart's `kubeVersion`
/// accepts.
const KUBERNETES: &str = "1.37.2";

/// How often a long step reports progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(20);

/// Receives one line of progress at a time.
pub type Progress<'a> = &'a dyn Fn(&str);

/// The paths of the installed programs.
#[derive(Debug, Clone)]
pub struct Toolchain {
    bin: PathBuf,
    assets: Option<PathBuf>,
    python: PathBuf,
}

impl Toolchain {
    /// Installs what is missing. The first time takes about 7 minutes and downloads about 400 MB of
    /// modules; later it takes milliseconds.
    pub fn ensure(progress: Progress) -> Result<Self, LabError> {
        let python = python(progress)?;
        let assets = kubebuilder_assets()?;
        let bin = kube_programs(assets.is_none(), progress)?;
        Ok(Self {
            bin,
            assets,
            python,
        })
    }

    /// [`Toolchain::ensure`], once per process, with progress on standard error.
    pub fn shared() -> Result<&'static Self, LabError> {
        static SHARED: LazyLock<Result<Toolchain, String>> = LazyLock::new(|| {
            Toolchain::ensure(&|line| eprintln!("lab: {line}")).map_err(|e| e.to_string())
        });
        SHARED.as_ref().map_err(|e| LabError::new(e.clone()))
    }

    /// kubectl.
    pub fn kubectl(&self) -> PathBuf {
        self.asset("kubectl", KUBECTL.1)
    }

    /// The API server.
    pub fn api_server(&self) -> PathBuf {
        self.asset("kube-apiserver", API_SERVER.1)
    }

    /// etcd.
    pub fn etcd(&self) -> PathBuf {
        self.asset("etcd", ETCD.1)
    }

    /// The controller manager.
    pub fn controller_manager(&self) -> PathBuf {
        self.bin.join(CONTROLLER_MANAGER.1)
    }

    /// helm.
    pub fn helm(&self) -> PathBuf {
        self.bin.join(HELM.1)
    }

    /// The Python with the packages of `requirements.txt`.
    pub fn python(&self) -> PathBuf {
        self.python.clone()
    }

    fn asset(&self, asset_name: &str, built_name: &str) -> PathBuf {
        self.assets.as_ref().map_or_else(
            || self.bin.join(built_name),
            |assets| assets.join(asset_name),
        )
    }
}

/// The repository's root.
pub fn workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or(root)
}

/// Only Python, for tests without a control plane (half a minute the first time).
pub fn python(progress: Progress) -> Result<PathBuf, LabError> {
    let requirements = workspace().join("tests/lab/requirements.txt");
    let venv = lab_dir().join(format!("venv-{}", short_hash(&[&requirements])?));
    let python = venv.join("bin/python");
    // Written last: an interrupted installation starts again.
    let complete = venv.join("complete");
    if complete.exists() {
        return Ok(python);
    }
    let _lock = lock("venv.lock", progress)?;
    if complete.exists() {
        return Ok(python);
    }
    if venv.exists() {
        fs::remove_dir_all(&venv)?;
    }
    let log = lab_dir().join("venv.log");
    let mut create = Command::new("python3");
    create.args(["-m", "venv"]).arg(&venv);
    run(
        "Python environment",
        "a few seconds",
        &create,
        &log,
        progress,
    )?;
    let mut install = Command::new(&python);
    install
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "-r",
        ])
        .arg(&requirements);
    run(
        "Python packages (MiniStack, boto3)",
        "half a minute",
        &install,
        &log,
        progress,
    )?;
    File::create(&complete)?;
    Ok(python)
}

/// The directory with the Go programs; `all` includes those that `KUBEBUILDER_ASSETS` can replace.
fn kube_programs(all: bool, progress: Progress) -> Result<PathBuf, LabError> {
    let module = workspace().join("tests/lab/kube");
    let home = lab_dir().join(format!(
        "kube-{}",
        short_hash(&[&module.join("go.mod"), &module.join("go.sum")])?
    ));
    let bin = home.join("bin");
    let mut wanted = vec![CONTROLLER_MANAGER, HELM];
    if all {
        wanted.extend([ETCD, API_SERVER, KUBECTL]);
    }
    let missing = || {
        wanted
            .iter()
            .copied()
            .filter(|(_, name)| !bin.join(name).exists())
            .collect::<Vec<_>>()
    };
    if missing().is_empty() {
        return Ok(bin);
    }
    fs::create_dir_all(&bin)?;
    let _lock = lock("kube.lock", progress)?;
    let missing = missing();
    if missing.is_empty() {
        return Ok(bin);
    }
    let partial = home.join("partial");
    let version = "k8s.io/component-base/version";
    let (major, minor) = major_minor(KUBERNETES);
    let mut install = Command::new("go");
    install
        .current_dir(&module)
        .env("CGO_ENABLED", "0")
        .env("GOBIN", &partial)
        .args(["install", "-trimpath", "-ldflags"])
        .arg(format!(
            "-s -w -X {version}.gitVersion=v{KUBERNETES} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
        ))
        .args(missing.iter().map(|(package, _)| package));
    let names = missing
        .iter()
        .map(|(_, name)| *name)
        .collect::<Vec<_>>()
        .join(", ");
    let what = format!("Kubernetes programs ({names})");
    run(
        &what,
        "6 minutes on 2 cores the first time",
        &install,
        &home.join("build.log"),
        progress,
    )?;
    for (_, name) in missing {
        fs::rename(partial.join(name), bin.join(name))?;
    }
    Ok(bin)
}

/// The directory with `promlint`, Prometheus' linter of metrics, and `health`, which runs a health script of
/// Argo CD. Both are built from `tests/lab/checks` (some seconds the first time).
pub fn checks(progress: Progress) -> Result<PathBuf, LabError> {
    let module = workspace().join("tests/lab/checks");
    let sources = ["go.mod", "go.sum", "promlint/main.go", "health/main.go"];
    let sources = sources.map(|file| module.join(file));
    let sources: Vec<&Path> = sources.iter().map(PathBuf::as_path).collect();
    let home = lab_dir().join(format!("checks-{}", short_hash(&sources)?));
    let bin = home.join("bin");
    // Renamed into place when complete.
    if bin.exists() {
        return Ok(bin);
    }
    let _lock = lock("checks.lock", progress)?;
    if bin.exists() {
        return Ok(bin);
    }
    fs::create_dir_all(&home)?;
    let partial = home.join("partial");
    let mut install = Command::new("go");
    install
        .current_dir(&module)
        .env("CGO_ENABLED", "0")
        .env("GOBIN", &partial)
        .args(["install", "-trimpath", "./..."]);
    run(
        "promlint and health",
        "half a minute",
        &install,
        &home.join("build.log"),
        progress,
    )?;
    fs::rename(partial, &bin)?;
    Ok(bin)
}

fn kubebuilder_assets() -> Result<Option<PathBuf>, LabError> {
    let Some(dir) = std::env::var_os("KUBEBUILDER_ASSETS")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
    else {
        return Ok(None);
    };
    match ["etcd", "kube-apiserver", "kubectl"]
        .into_iter()
        .find(|name| !dir.join(name).is_file())
    {
        None => Ok(Some(dir)),
        Some(name) => Err(LabError::new(format!(
            "KUBEBUILDER_ASSETS is {}, which has no {name}; unset it to use the lab's own",
            dir.display()
        ))),
    }
}

fn lab_dir() -> PathBuf {
    workspace().join("target/lab")
}

fn major_minor(version: &str) -> (&str, &str) {
    let mut parts = version.split('.');
    (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    )
}

/// The first twelve hex digits of the hash of the files.
fn short_hash(files: &[&Path]) -> Result<String, LabError> {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for file in files {
        let text = fs::read(file).map_err(|e| LabError::new(format!("{}: {e}", file.display())))?;
        context.update(&text);
    }
    Ok(hex::encode(&context.finish().as_ref()[..6]))
}

/// Locks `target/lab/<name>` until dropped; waits for another holder.
fn lock(name: &str, progress: Progress) -> Result<File, LabError> {
    fs::create_dir_all(lab_dir())?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(lab_dir().join(name))?;
    if file.try_lock().is_err() {
        progress(&format!(
            "waiting for another process that is installing ({name})"
        ));
        file.lock()?;
    }
    Ok(file)
}

/// Runs `command` to its end and reports progress.
fn run(
    what: &str,
    about: &str,
    command: &Command,
    log: &Path,
    progress: Progress,
) -> Result<(), LabError> {
    let program = command.get_program().to_string_lossy().into_owned();
    // The shell of `Process` reports a missing program only as exit code 127.
    if let Err(e) = Command::new(&program)
        .arg("--help")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
    {
        return Err(LabError::new(format!(
            "{what}: {program} did not start ({e}); install it"
        )));
    }
    let _ = fs::remove_file(log);
    let started = Instant::now();
    progress(&format!("{what}: installing, about {about}"));
    let mut process = Process::start_ending_with(Signal::Term, what, command, log)?;
    let status = loop {
        if let Some(status) = process.wait(PROGRESS_EVERY)? {
            break status;
        }
        progress(&format!(
            "{what}: still installing after {} s (about {about})",
            started.elapsed().as_secs()
        ));
    };
    if !status.success() {
        return Err(LabError::new(format!(
            "{what}: {program} failed ({status}); the whole log is {}:\n{}",
            log.display(),
            process.tail(20)
        )));
    }
    progress(&format!(
        "{what}: installed in {} s",
        started.elapsed().as_secs()
    ));
    Ok(())
}
