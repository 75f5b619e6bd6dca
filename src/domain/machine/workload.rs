//! The component protocol, for whatever kind of workload a component is: the one place that knows which
//! kinds there are.
//!
//! | step | question | answered by |
//! |---|---|---|
//! | before anything | what must be seen, what stands there, is it as wanted already | [`first_reads`], [`snapshot`], [`unchanged`] |
//! | Prepare | what comes next of what users can't see | [`prepare`] |
//! | Promote | what comes next of what they see, for a share of the traffic | [`promote`], [`checks`] |
//! | Restore | what comes next on the way back | [`restore`] |

use super::{
    lambda::{self, Shift},
    next::{Next, View},
    observation::{Effect, Moment, Observation, Read},
    plan::Part,
    snapshot::{ComponentSnapshot, Snapshot, WorkloadSnapshot},
};
use crate::{
    api::v1alpha1::{
        ComponentStatus, Difference, Intent, InventoryItem, PublishedVersion, ReleaseRef,
        TargetStatus,
    },
    domain::{
        desired::{Desired, DesiredComponent, Workload},
        ownership::Owner,
    },
};

/// What the inventory calls a function.
pub const FUNCTION: &str = "LambdaFunction";

/// What has to be seen before a run begins. `gradual` is whether traffic moves in steps.
pub fn first_reads(
    want: &DesiredComponent,
    inventory: &[InventoryItem],
    gradual: bool,
    seen: &Observation,
) -> Vec<Read> {
    match &want.workload {
        Workload::Function(function) => {
            let known = inventory
                .iter()
                .any(|item| item.kind == FUNCTION && item.name == function.function_name);
            lambda::first_reads(function, known, gradual, seen)
        }
    }
}

/// Why this component can't be delivered here, from what was seen.
pub fn obstacle(
    want: &DesiredComponent,
    gradual: bool,
    owner: &Owner,
    seen: &Observation,
) -> Option<String> {
    match &want.workload {
        Workload::Function(function) => {
            let name = &function.function_name;
            let there = seen.functions.get(name).and_then(Option::as_ref);
            let refusal = there.and_then(|there| owner.obstacle(&there.tags, &function.adoption));
            if let Some(why) = refusal {
                return Some(format!("function {name} can't be taken: {why}"));
            }
            if let Some(why) = lambda::exposed(function, owner, seen) {
                return Some(why);
            }
            lambda::unsplittable(function, seen).filter(|_| gradual)
        }
    }
}

/// What the status says of a component that is as wanted already; `None` where something differs.
/// `last` is what the last successful run left.
pub fn unchanged(
    want: &DesiredComponent,
    last: Option<&ComponentStatus>,
    seen: &Observation,
) -> Option<ComponentStatus> {
    match &want.workload {
        Workload::Function(function) => {
            let version = lambda::unchanged(function, last, seen)?;
            Some(ComponentStatus {
                version: Some(version),
                ..lambda::component_status(function, seen)
            })
        }
    }
}

/// What would change of it, from what was seen.
pub fn plan(want: &DesiredComponent, owner: &Owner, seen: &Observation) -> Part {
    match &want.workload {
        Workload::Function(function) => lambda::plan(function, owner, seen),
    }
}

/// What has to be seen to tell whether it is as the last run left it.
pub fn drift_reads(want: &DesiredComponent, seen: &Observation) -> Vec<Read> {
    match &want.workload {
        Workload::Function(function) => lambda::drift_reads(function, seen),
    }
}

/// What differs from what the last run left, from what was seen. `left` is the version that it left,
/// where that is known.
pub fn drift(
    want: &DesiredComponent,
    left: Option<&str>,
    desired: &Desired,
    status: &TargetStatus,
    seen: &Observation,
) -> Vec<Difference> {
    match &want.workload {
        Workload::Function(function) => {
            lambda::drift(function, left, &desired.release, &status.versions, seen)
        }
    }
}

/// What stands there now; `None` where it was not looked at.
pub fn snapshot(want: &DesiredComponent, seen: &Observation) -> Option<ComponentSnapshot> {
    let workload = match &want.workload {
        Workload::Function(function) => {
            WorkloadSnapshot::Function(Box::new(lambda::snapshot(function, seen)?))
        }
    };
    Some(ComponentSnapshot {
        component: want.name.clone(),
        level: want.level,
        workload,
    })
}

/// The changes that Prepare will make, by what identifies their effect.
pub fn intents(want: &DesiredComponent, release: &ReleaseRef, view: View<'_>) -> Vec<Intent> {
    match &want.workload {
        Workload::Function(function) => lambda::intents(function, release, view),
    }
}

/// What Promote will do, by what identifies its effect.
pub fn move_intent(want: &DesiredComponent, status: &ComponentStatus, weight: i32) -> Intent {
    match &want.workload {
        Workload::Function(function) => lambda::move_intent(function, status, weight),
    }
}

/// What the status says of a component before anything was done.
pub fn status(want: &DesiredComponent, seen: &Observation) -> ComponentStatus {
    match &want.workload {
        Workload::Function(function) => lambda::component_status(function, seen),
    }
}

