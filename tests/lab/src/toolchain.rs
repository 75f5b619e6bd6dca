//! The programs of others that the lab runs, installed under `<workspace>/target/lab`.
//!
//! Kubernetes, etcd and helm are built from `tests/lab/kube/go.mod` (Go 1.26), `MiniStack` and its
//! clients come from `tests/lab/requirements.txt` (Python 3.11 or newer with `venv`), two small programs
//! that check what others read from `tests/lab/checks` (Go, too). Each lands in
//! a directory named by the hash of what pins it, appears there only when complete, and is
//! installed by one process at a time: any number of test binaries may ask at once.
//!
//! `KUBEBUILDER_ASSETS` (a directory with `etcd`, `kube-apiserver` and `kubectl`, as other
//! Kubernetes projects use it) replaces those three, which spares building them.

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

/// The packages to build and what `go install` calls the results.
const API_SERVER: (&str, &str) = ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver");
const KUBECTL: (&str, &str) = ("k8s.io/kubernetes/cmd/kubectl", "kubectl");
/// Its `main` is etcd; Go names it after the module's directory.
const ETCD: (&str, &str) = ("go.etcd.io/etcd/server/v3", "server");
const CONTROLLER_MANAGER: (&str, &str) = (
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-controller-manager",
);
const HELM: (&str, &str) = ("helm.sh/helm/v4/cmd/helm", "helm");

/// Without the version the server calls itself `v0.0.0-master`, which fails every chart's
/// `kubeVersion`. As in go.mod.
const KUBERNETES: &str = "1.37.2";

/// How often a long step says that it is still at work.
const PROGRESS_EVERY: Duration = Duration::from_secs(20);

/// Receives one line of progress at a time.
pub type Progress<'a> = &'a dyn Fn(&str);

/// Where the installed programs are.
#[derive(Debug, Clone)]
pub struct Toolchain {
    bin: PathBuf,
    assets: Option<PathBuf>,
    python: PathBuf,
}

impl Toolchain {
    /// Installs what is missing. The first time takes some 7 minutes and downloads about 400 MB of
    /// modules; with everything in place it takes milliseconds.
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

    /// The Python that has what `requirements.txt` names.
    pub fn python(&self) -> PathBuf {
        self.python.clone()
    }

    fn asset(&self, theirs: &str, ours: &str) -> PathBuf {
        self.assets
            .as_ref()
            .map_or_else(|| self.bin.join(ours), |assets| assets.join(theirs))
    }
}

/// The repository's root.
pub fn workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or(root)
}

/// The Python alone, for what needs no control plane (half a minute the first time).
pub fn python(progress: Progress) -> Result<PathBuf, LabError> {
    let requirements = workspace().join("tests/lab/requirements.txt");
    let venv = lab_dir().join(format!("venv-{}", short_hash(&[&requirements])?));
    let python = venv.join("bin/python");
    // Written last: an interrupted installation is begun again.
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

/// The directory with the Go programs; with `all` also those that `KUBEBUILDER_ASSETS` can replace.
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

/// The directory with `promlint` and `health`, built from `tests/lab/checks`: what Prometheus and Argo CD
/// say of what Sluice gives them (some seconds the first time).
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

/// Twelve hex digits of what the files hold.
fn short_hash(files: &[&Path]) -> Result<String, LabError> {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for file in files {
        let text = fs::read(file).map_err(|e| LabError::new(format!("{}: {e}", file.display())))?;
        context.update(&text);
    }
    Ok(hex::encode(&context.finish().as_ref()[..6]))
}

/// Holds `target/lab/<name>` until dropped; another holder is waited for.
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

/// Runs `command` to its end and says what it is at.
fn run(
    what: &str,
    about: &str,
    command: &Command,
    log: &Path,
    progress: Progress,
) -> Result<(), LabError> {
    let program = command.get_program().to_string_lossy().into_owned();
    // The keeper's shell would report a missing program only by exit code 127.
    if let Err(e) = Command::new(&program)
        .arg("--help")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
    {
        return Err(LabError::new(format!(
            "{what}: {program} cannot be started ({e}); is it installed?"
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
            "{what}: {program} failed ({status}); all of it is in {}:\n{}",
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
