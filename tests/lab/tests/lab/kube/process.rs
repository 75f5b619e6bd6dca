//! Processes that never outlive the lab.

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sluice_lab::{
    lab::PATIENCE,
    process::{Process, Signal},
};

use super::{eventually, exists};

#[test]
fn a_process_ends_with_its_owner_even_if_it_is_frozen() {
    let dir = tempfile::tempdir().unwrap();
    let mut sleep = Command::new("sleep");
    sleep.arg("600");
    let mut kept = Process::start("sleep", &sleep, &dir.path().join("log")).unwrap();
    let pid = kept.pid();
    // Not the keeper's, which ends by itself.
    eventually("the id is the program's own", || sleeps(pid));
    kept.signal(Signal::Stop).unwrap();
    drop(kept);
    eventually("the process ends", || !exists(pid));
}

/// Tells the test below, run again as a program, that it is the owner, and where to write the id.
const OWNER_IN: &str = "SLUICE_LAB_TEST_OWNER_IN";

#[test]
fn a_process_ends_even_if_its_owners_process_group_is_terminated() {
    if let Some(dir) = env::var_os(OWNER_IN) {
        own_a_process_that_stays(&PathBuf::from(dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let this = "kube::process::a_process_ends_even_if_its_owners_process_group_is_terminated";
    let mut owner = Command::new(env::current_exe().unwrap())
        .args([this, "--exact"])
        .env(OWNER_IN, dir.path())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let pid = || {
        let text = fs::read_to_string(dir.path().join("pid")).ok()?;
        text.trim().parse().ok()
    };
    eventually("the program sleeps", || pid().is_some_and(sleeps));
    // As Ctrl-C does, or a shell that ends a job with all of its processes.
    let group = format!("-{}", owner.id());
    let sent = Command::new("kill").args(["-TERM", "--", &group]).status();
    assert!(sent.unwrap().success());
    owner.wait().unwrap();
    let pid = pid().unwrap();
    eventually("the process ends", || !exists(pid));
}

/// Keeps a program that ignores SIGTERM, as one that waits for a process that has already ended, until this
/// process is killed.
fn own_a_process_that_stays(dir: &Path) -> ! {
    let mut stubborn = Command::new("sh");
    stubborn.args(["-c", "trap '' TERM; exec sleep 600"]);
    let kept =
        Process::start_ending_with(Signal::Kill, "stubborn", &stubborn, &dir.join("log")).unwrap();
    fs::write(dir.join("pid"), kept.pid().to_string()).unwrap();
    loop {
        std::thread::park();
    }
}

fn sleeps(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x00600\x00")
}

#[test]
fn a_process_gives_its_exit_code_and_takes_no_signal_after_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo to the log; exit 7"]);
    let mut process = Process::start("sh", &shell, &dir.path().join("log")).unwrap();
    let status = process.wait(PATIENCE).unwrap().unwrap();
    assert_eq!(status.code(), Some(7));
    assert_eq!(process.tail(1), "to the log");
    assert!(process.signal(Signal::Kill).is_err());
}