/// What comes next of what users can't see.
pub fn prepare(want: &DesiredComponent, release: &ReleaseRef, view: View<'_>) -> Next {
    match &want.workload {
        Workload::Function(function) => lambda::prepare(function, release, view),
    }
}

/// The version that Prepare came to.
pub fn version(want: &DesiredComponent, release: &ReleaseRef, view: View<'_>) -> Option<String> {
    match &want.workload {
        Workload::Function(function) => lambda::version_of(function, release, view),
    }
}

/// That version, as it is kept for a later return to the Release.
pub fn published(
    want: &DesiredComponent,
    release: &ReleaseRef,
    version: Option<&String>,
) -> Option<PublishedVersion> {
    let version = version?.clone();
    match &want.workload {
        Workload::Function(function) => Some(PublishedVersion {
            release_uid: release.uid.clone(),
            revision: release.revision,
            function_name: function.function_name.clone(),
            version,
            code_sha256: function.code_sha256.to_string(),
            configuration_digest: function.configuration_digest().to_string(),
        }),
    }
}

/// Whether this component's traffic can move in steps.
pub fn splits(want: &DesiredComponent, version: Option<&str>, before: &ComponentSnapshot) -> bool {
    match (&want.workload, &before.workload) {
        (Workload::Function(_), WorkloadSnapshot::Function(before)) => {
            version.is_some_and(|version| lambda::splits(version, before))
        }
    }
}

/// What comes next of what users see.
pub fn promote(
    want: &DesiredComponent,
    status: &ComponentStatus,
    before: Option<&ComponentSnapshot>,
    shift: Shift,
    seen: &Observation,
) -> Next {
    match &want.workload {
        Workload::Function(function) => {
            let before = before.map(ComponentSnapshot::function);
            lambda::promote(function, status, before, shift, seen)
        }
    }
}

/// What comes next of the checks at this moment.
pub fn checks(
    want: &DesiredComponent,
    status: &ComponentStatus,
    moment: Moment,
    seen: &Observation,
) -> Next {
    match &want.workload {
        Workload::Function(function) => match &status.version {
            Some(version) => lambda::checks(function, version, moment, seen),
            None => Next::Ready,
        },
    }
}

/// What comes next on the way back.
pub fn restore(then: &ComponentSnapshot, owner: &Owner, seen: &Observation) -> Next {
    match &then.workload {
        WorkloadSnapshot::Function(function) => {
            lambda::restore(&then.component, function, owner, seen)
        }
    }
}

/// What the inventory says of it.
pub fn inventory_item(want: &DesiredComponent, seen: &Observation) -> InventoryItem {
    match &want.workload {
        Workload::Function(function) => InventoryItem {
            component: want.name.clone(),
            kind: FUNCTION.to_owned(),
            name: function.function_name.clone(),
            alias: Some(function.alias.clone()),
            created: !seen
                .functions
                .get(&function.function_name)
                .is_some_and(Option::is_some),
            dropped: false,
        },
    }
}

/// Whether this item of the inventory is the component's.
pub fn is(want: &DesiredComponent, item: &InventoryItem) -> bool {
    match &want.workload {
        Workload::Function(function) => {
            item.kind == FUNCTION && item.name == function.function_name
        }
    }
}

/// What comes next for something that is to be deleted: [`Next::Ready`] once it is gone, or was never
/// ours.
pub fn delete(item: &InventoryItem, owner: &Owner, seen: &Observation) -> Next {
    match item.kind.as_str() {
        FUNCTION => lambda::delete(&item.component, &item.name, owner, seen),
        other => Next::Fail(format!(
            "{other} {} was made by another version of Sluice; let that version delete it",
            item.name
        )),
    }
}

/// What comes next for a version that no Release needs: [`Next::Ready`] once it is gone, or is not ours
/// any more; `None` where something still has it.
pub fn retire(
    version: &PublishedVersion,
    inventory: &[InventoryItem],
    snapshot: Option<&Snapshot>,
    owner: &Owner,
    seen: &Observation,
) -> Option<Next> {
    let mut items = inventory.iter().filter(|item| item.kind == FUNCTION);
    let Some(item) = items.find(|item| item.name == version.function_name) else {
        // It was let go, and stays as it is.
        return Some(Next::Ready);
    };
    let components = snapshot.iter().flat_map(|snapshot| &snapshot.components);
    let functions: Vec<_> = components
        .map(ComponentSnapshot::function)
        .filter(|then| then.function_name == version.function_name)
        .collect();
    let alias = item.alias.as_deref()?;
    lambda::retire(version, &item.component, alias, &functions, owner, seen)
}

/// What an effect is made for when it belongs to the run as a whole.
pub fn of_run(want: &DesiredComponent, action: super::Action) -> Effect {
    let resource = match &want.workload {
        Workload::Function(function) => function.function_name.clone(),
    };
    Effect {
        component: want.name.clone(),
        resource,
        action,
    }
}
