//! Lambda functions with a live alias: the kind behind a component's `lambda` field.

mod action;
mod begin;
mod checks;
mod desired;
mod drift;
mod function;
mod invoke;
mod observed;
mod plan;
mod prepare;
mod report;
mod restore;
mod retire;
mod snapshot;
mod state;
mod tags;
mod traffic;
mod versions;
mod view;

use super::{
    change::Part,
    kind::{Kind, NextOf, ViewOf},
    protocol::{PreflightContext, Shift},
    scope::Scope,
};
use crate::{
    api::v1alpha1::{
        ArchiveSummary, Component, ComponentStatus, Difference, Intent, InventoryItem,
        Lambda as Spec, PublishedVersion, ReleaseRef, Restored, RunStatus, TargetSpec,
    },
    domain::{
        archive,
        check::{Moment, ServedVersions},
        grants::Resource,
        invalid::Problems,
        ownership::Owner,
        substitution::{OutputRef, Outputs, Template},
    },
};

pub use self::{
    action::{Action, Reply},
    desired::{DesiredCheck, DesiredFunction, Expected, configuration_digest},
    function::{
        Alias, AliasTarget, CodeLocation, Function, FunctionConfiguration, FunctionState,
        Invocation, LastUpdate, PACKAGES_PREFIX, ProvisionedConcurrency,
    },
    invoke::{Attempt, evaluate, timed_out},
    observed::{Found, Observed, Read},
    snapshot::{AliasSnapshot, FunctionSnapshot, LatestSnapshot},
};

/// Lambda functions.
#[derive(Clone, Copy, Debug)]
pub struct Lambda;

impl Kind for Lambda {
    const FIELD: &'static str = "lambda";
    const INVENTORY: &'static str = function::INVENTORY;

    type Spec = Spec;
    type Desired = DesiredFunction;
    type Snapshot = FunctionSnapshot;
    type Read = Read;
    type Found = Found;
    type Action = Action;
    type Reply = Reply;
    type Observed = Observed;

    fn spec(component: &Component) -> Option<&Spec> {
        component.lambda.as_ref()
    }

    fn artifact(spec: &Spec) -> &str {
        &spec.artifact
    }

    fn artifact_problem(
        spec: &Spec,
        archive: Option<&ArchiveSummary>,
        problem: Option<&str>,
    ) -> Option<String> {
        archive::lambda_problem(archive, problem, &spec.runtime)
    }

    fn desire(spec: &Spec, scope: &Scope<'_>, problems: &mut Problems) -> Option<DesiredFunction> {
        desired::desire(spec, scope, problems)
    }

    fn resource(want: &DesiredFunction) -> String {
        want.function_name.clone()
    }

    fn outputs(want: &DesiredFunction, target: &TargetSpec) -> Vec<(&'static str, Option<String>)> {
        desired::outputs(want, target)
    }

    fn deferred_outputs(status: &ComponentStatus) -> Vec<(String, String)> {
        let version = status.version.clone();
        version
            .map(|version| ("version".to_owned(), version))
            .into_iter()
            .collect()
    }

    fn needed_outputs(want: &DesiredFunction) -> Vec<&OutputRef> {
        want.deferred
            .values()
            .flat_map(Template::references)
            .collect()
    }

    fn resolve(want: &DesiredFunction, outputs: &Outputs) -> DesiredFunction {
        want.resolve(outputs)
    }

    fn clash(one: &DesiredFunction, other: &DesiredFunction) -> Option<(&'static str, String)> {
        let name = &one.function_name;
        let same = *name == other.function_name;
        same.then(|| ("functionName", format!("function {name} is also that")))
    }

    fn refused(
        want: &DesiredFunction,
        context: &PreflightContext<'_>,
    ) -> Option<(&'static str, String)> {
        let refusal = context.adoption_refusal(&want.adoption, "function", &want.function_name);
        refusal.map(|why| ("functionName", why))
    }

    fn first_reads(want: &DesiredFunction, gradual: bool, view: ViewOf<'_, Self>) -> Vec<Read> {
        begin::first_reads(want, gradual, view)
    }

    fn unconfirmed_absence(want: &DesiredFunction, view: ViewOf<'_, Self>) -> Option<String> {
        begin::unconfirmed_absence(want, view)
    }

    fn obstacle(want: &DesiredFunction, gradual: bool, view: ViewOf<'_, Self>) -> Option<String> {
        begin::obstacle(want, gradual, view)
    }

    fn unchanged(
        want: &DesiredFunction,
        last: Option<&ComponentStatus>,
        view: ViewOf<'_, Self>,
    ) -> Option<ComponentStatus> {
        begin::unchanged(want, last, view)
    }

    fn plan(
        want: &DesiredFunction,
        release: &ReleaseRef,
        is_idle: bool,
        view: ViewOf<'_, Self>,
    ) -> Part {
        plan::plan(want, release, is_idle, view)
    }

    fn snapshot(want: &DesiredFunction, view: ViewOf<'_, Self>) -> Option<FunctionSnapshot> {
        begin::snapshot(want, view)
    }

    fn status(want: &DesiredFunction, view: ViewOf<'_, Self>) -> ComponentStatus {
        begin::status(want, view)
    }

