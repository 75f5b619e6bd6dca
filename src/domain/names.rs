//! Names that are similar to one in a spec: of jobs, Accounts, regions and the like.
//!
//! GitLab generates names of jobs: `build: [x, y]` for a matrix, `build 1/3` for a parallel job,
//! `build:policy-123-0` if a pipeline execution policy has a job of the same name. (Source: GitLab's
//! documentation of `parallel`, `parallel:matrix` and pipeline execution policies.)

use std::collections::BTreeSet;

use crate::domain::outcome::shorten;

/// The most names in a message.
const SHOWN: usize = 3;
/// The most characters of a name in a message.
const LENGTH: usize = 80;
/// Longer names are not compared character by character.
const COMPARED: usize = 64;

/// The names that are similar to `wanted`, as text; `None` without one.
pub fn near<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let near: BTreeSet<&str> = names.filter(|name| is_near(wanted, name)).collect();
    let shown: Vec<String> = (near.iter().take(SHOWN))
        .map(|name| shorten(name, LENGTH))
        .collect();
    let text = shown.join(", ");
    match near.len() {
        0 => None,
        count if count > SHOWN => Some(format!("{text} and {} more like it", count - SHOWN)),
        _ => Some(text),
    }
}

/// `, but NAMES` for a message about a missing name; empty if no name is similar to `wanted`.
pub fn but<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> String {
    near(wanted, names).map_or_else(String::new, |near| format!(", but {near}"))
}

fn is_near(wanted: &str, name: &str) -> bool {
    let (wanted, name) = (wanted.trim().to_lowercase(), name.trim().to_lowercase());
    if wanted == name || base(&wanted) == base(&name) {
        return true;
    }
    let (wanted, name): (Vec<char>, Vec<char>) = (wanted.chars().collect(), name.chars().collect());
    let short = wanted.len().min(name.len());
    let long = wanted.len().max(name.len());
    // Names of three characters are similar with one character more or less, but not with a different one.
    let is_long_enough = short >= 4 || short == 3 && long > short;
    is_long_enough && long <= COMPARED && distance(&wanted, &name) <= 1 + short / 8
}

/// A name without GitLab's additions.
fn base(name: &str) -> &str {
    let name = name.split_once(": [").map_or(name, |(base, _)| base);
    let name = name.split_once(":policy-").map_or(name, |(base, _)| base);
    let Some((base, last)) = name.rsplit_once(' ') else {
        return name;
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match last.split_once('/') {
        Some((index, total)) if is_number(index) && is_number(total) => base,
        _ => name,
    }
}

/// The Levenshtein distance.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_generated_by_gitlab_are_similar() {
        let table = [
            ("build", "build: [x]", true),
            ("build", "build: [eu, arm64]", true),
            ("build", "build 1/3", true),
            ("build", "build:policy-123456-0", true),
            ("build", "Build", true),
            ("Build ", "build", true),
            ("build: [x]", "build", true),
            ("build: [x]", "build: [y]", true),
            ("build 1/3", "build 2/4", true),
            ("package", "packge", true),
            ("build", "test", false),
            ("build", "build docs", false),
            ("build", "rebuild-all", false),
            ("apii", "api", true),
            ("dev", "deb", false),
            ("a", "b", false),
        ];
        for (wanted, name, expected) in table {
            assert_eq!(is_near(wanted, name), expected, "{wanted} {name}");
        }
    }

    #[test]
    fn number_of_similar_names_is_limited() {
        let jobs: Vec<String> = (1..=5).map(|index| format!("build {index}/5")).collect();
        let named = near("build", jobs.iter().map(String::as_str));
        assert_eq!(
            named.as_deref(),
            Some("build 1/5, build 2/5, build 3/5 and 2 more like it")
        );
        assert_eq!(near("build", ["test"].into_iter()), None);
    }
}
