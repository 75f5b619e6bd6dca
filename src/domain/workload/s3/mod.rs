//! Files in S3 buckets, under a prefix: the kind behind a component's `s3` field.

mod desired;
mod observed;
pub mod site;
mod steps;

use super::{
    change::Part,
    kind::{Kind, NextOf, ViewOf},
    protocol::{PreflightContext, Shift},
    scope::Scope,
};
use crate::{
    api::v1alpha1::{
        ArchiveSummary, Component, ComponentStatus, Difference, Intent, InventoryItem,
        OwnedObjects, ReleaseRef, Restored, RunStatus, S3 as Spec, TargetSpec,
    },
    domain::{archive, grants::Resource, invalid::Problems, ownership::Owner},
};

use self::site::{Phase, S3Location};
pub use self::{
    desired::DesiredSite,
    observed::{Action, Found, Observed, Read, Reply, S3LocationSnapshot, SiteTask},
};

/// Files in S3 buckets.
#[derive(Clone, Copy, Debug)]
pub struct S3;

impl Kind for S3 {
    const FIELD: &'static str = "s3";
    const INVENTORY: &'static str = observed::INVENTORY;

    type Spec = Spec;
    type Desired = DesiredSite;
    type Snapshot = S3LocationSnapshot;
    type Read = Read;
    type Found = Found;
    type Action = Action;
    type Reply = Reply;
    type Observed = Observed;

    fn spec(component: &Component) -> Option<&Spec> {
        component.s3.as_ref()
    }

    fn artifact(spec: &Spec) -> &str {
        &spec.artifact
    }

    fn artifact_problem(
        spec: &Spec,
        archive: Option<&ArchiveSummary>,
        problem: Option<&str>,
    ) -> Option<String> {
        archive::site_problem(archive, problem, spec.path.trim_end_matches('/'))
    }

    fn desire(spec: &Spec, scope: &Scope<'_>, problems: &mut Problems) -> Option<DesiredSite> {
        problems.keep(desired::desire(spec, scope))
    }

    fn resource(want: &DesiredSite) -> String {
        want.location.to_string()
    }

    fn outputs(want: &DesiredSite, _: &TargetSpec) -> Vec<(&'static str, Option<String>)> {
        let S3Location { bucket, prefix } = &want.location;
        vec![
            ("bucket", Some(bucket.clone())),
            ("prefix", Some(prefix.clone())),
        ]
    }

    fn clash(one: &DesiredSite, other: &DesiredSite) -> Option<(&'static str, String)> {
        let (one, other) = (&one.location, &other.location);
        one.overlaps(other)
            .then(|| ("prefix", format!("{one} overlaps {other}, which is that")))
    }

    fn refused(
        want: &DesiredSite,
        location: &PreflightContext<'_>,
    ) -> Option<(&'static str, String)> {
        let bucket = &want.location.bucket;
        let keeper = location.artifact_buckets.get(bucket)?;
        let why = format!(
            "Account {keeper} keeps artifacts in {bucket}: it can't hold other files; choose another bucket"
        );
        Some(("bucket", why))
    }

    fn overlap(one: &str, other: &str) -> bool {
        match (S3Location::parse(one), S3Location::parse(other)) {
            (Some(one), Some(other)) => one.overlaps(&other),
            _ => one == other,
        }
    }

    fn first_reads(want: &DesiredSite, _gradual: bool, view: ViewOf<'_, Self>) -> Vec<Read> {
        steps::first_read(want, view).into_iter().collect()
    }

    fn obstacle(want: &DesiredSite, _gradual: bool, view: ViewOf<'_, Self>) -> Option<String> {
        steps::obstacle(want, view)
    }

    fn unchanged(
        want: &DesiredSite,
        _last: Option<&ComponentStatus>,
        view: ViewOf<'_, Self>,
    ) -> Option<ComponentStatus> {
        steps::unchanged(want, view).then(|| steps::status(want))
    }

    fn plan(want: &DesiredSite, _: &ReleaseRef, _is_idle: bool, view: ViewOf<'_, Self>) -> Part {
        steps::plan(want, view)
    }

