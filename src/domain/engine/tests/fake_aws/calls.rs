//! The calls of the controller: what they read and change, and which of them fail.

use super::{assertions::needs_no_intent, fault::Fault, state::FakeAws, visible::run_step};
use crate::{
    api::v1alpha1::{InventoryItem, SnapshotRef, StoredRef},
    domain::{
        engine::{Action, Effect, Found, Observation, Read, Reply, Step},
        failure::{CallError, CallErrorKind},
        workload::{
            kinds::{self, WorkloadSnapshot},
            lambda::{self, LatestSnapshot},
            note,
            s3::{self, site::tests::bucket},
        },
    },
};

impl FakeAws {
    pub fn read(&mut self, read: &Read, observed: &mut Observation) {
        if let Some(kind) = &self.read_error
            && *read != Read::Snapshot
        {
            let error = CallError::new("lambda:GetFunction", "checkout-api", kind.clone(), "no");
            observed.errors.push(("api".into(), error));
            return;
        }
        let stale = self.stale_reads.iter().position(|stale| stale == read);
        if let Some(stale) = stale {
            self.stale_reads.remove(stale);
        }
        let is_alias = matches!(
            read,
            Read::Component(kinds::Read::Lambda(lambda::Read::Alias { .. }))
        );
        self.alias_read_count += usize::from(is_alias);
        if let Some(lost) = self.lost_reads.iter().position(|lost| lost == read) {
            self.lost_reads.remove(lost);
            let (kind, why) = (CallErrorKind::Unavailable, "the connection broke");
            let error = CallError::new("lambda:GetAlias", "checkout-api:live", kind, why);
            return observed.errors.push(("api".into(), error));
        }
        match read {
            Read::Snapshot => {
                let reference = self
                    .status
                    .run
                    .as_ref()
                    .and_then(|run| run.snapshot.clone())
                    .expect("a snapshot");
                assert!(!self.discarded.contains(&reference.key), "it was deleted");
                let index: usize = reference.key.parse().expect("a snapshot index");
                let snapshot = self.snapshots[index].clone();
                observed.found(Found::Snapshot(reference, Box::new(snapshot)));
            }
            Read::Component(kinds::Read::Lambda(read)) => {
                let found = self.read_function(read, stale.is_some());
                observed.found(Found::Component(kinds::Found::Lambda(found)));
            }
            Read::Component(kinds::Read::Note(note::Read(title))) => {
                let text = self.notes.get(title).cloned();
                let found = note::Found(title.clone(), text);
                observed.found(Found::Component(kinds::Found::Note(found)));
            }
            Read::Component(kinds::Read::CloudFormation(read)) => {
                let found = self.stacks.read(read, stale.is_some());
                observed.found(Found::Component(kinds::Found::CloudFormation(found)));
            }
            Read::Component(kinds::Read::S3(s3::Read { task, read })) => {
                let content = task.archive.as_ref();
                let content = content.map(|archive| self.contents[&archive.sha256].clone());
                let content = content.unwrap_or_else(|| bucket::content(&[]));
                let location = task.location.to_string();
                let known = observed.components.s3.0.get(&location);
                let mut site = known.cloned().unwrap_or_default();
                self.bucket.read(&content, read.clone(), &mut site);
                let site = Box::new(site);
                observed.found(Found::Component(kinds::Found::S3(s3::Found {
                    location,
                    observed: site,
                })));
            }
        }
    }

