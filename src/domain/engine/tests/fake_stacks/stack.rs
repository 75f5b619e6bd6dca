//! A stack: its resources, its change sets, and the operation in progress.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::template::{Resources, resource_type, values};
use crate::domain::workload::cloud_formation::{
    ChangeSet, Settings, Stack, StackEvent, StackResource,
};

/// What fails besides the changes of resources.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    /// Resources that a rollback of an update can't restore, each with its reason.
    pub rollback: BTreeMap<String, String>,
    /// Resources that a rollback of a creation retains.
    pub retained: BTreeSet<String>,
    /// The state in which a failed creation ends; `ROLLBACK_COMPLETE` without it.
    pub failed_creation: Option<String>,
    /// Whether a stack can't be deleted.
    pub is_undeletable: bool,
}

/// A stack.
#[derive(Clone, Debug, Default)]
pub struct FakeStack {
    /// As AWS reports it.
    pub stack: Stack,
    /// The text of its template.
    pub text: String,
    /// Its resources.
    pub resources: Resources,
    /// Its change sets by name, with what they lead to.
    pub change_sets: BTreeMap<String, (ChangeSet, Draft)>,
    /// Its events, the newest first.
    pub events: Vec<StackEvent>,
    /// The resources that a failed operation has changed, and did not restore.
    pub stuck: BTreeSet<String>,
    /// Resources that it lists, although they are deleted or retained.
    pub former: Vec<StackResource>,
    pub(super) operation: Option<Operation>,
}

/// What a change set leads to.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub(super) text: String,
    pub(super) resources: Resources,
    pub(super) settings: Settings,
}

#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) settles_in: u32,
    pub(super) end: End,
}

#[derive(Clone, Debug)]
pub(super) enum End {
    Changed(Box<Draft>, String),
    Cancelled,
    Continued(String, Vec<String>),
    Deleted,
}

impl FakeStack {
    /// A stack without resources and tags.
    pub fn in_state(status: &str) -> Self {
        let stack = Stack {
            status: status.into(),
            ..Stack::default()
        };
        Self {
            stack,
            ..Self::default()
        }
    }

    /// As AWS describes it.
    pub(super) fn described(&self) -> Stack {
        let is_review = self.stack.status == "REVIEW_IN_PROGRESS";
        let pending = self.change_sets.keys().filter(|_| is_review);
        Stack {
            pending: pending.cloned().collect(),
            ..self.stack.clone()
        }
    }

    pub(super) fn begin(&mut self, end: End) {
        self.operation = Some(Operation { settles_in: 2, end });
    }

    pub(super) fn end(
        &mut self,
        end: End,
        failing: &BTreeMap<String, String>,
        failures: &Failures,
        now: Timestamp,
    ) {
        self.stack.changed_at = Some(now);
        match end {
            End::Changed(draft, token) => self.change(*draft, &token, (failing, failures), now),
            End::Cancelled => self.stack.status = "UPDATE_ROLLBACK_COMPLETE".into(),
            End::Continued(token, skip) => {
                self.stuck.retain(|name| !skip.contains(name));
                self.roll_back(&token, failures);
            }
            End::Deleted => self.stack.status = "DELETE_FAILED".into(),
        }
    }

