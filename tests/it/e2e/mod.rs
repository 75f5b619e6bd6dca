//! Deliveries from end to end: a real API server, AWS and GitLab as the lab has them, and the
//! controller as its chart runs it.
//!
//! Tests share one [`shared`] lab and run side by side in it: a namespace, a project and a function
//! each. What would disturb others (killing the controller, changing definitions, counting all that
//! is asked) takes the [`solo`] lab, one at a time.
//!
//! Relies on the lab's toolchain and on a controller built from the same sources: cargo builds the
//! package's program before its tests.

mod artifacts;
mod aws;
mod back;
mod budgets;
mod changes;
mod check_kinds;
mod checks;
mod collection;
mod commands;
mod counts;
mod crash;
mod deletion;
mod delivery;
mod drift;
mod entry;
mod fleet;
mod functions;
mod gates;
mod grants;
mod hub;
mod leader;
mod levels;
mod malformed;
mod ownership;
mod pipelines;
mod preflight;
mod refusing;
mod removal;
mod removal_stuck;
mod renames;
mod rights;
mod rollback;
mod rollout;
mod scene;
mod sites;
mod source;
mod stages;
mod token;
mod transcript;
mod watching;

use std::{
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use kube::config::{KubeConfigOptions, Kubeconfig};
use sluice_lab::{
    kube::User,
    lab::{Lab, LabOptions},
    runtime,
};

pub use sluice_lab::lab::PATIENCE as LIMIT;

/// A lab, and a client that looks at its cluster without starting kubectl each time.
pub struct World {
    pub lab: Lab,
    pub client: kube::Client,
}

impl World {
    fn start(name: &str, controller_args: &[&str]) -> Self {
        // A static is never dropped: a directory of its own would be left behind by each run.
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let options = LabOptions {
            dir,
            audit: true,
            binary: Some(PathBuf::from(env!("CARGO_BIN_EXE_sluice"))),
            controller_args: controller_args.iter().map(ToString::to_string).collect(),
            ..LabOptions::default()
        };
        let lab = Lab::start(&options).unwrap_or_else(|e| panic!("the lab {name}: {e}"));
        // Another test may have installed it before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let kubeconfig = lab.kube.kubeconfig(User::Admin);
        let client = runtime::handle().block_on(async {
            let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
            let options = KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .unwrap();
            kube::Client::try_from(config).unwrap()
        });
        Self { lab, client }
    }
}

/// The lab that tests share.
pub fn shared() -> &'static World {
    // Tests answer to HTTP checks themselves.
    const HERE: &str = "--check-networks=127.0.0.1/32";
    static SHARED: LazyLock<World> = LazyLock::new(|| World::start("e2e-shared", &[HERE]));
    &SHARED
}

/// The lab that one test at a time has for itself.
///
/// A Lease that is lost is taken over within seconds, and with it what was begun; but a machine that
/// has much else to do must still come to renew it.
pub fn solo() -> MutexGuard<'static, World> {
    static SOLO: LazyLock<Mutex<World>> = LazyLock::new(|| {
        let quick = ["--lease-duration=10s", "--takeover-delay=1s"];
        Mutex::new(World::start("e2e-solo", &quick))
    });
    SOLO.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what is asynchronous on the lab's runtime.
pub fn run<F: Future>(future: F) -> F::Output {
    runtime::handle().block_on(future)
}
