//! Waits for a state, with a time limit.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::error::LabError;

/// The interval between reads; kubectl alone takes longer than that.
const EVERY: Duration = Duration::from_millis(50);

/// A limit for what takes seconds on an idle machine: tests run in parallel on two cores, possibly beside
/// builds.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The result of one read: the value, or a description of the actual state.
pub trait Known {
    /// The awaited value.
    type Value;
    /// The value, or a description of the actual state.
    fn known(self) -> Result<Self::Value, String>;
}

impl<T> Known for Option<T> {
    type Value = T;

    fn known(self) -> Result<T, String> {
        self.ok_or_else(|| "it does not exist".to_owned())
    }
}

impl<T, E: std::fmt::Display> Known for Result<T, E> {
    type Value = T;

    fn known(self) -> Result<T, String> {
        self.map_err(|state| state.to_string())
    }
}

/// Calls `read` until it returns a value. After `limit`, the error names the awaited state and the last one.
///
/// `read` returns an `Option`, or a `Result` whose error describes the actual state.
pub fn wait_for<K: Known>(
    what: &str,
    limit: Duration,
    mut read: impl FnMut() -> K,
) -> Result<K::Value, LabError> {
    let end = Instant::now() + limit;
    loop {
        match read().known() {
            Ok(value) => return Ok(value),
            Err(state) if Instant::now() >= end => return Err(timed_out(what, limit, &state)),
            Err(_) => thread::sleep(EVERY),
        }
    }
}

/// [`wait_for`] with an asynchronous `read`: other tasks of the same thread continue meanwhile.
pub async fn wait_until<K: Known>(
    what: &str,
    limit: Duration,
    mut read: impl AsyncFnMut() -> K,
) -> Result<K::Value, LabError> {
    let end = Instant::now() + limit;
    loop {
        match read().await.known() {
            Ok(value) => return Ok(value),
            Err(state) if Instant::now() >= end => return Err(timed_out(what, limit, &state)),
            Err(_) => tokio::time::sleep(EVERY).await,
        }
    }
}

fn timed_out(what: &str, limit: Duration, state: &str) -> LabError {
    LabError::new(format!(
        "timed out after {} s: {what}; the last state: {state}",
        limit.as_secs()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_for_reads_until_there_is_a_value() {
        let mut reads = 0;
        let value = wait_for("three reads", Duration::from_mins(1), || {
            reads += 1;
            (reads == 3).then_some("done")
        });
        assert_eq!(value.expect("a value"), "done");
    }

    #[test]
    fn timeout_names_the_awaited_and_the_last_state() {
        let never = wait_for("the tide", Duration::ZERO, || Err::<(), _>("low water"));
        let message = never.expect_err("the wait times out").to_string();
        assert_eq!(
            message,
            "timed out after 0 s: the tide; the last state: low water"
        );
    }
}
