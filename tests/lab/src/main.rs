//! `sluice-lab`: starts the lab and tells the demo's story.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sluice_lab::{error::LabError, toolchain::Toolchain};

/// Real parts for trying and testing Sluice.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs the programs that the lab runs, and prints where kubectl and helm are.
    Tools,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Tools => tools(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice-lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tools() -> Result<(), LabError> {
    let tools = Toolchain::ensure(&|line| eprintln!("lab: {line}"))?;
    for program in [tools.kubectl(), tools.helm()] {
        println!("{}", program.display());
    }
    Ok(())
}
