//! Waiting for a state, with the problem as text if it never comes.

use std::time::{Duration, Instant};

/// The limit for waits that usually take seconds. It is long because a machine busy with other work is not a
/// violation; only a failing run takes that long.
pub const LIMIT: Duration = Duration::from_mins(5);
/// The pause between two reads. Reads load the API server or the emulator, and many runs wait at a time.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A problem with a run, as text.
pub type Problem = String;

/// Polls until `read` returns a value.
pub async fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut read: impl AsyncFnMut() -> Result<T, Problem>,
) -> Result<T, Problem> {
    let end = Instant::now() + limit;
    loop {
        match read().await {
            Ok(value) => return Ok(value),
            Err(state) if Instant::now() >= end => {
                let limit = limit.as_secs();
                return Err(format!(
                    "timed out after {limit} s waiting until {what}; last state: {state}"
                ));
            }
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

/// Converts an error to a [`Problem`].
pub fn problem(error: impl std::fmt::Display) -> Problem {
    error.to_string()
}
