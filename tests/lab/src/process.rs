//! Child processes that never outlive the lab, and free ports for them.
//!
//! A test binary leaves its statics undropped and may be killed outright, so no destructor can be
//! relied on. Each child therefore runs under a small shell that waits for the end of its standard
//! input: the pipe closes with the lab, however the lab ends, and the shell then ends the child by
//! its process id.

use std::{
    fs::File,
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Ends the command when standard input closes; passes the command's own exit status on.
const KEEPER: &str = r#"
"$@" </dev/null &
child=$!
( cat >/dev/null; kill -"$KEEPER_SIGNAL" $child 2>/dev/null ) <&3 &
waiter=$!
exec 3<&-
wait $child; status=$?
kill $waiter 2>/dev/null
exit $status
"#;

/// A running program whose output goes to a file.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    keeper: Child,
}

impl Process {
    /// Starts `command` with its output appended to `log`.
    ///
    /// Only program, arguments, environment and working directory of `command` are used.
    pub fn start(name: &str, command: &Command, log: &Path) -> io::Result<Self> {
        if let Some(dir) = log.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let out = File::options().create(true).append(true).open(log)?;
        let mut keeper = Command::new("/bin/sh");
        keeper
            .args(["-c", &format!("exec 3<&0; {KEEPER}"), "keeper"])
            .arg(command.get_program())
            .args(command.get_args())
            .env("KEEPER_SIGNAL", "TERM")
            .stdin(Stdio::piped())
            .stdout(out.try_clone()?)
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
        let keeper = keeper.spawn()?;
        Ok(Self { name: name.to_owned(), log: log.to_owned(), keeper })
    }

    /// What the program is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its output goes.
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

    /// Asks the program to end (SIGTERM) and waits until it did.
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
