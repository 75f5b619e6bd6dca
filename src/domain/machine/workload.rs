//! The component protocol, for whatever kind of workload a component is: the one place that knows which
//! kinds there are.
//!
//! | step | question | answered by |
//! |---|---|---|
//! | before anything | what must be seen, what stands there, is it as wanted already | [`first_reads`], [`keep`], [`snapshot`], [`unchanged`] |
//! | Prepare | what comes next of what users can't see | [`prepare`] |
//! | Promote | what comes next of what they see, for a share of the traffic | [`promote`], [`checks`] |
//! | Prune | what comes next of what is not wanted any more | [`prune`], [`delete`] |
//! | Restore | what comes next on the way back | [`restore`] |

use super::{
    asked::Moment,
    lambda::{self, Shift},
    next::{Next, View},
    observation::{Effect, Observation, Read},
    plan::Part,
    site,
    snapshot::{ComponentSnapshot, Snapshot, WorkloadSnapshot},
};
use crate::{
    api::v1alpha1::{
        ComponentStatus, Difference, Intent, InventoryItem, OwnedObjects, PublishedVersion,
        ReleaseRef, Restored, RunStatus,
    },
    domain::{
        desired::{DesiredComponent, Workload},
        ownership::Owner,
        site::Phase,
    },
};

/// What the inventory calls a function.
pub const FUNCTION: &str = "LambdaFunction";

/// What the inventory calls files in a bucket.
pub const OBJECTS: &str = "S3Objects";

/// What has to be seen before a run begins. `gradual` is whether traffic moves in steps.
pub fn first_reads(want: &DesiredComponent, gradual: bool, view: View<'_>) -> Vec<Read> {
    match &want.workload {
        Workload::Function(function) => {
            lambda::first_reads(function, is_on_record(want, view), gradual, view)
        }
        Workload::Site(place) => site::first_read(want, place, view).into_iter().collect(),
    }
}

/// What should be there and was not found, as long as that may be an old answer.
pub fn doubtful(want: &DesiredComponent, view: View<'_>) -> Option<String> {
    match &want.workload {
        Workload::Function(function) => {
            lambda::doubtful(function, is_on_record(want, view), view.seen)
        }
        Workload::Site(_) => None,
    }
}

/// Whether the inventory has it.
fn is_on_record(want: &DesiredComponent, view: View<'_>) -> bool {
    view.status.inventory.iter().any(|item| is(want, item))
}

/// Why this component can't be delivered here, from what was seen.
pub fn obstacle(want: &DesiredComponent, gradual: bool, view: View<'_>) -> Option<String> {
    match &want.workload {
        Workload::Function(function) => {
            let name = &function.function_name;
            let there = view.seen.functions.get(name).and_then(Option::as_ref);
            let refusal =
                there.and_then(|there| view.owner.obstacle(&there.tags, &function.adoption));
            if let Some(why) = refusal {
                return Some(format!("function {name} can't be taken: {why}"));
            }
            if let Some(why) = lambda::exposed(function, view.owner, view.seen) {
                return Some(why);
            }
            lambda::unsplittable(function, view.seen).filter(|_| gradual)
        }
        Workload::Site(place) => site::obstacle(want, place, view),
    }
}

/// What the status says of a component that is as wanted already; `None` where something differs.
/// `last` is what the last successful run left.
pub fn unchanged(
    want: &DesiredComponent,
    last: Option<&ComponentStatus>,
    view: View<'_>,
) -> Option<ComponentStatus> {
    match &want.workload {
        Workload::Function(function) => {
            let version = lambda::unchanged(function, last, view)?;
            Some(ComponentStatus {
                version: Some(version),
                ..lambda::component_status(function, view.seen)
            })
        }
        Workload::Site(place) => {
            let unchanged = site::unchanged(want, place, view);
            unchanged.then(|| site::component_status(want, place))
        }
    }
}

/// What would change of it for the Release, from what was seen. `is_idle` is whether nothing at all has to
/// be done.
pub fn plan(want: &DesiredComponent, release: &ReleaseRef, is_idle: bool, view: View<'_>) -> Part {
    match &want.workload {
        Workload::Function(function) => lambda::plan(function, release, is_idle, view),
        Workload::Site(place) => site::plan(want, place, view),
    }
}

