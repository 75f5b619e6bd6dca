//! The crash matrix: scenarios in which the controller is killed, paused or failed at each of its calls.
//!
//! Every scenario is run as it should go, twice; all its calls are written down. Then it is run again and
//! again, each time with one thing going wrong at one call, and must come to the same end, with every
//! invariant of docs/guarantees.md.
//!
//! What is real here: the program itself, all but its process (each controller is a thread with a runtime of
//! its own, and is killed by dropping that in the middle of whatever it does); the API server with
//! authentication and RBAC, under the chart's ServiceAccount; the AWS emulator with signatures and IAM; the
//! simulated GitLab. Many run side by side, each in a namespace of its own.
//!
//! Without arguments a fixed sample is run, with `--all` everything; `CHAOS=<plan>` runs that plan alone,
//! and `CHAOS=<word>` those that have the word in their name.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod end;
mod gate;
mod ground;
mod instance;
mod invariants;
mod matrix;
mod names;
mod orders;
mod plan;
mod play;
mod run;
mod scenarios;
mod wire;

use std::process::{Command, ExitCode};

use matrix::Choice;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let all = arguments.iter().any(|one| one == "--all");
    // `cargo test <name>` hands the name to every test program.
    if arguments
        .iter()
        .any(|one| !one.starts_with("--") && !"chaos".contains(one.as_str()))
    {
        return ExitCode::SUCCESS;
    }
    if let Some(ended) = with_an_environment() {
        return ended;
    }
    let choice = match std::env::var("CHAOS") {
        Ok(word) if !word.is_empty() => Choice::Named(word),
        _ if all => Choice::All,
        _ => Choice::Sample,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let runs = tokio::task::LocalSet::new();
    let violations = runtime.block_on(runs.run_until(matrix::run_all(choice)));
    if violations == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Hundreds of controllers start here, and each reads the machine's root certificates for the clients of
/// AWS and GitLab, which are plain HTTP in the lab: a file with a single one, which has signed nothing,
/// spares a third of all work. And the API server, which is in Go, takes more memory and less time. Only
/// the environment can say so, hence another process.
fn with_an_environment() -> Option<ExitCode> {
    const FILE: &str = "SSL_CERT_FILE";
    const FOLDER: &str = "SSL_CERT_DIR";
    let nobody = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos/nobody.pem");
    if std::env::var_os(FILE).is_some_and(|file| file == nobody) {
        return None;
    }
    let program = std::env::current_exe().unwrap();
    let mut again = Command::new(program);
    again
        .args(std::env::args_os().skip(1))
        .env(FILE, &nobody)
        .env_remove(FOLDER)
        .env("GOGC", "300");
    let ended = again.status().unwrap();
    Some(if ended.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
