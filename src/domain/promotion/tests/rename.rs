//! Stages that are renamed.

use super::*;

fn names(stages: &[Stage], targets: &[(&str, &str)]) -> Vec<String> {
    let targets: Vec<_> = targets
        .iter()
        .map(|(stage, account)| ((*stage).to_owned(), stage_target(account)))
        .collect();
    let renamed = renamed(stages, &targets).into_iter();
    renamed
        .map(|one| format!("{}/{} → {}", one.from, one.stage_target.account, one.to))
        .collect()
}

#[test]
fn a_renamed_stage_keeps_its_targets() {
    let stages = [stage("staging", &["a", "b"]), stage("prod", &["p"])];
    let targets = [("dev", "a"), ("dev", "b"), ("prod", "p")];
    assert_eq!(
        names(&stages, &targets),
        ["dev/a → staging", "dev/b → staging"]
    );
}

#[test]
fn all_stages_can_be_renamed_at_once() {
    let stages = [stage("test", &["a"]), stage("live", &["p"])];
    let targets = [("dev", "a"), ("prod", "p")];
    assert_eq!(names(&stages, &targets), ["dev/a → test", "prod/p → live"]);
}

#[test]
fn stage_with_targets_gets_no_renamed_targets() {
    let stages = [stage("dev", &["a", "b"])];
    let targets = [("dev", "a"), ("qa", "b")];
    assert_eq!(names(&stages, &targets), [""; 0]);
}

#[test]
fn stage_in_other_accounts_gets_no_renamed_targets() {
    let stages = [stage("perf", &["b"])];
    assert_eq!(names(&stages, &[("dev", "a")]), [""; 0]);
}

#[test]
fn stage_gets_targets_of_one_removed_stage_only() {
    let stages = [stage("all", &["a", "b", "c"])];
    let targets = [("dev", "a"), ("qa", "b"), ("qa", "c")];
    assert_eq!(names(&stages, &targets), ["qa/b → all", "qa/c → all"]);
}
