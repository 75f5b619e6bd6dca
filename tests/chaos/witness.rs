//! A witness of the calls that change stacks: what is on record, and what exists, when such a call is sent.
//!
//! The end of a run does not show whether a proposal was on record before its change set existed. So the
//! interceptor has the witness read the Targets and the stack before it lets such a call pass.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use kube::{Api, Client, api::ListParams};
use sluice::{
    api::v1alpha1::{Target, TargetStatus},
    domain::ownership,
};
use sluice_lab::hook::RequestInfo;

use crate::{
    stacks::{StackReader, status, tags},
    team::NAME,
    waiting::{Problem, problem},
};

/// The beginning of the names of the change sets of a restore, which are not on record.
const RESTORING: &str = "sluice-restore-";

/// Reads what is on record and what exists, for one team.
pub struct Witness {
    admin: Client,
    namespace: String,
    /// By the account's ID.
    readers: BTreeMap<String, StackReader>,
    seen: Mutex<Seen>,
}

/// What the witness has observed.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The violated invariants, as text.
    pub violations: Vec<String>,
    /// The account's ID and ARN of each stack that a call was to change.
    pub stacks: BTreeSet<(String, String)>,
}

impl Witness {
    /// A witness for the team with this namespace.
    pub fn new(
        admin: Client,
        namespace: String,
        readers: impl Iterator<Item = StackReader>,
    ) -> Self {
        Self {
            admin,
            namespace,
            readers: readers.map(|it| (it.account_id().to_owned(), it)).collect(),
            seen: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it has observed until now.
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// Observes a call that is about to be sent.
    pub async fn observe(&self, call: &RequestInfo) {
        if call.service != "cloudformation" || !call.is_write {
            return;
        }
        let violation = match self.violation(call).await {
            Ok(violation) => violation,
            Err(problem) => Some(format!("the witness could not read: {problem}")),
        };
        let violations = violation.map(|text| format!("{text} ({})", call.resource));
        self.lock().violations.extend(violations);
    }

    async fn violation(&self, call: &RequestInfo) -> Result<Option<String>, Problem> {
        let id = call.account.as_deref().unwrap_or_default();
        let Some(reader) = self.readers.get(id) else {
            return Ok(Some(format!("I6: account {id:?} changes stacks")));
        };
        let (stack, change_set) = call
            .resource
            .split_once(':')
            .unwrap_or((&call.resource, ""));
        if let Some(arn) = reader.stack(stack).await?.and_then(|it| it.stack_id) {
            self.lock().stacks.insert((id.to_owned(), arn));
        }
        match call.operation.as_str() {
            "CreateChangeSet" | "ExecuteChangeSet" => {
                let targets = self.targets().await?;
                Ok(unrecorded(&targets, &call.operation, change_set))
            }
            "DeleteStack" => self.foreign_deletion(reader, stack).await,
            _ => Ok(None),
        }
    }

    async fn targets(&self) -> Result<Vec<TargetStatus>, Problem> {
        let api: Api<Target> = Api::namespaced(self.admin.clone(), &self.namespace);
        let targets = api.list(&ListParams::default()).await.map_err(problem)?;
        Ok(targets.into_iter().filter_map(|it| it.status).collect())
    }

    /// I14: a stack is deleted only if it has the owner's tags, or has nothing but change sets on record.
    async fn foreign_deletion(
        &self,
        reader: &StackReader,
        name: &str,
    ) -> Result<Option<String>, Problem> {
        let Some(stack) = reader.stack(name).await? else {
            return Ok(None);
        };
        let found = tags(&stack);
        let owner = [
            (ownership::NAMESPACE, self.namespace.as_str()),
            (ownership::NAME, NAME),
        ];
        let is_own = owner
            .iter()
            .all(|(key, value)| found.get(key) == Some(value));
        if status(&stack) != "REVIEW_IN_PROGRESS" {
            let foreign = || format!("I14: DeleteStack is for a stack with the tags {found:?}");
            return Ok((!is_own).then(foreign));
        }
        let targets = self.targets().await?;
        let change_sets = reader.change_sets(name).await?.into_keys();
        let unknown: Vec<String> = change_sets
            .filter(|one| !is_recorded(&targets, one, false))
            .collect();
        let foreign = || format!("I14: DeleteStack would delete the change sets {unknown:?}");
        Ok((!unknown.is_empty()).then(foreign))
    }
}

/// I11: a change set is on record before it is created, and with its changes before it is executed. Those of a
/// restore belong to a run that is being restored.
fn unrecorded(targets: &[TargetStatus], operation: &str, change_set: &str) -> Option<String> {
    let is_execution = operation == "ExecuteChangeSet";
    let is_right = if change_set.starts_with(RESTORING) {
        let mut runs = targets.iter().filter_map(|status| status.run.as_ref());
        runs.any(|run| run.step == "Restore")
    } else {
        is_recorded(targets, change_set, is_execution)
    };
    let with = if is_execution {
        " with its changes"
    } else {
        ""
    };
    (!is_right)
        .then(|| format!("I11: {operation} was sent before its proposal was on record{with}"))
}

/// Whether a change set is on record, and with its changes if they are required.
fn is_recorded(targets: &[TargetStatus], change_set: &str, is_planned: bool) -> bool {
    let mut proposals = targets.iter().flat_map(|status| &status.proposals);
    proposals.any(|it| it.name == change_set && (!is_planned || it.planned.is_some()))
}
