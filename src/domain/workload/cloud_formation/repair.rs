//! Ways out of states in which CloudFormation makes no change set, as far as they need no person.
//!
//! | state | way out |
//! |---|---|
//! | `ROLLBACK_COMPLETE`, without resources | `DeleteStack`: the change set then creates the stack anew |
//! | `UPDATE_ROLLBACK_FAILED` | `ContinueUpdateRollback` |
//!
//! # Guarantees
//! - Nothing that serves is changed, except that CloudFormation completes its own restore of the state before a
//!   failed update. Only resources that the spec names are skipped.
//! - The rollback is continued once with each token: if it fails again, a person decides.
//! - The stack's tags name this Deployment as the owner.

use super::{
    action::Action,
    begin::read,
    deletion::{delete_stack, events},
    desired::DesiredStack,
    observed::{Observed, What},
    progress, remains,
    stack::{Stack, StackEvent, StackResource},
    state::{State, state},
    view::{Next, View},
    waits,
};
use crate::{api::v1alpha1::Proposal, domain::grants::stack_name};

/// The type of nested stacks.
const NESTED: &str = "AWS::CloudFormation::Stack";

/// The next read or action until CloudFormation can make the change set of this proposal; `None` if it can.
pub fn repair(
    want: &DesiredStack,
    proposal: &Proposal,
    stack: &Stack,
    view: View<'_>,
) -> Option<Next> {
    let (name, observed) = (&want.stack_name, view.observed);
    let refused = |why: String| Next::Fail(format!("stack {name} can't be changed: {why}"));
    let rollback = Rollback {
        component: &want.component,
        name,
        role: &want.settings.role,
        skip: &want.resources_to_skip,
        token: format!("{}-continue-{}", proposal.name, view.run.attempt),
    };
    match state(&stack.status) {
        State::CreationRolledBack | State::RollbackFailed
            if view.owner.refusal(stack.ownership()).is_some() =>
        {
            view.owner.refusal(stack.ownership()).map(refused)
        }
        State::CreationRolledBack => {
            let Some(resources) = observed.resources(name) else {
                return Some(Next::Read(read(name, What::Resources(stack.id.clone()))));
            };
            if let Some(why) = remains::obstacle(name, resources) {
                return Some(refused(why));
            }
            let token = format!("{}-delete", proposal.name);
            Some(delete_stack(stack, name, &token, observed))
        }
        State::RollbackFailed => Some(rollback.resume(stack, observed).unwrap_or_else(refused)),
        State::Working if stack.status == "DELETE_IN_PROGRESS" => {
            let what = format!("the deletion of stack {name}");
            Some(Next::Wait(waits::for_stack(what)))
        }
        State::Working if stack.status.starts_with("UPDATE_ROLLBACK_") => {
            rollback.follow(stack, view)
        }
        _ => None,
    }
}

/// The rollback of a failed update, which failed too.
pub struct Rollback<'a> {
    /// The component's name.
    pub component: &'a str,
    /// The stack's name.
    pub name: &'a str,
    /// ARN of the service role.
    pub role: &'a str,
    /// The resources that it may skip.
    pub skip: &'a [String],
    /// The token by which it is continued once.
    pub token: String,
}

