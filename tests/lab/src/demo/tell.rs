//! The transcript: one line per event, with the seconds since the start.

use std::{
    fmt::Display,
    sync::LazyLock,
    time::{Duration, Instant},
};

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Aligns a line with the text of the line above it.
const INDENT: &str = "          ";

/// Starts the clock and prints the title.
pub fn begin(title: &str) {
    LazyLock::force(&STARTED);
    println!("{title}");
}

/// The time since the start.
pub fn elapsed() -> Duration {
    STARTED.elapsed()
}

/// Prints the heading of a step.
pub fn step(title: &str) {
    println!("\n== {title}");
}

/// Prints an action or a wait.
pub fn say(text: &str) {
    println!("{:6.1} s  {text}", elapsed().as_secs_f32());
}

/// Prints an expectation that was verified.
pub fn verified(text: impl Display) {
    say(&format!("  verified: {text}"));
}

/// Prints a command and its output, as in a terminal.
pub fn shown(command: &str, output: &str) {
    println!("{INDENT}$ {command}");
    block(output);
}

/// Prints lines aligned with the text of the line above them.
pub fn block(text: &str) {
    for line in text.lines() {
        println!("{}", format!("{INDENT}{line}").trim_end());
    }
}
