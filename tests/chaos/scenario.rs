//! The parts of a scenario: steps that prepare it without faults, and steps that run with an injection.

use aws_sdk_lambda::operation::get_function::GetFunctionError;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use sluice::api::v1alpha1::{Deployment, Target};

use crate::{
    team::{NAME, Team},
    waiting::{LIMIT, Problem, problem, wait_until},
};

/// A task that a controller carries out.
pub struct Scenario {
    pub name: &'static str,
    /// The steps before the injection is armed.
    pub prepare: &'static [Step],
    /// The steps after that, to the end.
    pub act: &'static [Step],
    pub ending: Ending,
}

/// How a scenario ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a live Release, as the steps require.
    Served,
    /// With the state that was observed before the injection was armed.
    Restored,
    /// With the Deployment deleted.
    Deleted,
}

/// One step of a scenario. Steps that wait fail after [`LIMIT`].
pub enum Step {
    /// Applies the Deployment.
    Apply(fn(&Team<'_>) -> Value),
    /// Delivers v1 of these components with this Deployment.
    FirstDelivery(&'static [&'static str], fn(&Team<'_>) -> Value),
    /// The same, past the gate of stage dev, which requires an approval.
    ApprovedDelivery(&'static [&'static str], fn(&Team<'_>) -> Value),
    /// Runs a pipeline that builds these components in this version.
    Push(&'static str, &'static [&'static str]),
    /// The same, but some components return status 500: version, all components, bad components.
    PushBad(
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
    ),
    /// Waits until the revision is live in every stage, and the rest is pruned.
    Delivered(i64),
    /// Waits until the Deployment is stalled for this reason.
    Stalled(&'static str),
    /// Waits until the Deployment is stalled for this reason, or until the stage requests an approval: a plan
    /// can succeed on a stale response.
    StalledOrApprovalRequested(&'static str, &'static str),
    /// Waits until the stage requests an approval of this revision.
    ApprovalRequested(&'static str, i64),
    /// Waits until the stage requests an approval of this revision, and approves it.
    Approve(&'static str, i64),
    /// Waits until the stage requests an approval of this revision, and rejects it.
    Reject(&'static str, i64),
    /// Waits until `status.live` has this value, such as `dev=r1`.
    Live(&'static str),
    /// Sets an annotation: its name and value.
    Annotate(&'static str, &'static str),
    /// Requests a reconcile with this token, and waits until it is handled.
    Reconcile(&'static str),
    /// Creates the team's alarm in the account, in state `OK`.
    CreateAlarm(&'static str),
    /// Sets the team's alarm in the account to `ALARM`.
    TriggerAlarm(&'static str),
    /// Has AWS deny the operation on the component's function.
    Deny(&'static str, &'static str),
    /// Has AWS deny the operation in the account.
    DenyIn(&'static str, &'static str),
    /// Has AWS allow the operation again.
    Allow(&'static str),
    /// Waits until the alias of `api` in dev routes its traffic like this: `1`, or `1, 10 % to 2`.
    Routed(&'static str),
    /// Moves the alias of `api` in dev to version 1 externally.
    MoveAlias,
    /// Waits until the second attempt of the run in dev has succeeded.
    Corrected,
    /// Disables drift checks.
    IgnoreDrift,
    /// Waits until only this component is in the inventory of dev.
    InventoryIs(&'static str),
    /// Waits until the Target and the function `api` in prod are deleted.
    ProdIsGone,
    /// Waits until this many proposals are on record.
    Proposals(usize),
    /// Has CloudFormation stop the next update of the stack before its resource changes.
    HoldStack,
    /// Waits until an update of the stack is stopped.
    StackHeld,
    /// Deletes the Deployment, and waits until it and its Targets and Releases are deleted.
    Delete,
}

impl Scenario {
    /// Carries out steps in order.
    pub async fn carry_out(steps: &[Step], team: &Team<'_>) -> Result<(), Problem> {
        for step in steps {
            step.carry_out(team).await?;
        }
        Ok(())
    }
}

impl Step {
    async fn carry_out(&self, team: &Team<'_>) -> Result<(), Problem> {
        let interceptor = &team.slot.interceptor;
        match *self {
            Self::Apply(manifest) => team.apply(&manifest(team)).await?,
            Self::FirstDelivery(components, manifest) => {
                team.push("v1", components, &[]);
                team.apply(&manifest(team)).await?;
                team.wait_until_delivered(1).await?;
            }
            Self::ApprovedDelivery(components, manifest) => {
                team.push("v1", components, &[]);
                team.apply(&manifest(team)).await?;
                decide(team, "Approve", "dev", 1).await?;
                team.wait_until_delivered(1).await?;
            }
            Self::Push(version, components) => team.push(version, components, &[]),
            Self::PushBad(version, components, bad) => team.push(version, components, bad),
            Self::Delivered(revision) => team.wait_until_delivered(revision).await?,
            Self::Stalled(reason) => team.wait_until_stalled(reason).await?,
            Self::StalledOrApprovalRequested(reason, stage) => {
                team.wait_for_stall_or_request(reason, stage).await?;
            }
            Self::ApprovalRequested(stage, revision) => {
                drop(team.wait_for_approval_request(stage, revision).await?);
            }
            Self::Approve(stage, revision) => decide(team, "Approve", stage, revision).await?,
            Self::Reject(stage, revision) => decide(team, "Reject", stage, revision).await?,
            Self::Live(live) => team.wait_until_live(live).await?,
            Self::Annotate(name, value) => team.annotate(name, value).await?,
            Self::Reconcile(token) => team.reconcile(token).await?,
            Self::CreateAlarm(account) => team.create_alarm(account).await?,
            Self::TriggerAlarm(account) => team.trigger_alarm(account).await?,
            Self::Deny(operation, component) => {
                interceptor.deny(operation, team.function(component));
            }
            Self::DenyIn(operation, account) => {
                interceptor.deny_in(operation, team.fixture.account_id(account));
            }
            Self::Allow(operation) => interceptor.allow(operation),
            Self::Routed(routing) => team.wait_until_routed("dev", "api", routing).await?,
            Self::MoveAlias => move_alias(team).await?,
            Self::Corrected => wait_until_corrected(team).await?,
            Self::IgnoreDrift => team.ignore_drift().await?,
            Self::InventoryIs(component) => wait_for_inventory(team, component).await?,
            Self::ProdIsGone => wait_until_prod_is_gone(team).await?,
            Self::Proposals(wanted) => team.wait_for_proposals(wanted).await?,
            Self::HoldStack => team.hold_stack().await?,
            Self::StackHeld => team.wait_for_held_stack().await?,
            Self::Delete => {
                let api = team.api::<Deployment>();
                let background = DeleteParams::background();
                api.delete(NAME, &background).await.map_err(problem)?;
                team.wait_until_deleted().await?;
            }
        }
        Ok(())
    }
}

async fn decide(
    team: &Team<'_>,
    decision: &str,
    stage: &str,
    revision: i64,
) -> Result<(), Problem> {
    let waiting = team.wait_for_approval_request(stage, revision).await?;
    team.decide(decision, stage, &waiting).await
}

async fn move_alias(team: &Team<'_>) -> Result<(), Problem> {
    let move_alias = team
        .fixture
        .lambda("dev")
        .update_alias()
        .function_name(team.function("api"))
        .name("live")
        .function_version("1");
    move_alias
        .send()
        .await
        .map(drop)
        .map_err(|e| format!("{e:?}"))
}

async fn wait_until_corrected(team: &Team<'_>) -> Result<(), Problem> {
    let corrected = wait_until("the correction has succeeded", LIMIT, async || {
        let run = team.target("dev").await?.status.and_then(|it| it.run);
        let run = run.ok_or("the Target has no run")?;
        let is_over = (run.attempt, run.step.as_str()) == (2, "Succeeded");
        is_over.then_some(()).ok_or_else(|| json!(run).to_string())
    });
    corrected.await
}

async fn wait_for_inventory(team: &Team<'_>, component: &str) -> Result<(), Problem> {
    let what = format!("{component} is alone in the inventory of dev");
    let left = wait_until(&what, LIMIT, async || {
        let status = team.target("dev").await?.status.unwrap_or_default();
        let items = status.inventory.iter();
        let items: Vec<_> = items.map(|item| item.component.as_str()).collect();
        if items == [component] {
            Ok(())
        } else {
            Err(format!("{items:?}"))
        }
    });
    left.await
}

async fn wait_until_prod_is_gone(team: &Team<'_>) -> Result<(), Problem> {
    let gone = wait_until("the Target in prod is deleted", LIMIT, async || {
        let targets = team.list::<Target>().await?;
        let stages: Vec<_> = targets.iter().map(|it| it.spec.stage.as_str()).collect();
        if stages == ["dev"] {
            Ok(())
        } else {
            Err(format!("{stages:?}"))
        }
    });
    gone.await?;
    let lambda = team.fixture.lambda("prod");
    let function = lambda.get_function().function_name(team.function("api"));
    match function.send().await {
        Ok(_) => Err("the function in prod still exists".to_owned()),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(GetFunctionError::is_resource_not_found_exception) =>
        {
            Ok(())
        }
        Err(error) => Err(format!("{error:?}")),
    }
}
