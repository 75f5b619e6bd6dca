//! Processes that never outlive the lab.

use std::{fs, process::Command, time::Duration};

use sluice_lab::process::{Process, Signal};

use super::{eventually, exists};

#[test]
fn a_process_ends_with_its_owner_even_if_it_is_frozen() {
    let dir = tempfile::tempdir().unwrap();
    let mut sleep = Command::new("sleep");
    sleep.arg("600");
    let mut kept = Process::start("sleep", &sleep, &dir.path().join("log")).unwrap();
    let pid = kept.pid();
    // Not its keeper's, which goes by itself.
    eventually("the id is the program's own", || {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x00600\x00")
    });
    kept.signal(Signal::Stop).unwrap();
    drop(kept);
    eventually("the process ends", || !exists(pid));
}

#[test]
fn a_process_gives_its_exit_code_and_takes_no_signal_after_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo to the log; exit 7"]);
    let mut process = Process::start("sh", &shell, &dir.path().join("log")).unwrap();
    let status = process.wait(Duration::from_mins(1)).unwrap().unwrap();
    assert_eq!(status.code(), Some(7));
    assert_eq!(process.tail(1), "to the log");
    assert!(process.signal(Signal::Kill).is_err());
}
