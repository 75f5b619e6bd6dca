//! `make lab`: the lab left running, for trying things by hand.
use std::path::Path;

use sluice_lab::{
    error::LabError,
    lab::{Lab, LabOptions},
};

pub fn up(dir: &Path) -> Result<(), LabError> {
    let lab = Lab::start(&LabOptions {
        dir: dir.to_owned(),
        namespaces: vec!["shop".to_owned()],
        binary: std::env::var_os("STANDIN").map(Into::into),
        progress: |line| println!("{line}"),
        ..Default::default()
    })?;
    println!("{}", lab.kube.url());
    Ok(())
}
