//! Waiting for what somebody else does, with a bound.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::error::LabError;

/// How often it is looked: kubectl alone takes longer than that.
const EVERY: Duration = Duration::from_millis(50);

/// A bound for whatever takes seconds on an idle machine: tests run side by side on two cores, and
/// builds may run beside them.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// What one look gives: the value, or what is there in its place.
pub trait Known {
    /// What is waited for.
    type Value;
    /// The value, or a description of the state that is not it.
    fn known(self) -> Result<Self::Value, String>;
}

impl<T> Known for Option<T> {
    type Value = T;

    fn known(self) -> Result<T, String> {
        self.ok_or_else(|| "it is not there".to_owned())
    }
}

impl<T, E: std::fmt::Display> Known for Result<T, E> {
    type Value = T;

    fn known(self) -> Result<T, String> {
        self.map_err(|state| state.to_string())
    }
}

/// Looks again and again until there is a value; an error that says what was waited for, and the
/// last state, after `limit`.
///
/// `look` gives an `Option`, or a `Result` whose error describes what is there in place of the
/// value.
pub fn wait_for<K: Known>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> K,
) -> Result<K::Value, LabError> {
    let end = Instant::now() + limit;
    loop {
        match look().known() {
            Ok(value) => return Ok(value),
            Err(state) if Instant::now() >= end => return Err(too_late(what, limit, &state)),
            Err(_) => thread::sleep(EVERY),
        }
    }
}

/// [`wait_for`], where looking is asynchronous: tasks of the same thread go on meanwhile.
pub async fn wait_until<K: Known>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> K,
) -> Result<K::Value, LabError> {
    let end = Instant::now() + limit;
    loop {
        match look().await.known() {
            Ok(value) => return Ok(value),
            Err(state) if Instant::now() >= end => return Err(too_late(what, limit, &state)),
            Err(_) => tokio::time::sleep(EVERY).await,
        }
    }
}

fn too_late(what: &str, limit: Duration, state: &str) -> LabError {
    LabError::new(format!(
        "not within {} s: {what}; the last state was: {state}",
        limit.as_secs()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_until_there_is_a_value() {
        let mut looks = 0;
        let value = wait_for("three looks", Duration::from_mins(1), || {
            looks += 1;
            (looks == 3).then_some("done")
        });
        assert_eq!(value.expect("a value"), "done");
    }

    #[test]
    fn what_never_comes_is_named_with_the_last_state() {
        let never = wait_for("the tide", Duration::ZERO, || Err::<(), _>("low water"));
        let message = never.expect_err("there is no tide").to_string();
        assert_eq!(
            message,
            "not within 0 s: the tide; the last state was: low water"
        );
    }
}