    /// Executes an effect; `false` if the controller crashed.
    pub(super) fn execute(&mut self, effect: &Effect, observed: &mut Observation) -> bool {
        assert!(
            needs_no_intent(&effect.action)
                || self
                    .status
                    .run
                    .as_ref()
                    .is_some_and(|run| !run.intents.is_empty())
                || self.status.inventory.iter().any(InventoryItem::needs_prune),
            "{} without an intent on record",
            effect.operation()
        );
        let fault = if self.faults.is_empty() {
            Fault::None
        } else {
            self.faults.remove(0)
        };
        let error = |kind, message: &str| {
            CallError::new(effect.operation(), &effect.resource, kind, message)
        };
        let throttled = || error(CallErrorKind::Throttled { retry_after: None }, "slow down");
        let result = match fault {
            Fault::CrashBefore => return false,
            Fault::Throttled => Err(throttled()),
            Fault::None => self.perform(effect, observed),
            Fault::LostReply => {
                let _ = self.perform(effect, observed);
                Err(error(CallErrorKind::Unknown, "no answer"))
            }
            Fault::CrashAfter => {
                let _ = self.perform(effect, observed);
                return false;
            }
        };
        self.say(format!(
            "{} {}{}",
            effect.operation(),
            effect.resource,
            match &result {
                Ok(_) => String::new(),
                Err(error) => format!(": {}", error.message),
            }
        ));
        self.check_traffic();
        match result {
            Ok(reply) => {
                let verify = run_step(&self.status) == Some(Step::Restore);
                observed.note(effect, reply, verify, self.now);
            }
            Err(error) => observed.failed(effect.clone(), error),
        }
        true
    }

    pub fn perform(&mut self, effect: &Effect, observed: &Observation) -> Result<Reply, CallError> {
        let name = effect.resource.clone();
        match &effect.action {
            Action::Watch { key, .. } => Ok(Reply::Checked(key.clone(), self.watched.clone())),
            Action::StoreSnapshot(snapshot) => {
                let components = snapshot.components.iter();
                for then in components {
                    match &then.workload {
                        WorkloadSnapshot::Lambda(function) => {
                            let latest = function.latest.as_ref();
                            self.packages
                                .extend(latest.and_then(LatestSnapshot::digest));
                        }
                        WorkloadSnapshot::CloudFormation(stack) => {
                            let found = self.stacks.stacks.get(&stack.stack_name);
                            let text = found.map(|it| it.text.clone());
                            self.stacks.kept.extend(text);
                        }
                        WorkloadSnapshot::S3(_) | WorkloadSnapshot::Note(_) => {}
                    }
                }
                self.snapshots.push((**snapshot).clone());
                let key = (self.snapshots.len() - 1).to_string();
                let stored = SnapshotRef {
                    version_id: key.clone(),
                    key,
                    sha256: "0".into(),
                    release: None,
                };
                Ok(Reply::SnapshotStored(stored, snapshot.clone()))
            }
            Action::StorePlan { digest, changes } => {
                self.plans.push(changes.clone());
                let stored = StoredRef {
                    key: format!("plans/{}", self.plans.len()),
                    version_id: "1".into(),
                    sha256: digest.clone(),
                };
                Ok(Reply::PlanStored(digest.clone(), stored))
            }
            Action::DeleteSnapshot(it) => {
                self.discarded.push(it.key.clone());
                Ok(Reply::SnapshotDeleted(it.clone()))
            }
            Action::Component(kinds::Action::S3(s3::Action { act, .. })) => {
                let mut site = observed.components.s3.0[&name].clone();
                let reply = self.bucket.act(act, &site).expect("no crash here");
                site.note(act, reply);
                Ok(Reply::Component(kinds::Reply::S3(s3::Reply {
                    observed: Box::new(site),
                    failed: Vec::new(),
                })))
            }
            Action::Component(kinds::Action::CloudFormation(action)) => {
                let reply = self.stacks.perform(&name, action, &self.status)?;
                Ok(Reply::Component(kinds::Reply::CloudFormation(reply)))
            }
            Action::Component(kinds::Action::Note(action)) => {
                self.check_proposal(action);
                let texts = action.effect(&name, &self.notes);
                for (name, text) in &texts {
                    match text {
                        Some(text) => self.notes.insert(name.clone(), text.clone()),
                        None => self.notes.remove(name),
                    };
                }
                Ok(Reply::Component(kinds::Reply::Note(note::Reply(texts))))
            }
            Action::Component(kinds::Action::Lambda(lambda::Action::Check {
                version,
                key,
                ..
            })) => self.check(effect, version, key),
            Action::Component(kinds::Action::Lambda(action)) => self
                .change(effect, action)
                .map(|reply| Reply::Component(kinds::Reply::Lambda(reply))),
        }
    }
}

/// A read of a function.
pub fn function_read(read: lambda::Read) -> Read {
    Read::Component(kinds::Read::Lambda(read))
}
