//! Stacks: planned, changed and restored by change sets, whatever fails on the way.

mod adoption;
mod deletion;
mod delivery;
mod faults;
mod outputs;
mod plan;
mod repair;
mod restore;

use std::collections::{BTreeMap, BTreeSet};

use super::{super::*, fake_aws::*, fake_stacks::FakeStack};
use crate::{
    api::v1alpha1::{Allow, PlanStatus},
    domain::{
        ownership::Adoption,
        workload::cloud_formation::{DesiredStack, Settings, TemplateAt, TemplateFile},
    },
};

const NAME: &str = "shop";

/// A stack with this template, which can be changed as it likes.
fn stack(aws: &mut FakeAws, text: &str) -> DesiredStack {
    let source = TemplateFile {
        location: want("infra", "x", 128).package,
        sha256: code(text),
        size: text.len() as u64,
        at: TemplateAt::Whole,
        origin: "artifact infra".into(),
    };
    aws.stacks.sources.insert(source.id(), text.into());
    DesiredStack {
        component: "infra".into(),
        stack_name: NAME.into(),
        source,
        settings: Settings {
            tags: owner().tags(),
            role: "arn:aws:iam::222222222222:role/cfn".into(),
            ..Settings::default()
        },
        deferred: BTreeMap::new(),
        imports: BTreeSet::new(),
        allow: Allow::default(),
        resources_to_skip: Vec::new(),
        imports_existing: false,
        adoption: Adoption::NotAsked,
    }
}

fn component(stack: DesiredStack, level: usize) -> DesiredComponent {
    DesiredComponent {
        name: stack.component.clone(),
        level,
        workload: Workload::CloudFormation(Box::new(stack)),
    }
}

fn release_of(revision: i64, stack: DesiredStack) -> Desired {
    let mut wanted = desired(revision, Vec::new());
    wanted.components.push(component(stack, 0));
    wanted
}

fn release(aws: &mut FakeAws, revision: i64, text: &str) -> Desired {
    let stack = stack(aws, text);
    release_of(revision, stack)
}

fn deployed(aws: &FakeAws) -> &FakeStack {
    &aws.stacks.stacks[NAME]
}

fn text(aws: &FakeAws) -> &str {
    &deployed(aws).text
}

/// The same with a function that is delivered once the stack is, and whose check then fails.
fn failing_later(aws: &mut FakeAws, mut wanted: Desired) -> Desired {
    let revision = wanted.release.revision;
    let function = want("api", &format!("bad-{revision}"), 128);
    aws.bad.push(function.code_sha256);
    let mut later = desired(revision, vec![function]).components.remove(0);
    later.level = 1;
    wanted.components.push(later);
    wanted
}

/// Plans, and returns the plan.
fn planned(aws: &mut FakeAws, wanted: &Desired) -> PlanStatus {
    let outcome = aws.plan(wanted);
    assert!(
        matches!(outcome, Outcome::Done { .. }),
        "{outcome:?}\n{}",
        aws.log
    );
    aws.status.plan.clone().expect("a plan")
}

fn message(aws: &FakeAws) -> &str {
    let run = aws.status.run.as_ref().expect("a run");
    run.message.as_deref().unwrap_or_default()
}
