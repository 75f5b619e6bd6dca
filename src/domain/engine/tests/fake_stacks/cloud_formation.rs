//! CloudFormation: it answers reads, carries out actions, and completes operations.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    stack::{Draft, End, Failures, FakeStack},
    template::{changes, resources, summary},
};
use crate::{
    api::v1alpha1::TargetStatus,
    domain::{
        digest::Sha256,
        failure::{CallError, CallErrorKind},
        workload::cloud_formation::{
            Action, ChangeSet, ChangeSetToCreate, Found, FoundWhat, ParameterValue, Read, Reply,
            Stack, TemplateDigests, TemplateText, What,
        },
    },
};

/// CloudFormation in memory.
#[derive(Clone, Debug, Default)]
pub struct FakeStacks {
    /// Stacks by name.
    pub stacks: BTreeMap<String, FakeStack>,
    /// The texts of templates of Releases, by the id of their file.
    pub sources: BTreeMap<Sha256, String>,
    /// The texts of templates in the artifact bucket.
    pub kept: Vec<String>,
    /// Resources that fail, each with its reason.
    pub failing: BTreeMap<String, String>,
    /// What fails after that.
    pub failures: Failures,
    /// The tokens with which rollbacks were continued, in order.
    pub continued: Vec<String>,
    /// The names of the executed change sets, in order.
    pub executed: Vec<String>,
    /// Whether operations are held.
    pub is_held: bool,
    serial: u32,
}

impl FakeStacks {
    /// Lets AWS work on.
    pub fn tick(&mut self, now: Timestamp) {
        if self.is_held {
            return;
        }
        for name in self.stacks.keys().cloned().collect::<Vec<_>>() {
            let (failing, failures) = (self.failing.clone(), self.failures.clone());
            let Some(stack) = self.stacks.get_mut(&name) else {
                continue;
            };
            for (change_set, _) in stack.change_sets.values_mut() {
                if change_set.status == "CREATE_IN_PROGRESS" {
                    complete(change_set);
                }
            }
            let Some(operation) = &mut stack.operation else {
                continue;
            };
            operation.settles_in = operation.settles_in.saturating_sub(1);
            if operation.settles_in > 0 {
                continue;
            }
            let operation = stack.operation.take().expect("an operation");
            if matches!(operation.end, End::Deleted) && !failures.is_undeletable {
                self.stacks.remove(&name);
            } else {
                stack.end(operation.end, &failing, &failures, now);
            }
        }
    }

    /// Whether an operation or change set is in progress.
    pub fn is_busy(&self) -> bool {
        let pending = |it: &FakeStack| {
            let mut change_sets = it.change_sets.values();
            it.operation.is_some() || change_sets.any(|it| it.0.status == "CREATE_IN_PROGRESS")
        };
        self.stacks.values().any(pending)
    }

    /// `is_stale` is whether AWS replies with a state from before the stack or change set existed.
    pub fn read(&self, Read { stack, what }: &Read, is_stale: bool) -> Found {
        let found = self.stacks.get(stack).filter(|_| !is_stale);
        let what = match what {
            What::Stack => FoundWhat::Stack(found.map(|it| Box::new(it.described()))),
            What::Template(_) => {
                let text = found.map_or("", |it| it.text.as_str());
                FoundWhat::Template(TemplateDigests::of(text))
            }
            What::Source(file) => FoundWhat::Source(file.id(), summary(&self.sources[&file.id()])),
            What::ChangeSet(name) => {
                let mut all = found.into_iter().flat_map(|it| it.change_sets.values());
                let of = |id: &str| id == name || id.contains(&format!("/{name}/"));
                let found = all.find(|(it, _)| of(&it.id));
                FoundWhat::ChangeSet(name.clone(), found.map(|it| Box::new(it.0.clone())))
            }
            What::Events { token, .. } => {
                let events = found.map_or(&[][..], |it| &it.events).iter();
                let of = events.filter(|it| it.token.as_ref() == Some(token));
                FoundWhat::Events(token.clone(), of.cloned().collect())
            }
            What::Resources(_) => {
                FoundWhat::Resources(found.map(FakeStack::listed).unwrap_or_default())
            }
        };
        Found {
            stack: stack.clone(),
            what,
        }
    }

