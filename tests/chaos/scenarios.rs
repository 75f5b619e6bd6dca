//! The scenarios of the crash matrix. A new guarantee about crashes starts with a scenario here.

mod stacks;

use serde_json::{Value, json};

use crate::{
    scenario::{
        Ending::{Deleted, Restored, Served},
        Scenario,
        Step::{
            Allow, Annotate, Apply, ApprovalRequested, Approve, ApprovedDelivery, Corrected,
            CreateAlarm, Delete, Delivered, Deny, DenyIn, FirstDelivery, IgnoreDrift, InventoryIs,
            Live, MoveAlias, ProdIsGone, Push, PushBad, Reconcile, Routed, Stalled,
            StalledOrApprovalRequested, TriggerAlarm,
        },
    },
    team::{SITE, Team},
};

const API: &[&str] = &["api"];
const TWO: &[&str] = &["api", "worker"];
const THREE: &[&str] = &["api", "worker", "front"];
const SITE_ONLY: &[&str] = &[SITE];
const SITE_AND_API: &[&str] = &[SITE, "api"];

/// Every scenario.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    SCENARIOS.iter().chain(stacks::SCENARIOS)
}

/// The scenarios of functions and files.
const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "create",
        prepare: &[Push("v1", API)],
        act: &[Apply(checked), Delivered(1)],
        ending: Served,
    },
    Scenario {
        name: "update",
        prepare: &[FirstDelivery(API, checked)],
        act: &[Push("v2", API), Delivered(2)],
        ending: Served,
    },
    // Three functions in two levels change.
    Scenario {
        name: "levels",
        prepare: &[FirstDelivery(THREE, two_levels)],
        act: &[Push("v2", THREE), Delivered(2)],
        ending: Served,
    },
    Scenario {
        name: "canary",
        prepare: &[FirstDelivery(API, canary)],
        act: &[Push("v2", API), Delivered(2)],
        ending: Served,
    },
    // The check fails before any traffic has moved.
    Scenario {
        name: "failed-at-0",
        prepare: &[FirstDelivery(API, canary)],
        act: &[PushBad("v2", API, API), Stalled("RolledBack")],
        ending: Restored,
    },
    // An alarm is triggered after 10 % of the traffic have moved.
    Scenario {
        name: "failed-at-10",
        prepare: &[
            CreateAlarm("dev"),
            FirstDelivery(API, |team| canary_with_alarm(team, ["10m", "1s"])),
        ],
        act: &[
            Push("v2", API),
            Routed("1, 10 % to 2"),
            TriggerAlarm("dev"),
            Stalled("RolledBack"),
        ],
        ending: Restored,
    },
    Scenario {
        name: "failed-at-50",
        prepare: &[
            CreateAlarm("dev"),
            FirstDelivery(API, |team| canary_with_alarm(team, ["1s", "10m"])),
        ],
        act: &[
            Push("v2", API),
            Routed("1, 50 % to 2"),
            TriggerAlarm("dev"),
            Stalled("RolledBack"),
        ],
        ending: Restored,
    },
    // The second of three functions cannot be prepared.
    Scenario {
        name: "failed-prepare",
        prepare: &[
            FirstDelivery(THREE, three_levels),
            Deny("PublishVersion", "worker"),
        ],
        act: &[Push("v2", THREE), Stalled("RolledBack")],
        ending: Restored,
    },
    // One of the two targets of a stage fails.
    Scenario {
        name: "two-targets",
        prepare: &[
            FirstDelivery(API, two_targets),
            DenyIn("PublishVersion", "prod"),
        ],
        act: &[Push("v2", API), Stalled("RolledBack")],
        ending: Restored,
    },
    Scenario {
        name: "rollback",
        prepare: &[FirstDelivery(API, plain), Push("v2", API), Delivered(2)],
        act: &[
            Annotate("sluice.dev/rollback", "v2 has a defect"),
            Stalled("RolledBack"),
            Live("dev=r1"),
        ],
        ending: Served,
    },
    Scenario {
        name: "approval",
        prepare: &[ApprovedDelivery(API, |team| gated(plain(team)))],
        act: &[Push("v2", API), Approve("dev", 2), Delivered(2)],
        ending: Served,
    },
    // A newer Release supersedes one that waits at a gate.
    Scenario {
        name: "supersede",
        prepare: &[
            ApprovedDelivery(API, |team| gated(plain(team))),
            Push("v2", API),
            ApprovalRequested("dev", 2),
        ],
        act: &[Push("v3", API), Approve("dev", 3), Delivered(3)],
        ending: Served,
    },
    Scenario {
        name: "delete",
        prepare: &[FirstDelivery(TWO, |team| deleting(team, TWO, &["dev"]))],
        act: &[Delete],
        ending: Deleted,
    },
    // A component is removed from the spec.
    Scenario {
        name: "dropped",
        prepare: &[FirstDelivery(TWO, |team| deleting(team, TWO, &["dev"]))],
        act: &[
            Apply(|team| deleting(team, API, &["dev"])),
            Delivered(2),
            InventoryIs("api"),
        ],
        ending: Served,
    },
    // Files are changed, added and removed.
    Scenario {
        name: "site",
        prepare: &[FirstDelivery(SITE_ONLY, |team| {
            team.deployment(SITE_ONLY, &["dev"])
        })],
        act: &[Push("v2", SITE_ONLY), Delivered(2)],
        ending: Served,
    },
    // A function and files change together.
    Scenario {
        name: "together",
        prepare: &[FirstDelivery(SITE_AND_API, site_and_api)],
        act: &[Push("v2", SITE_AND_API), Delivered(2)],
        ending: Served,
    },
    // Uploaded files are restored together with a function whose check fails.
    Scenario {
        name: "together-back",
        prepare: &[FirstDelivery(SITE_AND_API, site_and_api)],
        act: &[PushBad("v2", SITE_AND_API, API), Stalled("RolledBack")],
        ending: Restored,
    },
    // Drift is corrected despite a triggered alarm: the drift may have caused it.
    Scenario {
        name: "corrected",
        prepare: &[
            CreateAlarm("dev"),
            FirstDelivery(API, correcting),
            Push("v2", API),
            Delivered(2),
            MoveAlias,
            TriggerAlarm("dev"),
        ],
        act: &[
            Reconcile("check for drift"),
            Routed("2"),
            Corrected,
            Delivered(2),
            // Otherwise, each later reconcile would record another drift check.
            IgnoreDrift,
        ],
        ending: Served,
    },
    // The plan for a gate cannot be computed for a while.
    Scenario {
        name: "planned-late",
        prepare: &[
            ApprovedDelivery(API, |team| gated(plain(team))),
            Deny("GetFunction", "api"),
        ],
        act: &[
            Push("v2", API),
            StalledOrApprovalRequested("TargetStalled", "dev"),
            Allow("GetFunction"),
            Reconcile("GetFunction is allowed"),
            Approve("dev", 2),
            Delivered(2),
        ],
        ending: Served,
    },
    // A retry continues a held run.
    Scenario {
        name: "retried-held",
        prepare: &[FirstDelivery(API, holding), Deny("PublishVersion", "api")],
        act: &[
            Push("v2", API),
            Stalled("Held"),
            Allow("PublishVersion"),
            Annotate("sluice.dev/retry", "PublishVersion is allowed"),
            Delivered(2),
        ],
        ending: Served,
    },
    Scenario {
        name: "stage-removed",
        prepare: &[FirstDelivery(API, |team| {
            deleting(team, API, &["dev", "prod"])
        })],
        act: &[
            Apply(|team| deleting(team, API, &["dev"])),
            Delivered(2),
            ProdIsGone,
        ],
        ending: Served,
    },
];

