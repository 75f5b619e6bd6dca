//! How the story is told: a line for everything, with the seconds since the beginning.

use std::{
    fmt::Display,
    sync::LazyLock,
    time::{Duration, Instant},
};

static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What stands before a line that belongs to the one above it.
const INDENT: &str = "          ";

/// Starts the clock.
pub fn begin(title: &str) {
    LazyLock::force(&BEGUN);
    println!("{title}");
}

/// Since the beginning.
pub fn elapsed() -> Duration {
    BEGUN.elapsed()
}

/// The heading of a step.
pub fn step(title: &str) {
    println!("\n== {title}");
}

/// What is being done, or waited for.
pub fn say(text: &str) {
    println!("{:6.1} s  {text}", elapsed().as_secs_f32());
}

/// What was expected and seen.
pub fn seen(text: impl Display) {
    say(&format!("  seen: {text}"));
}

/// What somebody would type, and what they would see.
pub fn shown(command: &str, output: &str) {
    println!("{INDENT}$ {command}");
    block(output);
}

/// Lines that belong to the one above.
pub fn block(text: &str) {
    for line in text.lines() {
        println!("{}", format!("{INDENT}{line}").trim_end());
    }
}
