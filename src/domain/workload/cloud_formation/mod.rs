//! CloudFormation stacks: the kind behind a component's `cloudFormation` field.
//!
//! A stack is changed only by a change set that is part of the plan. docs/stacks.md describes what users see.
//!
//! # Guarantees
//! - The change set on record is executed at most once, by its ARN, and only with the changes of the plan.
//! - A resource is replaced or deleted only if the spec allows it, also in a restore.
//! - A stack is changed or deleted only if its tags name this Deployment as the owner.

mod action;
mod assembly;
mod begin;
mod changes;
mod deletion;
mod desired;
mod digests;
mod drift;
mod observed;
mod packaging;
mod plan;
mod progress;
mod promote;
mod propose;
mod remains;
mod repair;
mod restore;
mod snapshot;
mod stack;
mod state;
mod url;
mod view;
mod waits;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    change::Part,
    kind::{Kind, NextOf, ViewOf},
    protocol::{PreflightContext, Shift},
    scope::Scope,
};
use crate::{
    api::v1alpha1::{
        ArchiveSummary, CloudFormation as Spec, Component, ComponentStatus, Difference, Intent,
        InventoryItem, PinnedArtifact, Proposal, ReleaseRef, Restored, RunStatus, TargetSpec,
    },
    domain::{
        grants::Resource,
        invalid::Problems,
        ownership::Owner,
        substitution::{OutputRef, Outputs, Template, Variables},
    },
};

pub use self::{
    action::{Action, ChangeSetToCreate, Reply, TemplateText},
    assembly::{AssetForm, Bootstrap, FileAsset, Manifest, file_assets},
    desired::{DesiredStack, StackInAssembly, TemplateAt, TemplateFile, too_large},
    digests::TemplateDigests,
    observed::{Found, FoundWhat, Observed, Read, Source, What},
    packaging::{Form, LocalPath, Location, Packaging, resolve},
    snapshot::{FormerStack, StackSnapshot},
    stack::{
        ASSETS_PREFIX, ChangeSet, DeclaredParameter, FILES_PREFIX, NewChangeSet, ParameterValue,
        PropertyChange, RECORDS_PREFIX, ResourceChange, Settings, Stack, StackEvent, StackResource,
        TEMPLATES_PREFIX, TemplateSource, TemplateSummary,
    },
    url::object_url,
};

/// CloudFormation stacks.
#[derive(Clone, Copy, Debug)]
pub struct CloudFormation;

impl Kind for CloudFormation {
    const FIELD: &'static str = "cloudFormation";
    const INVENTORY: &'static str = begin::INVENTORY;

    type Spec = Spec;
    type Desired = DesiredStack;
    type Snapshot = StackSnapshot;
    type Read = Read;
    type Found = Found;
    type Action = Action;
    type Reply = Reply;
    type Observed = Observed;

    fn spec(component: &Component) -> Option<&Spec> {
        component.cloud_formation.as_ref()
    }

    fn artifact(spec: &Spec) -> &str {
        &spec.artifact
    }

    fn assembly(spec: &Spec) -> Option<&str> {
        spec.cdk.as_ref().map(desired::folder)
    }

    fn expand(
        component: &Component,
        spec: &Spec,
        artifacts: &[PinnedArtifact],
        variables: &Variables,
    ) -> Result<Vec<Component>, (&'static str, String)> {
        desired::expand(component, spec, artifacts, variables)
    }

    fn needs(
        one: &Spec,
        other: &Spec,
        artifacts: &[PinnedArtifact],
        variables: &Variables,
    ) -> bool {
        desired::needs(one, other, artifacts, variables)
    }

    fn artifact_problem(
        spec: &Spec,
        archive: Option<&ArchiveSummary>,
        problem: Option<&str>,
    ) -> Option<String> {
        desired::artifact_problem(spec, archive.is_some(), problem)
    }

    fn desire(spec: &Spec, scope: &Scope<'_>, problems: &mut Problems) -> Option<DesiredStack> {
        desired::desire(spec, scope, problems)
    }

    fn resource(want: &DesiredStack) -> String {
        want.stack_name.clone()
    }

    fn outputs(want: &DesiredStack, _: &TargetSpec) -> Vec<(&'static str, Option<String>)> {
        vec![("stackName", Some(want.stack_name.clone()))]
    }

    fn has_open_outputs(_: &DesiredStack) -> bool {
        true
    }

    fn needed_outputs(want: &DesiredStack) -> Vec<&OutputRef> {
        let of_parameters = want.deferred.values().flat_map(Template::references);
        of_parameters.chain(&want.imports).collect()
    }

    fn resolve(want: &DesiredStack, outputs: &Outputs) -> DesiredStack {
        want.resolve(outputs)
    }

    fn clash(one: &DesiredStack, other: &DesiredStack) -> Option<(&'static str, String)> {
        let name = &one.stack_name;
        let same = *name == other.stack_name;
        same.then(|| ("stackName", format!("stack {name} is also that")))
    }

    fn refused(
        want: &DesiredStack,
        context: &PreflightContext<'_>,
    ) -> Option<(&'static str, String)> {
        let refusal = context.adoption_refusal(&want.adoption, "stack", &want.stack_name);
        refusal.map(|why| ("stackName", why))
    }

    fn first_reads(want: &DesiredStack, _gradual: bool, view: ViewOf<'_, Self>) -> Vec<Read> {
        begin::first_reads(want, view)
    }

    fn unconfirmed_absence(want: &DesiredStack, view: ViewOf<'_, Self>) -> Option<String> {
        begin::unconfirmed_absence(want, view)
    }

