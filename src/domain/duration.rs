//! Durations as specs write them.

use std::time::Duration;

/// `10m`, `1h30m`.
pub fn duration(text: &str) -> Option<Duration> {
    let parsed: kube::core::Duration = text.parse().ok()?;
    (!parsed.is_negative()).then(|| parsed.into())
}