/// What has to be seen to tell whether it is as the last run left it.
pub fn drift_reads(want: &DesiredComponent, view: View<'_>) -> Vec<Read> {
    match &want.workload {
        Workload::Function(function) => lambda::drift_reads(function, view.seen),
        Workload::Site(place) => site::drift_read(place, view).into_iter().collect(),
    }
}

/// What differs from what the last run left, from what was seen. `left` is the version that it left,
/// where that is known.
pub fn drift(
    want: &DesiredComponent,
    release: &ReleaseRef,
    left: Option<&str>,
    view: View<'_>,
) -> Vec<Difference> {
    match &want.workload {
        Workload::Function(function) => lambda::drift(function, left, release, view),
        Workload::Site(place) => site::drift(want, place, view),
    }
}

/// What comes next of putting aside what would be lost otherwise. (A function's code is kept when the
/// snapshot is stored.)
pub fn keep(want: &DesiredComponent, view: View<'_>) -> Next {
    match &want.workload {
        Workload::Function(_) => Next::Ready,
        Workload::Site(place) => site::keep(want, place, view),
    }
}

/// What stands there now; `None` where it was not looked at.
pub fn snapshot(want: &DesiredComponent, view: View<'_>) -> Option<ComponentSnapshot> {
    let workload = match &want.workload {
        Workload::Function(function) => {
            WorkloadSnapshot::Function(Box::new(lambda::snapshot(function, view.seen)?))
        }
        Workload::Site(place) => {
            WorkloadSnapshot::Place(Box::new(site::snapshot(want, place, view)?))
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
        Workload::Site(place) => site::intents(&want.name, &place.place, Phase::Prepare, view.seen),
    }
}

/// What Promote will do, by what identifies its effect.
pub fn move_intents(
    want: &DesiredComponent,
    status: &ComponentStatus,
    weight: i32,
    seen: &Observation,
) -> Vec<Intent> {
    match &want.workload {
        Workload::Function(function) => vec![lambda::move_intent(function, status, weight)],
        Workload::Site(place) if weight >= 100 => {
            site::intents(&want.name, &place.place, Phase::Promote, seen)
        }
        Workload::Site(_) => Vec::new(),
    }
}

/// What the status says of a component before anything was done.
pub fn status(want: &DesiredComponent, seen: &Observation) -> ComponentStatus {
    match &want.workload {
        Workload::Function(function) => lambda::component_status(function, seen),
        Workload::Site(place) => site::component_status(want, place),
    }
}

/// What comes next of what users can't see.
pub fn prepare(
    want: &DesiredComponent,
    release: &ReleaseRef,
    before: Option<&ComponentSnapshot>,
    view: View<'_>,
) -> Next {
    match &want.workload {
        Workload::Function(function) => {
            let before = before.and_then(ComponentSnapshot::function);
            lambda::prepare(function, release, before, view)
        }
        Workload::Site(place) => site::prepare(want, place, view),
    }
}

/// The version that Prepare came to.
pub fn version(want: &DesiredComponent, release: &ReleaseRef, view: View<'_>) -> Option<String> {
    match &want.workload {
        Workload::Function(function) => lambda::version_of(function, release, view),
        Workload::Site(_) => None,
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
        Workload::Site(_) => None,
    }
}

/// Whether this component's traffic can move in steps.
pub fn splits(want: &DesiredComponent, version: Option<&str>, before: &ComponentSnapshot) -> bool {
    match (&want.workload, before.function()) {
        (Workload::Function(_), Some(before)) => {
            version.is_some_and(|version| lambda::splits(version, before))
        }
        _ => false,
    }
}

/// What comes next of what users see.
pub fn promote(
    want: &DesiredComponent,
    status: &ComponentStatus,
    before: Option<&ComponentSnapshot>,
    shift: Shift,
    view: View<'_>,
) -> Next {
    match &want.workload {
        Workload::Function(function) => {
            let before = before.and_then(ComponentSnapshot::function);
            lambda::promote(function, status, before, shift, view.seen)
        }
        Workload::Site(place) => site::promote(want, place, shift, view),
    }
}

/// The objects that are ours once it serves; `None` where there are none, or that is not known now.
pub fn objects(want: &DesiredComponent, view: View<'_>) -> Option<OwnedObjects> {
    match &want.workload {
        Workload::Function(_) => None,
        Workload::Site(place) => site::objects(want, place, view),
    }
}

/// What comes next of the checks at this moment.
pub fn checks(
    want: &DesiredComponent,
    status: &ComponentStatus,
    moment: Moment,
    seen: &Observation,
) -> Next {
    match (&want.workload, &status.version) {
        (Workload::Function(function), Some(version)) => {
            lambda::checks(function, version, moment, seen)
        }
        _ => Next::Ready,
    }
}

/// What comes next on the way back from the run that `journal` is of.
pub fn restore(
    then: &ComponentSnapshot,
    journal: &RunStatus,
    owner: &Owner,
    seen: &Observation,
) -> Next {
    match &then.workload {
        WorkloadSnapshot::Function(function) => {
            lambda::restore(&then.component, function, journal, owner, seen)
        }
        WorkloadSnapshot::Place(place) => site::restore(&then.component, place, owner, seen),
    }
}

/// What stands of it once it was put back.
pub fn put_back(then: &ComponentSnapshot, seen: &Observation) -> Vec<Restored> {
    match &then.workload {
        WorkloadSnapshot::Function(function) => lambda::put_back(&then.component, function, seen),
        WorkloadSnapshot::Place(place) => vec![site::put_back(&then.component, place, seen)],
    }
}

/// What does not stand as it did before the run that `journal` is of, as far as it was seen.
pub fn not_put_back(
    then: &ComponentSnapshot,
    journal: &RunStatus,
    owner: &Owner,
    seen: &Observation,
) -> Vec<Difference> {
    match &then.workload {
        WorkloadSnapshot::Function(function) => {
            lambda::not_put_back(&then.component, function, journal, seen)
        }
        WorkloadSnapshot::Place(place) => site::not_put_back(&then.component, place, owner, seen),
    }
}

/// The objects that are ours once it was put back.
pub fn restored(
    then: &ComponentSnapshot,
    owner: &Owner,
    seen: &Observation,
) -> Option<OwnedObjects> {
    site::restored(then.place()?, owner, seen)
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
            objects: None,
            tags: Vec::new(),
            dropped: false,
        },
        Workload::Site(place) => site::inventory_item(want, place),
    }
}

