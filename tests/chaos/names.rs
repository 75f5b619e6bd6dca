//! Placeholders for names, IDs and times that differ between runs of a scenario.

use std::sync::LazyLock;

use regex::Regex;

/// The replacements of one run: first its own names, then everything that looks like an ID or a time.
#[derive(Clone, Debug, Default)]
pub struct Names(Vec<(String, String)>);

static PATTERNS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let rules = [
        (
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "UID",
        ),
        (r"\b[0-9a-f]{64}\b", "DIGEST"),
        (r"\b[0-9a-f]{40}\b", "COMMIT"),
        // Names of change sets: the Release, a number, and what AWS computes the changes from; or the attempt
        // of a restore. The pause of a leader can begin another attempt.
        (
            r"\bsluice-[0-9a-f]{8}-(\d+)-[0-9a-f]{12}\b",
            "CHANGE-SET-$1",
        ),
        (r"\bsluice-restore-[0-9a-f]{8}-\d+\b", "RESTORE"),
        // The digest at the end of the name of a Target.
        (r"(eu-west-1)-[0-9a-f]{6,16}\b", "$1-HASH"),
        (r"\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z", "TIME"),
        // The message depends on when the controller observes the alarm.
        (
            r"is in ALARM since TIME: triggered by the test|entered ALARM at TIME",
            "RED",
        ),
        (r"127[.-]0[.-]0[.-]1[:-]\d+", "HOST"),
        // GitLab's IDs exceed 32 bits.
        (r"\b\d{9,}\b", "ID"),
        (r"\b[0-9a-f]{8}\b", "SHORT"),
    ];
    rules
        .into_iter()
        .map(|(pattern, placeholder)| (Regex::new(pattern).unwrap(), placeholder))
        .collect()
});

impl Names {
    /// Replaces `name` with `placeholder`.
    pub fn replace(&mut self, name: impl Into<String>, placeholder: impl Into<String>) {
        self.0.push((name.into(), placeholder.into()));
    }

    /// The text with placeholders, which is the same in each run.
    pub fn normalise(&self, text: &str) -> String {
        let mut normalised = text.to_owned();
        for (name, placeholder) in &self.0 {
            if normalised.contains(name) {
                normalised = normalised.replace(name, placeholder);
            }
        }
        for (pattern, placeholder) in PATTERNS.iter() {
            if pattern.is_match(&normalised) {
                normalised = pattern.replace_all(&normalised, *placeholder).into_owned();
            }
        }
        normalised
    }
}
