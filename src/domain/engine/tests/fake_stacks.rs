//! A fake CloudFormation: asynchronous change sets and operations on stacks, in memory.
//!
//! A template is a list of resources, one a line, such as `Queue: fast`; `$Name` in a value stands for a parameter.
//! Any change of a resource whose name begins with `Table` replaces it. Lines that begin with `#` are comments. Each
//! resource is an output too.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    api::v1alpha1::TargetStatus,
    domain::{
        digest::Sha256,
        failure::{CallError, CallErrorKind},
        workload::cloud_formation::{
            Action, ChangeSet, ChangeSetToCreate, DeclaredParameter, Found, FoundWhat,
            ParameterValue, PropertyChange, Read, Reply, ResourceChange, Settings, Source, Stack,
            StackEvent, StackResource, TemplateDigests, TemplateSummary, TemplateText, What,
        },
    },
};

/// Resources by name.
type Resources = BTreeMap<String, String>;

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
    operation: Option<Operation>,
}

/// What a change set leads to.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    text: String,
    resources: Resources,
    settings: Settings,
}

#[derive(Clone, Debug)]
struct Operation {
    settles_in: u32,
    end: End,
}

#[derive(Clone, Debug)]
enum End {
    Changed(Box<Draft>, String),
    Cancelled,
    Continued(String, Vec<String>),
    Deleted,
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
        let is_aws_working = !matches!(action, Action::DeleteChangeSet { .. });
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
    fn described(&self) -> Stack {
        let is_review = self.stack.status == "REVIEW_IN_PROGRESS";
        let pending = self.change_sets.keys().filter(|_| is_review);
        Stack {
            pending: pending.cloned().collect(),
            ..self.stack.clone()
        }
    }

    fn begin(&mut self, end: End) {
        self.operation = Some(Operation { settles_in: 2, end });
    }

    fn end(
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
    fn event(&self, status: &str, token: &str) -> StackEvent {
        StackEvent {
            physical_id: Some(self.stack.id.clone()),
            resource_type: "AWS::CloudFormation::Stack".into(),
            status: status.into(),
            token: Some(token.into()),
            ..StackEvent::default()
        }
    }

    /// The resources as AWS lists them.
    fn listed(&self) -> Vec<StackResource> {
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

fn values(settings: &Settings) -> BTreeMap<String, String> {
    let value = |value: &ParameterValue| match value {
        ParameterValue::Value(value) => value.clone(),
        ParameterValue::Previous => unreachable!("previous values are filled in"),
    };
    let parameters = settings.parameters.iter();
    parameters
        .map(|(name, it)| (name.clone(), value(it)))
        .collect()
}

fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(": "))
}

fn resources(text: &str, settings: &Settings) -> Resources {
    let values = values(settings);
    let value = |value: &str| match value.strip_prefix('$') {
        Some(name) => values[name].clone(),
        None => value.to_owned(),
    };
    lines(text)
        .map(|(name, it)| (name.to_owned(), value(it)))
        .collect()
}

fn resource_type(name: &str) -> &'static str {
    if name.starts_with("Table") {
        "AWS::DynamoDB::Table"
    } else {
        "AWS::SQS::Queue"
    }
}

fn changes(now: &Resources, wanted: &Resources) -> Vec<ResourceChange> {
    let of = |action: &str, name: &String| ResourceChange {
        action: action.into(),
        logical_id: name.clone(),
        resource_type: resource_type(name).into(),
        ..ResourceChange::default()
    };
    let mut changes = Vec::new();
    for (name, value) in wanted {
        match now.get(name) {
            None => changes.push(of("Add", name)),
            Some(before) if before != value => {
                let is_replaced = name.starts_with("Table");
                let detail = PropertyChange {
                    attribute: "Properties".into(),
                    path: "/Properties/Value".into(),
                    recreation: if is_replaced { "Always" } else { "Never" }.into(),
                    before: Some(before.clone()),
                    after: Some(value.clone()),
                    ..PropertyChange::default()
                };
                changes.push(ResourceChange {
                    replacement: Some(if is_replaced { "True" } else { "False" }.into()),
                    details: vec![detail],
                    ..of("Modify", name)
                });
            }
            Some(_) => {}
        }
    }
    let removed = now.keys().filter(|name| !wanted.contains_key(*name));
    changes.extend(removed.map(|name| of("Remove", name)));
    changes
}

fn summary(text: &str) -> Source {
    if text.starts_with("invalid") {
        return Source::Invalid("Template format error".into());
    }
    let parameters = lines(text).filter_map(|(_, value)| value.strip_prefix('$'));
    let parameters = parameters.map(|name| (name.to_owned(), DeclaredParameter::default()));
    let needs_iam = lines(text).any(|(name, _)| name.starts_with("Role"));
    let capability = needs_iam.then(|| "CAPABILITY_IAM".to_owned());
    Source::Template {
        digests: TemplateDigests::of(text),
        summary: Box::new(TemplateSummary {
            parameters: parameters.collect(),
            capabilities: capability.into_iter().collect(),
            ..TemplateSummary::default()
        }),
    }
}
