//! One controller: a thread, a runtime that lives on it, and all of the program but its process.
//!
//! Killing it drops the runtime where it stands, with every call that is under way; nothing is told to
//! end, and nothing is waited for. Pausing it stops the thread, and so everything, until it goes on.

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

use crate::{gate::Gate, wire};

/// Which world a controller works in.
#[derive(Clone)]
pub struct Place {
    /// The API server, and who the controller is there.
    pub config: Config,
    /// What its calls pass.
    pub gate: Arc<Gate>,
    /// The namespace it works for.
    pub namespace: String,
    /// Whose Accounts it sees: they are called `<slot>-hub`, `<slot>-dev` and `<slot>-prod`.
    pub slot: String,
    /// What it says goes here.
    pub log: Log,
    /// The Lease that it has to hold; without one it is alone.
    pub lease: Option<String>,
}

/// A running controller.
pub struct Instance {
    kill: Option<oneshot::Sender<()>>,
    pause: mpsc::Sender<Paused>,
    thread: Option<JoinHandle<()>>,
}

/// Holds a controller's thread until it is dropped.
struct Paused(mpsc::Receiver<()>);

/// Goes on when this is dropped.
pub struct Pause(#[allow(dead_code, reason = "its end is what counts")] mpsc::Sender<()>);

impl Instance {
    /// Starts one.
    pub fn start(place: Place) -> Self {
        let (kill, killed) = oneshot::channel();
        let (pause, pauses) = mpsc::channel::<Paused>();
        let thread = thread::Builder::new()
            .name("controller".to_owned())
            .spawn(move || {
                let said = tracing_subscriber::fmt()
                    .with_env_filter("info,sluice=debug,kube=warn,hyper=warn,aws=warn")
                    .with_ansi(false)
                    .with_writer(place.log.clone())
                    .finish();
                tracing::subscriber::with_default(said, || live(place, killed, pauses));
            })
            .unwrap();
        Self {
            kill: Some(kill),
            pause,
            thread: Some(thread),
        }
    }

    /// Ends it in the middle of whatever it does, and waits until nothing of it is left.
    pub fn kill(mut self) {
        if let Some(kill) = self.kill.take() {
            // It may have ended by itself.
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

    /// Stops it wherever it is, as a process that is not given the processor.
    pub fn pause(&self) -> Pause {
        let (go_on, wait) = mpsc::channel();
        let _ = self.pause.send(Paused(wait));
        Pause(go_on)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        drop(self.kill.take());
    }
}

fn live(place: Place, killed: oneshot::Receiver<()>, pauses: mpsc::Receiver<Paused>) {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async move {
        let obeying = tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_millis(5));
            loop {
                every.tick().await;
                match pauses.try_recv() {
                    // The whole thread waits here: that is the point.
                    Ok(Paused(until)) => drop(until.recv()),
                    Err(mpsc::TryRecvError::Empty) => {}
                    Err(mpsc::TryRecvError::Disconnected) => break,
                }
            }
        });
        tokio::select! {
            ended = work(&place) => {
                writeln!(&mut place.log.clone(), "the controller ended: {ended:?}").unwrap();
            }
            _ = killed => {}
        }
        obeying.abort();
    });
    runtime.shutdown_timeout(Duration::ZERO);
}

async fn work(place: &Place) -> Result<(), app::AppError> {
    let (slot, namespace) = (&place.slot, &place.namespace);
    let elect = place.lease.is_some();
    let lease = place.lease.as_deref().unwrap_or("none");
    let arguments = [
        "sluice".to_owned(),
        "run".to_owned(),
        format!("--hub-account={slot}-hub"),
        "--hub-region=eu-west-1".to_owned(),
        "--gitlab-networks=127.0.0.1/32".to_owned(),
        "--gitlab-requests-per-minute=100000".to_owned(),
        format!("--leader-elect={elect}"),
        format!("--lease-name={lease}"),
        "--lease-duration=3s".to_owned(),
        "--takeover-delay=1s".to_owned(),
    ];
    let Command::Run(options) = Cli::parse_from(arguments).command else {
        unreachable!("asked for run");
    };
    let clients = Clients::of(place.config.clone(), |config| {
        wire::client(config, &place.gate, namespace, slot)
    })?;
    let metrics = Arc::new(Metrics::new());
    let stop = CancellationToken::new();
    app::work(&options, clients, &metrics, &Readiness::default(), stop).await
}

/// What a run's controllers said.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Whether they said that.
    pub fn has(&self, words: &str) -> bool {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).contains(words)
    }

    /// The last lines.
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
