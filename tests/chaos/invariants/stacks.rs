//! The invariants of stacks. The [witness](crate::witness) checks those that only the moment of a call shows.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudformation::types::{ResourceStatus, StackEvent};
use serde_json::Value;
use sluice::api::v1alpha1::{Proposal, TargetStatus};

use super::RunObjects;
use crate::{
    stacks::{StackReader, Stacks},
    team::{STACK, Team},
    waiting::Problem,
};

/// What a restore brings back of a stack.
const RESTORED: [&str; 7] = [
    "template",
    "parameters",
    "tags",
    "capabilities",
    "role",
    "notifications",
    "resources",
];

impl RunObjects {
    /// The violated invariants of stacks, as text. `before` has the stacks before the run.
    pub async fn stack_violations(
        &self,
        team: &Team<'_>,
        before: &Stacks,
    ) -> Result<Vec<String>, Problem> {
        let seen = team.seen();
        let mut found = seen.violations;
        for ((account, name), stack) in &self.stacks {
            self.check_left_over(team, account, name, stack, &mut found);
        }
        let is_removed = !self.has_stack();
        for (id, arn) in &seen.stacks {
            let Some(account) = team.fixture.account_of(id) else {
                continue;
            };
            let events = events(team.fixture.stacks(account), arn).await?;
            check_executions(arn, &events, &mut found);
            let of_before = before.get(&(account.to_owned(), team.stack()));
            if let Some(of_before) = of_before.filter(|_| !is_removed) {
                check_resources(arn, of_before, &events, &mut found);
            }
        }
        Ok(found)
    }

    /// Whether a Deployment has the component of the stack.
    fn has_stack(&self) -> bool {
        let specs = self.deployments.iter().map(|one| &one.spec);
        let mut components = specs.flat_map(|spec| &spec.components);
        components.any(|component| component.name == STACK)
    }

    /// I3: a restored stack is as before the run.
    pub fn check_restored_stacks(&self, before: &Stacks, found: &mut Vec<String>) {
        for (key, stack) in &self.stacks {
            if !before.contains_key(key) {
                let status = &stack["status"];
                found.push(format!(
                    "I3: {key:?} did not exist before the run, and is {status}"
                ));
            }
        }
        for (key, expected) in before {
            let restored = self.stacks.get(key).unwrap_or(&Value::Null);
            for part in RESTORED {
                if expected[part] != restored[part] {
                    found.push(format!(
                        "I3: {part} of {key:?} was {} before the run, and is {} after the restore",
                        expected[part], restored[part]
                    ));
                }
            }
        }
    }

    /// I5 and I12: a stack is in an inventory, or on record as proposed, and so is each of its change sets.
    fn check_left_over(
        &self,
        team: &Team<'_>,
        account: &str,
        name: &str,
        stack: &Value,
        found: &mut Vec<String>,
    ) {
        let of_account = team.slot.account_name(account);
        let targets = self
            .targets
            .iter()
            .filter(|one| one.spec.account == of_account);
        let statuses: Vec<&TargetStatus> = targets.filter_map(|one| one.status.as_ref()).collect();
        let proposals: Vec<&Proposal> = statuses.iter().flat_map(|it| &it.proposals).collect();
        let mut items = statuses.iter().flat_map(|status| &status.inventory);
        if stack["status"] == "REVIEW_IN_PROGRESS" {
            if !proposals.iter().any(|one| one.resource == name) {
                found.push(format!("I12: no proposal is for {name} in {account}"));
            }
        } else if !items.any(|item| item.component == STACK && item.name == name) {
            found.push(format!("I5: {name} in {account} is in no inventory"));
        }
        for (change_set, states) in stack["changeSets"].as_object().into_iter().flatten() {
            // AWS keeps what was executed as history.
            let is_history = states.as_str().is_some_and(|it| it.contains(" EXECUTE_"));
            if !is_history && !proposals.iter().any(|one| one.name == *change_set) {
                found.push(format!(
                    "I12: change set {change_set} of {name} in {account}, which is {states}, is not on record"
                ));
            }
        }
    }
}

/// The events of a stack, the oldest first.
async fn events(reader: &StackReader, arn: &str) -> Result<Vec<StackEvent>, Problem> {
    let mut events = reader.events(arn).await?;
    events.reverse();
    Ok(events)
}

/// I10: each change set begins at most one operation. Its name is the token of the operation.
fn check_executions(arn: &str, events: &[StackEvent], found: &mut Vec<String>) {
    let mut begun = BTreeMap::<&str, usize>::new();
    for event in events.iter().filter(|event| is_of_stack(event)) {
        let begins = ["CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"];
        let token = event.client_request_token();
        if let Some(token) = token.filter(|_| begins.contains(&status(event))) {
            *begun.entry(token).or_default() += 1;
        }
    }
    for (token, count) in begun.into_iter().filter(|(_, count)| *count > 1) {
        found.push(format!("I10: {token} was executed {count} times on {arn}"));
    }
}

/// I13: no resource that existed before the run is replaced or deleted: no scenario permits that.
fn check_resources(arn: &str, before: &Value, events: &[StackEvent], found: &mut Vec<String>) {
    let resources = before["resources"].as_object().into_iter().flatten();
    let existed: BTreeSet<&str> = resources
        .filter_map(|(_, one)| one["physicalId"].as_str())
        .collect();
    for event in events.iter().filter(|event| !is_of_stack(event)) {
        let id = event.physical_resource_id().unwrap_or_default();
        if existed.contains(id) && status(event).starts_with("DELETE_") {
            found.push(format!("I13: {id} of {arn} is {}", status(event)));
        }
    }
}

/// Whether an event is about the stack itself, not about one of its resources.
fn is_of_stack(event: &StackEvent) -> bool {
    event.physical_resource_id == event.stack_id
}

/// The state that the resource of an event reached.
fn status(event: &StackEvent) -> &str {
    event.resource_status().map_or("", ResourceStatus::as_str)
}