    /// Carries out an action. Asserts that a change set is on record before it is created, and with its changes
    /// before it is executed.
    pub fn perform(
        &mut self,
        stack: &str,
        action: &Action,
        status: &TargetStatus,
    ) -> Result<Reply, CallError> {
        let on_record = |name: &str| status.proposals.iter().find(|it| it.name == name);
        match action {
            Action::CreateChangeSet(new) => {
                let is_restore = new.name.starts_with("sluice-restore-");
                assert!(is_restore || on_record(&new.name).is_some(), "{}", new.name);
                self.create_change_set(stack, new)?;
            }
            Action::Execute { change_set, token } => {
                let is_restore = token.starts_with("sluice-restore-");
                let planned = on_record(token).is_some_and(|it| it.planned.is_some());
                assert!(is_restore || planned, "{token}");
                self.execute(stack, change_set, token)?;
            }
            Action::DeleteChangeSet { change_set } => {
                if let Some(found) = self.stacks.get_mut(stack) {
                    found
                        .change_sets
                        .retain(|name, it| it.0.id != *change_set && name != change_set);
                }
            }
            Action::CancelUpdate { .. } => {
                let found = self.stacks.get_mut(stack).expect("a stack");
                if found.stack.status != "UPDATE_IN_PROGRESS" {
                    return Err(refused(
                        "cloudformation:CancelUpdateStack",
                        stack,
                        CallErrorKind::Stale,
                    ));
                }
                found.stack.status = "UPDATE_ROLLBACK_IN_PROGRESS".into();
                found.begin(End::Cancelled);
            }
            Action::ContinueRollback {
                role, skip, token, ..
            } => {
                assert!(role.starts_with("arn:"), "no role");
                self.continue_rollback(stack, skip, token)?;
            }
            Action::Adopt { owner, .. } => {
                let found = self.stacks.get_mut(stack).expect("a stack");
                found.stack.record.get_or_insert_with(|| owner.clone());
            }
            Action::Disown { .. } => {
                let found = self.stacks.get_mut(stack).expect("a stack");
                found.stack.record = None;
            }
            Action::Delete { .. } => {
                let Some(found) = self.stacks.get_mut(stack) else {
                    return Ok(Reply {
                        is_aws_working: true,
                    });
                };
                if found.stack.status == "REVIEW_IN_PROGRESS" {
                    self.stacks.remove(stack);
                } else {
                    found.stack.status = "DELETE_IN_PROGRESS".into();
                    found.begin(End::Deleted);
                }
            }
        }
        let is_aws_working = !matches!(
            action,
            Action::DeleteChangeSet { .. } | Action::Adopt { .. } | Action::Disown { .. }
        );
        Ok(Reply { is_aws_working })
    }

    fn continue_rollback(
        &mut self,
        stack: &str,
        skip: &[String],
        token: &str,
    ) -> Result<(), CallError> {
        let operation = "cloudformation:ContinueUpdateRollback";
        let found = self.stacks.get_mut(stack).expect("a stack");
        if found.stack.status != "UPDATE_ROLLBACK_FAILED" {
            return Err(refused(operation, stack, CallErrorKind::Stale));
        }
        if skip.iter().any(|it| !found.stuck.contains(it)) {
            return Err(refused(operation, stack, CallErrorKind::Invalid));
        }
        assert!(
            !self.continued.iter().any(|it| it == token),
            "{token} continues twice"
        );
        self.continued.push(token.to_owned());
        let event = found.event("UPDATE_ROLLBACK_IN_PROGRESS", token);
        found.events.insert(0, event);
        found.stack.status = "UPDATE_ROLLBACK_IN_PROGRESS".into();
        found.begin(End::Continued(token.to_owned(), skip.to_vec()));
        Ok(())
    }