impl Rollback<'_> {
    /// The next read or action to continue it; or why it failed again, and what to do.
    pub fn resume(&self, stack: &Stack, observed: &Observed) -> Result<Next, String> {
        let name = self.name;
        let Some(found) = observed.events(name, &self.token) else {
            return Ok(Next::Read(events(name, stack, &self.token)));
        };
        if found.is_empty() {
            return Ok(self.begin(stack, observed));
        }
        // A stack may be read as it was before the call.
        let has_failed = |event: &StackEvent| {
            event.is_of_stack(&stack.id) && event.status == "UPDATE_ROLLBACK_FAILED"
        };
        if !found.iter().any(has_failed) {
            let what = format!("the rollback of stack {name}");
            return Ok(Next::Wait(waits::for_stack(what)));
        }
        Err(self.failure(stack, found))
    }

    fn begin(&self, stack: &Stack, observed: &Observed) -> Next {
        let mut skip = Vec::new();
        if !self.skip.is_empty() {
            let Some(resources) = observed.resources(self.name) else {
                let what = What::Resources(stack.id.clone());
                return Next::Read(read(self.name, what));
            };
            skip = skipped(self.skip, resources);
        }
        Next::Act(Action::ContinueRollback {
            stack: stack.id.clone(),
            role: self.role.to_owned(),
            skip,
            token: self.token.clone(),
        })
    }

    /// Waits for it; `None` if the rollback in progress was not continued with this token.
    fn follow(&self, stack: &Stack, view: View<'_>) -> Option<Next> {
        let name = self.name;
        let Some(found) = view.observed.events(name, &self.token) else {
            return Some(Next::Read(events(name, stack, &self.token)));
        };
        if found.is_empty() {
            return None;
        }
        let progress = progress::summary(found, &stack.id, None, view.pass.began);
        let what = format!("the rollback of stack {name}: {progress}");
        Some(Next::Wait(waits::for_stack(what)))
    }

    fn failure(&self, stack: &Stack, events: &[StackEvent]) -> String {
        let (name, component) = (self.name, self.component);
        let field = format!("spec.components[{component}].cloudFormation.rollback.resourcesToSkip");
        let skip = match progress::first_failed(stack, events) {
            Some(event) if event.resource_type == NESTED => {
                let nested = event.physical_id.as_deref().unwrap_or(&event.logical_id);
                let nested = stack_name(nested);
                format!("add its failed resources, such as {nested}.LogicalId, to {field}")
            }
            Some(event) => format!("add {} to {field}", event.logical_id),
            None => format!("add the failed resources to {field}"),
        };
        format!(
            "it is {}, and so it was again after its rollback was continued: {}. Fix the cause and continue the \
             rollback with aws cloudformation continue-update-rollback --stack-name {name}; or leave the resource as it \
             is: {skip}",
            stack.status,
            progress::failure(stack, events)
        )
    }
}

/// Those of the resources to skip that have failed: AWS refuses to skip others. Which resources of a nested stack
/// have failed, only that stack lists.
fn skipped(skip: &[String], resources: &[StackResource]) -> Vec<String> {
    let failed: Vec<_> = resources
        .iter()
        .filter(|it| it.status == "UPDATE_FAILED")
        .collect();
    let has_failed = |id: &&String| {
        if id.contains('.') {
            failed.iter().any(|it| it.resource_type == NESTED)
        } else {
            failed.iter().any(|it| it.logical_id == **id)
        }
    };
    skip.iter().filter(has_failed).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(logical_id: &str, resource_type: &str, status: &str) -> StackResource {
        StackResource {
            logical_id: logical_id.into(),
            physical_id: Some("x".into()),
            resource_type: resource_type.into(),
            status: status.into(),
        }
    }

    #[test]
    fn only_failed_resources_are_skipped() {
        let skip = ["Queue", "Topic", "shop-Network-1.Vpc"].map(str::to_owned);
        let mut resources = vec![
            resource("Queue", "AWS::SQS::Queue", "UPDATE_FAILED"),
            resource("Topic", "AWS::SNS::Topic", "UPDATE_COMPLETE"),
            resource("Other", "AWS::SNS::Topic", "UPDATE_FAILED"),
        ];
        assert_eq!(skipped(&skip, &resources), ["Queue"]);
        resources.push(resource("Network", NESTED, "UPDATE_FAILED"));
        assert_eq!(skipped(&skip, &resources), ["Queue", "shop-Network-1.Vpc"]);
        assert_eq!(skipped(&[], &resources), Vec::<String>::new());
    }

    #[test]
    fn message_about_a_nested_stack_has_its_name() {
        let stack = Stack {
            id: "arn:aws:cloudformation:eu-west-1:222222222222:stack/shop/1".into(),
            status: "UPDATE_ROLLBACK_FAILED".into(),
            ..Stack::default()
        };
        let event = StackEvent {
            logical_id: "Network".into(),
            physical_id: Some(
                "arn:aws:cloudformation:eu-west-1:222222222222:stack/shop-Network-1/2".into(),
            ),
            resource_type: NESTED.into(),
            status: "UPDATE_FAILED".into(),
            reason: Some("embedded stack failed".into()),
            ..StackEvent::default()
        };
        let rollback = Rollback {
            component: "infra",
            name: "shop",
            role: "",
            skip: &[],
            token: "t".into(),
        };
        let text = rollback.failure(&stack, &[event]);
        assert!(text.contains("such as shop-Network-1.LogicalId"), "{text}");
    }
}
