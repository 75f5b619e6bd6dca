//! Waiting for what somebody else does, with a bound.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::error::LabError;

/// How often it is looked: kubectl alone takes longer than that.
const EVERY: Duration = Duration::from_millis(50);

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
            Err(state) if Instant::now() >= end => {
                return Err(LabError::new(format!(
                    "not within {} s: {what}; the last state was: {state}",
                    limit.as_secs()
                )));
            }
            Err(_) => thread::sleep(EVERY),
        }
    }
}
