//! The controller's entry point.

use std::{fs, io, path::PathBuf, process::ExitCode};

use clap::Parser as _;
use sluice::{
    app,
    cli::{Cli, Command, Run},
    generate, telemetry,
};

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Run(options) => run(*options),
        Command::Crds { dir } => crds(dir),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Saves a fifth of the controller's processor time compared with glibc's allocator, and more compared with
/// musl's. Peak and idle memory are the same (measured by `make bench-fleet`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Ended = Result<(), Box<dyn std::error::Error>>;

fn run(options: Run) -> Ended {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| "another TLS provider was installed before")?;
    telemetry::start(options.log_format, &options.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.worker_threads.into())
        .enable_all()
        .build()?;
    runtime.block_on(app::run(options))?;
    Ok(())
}

fn crds(dir: Option<PathBuf>) -> Ended {
    let files = generate::definitions_yaml()?;
    let Some(dir) = dir else {
        let documents: Vec<String> = files.into_iter().map(|(_, text)| text).collect();
        return io::Write::write_all(&mut io::stdout(), documents.join("---\n").as_bytes())
            .map_err(Into::into);
    };
    for (name, text) in files {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}