    fn create_change_set(&mut self, name: &str, new: &ChangeSetToCreate) -> Result<(), CallError> {
        let operation = "cloudformation:CreateChangeSet";
        let text = match &new.template {
            TemplateText::Exact(digest) => {
                let mut sources = self.sources.values();
                let found = sources.find(|text| Sha256::of(text.as_bytes()) == *digest);
                found.expect("the template of a Release").clone()
            }
            TemplateText::Kept(digests) => {
                let mut kept = self.kept.iter();
                let found = kept.find(|text| TemplateDigests::of(text) == *digests);
                found.expect("a kept template").clone()
            }
        };
        self.serial += 1;
        let serial = self.serial;
        let arn = format!(
            "arn:aws:cloudformation:eu-west-1:222222222222:changeSet/{}/{serial}",
            new.name
        );
        let exists = self
            .stacks
            .get(name)
            .is_some_and(|it| it.stack.status != "REVIEW_IN_PROGRESS");
        if new.creates == exists {
            return Err(refused(operation, name, CallErrorKind::Invalid));
        }
        let found = self
            .stacks
            .entry(name.to_owned())
            .or_insert_with(|| FakeStack {
                stack: Stack {
                    id: format!(
                        "arn:aws:cloudformation:eu-west-1:222222222222:stack/{name}/{serial}"
                    ),
                    status: "REVIEW_IN_PROGRESS".into(),
                    ..Stack::default()
                },
                ..FakeStack::default()
            });
        if found.operation.is_some() {
            return Err(refused(operation, name, CallErrorKind::Busy));
        }
        if found.change_sets.contains_key(&new.name) {
            return Ok(());
        }
        let mut settings = new.settings.clone();
        for (name, value) in &mut settings.parameters {
            if *value == ParameterValue::Previous {
                *value = ParameterValue::Value(found.stack.parameters[name].clone());
            }
        }
        let resources = resources(&text, &settings);
        let changes = changes(&found.resources, &resources);
        let change_set = ChangeSet {
            id: arn,
            stack: found.stack.id.clone(),
            status: "CREATE_IN_PROGRESS".into(),
            execution: "UNAVAILABLE".into(),
            changes,
            ..ChangeSet::default()
        };
        let draft = Draft {
            text,
            resources,
            settings,
        };
        found
            .change_sets
            .insert(new.name.clone(), (change_set, draft));
        Ok(())
    }

    fn execute(&mut self, stack: &str, arn: &str, token: &str) -> Result<(), CallError> {
        let operation = "cloudformation:ExecuteChangeSet";
        let found = self.stacks.get_mut(stack).expect("a stack");
        if found.operation.is_some() {
            return Err(refused(operation, stack, CallErrorKind::Busy));
        }
        let Some((change_set, draft)) = found.change_sets.get(token).cloned() else {
            return Err(refused(operation, stack, CallErrorKind::NotFound));
        };
        assert_eq!(change_set.id, arn);
        if change_set.execution != "AVAILABLE" {
            return Err(refused(operation, stack, CallErrorKind::Stale));
        }
        assert!(
            !self.executed.contains(&token.to_owned()),
            "{token} is executed twice"
        );
        self.executed.push(token.to_owned());
        for (name, (other, _)) in &mut found.change_sets {
            let execution = if name == token {
                "EXECUTE_IN_PROGRESS"
            } else {
                "OBSOLETE"
            };
            execution.clone_into(&mut other.execution);
        }
        let is_new = found.stack.status == "REVIEW_IN_PROGRESS";
        let status = if is_new {
            "CREATE_IN_PROGRESS"
        } else {
            "UPDATE_IN_PROGRESS"
        };
        status.clone_into(&mut found.stack.status);
        found.stack.change_set = Some(arn.to_owned());
        if is_new {
            found.stack.tags.clone_from(&draft.settings.tags);
            found.stack.role = Some(draft.settings.role.clone());
        }
        found.begin(End::Changed(Box::new(draft), token.to_owned()));
        Ok(())
    }
}

fn complete(change_set: &mut ChangeSet) {
    if change_set.changes.is_empty() {
        change_set.status = "FAILED".into();
        change_set.reason = Some("The submitted information didn't contain changes.".into());
    } else {
        change_set.status = "CREATE_COMPLETE".into();
        change_set.execution = "AVAILABLE".into();
    }
}

fn refused(operation: &str, stack: &str, kind: CallErrorKind) -> CallError {
    CallError::new(operation, stack, kind, "refused")
}
