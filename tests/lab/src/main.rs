//! `sluice-lab`: runs the demo, the benchmarks, and the lab itself.

mod bench;
mod demo;
mod up;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use sluice_lab::{
    error::LabError,
    toolchain::{Toolchain, workspace},
};

/// An environment to try and test Sluice in.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the demo on a lab of its own and verifies every step.
    Demo,
    /// Starts the lab with one delivered Release, prints how to use it, and runs until Ctrl-C.
    Up,
    /// Counts and times deliveries, and compares them with the goals.
    Bench(bench::Options),
    /// Delivers many Deployments at once and prints what that costs.
    Fleet(bench::fleet::Options),
    /// Delivers a site of many files and prints how long that takes.
    Sites(bench::sites::Options),
    /// Installs the programs that the lab runs and prints the paths of kubectl, helm and Python.
    Tools,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo => demo::demo(&directory("demo")),
        Command::Up => up::up(&directory("up")),
        Command::Bench(options) => bench::bench(&directory("bench"), &options),
        Command::Fleet(options) => bench::fleet::fleet(&directory("fleet"), &options),
        Command::Sites(options) => bench::sites::sites(&directory("sites"), &options),
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

/// The folder for the data and logs of a lab.
fn directory(name: &str) -> PathBuf {
    workspace().join("target/lab").join(name)
}

fn tools() -> Result<(), LabError> {
    let tools = Toolchain::ensure(&|line| eprintln!("lab: {line}"))?;
    for program in [tools.kubectl(), tools.helm(), tools.python()] {
        println!("{}", program.display());
    }
    Ok(())
}
