//! Observations of stacks, change sets and templates.
//!
//! # Guarantees
//! - What AWS may change is read again in each pass. What can't change stays: the template of an artifact, and
//!   what CloudFormation says of it.
//! - A stack that exists and was not found counts as absent only once another pass reads the same.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    action::{Action, Reply},
    desired::TemplateFile,
    digests::TemplateDigests,
    stack::{ChangeSet, Stack, StackEvent, StackResource, TemplateSummary},
    state::{is_change_set_pending, is_working},
};
use crate::domain::{
    digest::Sha256,
    workload::{
        kind,
        protocol::{IsAwsWorking, ReplyOutcome},
    },
};

/// A read for a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The stack's name.
    pub stack: String,
    /// What is read.
    pub what: What,
}

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The stack.
    Stack,
    /// The template of the stack, by the stack's ARN.
    Template(String),
    /// The template of a Release, and what CloudFormation says of it.
    Source(Box<TemplateFile>),
    /// A change set, by its name or, if it is nested, by its ARN.
    ChangeSet(String),
    /// The events of the stack with this ARN, as far as they have this token.
    Events {
        /// ARN of the stack.
        stack: String,
        /// `ClientRequestToken` of the operation.
        token: String,
    },
    /// The resources of the stack with this ARN.
    Resources(String),
}

/// The result of a read of the stack with this name.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The stack's name.
    pub stack: String,
    /// The result.
    pub what: FoundWhat,
}

/// The result of a read.
#[derive(Clone, Debug, PartialEq)]
pub enum FoundWhat {
    /// The stack; `None` if it was not found.
    Stack(Option<Box<Stack>>),
    /// The digests of the stack's template.
    Template(TemplateDigests),
    /// The template of a Release, by [`TemplateFile::id`].
    Source(Sha256, Source),
    /// A change set, by its name or ARN; `None` if it was not found.
    ChangeSet(String, Option<Box<ChangeSet>>),
    /// The events of an operation, the newest first.
    Events(String, Vec<StackEvent>),
    /// The resources of the stack.
    Resources(Vec<StackResource>),
}

/// The template of a Release.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A template, with what CloudFormation finds in it.
    Template {
        /// Its digests.
        digests: TemplateDigests,
        /// What CloudFormation finds in it.
        summary: Box<TemplateSummary>,
    },
    /// Why it is not a valid template.
    Invalid(String),
}

/// Observations of stacks, change sets and templates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Stacks by name; `None` if not found.
    stacks: BTreeMap<String, Option<Stack>>,
    /// The last observed stacks, including those that decisions no longer use.
    last: BTreeMap<String, Option<Stack>>,
    /// Templates of stacks by the stack's name.
    templates: BTreeMap<String, TemplateDigests>,
    /// Templates of Releases, by [`TemplateFile::id`].
    sources: BTreeMap<Sha256, Source>,
    /// Change sets by the stack's name, and their name or ARN.
    change_sets: BTreeMap<(String, String), Option<ChangeSet>>,
    /// Events by the stack's name and the token of the operation.
    events: BTreeMap<(String, String), Vec<StackEvent>>,
    /// Resources by the stack's name.
    resources: BTreeMap<String, Vec<StackResource>>,
    /// How often in a row a stack was not found.
    missing: BTreeMap<String, u32>,
    /// The stacks and change sets whose deletion this pass has asked for.
    deletions: BTreeSet<String>,
}

impl Observed {
    /// A stack; the outer `None` if it was not read, the inner one if it was not found.
    pub fn stack(&self, name: &str) -> Option<Option<&Stack>> {
        self.stacks.get(name).map(Option::as_ref)
    }

    /// The last observation of a stack, for reports.
    pub fn last(&self, name: &str) -> Option<Option<&Stack>> {
        self.last.get(name).map(Option::as_ref)
    }

    /// Whether this pass has asked for the deletion of the stack or change set.
    pub fn has_asked_for_deletion(&self, name: &str) -> bool {
        self.deletions.contains(name)
    }

    /// Whether the stack's absence was read twice.
    pub fn is_absence_confirmed(&self, name: &str) -> bool {
        self.missing.get(name).is_some_and(|times| *times > 1)
    }

