//! Tags that are removed from the spec are removed from the function, and external tags stay.

use std::collections::BTreeMap;

use super::{super::*, fake_aws::*};

fn tagged(code: &str, tags: &[(&str, &str)]) -> DesiredFunction {
    let mut want = want("api", code, 128);
    let tags = tags.iter();
    want.tags
        .extend(tags.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    want
}

/// The tags without those that name the owner.
fn tags(aws: &FakeAws) -> BTreeMap<String, String> {
    let mut tags = aws.functions["checkout-api"].latest.tags.clone();
    tags.retain(|key, _| !key.starts_with("sluice.dev/"));
    tags
}

fn pairs(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = tags.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// v1 serves with a tag of the spec and an external one.
fn served() -> FakeAws {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[tagged("v1", &[("team", "x")])]);
    let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
    deployed.latest.tags.insert("cost".into(), "42".into());
    aws
}

#[test]
fn removed_tag_leaves_the_function_and_external_tags_stay() {
    for code in ["v1", "v2"] {
        let mut aws = served();
        let task = Task::Plan(desired(2, vec![tagged(code, &[])]));
        let planned = run(2, 1, Goal::Deliver);
        aws.pass(&|status, observed, now| decide(&task, &planned, status, &owner(), observed, now));
        let plan = aws.status.plan.clone().expect("a plan");
        let removed = plan.changes.iter().any(|change| {
            change.field.as_deref() == Some("tags.team")
                && change.from.as_deref() == Some("x")
                && change.to.is_none()
        });
        assert!(removed, "{:?}", plan.changes);
        assert_eq!(aws.deliver(2, &[tagged(code, &[])]), Step::Succeeded);
        assert_eq!(tags(&aws), pairs(&[("cost", "42")]), "{}", aws.log);
        // The tag is external when it is set again.
        let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
        deployed.latest.tags.insert("team".into(), "y".into());
        assert_eq!(aws.deliver(3, &[tagged("v3", &[])]), Step::Succeeded);
        assert_eq!(tags(&aws), pairs(&[("cost", "42"), ("team", "y")]));
    }
}

#[test]
fn restored_tag_is_still_owned_by_sluice() {
    let mut aws = served();
    let before = visible(&aws);
    aws.bad.push(code("v2"));
    let step = aws.deliver(2, &[tagged("v2", &[("owner", "z")])]);
    assert_eq!(step, Step::RolledBack);
    assert_eq!(visible(&aws), before);
    assert_eq!(aws.deliver(3, &[tagged("v3", &[])]), Step::Succeeded);
    assert_eq!(tags(&aws), pairs(&[("cost", "42")]));
}
