//! Deliveries from end to end: a real API server, the lab's AWS and GitLab, and the controller as its chart
//! runs it.
//!
//! Tests share the [`shared`] lab and run in parallel, each with its own namespace, project and function. A
//! test that would disturb others (by killing the controller, changing definitions or counting all requests)
//! takes the [`solo`] lab, one at a time.
//!
//! Relies on the lab's toolchain and on a controller built from the same sources: cargo builds the
//! package's program before its tests.

mod account_requirements;
mod artifacts;
mod aws;
mod aws_state;
mod budgets;
mod changes;
mod check_kinds;
mod checks;
mod commands;
mod counts;
mod crash;
mod deletion;
mod delivery;
mod drift;
mod entry;
mod fleet;
mod functions;
mod garbage_collection;
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
mod stacks;
mod stages;
mod token;
mod transcript;

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

/// A lab, and a client of its cluster, which is faster than kubectl.
pub struct Environment {
    pub lab: Lab,
    pub client: kube::Client,
}

impl Environment {
    fn start(name: &str, controller_args: &[&str]) -> Self {
        // A static is never dropped: each run would leave a temporary directory behind.
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
pub fn shared() -> &'static Environment {
    // Tests serve the pages of HTTP checks themselves.
    const HERE: &str = "--check-networks=127.0.0.1/32";
    static SHARED: LazyLock<Environment> =
        LazyLock::new(|| Environment::start("e2e-shared", &[HERE]));
    &SHARED
}

/// The lab that one test at a time has for itself.
///
/// Another controller takes over a lost Lease, and the runs in progress, within seconds; but a busy machine
/// must still be able to renew it.
pub fn exclusive_lab() -> MutexGuard<'static, Environment> {
    static SOLO: LazyLock<Mutex<Environment>> = LazyLock::new(|| {
        let quick = ["--lease-duration=10s", "--takeover-delay=1s"];
        Mutex::new(Environment::start("e2e-solo", &quick))
    });
    SOLO.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a future on the lab's runtime.
pub fn run<F: Future>(future: F) -> F::Output {
    runtime::handle().block_on(future)
}
