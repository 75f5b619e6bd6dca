//! Durations in the format of specs.

use std::time::Duration;

/// Parses a duration such as `10m` or `1h30m`; `None` if it is invalid or negative.
pub fn duration(text: &str) -> Option<Duration> {
    let parsed: kube::core::Duration = text.parse().ok()?;
    (!parsed.is_negative()).then(|| parsed.into())
}

/// Formats a duration: `5m`, `1h30m`, `10s`.
pub fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let written: Vec<String> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if written.is_empty() {
        "0s".to_owned()
    } else {
        written.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_formatted() {
        for (seconds, text) in [(0, "0s"), (90, "1m30s"), (300, "5m"), (3601, "1h1s")] {
            assert_eq!(shown(Duration::from_secs(seconds)), text);
        }
    }
}
