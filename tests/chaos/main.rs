//! The crash matrix: scenarios in which the controller is killed or paused, or a call fails, at each call.
//!
//! The matrix runs every scenario twice without a fault and records all calls. Then it runs the scenario
//! again for each injection at each call. Each of these runs must reach the same final state and keep every
//! invariant of docs/guarantees.md.
//!
//! The controller is the real program except for its process: each one is a thread with its own runtime, and
//! dropping the runtime kills it in the middle of its work. The API server is real, with authentication and
//! RBAC for the chart's ServiceAccount. The AWS emulator checks signatures and IAM; GitLab is simulated. Many
//! runs take place in parallel, each in its own namespace.
//!
//! Without arguments, the matrix runs a fixed sample; `--all` runs every plan, `CHAOS=<plan>` only that plan,
//! and `CHAOS=<text>` the plans whose name contains the text.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod controllers;
mod final_state;
mod fixture;
mod injections;
mod instance;
mod interceptor;
mod invariants;
mod matrix;
mod names;
mod plan;
mod run;
mod scenario;
mod scenarios;
mod stacks;
mod team;
mod waiting;
mod wire;
mod witness;

use std::process::{Command, ExitCode};

use matrix::Choice;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let all = arguments.iter().any(|argument| argument == "--all");
    // `cargo test <name>` passes the name to every test program.
    if arguments
        .iter()
        .any(|argument| !argument.starts_with("--") && !"chaos".contains(argument.as_str()))
    {
        return ExitCode::SUCCESS;
    }
    if let Some(exit_code) = run_in_tuned_process() {
        return exit_code;
    }
    let choice = match std::env::var("CHAOS") {
        Ok(text) if !text.is_empty() => match text.strip_prefix('!') {
            Some(others) => Choice::Others(others.to_owned()),
            None => Choice::Named(text),
        },
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

/// Runs the matrix in a child process with a cheaper environment, unless this process already has it.
///
/// Hundreds of controllers start here. Each one loads the machine's root certificates for its AWS and GitLab
/// clients, although the lab uses plain HTTP. A file with a single unused certificate saves a third of all
/// work. `GOGC` makes the API server, which is written in Go, use more memory and less time.
fn run_in_tuned_process() -> Option<ExitCode> {
    const FILE: &str = "SSL_CERT_FILE";
    const FOLDER: &str = "SSL_CERT_DIR";
    let unused =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos/unused-root.pem");
    if std::env::var_os(FILE).is_some_and(|file| file == unused) {
        return None;
    }
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program);
    child
        .args(std::env::args_os().skip(1))
        .env(FILE, &unused)
        .env_remove(FOLDER)
        .env("GOGC", "300");
    let status = child.status().unwrap();
    Some(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