/// A check that invokes the component.
fn smoke(component: &str) -> Value {
    json!({
        "name": "smoke",
        "invoke": {"component": component, "expect": {"path": "/statusCode", "equals": 200}},
    })
}

/// A check of the team's alarm.
fn alarm(team: &Team<'_>) -> Value {
    json!({"name": "errors", "alarms": {"names": [team.function("errors")]}})
}

/// A Deployment of `api` to dev.
fn plain(team: &Team<'_>) -> Value {
    team.deployment(API, &["dev"])
}

fn checked(team: &Team<'_>) -> Value {
    let mut manifest = plain(team);
    manifest["spec"]["stages"][0]["checks"] = json!([smoke("api")]);
    manifest
}

fn holding(team: &Team<'_>) -> Value {
    let mut manifest = checked(team);
    manifest["spec"]["rollback"] = json!({"onFailure": "Hold"});
    manifest
}

fn correcting(team: &Team<'_>) -> Value {
    let mut manifest = plain(team);
    manifest["spec"]["stages"][0]["checks"] = json!([smoke("api"), alarm(team)]);
    manifest["spec"]["drift"] = json!({"interval": "1h", "policy": "Correct"});
    manifest
}

/// The stage requires an approval.
fn gated(mut manifest: Value) -> Value {
    manifest["spec"]["stages"][0]["gate"] =
        json!({"approval": {"kubernetes": {"groups": ["sluice:approvers"]}}});
    manifest
}