    fn inventory_item(want: &DesiredFunction, view: ViewOf<'_, Self>) -> InventoryItem {
        begin::inventory_item(want, view)
    }

    fn tag_keys(want: &DesiredFunction) -> Vec<String> {
        want.tags.keys().cloned().collect()
    }

    fn intents(
        want: &DesiredFunction,
        release: &ReleaseRef,
        view: ViewOf<'_, Self>,
    ) -> Vec<Intent> {
        begin::intents(want, release, view)
    }

    fn prepare(
        want: &DesiredFunction,
        release: &ReleaseRef,
        view: ViewOf<'_, Self>,
    ) -> NextOf<Self> {
        prepare::prepare(want, release, view)
    }

    fn version(
        want: &DesiredFunction,
        release: &ReleaseRef,
        view: ViewOf<'_, Self>,
    ) -> Option<String> {
        versions::version_of(want, release, view)
    }

    fn published(
        want: &DesiredFunction,
        release: &ReleaseRef,
        version: &str,
    ) -> Option<PublishedVersion> {
        Some(PublishedVersion {
            release_uid: release.uid.clone(),
            revision: release.revision,
            function_name: want.function_name.clone(),
            version: version.to_owned(),
            code_sha256: want.code_sha256.to_string(),
            configuration_digest: want.configuration_digest().to_string(),
        })
    }

    fn can_split_traffic(
        _: &DesiredFunction,
        version: Option<&str>,
        before: &FunctionSnapshot,
    ) -> bool {
        version.is_some_and(|version| traffic::splits(version, before))
    }

    fn move_intents(
        want: &DesiredFunction,
        status: &ComponentStatus,
        weight: i32,
        _: ViewOf<'_, Self>,
    ) -> Vec<Intent> {
        vec![traffic::move_intent(want, status, weight)]
    }

    fn promote(
        want: &DesiredFunction,
        status: &ComponentStatus,
        shift: Shift,
        view: ViewOf<'_, Self>,
    ) -> NextOf<Self> {
        traffic::promote(want, status, shift, view)
    }

    fn last_read(want: &DesiredFunction, view: ViewOf<'_, Self>) -> Option<Read> {
        traffic::last_read(want, view)
    }

    fn has_checks(want: &DesiredFunction) -> bool {
        !want.checks.is_empty()
    }

    fn checks(
        want: &DesiredFunction,
        status: &ComponentStatus,
        moment: Moment,
        view: ViewOf<'_, Self>,
    ) -> NextOf<Self> {
        match &status.version {
            Some(version) => checks::checks(want, version, moment, view),
            None => NextOf::<Self>::Ready,
        }
    }

    fn served(want: &DesiredFunction, status: &ComponentStatus) -> Option<ServedVersions> {
        Some(ServedVersions {
            function: want.function_name.clone(),
            alias: want.alias.clone(),
            version: status.version.clone()?,
            previous: status.previous_version.clone(),
        })
    }

    fn restores(then: &FunctionSnapshot) -> String {
        then.function_name.clone()
    }

    fn was_unmanaged(then: &FunctionSnapshot, owner: &Owner) -> bool {
        let latest = then.latest.as_ref();
        latest.is_none_or(|latest| owner.refusal(&latest.tags).is_some())
    }

    fn restore(
        component: &str,
        then: &FunctionSnapshot,
        journal: &RunStatus,
        view: ViewOf<'_, Self>,
    ) -> NextOf<Self> {
        restore::restore(component, then, journal, view)
    }

    fn restored(component: &str, then: &FunctionSnapshot, observed: &Observed) -> Vec<Restored> {
        report::restored(component, then, observed)
    }

    fn not_restored(
        component: &str,
        then: &FunctionSnapshot,
        journal: &RunStatus,
        _: &Owner,
        observed: &Observed,
    ) -> Vec<Difference> {
        report::not_restored(component, then, journal, observed)
    }

    fn drift_reads(want: &DesiredFunction, view: ViewOf<'_, Self>) -> Vec<Read> {
        drift::drift_reads(want, view)
    }

    fn drift(
        want: &DesiredFunction,
        release: &ReleaseRef,
        left: Option<&str>,
        view: ViewOf<'_, Self>,
    ) -> Vec<Difference> {
        drift::drift(want, left, release, view)
    }

    fn delete(item: &InventoryItem, owner: &Owner, observed: &Observed) -> NextOf<Self> {
        restore::delete(&item.name, owner, observed)
    }

    fn retire(
        version: &PublishedVersion,
        item: &InventoryItem,
        snapshots: &[&FunctionSnapshot],
        owner: &Owner,
        observed: &Observed,
    ) -> Option<NextOf<Self>> {
        retire::retire(version, item.alias.as_deref()?, snapshots, owner, observed)
    }

    fn read_resource(read: &Read) -> String {
        read.function().to_owned()
    }

    fn read_grant(read: &Read) -> Resource<'_> {
        Resource::Function(read.function())
    }

    fn action_grants<'a>(action: &'a Action, resource: &'a str) -> Vec<Resource<'a>> {
        action.grant(resource).into_iter().collect()
    }

    fn operation(action: &Action) -> &'static str {
        action.operation()
    }

    fn is_shared(one: &Action, other: &Action) -> bool {
        one.is_shared(other)
    }
}
