//! The AWS emulator as a child process.
//!
//! Requires `MiniStack` beside the given Python. It checks signatures and IAM policies (`AUTH=true`),
//! except for an account's root user, whose access key is the account id.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    error::LabError,
    process::{Process, free_port},
};

/// A start takes about a second; a busy machine may need many.
const START_LIMIT: Duration = Duration::from_mins(2);
const PROGRAM: &str = concat!(
    include_str!("emulator_cloudwatch.py"),
    include_str!("emulator_lambda.py"),
    include_str!("emulator.py")
);
/// The modules of a package that the program imports, by file name.
macro_rules! modules {
    ($package:literal: $($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!($package, "/", $name)))),+]
    };
}
const PACKAGE: &str = "emulator_cloudformation";
const MODULES: [(&str, &str); 23] = modules!("emulator_cloudformation":
    "__init__.py",
    "change_sets.py",
    "changes.py",
    "control.py",
    "deletion.py",
    "drift.py",
    "exports.py",
    "identity.py",
    "monitoring.py",
    "nested.py",
    "nested_sets.py",
    "operation.py",
    "operations.py",
    "parameters.py",
    "records.py",
    "replacement.py",
    "resources.py",
    "rights.py",
    "rollback.py",
    "stack_policy.py",
    "template.py",
    "views.py",
    "wire.py",
);
const POLL: Duration = Duration::from_millis(50);

/// A running emulator. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Emulator {
    endpoint: String,
    _process: Process,
}

impl Emulator {
    /// Starts the emulator with its log and temporary files in `dir` and waits until it answers.
    pub(super) async fn start(python: &Path, dir: &Path) -> Result<Self, LabError> {
        let port = free_port()?;
        let scratch = dir.join("tmp");
        std::fs::create_dir_all(&scratch)?;
        let program = write_program(dir)?;
        let mut command = Command::new(python);
        command
            .arg(program)
            .current_dir(dir)
            .env("AUTH", "true")
            .env("BIND_HOST", "127.0.0.1")
            .env("MINISTACK_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("LOG_LEVEL", "WARNING")
            .env("TMPDIR", &scratch);
        // The emulator would use these as another root user's credentials.
        for name in [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
        ] {
            command.env_remove(name);
        }
        let mut process = Process::start("the AWS emulator", &command, &dir.join("ministack.log"))?;
        let endpoint = format!("http://127.0.0.1:{port}");
        wait_until_healthy(&mut process, &endpoint).await?;
        Ok(Self {
            endpoint,
            _process: process,
        })
    }

    /// The emulator's own endpoint, without the proxy.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

/// Writes the program and its modules, which are too long for an argument; returns the program's path.
fn write_program(dir: &Path) -> Result<PathBuf, LabError> {
    let folder = std::path::absolute(dir)?.join("emulator");
    let package = folder.join(PACKAGE);
    std::fs::create_dir_all(&package)?;
    for (name, text) in MODULES {
        std::fs::write(package.join(name), text)?;
    }
    let program = folder.join("main.py");
    std::fs::write(&program, PROGRAM)?;
    Ok(program)
}

async fn wait_until_healthy(process: &mut Process, endpoint: &str) -> Result<(), LabError> {
    let health = format!("{endpoint}/_ministack/health");
    let client = reqwest::Client::new();
    let deadline = Instant::now() + START_LIMIT;
    loop {
        if client
            .get(&health)
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            return Ok(());
        }
        if !process.is_running() {
            return Err(failure(process, "ended before it answered"));
        }
        if Instant::now() > deadline {
            return Err(failure(
                process,
                &format!("did not answer within {START_LIMIT:?}"),
            ));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn failure(process: &Process, what: &str) -> LabError {
    LabError::new(format!(
        "{} {what}; the end of {}:\n{}",
        process.name(),
        process.log().display(),
        process.tail(20)
    ))
}