fn deleting(team: &Team<'_>, components: &[&str], stages: &[&str]) -> Value {
    let mut manifest = team.deployment(components, stages);
    manifest["spec"]["deletionPolicy"] = json!("Delete");
    manifest
}

/// `front` depends on `api` and `worker`.
fn two_levels(team: &Team<'_>) -> Value {
    let mut manifest = team.deployment(THREE, &["dev"]);
    manifest["spec"]["components"][2]["dependsOn"] = json!(["api", "worker"]);
    manifest["spec"]["stages"][0]["checks"] = json!([smoke("front")]);
    manifest
}

/// Each function depends on the one before it.
fn three_levels(team: &Team<'_>) -> Value {
    let mut manifest = team.deployment(THREE, &["dev"]);
    manifest["spec"]["components"][1]["dependsOn"] = json!(["api"]);
    manifest["spec"]["components"][2]["dependsOn"] = json!(["worker"]);
    manifest
}

/// The files are uploaded before the function is updated.
fn site_and_api(team: &Team<'_>) -> Value {
    let mut manifest = team.deployment(SITE_AND_API, &["dev"]);
    manifest["spec"]["components"][1]["dependsOn"] = json!([SITE]);
    manifest["spec"]["stages"][0]["checks"] = json!([smoke("api")]);
    manifest
}

/// One stage with a target in dev and one in prod.
fn two_targets(team: &Team<'_>) -> Value {
    let mut manifest = team.deployment(API, &["all"]);
    let target =
        |account: &str| json!({"account": team.slot.account_name(account), "region": "eu-west-1"});
    manifest["spec"]["stages"][0]["targets"] = json!([target("dev"), target("prod")]);
    // In parallel, the progress of one target when the other fails would depend on chance.
    manifest["spec"]["stages"][0]["maxConcurrentTargets"] = json!(1);
    manifest
}

fn canary(team: &Team<'_>) -> Value {
    canary_with_bakes(team, ["1s", "1s"])
}

fn canary_with_alarm(team: &Team<'_>, bakes: [&str; 2]) -> Value {
    let mut manifest = canary_with_bakes(team, bakes);
    manifest["spec"]["stages"][0]["checks"] = json!([smoke("api"), alarm(team)]);
    manifest
}

/// A rollout of 10 %, then 50 % of the traffic, with these bake times.
fn canary_with_bakes(team: &Team<'_>, [ten, fifty]: [&str; 2]) -> Value {
    let mut manifest = checked(team);
    let steps = json!([{"weight": 10, "bake": ten}, {"weight": 50, "bake": fifty}]);
    manifest["spec"]["stages"][0]["rollout"] = json!({"canary": {"steps": steps}});
    manifest
}
