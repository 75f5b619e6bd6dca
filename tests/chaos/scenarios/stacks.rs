//! The scenarios of stacks. Each one is small, because every call of it multiplies into plans: the stack has one
//! resource.

use serde_json::{Value, json};

use super::{API, deleting, gated};
use crate::{
    scenario::{
        Ending::{Restored, Served},
        Scenario,
        Step::{
            Annotate, Apply, ApprovalRequested, Delivered, FirstDelivery, HoldStack, Proposals,
            Push, PushBad, Reject, StackHeld, Stalled,
        },
    },
    team::{STACK, Team},
};

const STACK_ONLY: &[&str] = &[STACK];
const API_AND_STACK: &[&str] = &["api", STACK];

/// The scenarios of stacks.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "stack-create",
        prepare: &[Push("v1", STACK_ONLY)],
        act: &[Apply(stack), Delivered(1)],
        ending: Served,
    },
    Scenario {
        name: "stack-update",
        prepare: &[FirstDelivery(STACK_ONLY, stack)],
        act: &[Push("v2", STACK_ONLY), Delivered(2)],
        ending: Served,
    },
    // CloudFormation rolls the update back, because a resource fails.
    Scenario {
        name: "stack-failed",
        prepare: &[FirstDelivery(STACK_ONLY, stack)],
        act: &[
            PushBad("v2", STACK_ONLY, STACK_ONLY),
            Stalled("RolledBack"),
            Proposals(0),
        ],
        ending: Restored,
    },
    // The check fails after the update: another change set restores the stack.
    Scenario {
        name: "stack-check",
        prepare: &[FirstDelivery(STACK_ONLY, stack)],
        act: &[Apply(failing_update), Stalled("RolledBack"), Proposals(0)],
        ending: Restored,
    },
    // The check of a new stack fails: the stack is deleted.
    Scenario {
        name: "stack-new-check",
        prepare: &[Push("v1", STACK_ONLY)],
        act: &[Apply(failing), Stalled("RolledBack"), Proposals(0)],
        ending: Restored,
    },
    // The update is cancelled.
    Scenario {
        name: "stack-abort",
        prepare: &[FirstDelivery(STACK_ONLY, stack), HoldStack],
        act: &[
            Push("v2", STACK_ONLY),
            StackHeld,
            Annotate("sluice.dev/abort", "it takes too long"),
            Stalled("RolledBack"),
            Proposals(0),
        ],
        ending: Restored,
    },
    // A function changes first, and its version is a parameter of the stack, which fails.
    Scenario {
        name: "stack-level",
        prepare: &[FirstDelivery(API_AND_STACK, two_levels)],
        act: &[
            PushBad("v2", API_AND_STACK, STACK_ONLY),
            Stalled("RolledBack"),
            Proposals(0),
        ],
        ending: Restored,
    },
    // The component of the stack is removed from the spec.
    Scenario {
        name: "stack-dropped",
        prepare: &[FirstDelivery(API_AND_STACK, |team| {
            deleting(team, API_AND_STACK, &["dev"])
        })],
        act: &[Apply(|team| deleting(team, API, &["dev"])), Delivered(2)],
        ending: Served,
    },
    // A Release that would create the stack is rejected at a gate.
    Scenario {
        name: "stack-rejected",
        prepare: &[Push("v1", STACK_ONLY)],
        act: &[
            Apply(|team| gated(stack(team))),
            Reject("dev", 1),
            Stalled("Rejected"),
            Proposals(0),
        ],
        ending: Restored,
    },
    // A newer Release supersedes one that waits at a gate with its change set.
    Scenario {
        name: "stack-superseded",
        prepare: &[
            Push("v1", STACK_ONLY),
            Apply(|team| gated(stack(team))),
            ApprovalRequested("dev", 1),
        ],
        act: &[
            Push("v2", STACK_ONLY),
            ApprovalRequested("dev", 2),
            Proposals(1),
        ],
        ending: Served,
    },
];

/// A Deployment of the stack to dev.
fn stack(team: &Team<'_>) -> Value {
    team.deployment(STACK_ONLY, &["dev"])
}

/// The same, with a check that always fails.
fn failing(team: &Team<'_>) -> Value {
    let mut manifest = stack(team);
    let page = format!("{}/no-such-page", team.fixture.lab.gitlab.url());
    manifest["spec"]["stages"][0]["checks"] =
        json!([{"name": "page", "http": {"url": page, "expectedStatus": [200]}}]);
    manifest
}

/// The same, with another parameter and another tag.
fn failing_update(team: &Team<'_>) -> Value {
    let mut manifest = failing(team);
    let spec = &mut manifest["spec"]["components"][0]["cloudFormation"];
    spec["parameters"] = json!({"Text": "changed"});
    spec["tags"] = json!({"tier": "gold"});
    manifest
}

/// The stack has the version of the function as a parameter.
fn two_levels(team: &Team<'_>) -> Value {
    let mut manifest = team.deployment(API_AND_STACK, &["dev"]);
    let component = &mut manifest["spec"]["components"][1];
    component["dependsOn"] = json!(["api"]);
    component["cloudFormation"]["parameters"] =
        json!({"Text": "$(components.api.outputs.version)"});
    manifest
}
