//! The words of docs/glossary.md are used everywhere: in the code, its comments and messages, and the docs.

use std::sync::LazyLock;

use regex::Regex;

use super::pages;
use crate::architecture::sources;

/// What must not be written, and the word that the glossary has for it.
const RULES: [(&str, &str); 12] = [
    (r"put(s|ting)? back", "restore"),
    (
        r"(take|taken|takes|taking|took|turn|turned) back",
        "restore, or roll back",
    ),
    (r"(go|goes|going|went) back", "roll back, or restore"),
    (r"way back", "restore, or rollback"),
    (
        r"(nobody|somebody)('s)?",
        "the noun: a user, a controller, unmanaged, owned by another Deployment",
    ),
    (r"(can't|cannot|can not) be told|untold", "inconclusive"),
    (r"meddl\w*|another hand", "modified externally"),
    (r"clutter|superfluous", "garbage"),
    (r"leavers?", "removed"),
    (r"doubtful", "unconfirmed"),
    (r"stood before|as it was left", "the snapshot, in sync"),
    (
        r"porter|ground|blow|world",
        "hook, fixture, fault, fake, environment",
    ),
];

/// One pattern for all rules, with a group for each.
static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    let groups: Vec<String> = RULES
        .iter()
        .map(|(pattern, _)| format!("({})", pattern.replace('(', "(?:")))
        .collect();
    Regex::new(&format!(r"(?i)\b(?:{})\b", groups.join("|"))).unwrap()
});

/// What a text says against the rules. Identifiers are read as words: `put_back` is `put back`.
fn violations(path: &str, text: &str) -> Vec<String> {
    let words = text.replace('_', " ");
    let hits = PATTERN.captures_iter(&words).map(|hit| {
        let rule = (1..=RULES.len()).find(|group| hit.get(*group).is_some());
        let (_, instead) = RULES[rule.unwrap() - 1];
        let found = hit.get(0).unwrap();
        let number = words[..found.start()].matches('\n').count() + 1;
        format!("{path}:{number}: \"{}\": write {instead}", found.as_str())
    });
    hits.collect()
}

#[test]
fn code_and_docs_use_the_words_of_the_glossary() {
    let own = "tests/it/docs/language.rs";
    let code = ["src", "tests", "benches"].into_iter().flat_map(sources);
    let texts = code.chain(pages()).filter(|(path, _)| path != own);
    let found: Vec<String> = texts
        .flat_map(|(path, text)| violations(&path, &text))
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn odd_words_are_found_in_comments_names_and_messages() {
    let text = "/// It is put back.\nfn nobodys() {}\nlet went_back = \"as it was left\";\nfn restore() {}";
    let found = violations("a.rs", text);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("a.rs:1: \"put back\": write restore"));
}
