//! Child processes that never outlive the lab, and free ports for them.
//!
//! A test binary never drops its statics and may be killed, so destructors are not reliable. Each child
//! therefore runs under a small shell that waits for the end of its standard input: the pipe closes with
//! the lab, however the lab ends, and the shell then ends the child by its process id. Shell and child have
//! their own process group, so that a signal to the lab's group (Ctrl-C, the end of a job) does not end the
//! shell before the child.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// Prints the command's process id on standard output, ends the command when standard input closes,
/// and exits with the command's own status. The command's output goes to standard error.
///
/// A stopped program handles a signal only when it continues, hence the CONT.
const KEEPER: &str = r#"
exec 3<&0
signal=$1; shift
"$@" </dev/null >&2 3<&- &
child=$!
( read -r _; kill -"$signal" $child; kill -CONT $child ) <&3 >/dev/null 2>&1 &
waiter=$!
echo $child
exec 3<&- >/dev/null
wait $child; status=$?
kill $waiter 2>/dev/null
exit $status
"#;

/// A running program whose output goes to a file.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    pid: u32,
    keeper: Child,
}

/// A signal for [`Process::signal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Asks the program to end.
    Term,
    /// Ends it without asking.
    Kill,
    /// Freezes it, as a node that hangs does.
    Stop,
    /// Lets a frozen program continue.
    Cont,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
        }
    }
}

impl Process {
    /// Starts `command` with its output appended to `log`. It gets SIGTERM when the lab ends.
    ///
    /// Only program, arguments, environment and working directory of `command` are used.
    pub fn start(name: &str, command: &Command, log: &Path) -> io::Result<Self> {
        Self::start_ending_with(Signal::Term, name, command, log)
    }

    /// [`Process::start`] for a program that the lab ends with `end`.
    ///
    /// [`Signal::Kill`] suits programs that end slowly and have nothing to save.
    pub fn start_ending_with(
        end: Signal,
        name: &str,
        command: &Command,
        log: &Path,
    ) -> io::Result<Self> {
        if let Some(dir) = log.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let out = File::options().create(true).append(true).open(log)?;
        let mut keeper = Command::new("/bin/sh");
        keeper
            .args(["-c", KEEPER, "keeper", end.name()])
            .arg(command.get_program())
            .args(command.get_args())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(out);
        if let Some(dir) = command.get_current_dir() {
            keeper.current_dir(dir);
        }
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => keeper.env(key, value),
                None => keeper.env_remove(key),
            };
        }
        let mut keeper = keeper.spawn()?;
        let mut pid = String::new();
        if let Some(stdout) = keeper.stdout.take() {
            BufReader::new(stdout).read_line(&mut pid)?;
        }
        let pid = pid.trim().parse().map_err(|_| {
            io::Error::other(format!(
                "{name} did not start: its shell gave no process id; see {}",
                log.display()
            ))
        })?;
        Ok(Self {
            name: name.to_owned(),
            log: log.to_owned(),
            pid,
            keeper,
        })
    }

    /// The process id of the program itself.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends `signal` to the program; an error if it has ended.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        // After it has ended, its id may belong to another program.
        if !self.is_running() {
            return Err(io::Error::other(format!(
                "{} has ended; see {}",
                self.name,
                self.log.display()
            )));
        }
        let sent = Command::new("kill")
            .arg(format!("-{}", signal.name()))
            .arg(self.pid.to_string())
            .output()?;
        if sent.status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "SIG{} to {} (process {}): {}",
            signal.name(),
            self.name,
            self.pid,
            String::from_utf8_lossy(&sent.stderr).trim()
        )))
    }

    /// Waits until the program ends by itself, at most `limit`; `None` if it still runs then.
    ///
    /// A program ended by signal N has exit code 128 + N, as in a shell.
    pub fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let end = Instant::now() + limit;
        loop {
            // `try_wait` and not `wait`: that one closes standard input, which ends the program.
            if let Some(status) = self.keeper.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The name of the program in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file with its output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its output, for messages about a program that failed.
    pub fn tail(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.keeper.try_wait(), Ok(None))
    }

    /// Asks the program to end (SIGTERM) and waits until it has ended.
    pub fn stop(&mut self) -> io::Result<()> {
        drop(self.keeper.stdin.take());
        self.keeper.wait().map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
    }
}

/// A port on 127.0.0.1 that was free a moment ago.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
