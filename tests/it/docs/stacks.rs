//! The page of stacks has a row for every state of a stack that the program knows, and says the same of those that
//! need a person.

use std::{collections::BTreeSet, fs, sync::LazyLock};

use regex::Regex;

use super::root;

const STATES: &str = "src/domain/workload/cloud_formation/state.rs";

/// A state of a stack. Those of change sets end in `_PENDING`, or are states of stacks too.
static STATE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[A-Z]+(?:_[A-Z]+)*_(?:IN_PROGRESS|COMPLETE|FAILED)\b").unwrap());

/// The states in a text.
fn states(text: &str) -> BTreeSet<&str> {
    STATE.find_iter(text).map(|found| found.as_str()).collect()
}

/// The section of the page with that heading.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("docs/stacks.md has no section {heading}"));
    rest.split("\n## ").next().unwrap_or_default()
}

/// The rows of the table of states: the states of each, and its other cells.
fn rows(page: &str) -> Vec<(BTreeSet<&str>, Vec<&str>)> {
    let table = section(page, "Stack states").lines();
    let cells = table.filter_map(|line| {
        let cells = line.strip_prefix("| `")?.trim_end_matches(" |");
        let mut cells = cells.split(" | ");
        let named = states(cells.next()?);
        Some((named, cells.collect()))
    });
    cells.collect()
}

#[test]
fn page_of_stacks_has_every_state() {
    let page = fs::read_to_string(root().join("docs/stacks.md")).unwrap();
    let source = fs::read_to_string(root().join(STATES)).unwrap();
    let rows = rows(&page);
    let mut described = BTreeSet::new();
    for (states, cells) in &rows {
        assert_eq!(cells.len(), 2, "{states:?} {cells:?}");
        for state in states {
            assert!(described.insert(*state), "{state} has two rows");
        }
    }
    assert_eq!(described, states(&source));
    assert!(described.len() > 20, "{described:?}");
}

#[test]
fn page_of_stacks_has_a_remedy_exactly_for_the_states_that_need_a_person() {
    let page = fs::read_to_string(root().join("docs/stacks.md")).unwrap();
    let source = fs::read_to_string(root().join(STATES)).unwrap();
    let mut stuck = BTreeSet::new();
    // Sluice repairs some states, but may fail.
    for list in ["const REPAIRED", "const STUCK"] {
        let (_, text) = source.split_once(list).expect("a list of states");
        stuck.extend(states(text.split_once("];").expect("its end").0));
    }
    let mut remedied = BTreeSet::new();
    for (states, cells) in rows(&page) {
        if cells[1] != "–" {
            remedied.extend(states);
        }
    }
    assert_eq!(remedied, stuck);
}
