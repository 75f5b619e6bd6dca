//! One controller: a thread with its own runtime that runs the whole program except for its process.
//!
//! A kill drops the runtime with every call in flight, without a graceful shutdown. A pause blocks the
//! thread, and so everything on it, until the controller resumes.

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use clap::Parser as _;
use kube::Config;
use sluice::{
    app::{self, Clients},
    cli::{Cli, Command},
    http::Readiness,
    metrics::Metrics,
};
use tokio::{runtime, sync::oneshot};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::MakeWriter;

use crate::{interceptor::Interceptor, wire};

/// The environment that a controller runs in.
#[derive(Clone)]
pub struct Environment {
    /// The API server, and the identity of the controller there.
    pub config: Config,
    /// The interceptor that all its calls pass.
    pub interceptor: Arc<Interceptor>,
    /// The only namespace that it reconciles.
    pub namespace: String,
    /// The slot whose Accounts it sees: `<slot>-hub`, `<slot>-dev` and `<slot>-prod`.
    pub slot: String,
    /// Receives its log lines.
    pub log: Log,
    /// The Lease that it must hold; none disables leader election.
    pub lease: Option<String>,
}

/// A running controller.
pub struct Instance {
    kill: Option<oneshot::Sender<()>>,
    pause: mpsc::Sender<PauseRequest>,
    thread: Option<JoinHandle<()>>,
}

/// Asks a controller's thread to block until the sender of this channel is dropped.
struct PauseRequest(mpsc::Receiver<()>);

/// Keeps a controller paused until it is dropped.
pub struct PauseGuard(#[allow(dead_code, reason = "only its drop matters")] mpsc::Sender<()>);

impl Instance {
    /// Starts a controller.
    pub fn start(environment: Environment) -> Self {
        let (kill, killed) = oneshot::channel();
        let (pause, pauses) = mpsc::channel::<PauseRequest>();
        let thread = thread::Builder::new()
            .name("controller".to_owned())
            .spawn(move || {
                let subscriber = tracing_subscriber::fmt()
                    .with_env_filter("info,sluice=debug,kube=warn,hyper=warn,aws=warn")
                    .with_ansi(false)
                    .with_writer(environment.log.clone())
                    .finish();
                tracing::subscriber::with_default(subscriber, || {
                    run_until_killed(environment, killed, pauses);
                });
            })
            .unwrap();
        Self {
            kill: Some(kill),
            pause,
            thread: Some(thread),
        }
    }

    /// Kills it in the middle of its work, and waits until its thread has ended.
    pub fn kill(mut self) {
        if let Some(kill) = self.kill.take() {
            // The controller may have ended by itself.
            let _ = kill.send(());
        }
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok(), "a controller panicked");
        }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Pauses it wherever it is, like a process that gets no CPU time.
    pub fn pause(&self) -> PauseGuard {
        let (guard, until) = mpsc::channel();
        let _ = self.pause.send(PauseRequest(until));
        PauseGuard(guard)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        drop(self.kill.take());
    }
}

fn run_until_killed(
    environment: Environment,
    killed: oneshot::Receiver<()>,
    pauses: mpsc::Receiver<PauseRequest>,
) {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async move {
        let pausing = tokio::spawn(async move {
            let mut interval = tokio::time::interval(Duration::from_millis(5));
            loop {
                interval.tick().await;
                match pauses.try_recv() {
                    // Blocking the whole thread is intended: it pauses the runtime.
                    Ok(PauseRequest(until)) => drop(until.recv()),
                    Err(mpsc::TryRecvError::Empty) => {}
                    Err(mpsc::TryRecvError::Disconnected) => break,
                }
            }
        });
        tokio::select! {
            result = run_program(&environment) => {
                writeln!(&mut environment.log.clone(), "the controller ended: {result:?}").unwrap();
            }
            _ = killed => {}
        }
        pausing.abort();
    });
    runtime.shutdown_timeout(Duration::ZERO);
}

async fn run_program(environment: &Environment) -> Result<(), app::AppError> {
    let (slot, namespace) = (&environment.slot, &environment.namespace);
    let elect = environment.lease.is_some();
    let lease = environment.lease.as_deref().unwrap_or("none");
    let arguments = [
        "sluice".to_owned(),
        "run".to_owned(),
        format!("--hub-account={slot}-hub"),
        "--hub-region=eu-west-1".to_owned(),
        "--gitlab-networks=127.0.0.1/32".to_owned(),
        "--check-networks=127.0.0.1/32".to_owned(),
        "--gitlab-requests-per-minute=100000".to_owned(),
        format!("--leader-elect={elect}"),
        format!("--lease-name={lease}"),
        "--lease-duration=3s".to_owned(),
        "--takeover-delay=1s".to_owned(),
    ];
    let Command::Run(options) = Cli::parse_from(arguments).command else {
        unreachable!("the arguments say `run`");
    };
    let clients = Clients::of(environment.config.clone(), |config| {
        wire::client(config, &environment.interceptor, namespace, slot)
    })?;
    let metrics = Arc::new(Metrics::new());
    let stop = CancellationToken::new();
    app::work(&options, clients, &metrics, &Readiness::default(), stop).await
}

/// The log of all controllers of a run.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Whether the log contains the text.
    pub fn contains(&self, needle: &str) -> bool {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).contains(needle)
    }

    /// The last lines of the log.
    pub fn tail(&self, lines: usize) -> String {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