    fn keep(want: &DesiredSite, view: ViewOf<'_, Self>) -> NextOf<Self> {
        steps::keep(want, view)
    }

    fn snapshot(want: &DesiredSite, view: ViewOf<'_, Self>) -> Option<S3LocationSnapshot> {
        steps::snapshot(want, view)
    }

    fn status(want: &DesiredSite, _: ViewOf<'_, Self>) -> ComponentStatus {
        steps::status(want)
    }

    fn inventory_item(want: &DesiredSite, _: ViewOf<'_, Self>) -> InventoryItem {
        steps::inventory_item(want)
    }

    fn intents(want: &DesiredSite, _: &ReleaseRef, view: ViewOf<'_, Self>) -> Vec<Intent> {
        steps::intents(
            &want.component,
            &want.location,
            Phase::Prepare,
            view.observed,
        )
    }

    fn prepare(want: &DesiredSite, _: &ReleaseRef, view: ViewOf<'_, Self>) -> NextOf<Self> {
        steps::prepare(want, view)
    }

    fn move_intents(
        want: &DesiredSite,
        _: &ComponentStatus,
        weight: i32,
        view: ViewOf<'_, Self>,
    ) -> Vec<Intent> {
        if weight < 100 {
            return Vec::new();
        }
        steps::intents(
            &want.component,
            &want.location,
            Phase::Promote,
            view.observed,
        )
    }

    fn promote(
        want: &DesiredSite,
        _: &ComponentStatus,
        shift: Shift,
        view: ViewOf<'_, Self>,
    ) -> NextOf<Self> {
        steps::promote(want, shift, view)
    }

    fn objects(want: &DesiredSite, view: ViewOf<'_, Self>) -> Option<OwnedObjects> {
        steps::objects(want, view)
    }

    fn restores(then: &S3LocationSnapshot) -> String {
        then.location.to_string()
    }

    fn was_unmanaged(then: &S3LocationSnapshot, _: &Owner) -> bool {
        then.manifest.is_none()
    }

    fn restore(
        _: &str,
        then: &S3LocationSnapshot,
        _: &RunStatus,
        view: ViewOf<'_, Self>,
    ) -> NextOf<Self> {
        steps::restore(then, view.owner, view.observed)
    }

    fn restored(component: &str, then: &S3LocationSnapshot, observed: &Observed) -> Vec<Restored> {
        vec![steps::restored(component, then, observed)]
    }

    fn not_restored(
        component: &str,
        then: &S3LocationSnapshot,
        _: &RunStatus,
        owner: &Owner,
        observed: &Observed,
    ) -> Vec<Difference> {
        steps::not_restored(component, then, owner, observed)
    }

    fn objects_restored(
        then: &S3LocationSnapshot,
        owner: &Owner,
        observed: &Observed,
    ) -> Option<OwnedObjects> {
        steps::objects_restored(then, owner, observed)
    }

    fn drift_reads(want: &DesiredSite, view: ViewOf<'_, Self>) -> Vec<Read> {
        steps::drift_read(want, view).into_iter().collect()
    }

    fn drift(
        want: &DesiredSite,
        _: &ReleaseRef,
        _left: Option<&str>,
        view: ViewOf<'_, Self>,
    ) -> Vec<Difference> {
        steps::drift(want, view)
    }

    fn prune(item: &InventoryItem, observed: &Observed) -> NextOf<Self> {
        steps::prune(item, observed)
    }

    fn objects_pruned(item: &InventoryItem, observed: &Observed) -> Option<OwnedObjects> {
        steps::objects_pruned(item, observed)
    }

    fn delete(item: &InventoryItem, owner: &Owner, observed: &Observed) -> NextOf<Self> {
        steps::delete(item, owner, observed)
    }

    fn read_resource(read: &Read) -> String {
        read.task.location.to_string()
    }

    fn read_grant(read: &Read) -> Resource<'_> {
        Resource::Bucket(&read.task.location.bucket)
    }

    fn action_grants<'a>(action: &'a Action, _: &'a str) -> Vec<Resource<'a>> {
        vec![Resource::Bucket(&action.task.location.bucket)]
    }

    fn operation(action: &Action) -> &'static str {
        action.act.operation()
    }
}