    fn obstacle(want: &DesiredStack, _gradual: bool, view: ViewOf<'_, Self>) -> Option<String> {
        begin::obstacle(want, view)
    }

    fn unchanged(
        want: &DesiredStack,
        last: Option<&ComponentStatus>,
        view: ViewOf<'_, Self>,
    ) -> Option<ComponentStatus> {
        begin::unchanged(want, last, view)
    }

    fn proposal(
        want: &DesiredStack,
        release: &ReleaseRef,
        serial: i64,
        view: ViewOf<'_, Self>,
    ) -> Option<Proposal> {
        propose::proposal(want, release, serial, view)
    }

    fn propose(want: &DesiredStack, proposal: &Proposal, view: ViewOf<'_, Self>) -> NextOf<Self> {
        propose::propose(want, proposal, view)
    }

    fn withdraw(proposal: &Proposal, owner: &Owner, observed: &Observed) -> NextOf<Self> {
        propose::withdraw(proposal, owner, observed)
    }

    fn plan(
        want: &DesiredStack,
        release: &ReleaseRef,
        _is_idle: bool,
        view: ViewOf<'_, Self>,
    ) -> Part {
        plan::plan(want, release, view)
    }

    fn snapshot(want: &DesiredStack, view: ViewOf<'_, Self>) -> Option<StackSnapshot> {
        begin::snapshot(want, view)
    }

    fn status(want: &DesiredStack, view: ViewOf<'_, Self>) -> ComponentStatus {
        begin::status(want, view)
    }

    fn inventory_item(want: &DesiredStack, view: ViewOf<'_, Self>) -> InventoryItem {
        begin::inventory_item(want, view)
    }

    fn intents(_: &DesiredStack, _: &ReleaseRef, _: ViewOf<'_, Self>) -> Vec<Intent> {
        Vec::new()
    }

    /// The plan has prepared everything: the change set.
    fn prepare(_: &DesiredStack, _: &ReleaseRef, _: ViewOf<'_, Self>) -> NextOf<Self> {
        NextOf::<Self>::Ready
    }

    fn move_intents(
        want: &DesiredStack,
        _: &ComponentStatus,
        weight: i32,
        view: ViewOf<'_, Self>,
    ) -> Vec<Intent> {
        if weight < 100 {
            return Vec::new();
        }
        promote::intents(want, view)
    }

    fn promote(
        want: &DesiredStack,
        _: &ComponentStatus,
        shift: Shift,
        view: ViewOf<'_, Self>,
    ) -> NextOf<Self> {
        if shift.weight < 100 {
            return NextOf::<Self>::Ready;
        }
        promote::promote(want, view)
    }

    fn output_read(want: &DesiredStack, view: ViewOf<'_, Self>) -> Option<Read> {
        let name = &want.stack_name;
        let is_unread = view.observed.stack(name).is_none();
        is_unread.then(|| begin::read(name, What::Stack))
    }

    fn open_outputs(
        want: &DesiredStack,
        names: &BTreeSet<String>,
        view: ViewOf<'_, Self>,
    ) -> BTreeMap<String, String> {
        let stack = view.observed.stack(&want.stack_name).flatten();
        let Some(stack) = stack else {
            return BTreeMap::new();
        };
        let exports = stack.change_set.as_ref().unwrap_or(&stack.id);
        let exports = (desired::EXPORTS.to_owned(), exports.clone());
        let outputs = stack.outputs.clone().into_iter().chain([exports]);
        outputs.filter(|(name, _)| names.contains(name)).collect()
    }

    fn restores(then: &StackSnapshot) -> String {
        then.stack_name.clone()
    }

    fn was_unmanaged(then: &StackSnapshot, owner: &Owner) -> bool {
        let before = then.before.as_ref();
        before.is_none_or(|before| owner.refusal(before.ownership()).is_some())
    }

    fn restore(
        component: &str,
        then: &StackSnapshot,
        journal: &RunStatus,
        view: ViewOf<'_, Self>,
    ) -> NextOf<Self> {
        restore::restore(component, then, journal, view)
    }

    fn restored(component: &str, then: &StackSnapshot, observed: &Observed) -> Vec<Restored> {
        vec![restore::restored(component, then, observed)]
    }

    fn not_restored(
        component: &str,
        then: &StackSnapshot,
        _: &RunStatus,
        owner: &Owner,
        observed: &Observed,
    ) -> Vec<Difference> {
        restore::not_restored(component, then, owner, observed)
    }

    fn drift_reads(want: &DesiredStack, view: ViewOf<'_, Self>) -> Vec<Read> {
        drift::drift_reads(want, view)
    }

    fn drift(
        want: &DesiredStack,
        _: &ReleaseRef,
        _left: Option<&str>,
        view: ViewOf<'_, Self>,
    ) -> Vec<Difference> {
        drift::drift(want, view)
    }

    fn delete(item: &InventoryItem, owner: &Owner, observed: &Observed) -> NextOf<Self> {
        deletion::delete(item, owner, observed)
    }

    fn read_resource(read: &Read) -> String {
        read.stack.clone()
    }

    fn read_grant(read: &Read) -> Resource<'_> {
        match &read.what {
            What::Source(file) => file.grant(&read.stack),
            What::Stack
            | What::Template(_)
            | What::ChangeSet(_)
            | What::Events { .. }
            | What::Resources(_) => Resource::Stack(&read.stack),
        }
    }

    fn action_grants<'a>(action: &'a Action, resource: &'a str) -> Vec<Resource<'a>> {
        action.grants(resource)
    }

    fn operation(action: &Action) -> &'static str {
        action.operation()
    }
}
