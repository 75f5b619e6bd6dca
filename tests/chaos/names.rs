//! Words that are the same in each run of a scenario, for those that are not.

use std::sync::LazyLock;

use regex::Regex;

/// What is replaced in one run: its own names first, then whatever looks like an id or a time.
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
        // The digest at the end of a Target's name.
        (r"(eu-west-1)-[0-9a-f]{6,16}\b", "$1-HASH"),
        (r"\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z", "TIME"),
        // Which of the two is said depends on when it is looked.
        (
            r"is in ALARM since TIME: the test says so|went into ALARM at TIME",
            "RED",
        ),
        (r"127[.-]0[.-]0[.-]1[:-]\d+", "HOST"),
        // GitLab's ids exceed 32 bits.
        (r"\b\d{9,}\b", "ID"),
        (r"\b[0-9a-f]{8}\b", "SHORT"),
    ];
    rules
        .into_iter()
        .map(|(pattern, word)| (Regex::new(pattern).unwrap(), word))
        .collect()
});

impl Names {
    /// Has `word` stand for `name`.
    pub fn replace(&mut self, name: impl Into<String>, word: impl Into<String>) {
        self.0.push((name.into(), word.into()));
    }

    /// The text in words that are the same in each run.
    pub fn plain(&self, text: &str) -> String {
        let mut plain = text.to_owned();
        for (name, word) in &self.0 {
            if plain.contains(name) {
                plain = plain.replace(name, word);
            }
        }
        for (pattern, word) in PATTERNS.iter() {
            if pattern.is_match(&plain) {
                plain = pattern.replace_all(&plain, *word).into_owned();
            }
        }
        plain
    }
}