    /// The template of a stack, if it was read.
    pub fn template(&self, stack: &str) -> Option<TemplateDigests> {
        self.templates.get(stack).copied()
    }

    /// The template of a Release, if it was read.
    pub fn source(&self, file: &TemplateFile) -> Option<&Source> {
        self.sources.get(&file.id())
    }

    /// The digests of the template of a Release, if it was read and is valid.
    pub fn source_digests(&self, file: &TemplateFile) -> Option<TemplateDigests> {
        match self.source(file)? {
            Source::Template { digests, .. } => Some(*digests),
            Source::Invalid(_) => None,
        }
    }

    /// A change set; the outer `None` if it was not read, the inner one if it was not found.
    pub fn change_set(&self, stack: &str, name: &str) -> Option<Option<&ChangeSet>> {
        let key = (stack.to_owned(), name.to_owned());
        self.change_sets.get(&key).map(Option::as_ref)
    }

    /// The events of an operation, the newest first.
    pub fn events(&self, stack: &str, token: &str) -> Option<&[StackEvent]> {
        let key = (stack.to_owned(), token.to_owned());
        self.events.get(&key).map(Vec::as_slice)
    }

    /// The resources of a stack, if they were read.
    pub fn resources(&self, stack: &str) -> Option<&[StackResource]> {
        self.resources.get(stack).map(Vec::as_slice)
    }

    fn forget_live(&mut self) {
        self.stacks.clear();
        self.templates.clear();
        self.change_sets.clear();
        self.events.clear();
        self.resources.clear();
    }
}

impl kind::Observed for Observed {
    type Found = Found;
    type Action = Action;
    type Reply = Reply;

    fn begin_pass(&mut self, _: Timestamp) {
        self.forget_live();
        self.deletions.clear();
    }

    fn end_pass(&mut self) {}

    fn forget_reads(&mut self) {
        self.forget_live();
        self.missing.clear();
    }

    fn begin_restore(&mut self) {
        self.forget_live();
        self.missing.clear();
    }

    fn found(&mut self, Found { stack, what }: Found, _: Timestamp) -> IsAwsWorking {
        match what {
            FoundWhat::Stack(found) => {
                let found = found.map(|found| *found);
                if found.is_some() {
                    self.missing.remove(&stack);
                } else {
                    *self.missing.entry(stack.clone()).or_default() += 1;
                }
                let works = found
                    .as_ref()
                    .is_some_and(|found| is_working(&found.status));
                self.last.insert(stack.clone(), found.clone());
                self.stacks.insert(stack, found);
                works
            }
            FoundWhat::Template(digests) => {
                self.templates.insert(stack, digests);
                false
            }
            FoundWhat::Source(id, source) => {
                self.sources.insert(id, source);
                false
            }
            FoundWhat::ChangeSet(name, found) => {
                let works = found.as_ref().is_some_and(|it| is_change_set_pending(it));
                self.change_sets
                    .insert((stack, name), found.map(|found| *found));
                works
            }
            FoundWhat::Events(token, events) => {
                self.events.insert((stack, token), events);
                false
            }
            FoundWhat::Resources(resources) => {
                self.resources.insert(stack, resources);
                false
            }
        }
    }

    fn sent(&mut self, stack: &str, action: &Action) {
        let deleted = match action {
            Action::Delete { .. } => stack,
            Action::DeleteChangeSet { change_set } => change_set,
            _ => return,
        };
        self.deletions.insert(deleted.to_owned());
    }

    fn replied(
        &mut self,
        (_, stack): (&str, &str),
        Reply { is_aws_working }: Reply,
        _verify: bool,
        _: Timestamp,
    ) -> ReplyOutcome {
        kind::Observed::forget(self, stack);
        ReplyOutcome {
            is_aws_working,
            ..ReplyOutcome::default()
        }
    }

    fn forget(&mut self, resource: &str) {
        self.stacks.remove(resource);
        self.templates.remove(resource);
        self.change_sets.retain(|(stack, _), _| stack != resource);
        self.events.retain(|(stack, _), _| stack != resource);
        self.resources.remove(resource);
    }
}