/// The keys of the tags that are set on it once it serves.
pub fn tag_keys(want: &DesiredComponent) -> Vec<String> {
    match &want.workload {
        Workload::Function(function) => function.tags.keys().cloned().collect(),
        Workload::Site(_) => Vec::new(),
    }
}

/// Whether this item of the inventory is the component's.
pub fn is(want: &DesiredComponent, item: &InventoryItem) -> bool {
    let kind = match &want.workload {
        Workload::Function(_) => FUNCTION,
        Workload::Site(_) => OBJECTS,
    };
    item.kind == kind && item.name == want.workload.resource()
}

/// What comes next for something of which a part is not wanted any more.
pub fn prune(item: &InventoryItem, seen: &Observation) -> Next {
    match item.kind.as_str() {
        OBJECTS => site::prune(item, seen),
        _ => Next::Ready,
    }
}

/// The objects of it that are ours once that is done.
pub fn pruned(item: &InventoryItem, seen: &Observation) -> Option<OwnedObjects> {
    match item.kind.as_str() {
        OBJECTS => site::pruned(item, seen),
        _ => None,
    }
}

/// What comes next for something that is to be deleted: [`Next::Ready`] once it is gone, or was never
/// ours.
pub fn delete(item: &InventoryItem, owner: &Owner, seen: &Observation) -> Next {
    match item.kind.as_str() {
        FUNCTION => lambda::delete(&item.component, &item.name, owner, seen),
        OBJECTS => site::delete(item, owner, seen),
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
        .filter_map(ComponentSnapshot::function)
        .filter(|then| then.function_name == version.function_name)
        .collect();
    let alias = item.alias.as_deref()?;
    lambda::retire(version, &item.component, alias, &functions, owner, seen)
}

/// What an effect is made for when it belongs to the run as a whole.
pub fn of_run(want: &DesiredComponent, action: super::Action) -> Effect {
    Effect {
        component: want.name.clone(),
        resource: want.workload.resource(),
        action,
    }
}
