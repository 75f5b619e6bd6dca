//! The controllers of a run. After a kill or a pause, another controller starts; a paused one resumes later.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
};

use crate::{
    fixture::REPLY_GRACE,
    instance::{Environment, Instance, PauseGuard},
    interceptor::Signal,
};

/// How often the supervisor checks whether a controller has ended by itself.
const EXIT_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The controllers of a run.
pub struct Controllers {
    running: Arc<Mutex<Running>>,
    supervisor: JoinHandle<()>,
}

#[derive(Default)]
struct Running {
    /// The controller that currently runs.
    active: Option<Instance>,
    /// The controller that was paused, and the guard that keeps it paused.
    paused: Option<(Instance, PauseGuard)>,
}

impl Controllers {
    /// Spawns the supervisor, which acts on the signals of the interceptor. [`start`](Self::start) starts the
    /// first controller.
    pub fn new(environment: Environment, signals: mpsc::UnboundedReceiver<Signal>) -> Self {
        let running = Arc::new(Mutex::new(Running::default()));
        let supervisor = tokio::spawn(supervise(environment, Arc::clone(&running), signals));
        Self {
            running,
            supervisor,
        }
    }

    /// Starts the first controller.
    pub async fn start(&self, environment: Environment) {
        self.running.lock().await.active = Some(Instance::start(environment));
    }

    /// Takes the paused controller and its guard.
    pub async fn take_paused(&self) -> Option<(Instance, PauseGuard)> {
        self.running.lock().await.paused.take()
    }

    /// Kills all controllers.
    pub async fn kill_all(self) {
        self.supervisor.abort();
        let mut running = self.running.lock().await;
        let paused = running.paused.take().map(|(paused, _)| paused);
        for instance in running.active.take().into_iter().chain(paused) {
            kill(instance).await;
        }
    }
}

/// How many controllers panicked, in whatever run.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// How many controllers panicked, in whatever run.
pub fn panics() -> usize {
    PANICS.load(Ordering::Relaxed)
}

/// Kills a controller, and counts its panic if that is how it had ended.
async fn kill(instance: Instance) {
    let killed = tokio::task::spawn_blocking(|| instance.kill()).await;
    if killed.is_err() {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts another controller after each kill and each pause. A controller that lost its Lease ends by itself;
/// the supervisor restarts it, as a kubelet does.
async fn supervise(
    environment: Environment,
    running: Arc<Mutex<Running>>,
    mut signals: mpsc::UnboundedReceiver<Signal>,
) {
    loop {
        let signal = match tokio::time::timeout(EXIT_CHECK_INTERVAL, signals.recv()).await {
            Ok(Some(signal)) => signal,
            Ok(None) => break,
            Err(_) => {
                let mut running = running.lock().await;
                let has_ended = running.active.as_ref().is_some_and(Instance::has_ended);
                if has_ended && environment.lease.is_some() {
                    if let Some(ended) = running.active.take() {
                        kill(ended).await;
                    }
                    running.active = Some(Instance::start(environment.clone()));
                }
                continue;
            }
        };
        match signal {
            Signal::Kill => {
                tokio::time::sleep(REPLY_GRACE).await;
                let mut running = running.lock().await;
                if let Some(killed) = running.active.take() {
                    kill(killed).await;
                }
                environment.interceptor.revive();
                running.active = Some(Instance::start(environment.clone()));
            }
            Signal::Pause => {
                let mut running = running.lock().await;
                if let Some(former) = running.active.take() {
                    let guard = former.pause();
                    running.paused = Some((former, guard));
                    running.active = Some(Instance::start(environment.clone()));
                }
            }
        }
    }
}
