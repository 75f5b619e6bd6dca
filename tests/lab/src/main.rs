//! `sluice-lab`: starts the lab, and tells the demo's story on it.

mod bench;
mod demo;
mod up;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use sluice_lab::{
    error::LabError,
    toolchain::{Toolchain, workspace},
};

/// Real parts for trying and testing Sluice.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tells the whole story on a lab of its own, from nothing, and checks it.
    Demo,
    /// Starts the lab with one delivered release, says how to use it, and runs until Ctrl-C.
    Up,
    /// Counts and times deliveries, and says how far they are from the goals.
    Bench(bench::Options),
    /// Delivers many Deployments at once, and says what that cost.
    Fleet(bench::fleet::Options),
    /// Delivers a site of many files, and says how long that took.
    Sites(bench::sites::Options),
    /// Installs the programs that the lab runs, and prints where kubectl, helm and Python are.
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

/// Where a lab keeps data and logs.
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