    fn change(
        &mut self,
        draft: Draft,
        token: &str,
        (failing, failures): (&BTreeMap<String, String>, &Failures),
        now: Timestamp,
    ) {
        let is_new = self.stack.status == "CREATE_IN_PROGRESS";
        let changed = draft.resources.iter();
        let mut changed = changed.filter(|(name, value)| self.resources.get(*name) != Some(*value));
        let failed = changed.find_map(|(name, _)| Some((name, failing.get(name)?)));
        if let Some((change_set, _)) = self.change_sets.get_mut(token) {
            let execution = if failed.is_some() {
                "EXECUTE_FAILED"
            } else {
                "EXECUTE_COMPLETE"
            };
            execution.clone_into(&mut change_set.execution);
        }
        if let Some((name, reason)) = failed {
            let status = if is_new {
                "CREATE_FAILED"
            } else {
                "UPDATE_FAILED"
            };
            let event = failure(name, status, reason, token, now);
            self.events.insert(0, event);
            if is_new {
                self.undo_creation(&draft, failures);
            } else {
                let is_changed = |name: &&String| {
                    self.resources.contains_key(*name)
                        && self.resources.get(*name) != draft.resources.get(*name)
                };
                self.stuck = draft.resources.keys().filter(is_changed).cloned().collect();
                self.roll_back(token, failures);
            }
            return;
        }
        self.stack.status = if is_new {
            "CREATE_COMPLETE"
        } else {
            "UPDATE_COMPLETE"
        }
        .into();
        let Draft {
            text,
            resources,
            settings,
        } = draft;
        self.text = text;
        self.stack.outputs.clone_from(&resources);
        self.resources = resources;
        self.stack.parameters = values(&settings);
        self.stack.tags = settings.tags;
        self.stack.role = Some(settings.role);
        self.stack.capabilities = settings.capabilities;
        self.stack.notifications = settings.notifications;
    }

    /// Deletes what a failed creation has made.
    fn undo_creation(&mut self, draft: &Draft, failures: &Failures) {
        let former = draft.resources.keys().map(|name| {
            let is_retained = failures.retained.contains(name);
            let status = if is_retained {
                "DELETE_SKIPPED"
            } else {
                "DELETE_COMPLETE"
            };
            resource(name, status)
        });
        self.former = former.collect();
        let status = failures.failed_creation.clone();
        self.stack.status = status.unwrap_or_else(|| "ROLLBACK_COMPLETE".into());
    }

    /// Restores the resources that a failed update has changed.
    fn roll_back(&mut self, token: &str, failures: &Failures) {
        let now = self.stack.changed_at.unwrap_or_default();
        self.stuck
            .retain(|name| failures.rollback.contains_key(name));
        for name in &self.stuck {
            let reason = &failures.rollback[name];
            let event = failure(name, "UPDATE_FAILED", reason, token, now);
            self.events.insert(0, event);
        }
        let status = if self.stuck.is_empty() {
            "UPDATE_ROLLBACK_COMPLETE"
        } else {
            "UPDATE_ROLLBACK_FAILED"
        };
        let event = self.event(status, token);
        self.events.insert(0, event);
        self.stack.status = status.into();
    }

    /// An event of the stack itself.
    pub(super) fn event(&self, status: &str, token: &str) -> StackEvent {
        StackEvent {
            physical_id: Some(self.stack.id.clone()),
            resource_type: "AWS::CloudFormation::Stack".into(),
            status: status.into(),
            token: Some(token.into()),
            ..StackEvent::default()
        }
    }

    /// The resources as AWS lists them.
    pub(super) fn listed(&self) -> Vec<StackResource> {
        let status = |name: &String| {
            if self.stuck.contains(name) {
                "UPDATE_FAILED"
            } else {
                "CREATE_COMPLETE"
            }
        };
        let present = self.resources.keys();
        let present = present.map(|name| resource(name, status(name)));
        present.chain(self.former.iter().cloned()).collect()
    }
}

/// A resource with this name.
pub fn resource(name: &str, status: &str) -> StackResource {
    StackResource {
        logical_id: name.into(),
        physical_id: Some(format!("shop-{name}")),
        resource_type: resource_type(name).into(),
        status: status.into(),
    }
}

fn failure(name: &str, status: &str, reason: &str, token: &str, now: Timestamp) -> StackEvent {
    StackEvent {
        at: Some(now),
        logical_id: name.into(),
        resource_type: resource_type(name).into(),
        status: status.into(),
        reason: Some(reason.into()),
        token: Some(token.into()),
        ..StackEvent::default()
    }
}
