//! The smallest kind, for tests only: a text that is stored under a name. It shows what a new kind requires.

mod observed;
mod steps;

pub use self::{
    observed::{Action, Found, Observed, Read, Reply},
    steps::{DesiredNote, NoteSnapshot},
};
use super::{
    change::Part,
    kind::{Kind, NextOf, ViewOf},
    protocol::{PreflightContext, Shift},
    scope::Scope,
};
use crate::{
    api::v1alpha1::{
        ArchiveSummary, Component, ComponentStatus, Difference, Intent, InventoryItem,
        Note as Spec, Proposal, ReleaseRef, Restored, RunStatus, TargetSpec,
    },
    domain::{grants::Resource, invalid::Problems, ownership::Owner},
};

/// Texts under names.
#[derive(Clone, Copy, Debug)]
pub struct Note;

impl Kind for Note {
    const FIELD: &'static str = "note";
    const INVENTORY: &'static str = steps::INVENTORY;

    type Spec = Spec;
    type Desired = DesiredNote;
    type Snapshot = NoteSnapshot;
    type Read = Read;
    type Found = Found;
    type Action = Action;
    type Reply = Reply;
    type Observed = Observed;

    fn spec(component: &Component) -> Option<&Spec> {
        component.note.as_ref()
    }

    fn artifact(spec: &Spec) -> &str {
        &spec.artifact
    }

    fn artifact_problem(
        _: &Spec,
        _: Option<&ArchiveSummary>,
        _problem: Option<&str>,
    ) -> Option<String> {
        None
    }

    fn desire(spec: &Spec, scope: &Scope<'_>, problems: &mut Problems) -> Option<DesiredNote> {
        let text = problems.keep(scope.expand("text", &spec.text))?;
        Some(DesiredNote {
            component: scope.component.name.clone(),
            title: spec.title.clone(),
            text,
            is_drafted: spec.is_drafted,
        })
    }

    fn resource(want: &DesiredNote) -> String {
        want.title.clone()
    }

    fn outputs(want: &DesiredNote, _: &TargetSpec) -> Vec<(&'static str, Option<String>)> {
        vec![("title", Some(want.title.clone()))]
    }

    fn clash(one: &DesiredNote, other: &DesiredNote) -> Option<(&'static str, String)> {
        let title = &one.title;
        (*title == other.title).then(|| ("title", format!("note {title} is also that")))
    }

    fn refused(_: &DesiredNote, _: &PreflightContext<'_>) -> Option<(&'static str, String)> {
        None
    }

    fn first_reads(want: &DesiredNote, _gradual: bool, view: ViewOf<'_, Self>) -> Vec<Read> {
        steps::read(&want.title, view.observed)
            .into_iter()
            .collect()
    }

    fn obstacle(_: &DesiredNote, _gradual: bool, _: ViewOf<'_, Self>) -> Option<String> {
        None
    }

    fn unchanged(
        want: &DesiredNote,
        _last: Option<&ComponentStatus>,
        view: ViewOf<'_, Self>,
    ) -> Option<ComponentStatus> {
        (view.observed.text(&want.title) == Some(Some(&want.text)))
            .then(|| Self::status(want, view))
    }

    fn proposal(
        want: &DesiredNote,
        release: &ReleaseRef,
        serial: i64,
        view: ViewOf<'_, Self>,
    ) -> Option<Proposal> {
        steps::proposal(want, release, serial, view.status, view.observed)
    }

    fn propose(want: &DesiredNote, draft: &Proposal, view: ViewOf<'_, Self>) -> NextOf<Self> {
        steps::draft(&draft.name, &want.text, view.observed)
    }

    fn withdraw(draft: &Proposal, _: &Owner, observed: &Observed) -> NextOf<Self> {
        steps::discard(&draft.name, observed)
    }

    fn plan(want: &DesiredNote, _: &ReleaseRef, _is_idle: bool, view: ViewOf<'_, Self>) -> Part {
        steps::plan(want, view.observed)
    }

    fn snapshot(want: &DesiredNote, view: ViewOf<'_, Self>) -> Option<NoteSnapshot> {
        Some(NoteSnapshot {
            title: want.title.clone(),
            text: view.observed.text(&want.title)?.cloned(),
        })
    }

    fn status(want: &DesiredNote, _: ViewOf<'_, Self>) -> ComponentStatus {
        ComponentStatus {
            name: want.component.clone(),
            resource: want.title.clone(),
            ..ComponentStatus::default()
        }
    }

    fn inventory_item(want: &DesiredNote, _: ViewOf<'_, Self>) -> InventoryItem {
        InventoryItem {
            component: want.component.clone(),
            kind: Self::INVENTORY.to_owned(),
            name: want.title.clone(),
            created: true,
            ..InventoryItem::default()
        }
    }

    fn intents(_: &DesiredNote, _: &ReleaseRef, _: ViewOf<'_, Self>) -> Vec<Intent> {
        Vec::new()
    }

    fn prepare(_: &DesiredNote, _: &ReleaseRef, _: ViewOf<'_, Self>) -> NextOf<Self> {
        NextOf::<Self>::Ready
    }

    fn move_intents(
        want: &DesiredNote,
        _: &ComponentStatus,
        weight: i32,
        _: ViewOf<'_, Self>,
    ) -> Vec<Intent> {
        let intent = Intent {
            component: want.component.clone(),
            operation: "Write".to_owned(),
            resource: want.title.clone(),
            result: None,
        };
        if weight < 100 {
            Vec::new()
        } else {
            vec![intent]
        }
    }

    fn promote(
        want: &DesiredNote,
        _: &ComponentStatus,
        shift: Shift,
        view: ViewOf<'_, Self>,
    ) -> NextOf<Self> {
        if shift.weight < 100 {
            return NextOf::<Self>::Ready;
        }
        if want.is_drafted {
            let draft = view.status.proposal(&want.component, &view.run.release);
            return steps::publish(want, draft, view.observed);
        }
        steps::hold(&want.title, Some(&want.text), view.observed)
    }

    fn restores(then: &NoteSnapshot) -> String {
        then.title.clone()
    }

    fn was_unmanaged(then: &NoteSnapshot, _: &Owner) -> bool {
        then.text.is_none()
    }

    fn restore(
        _: &str,
        then: &NoteSnapshot,
        _: &RunStatus,
        view: ViewOf<'_, Self>,
    ) -> NextOf<Self> {
        steps::hold(&then.title, then.text.as_ref(), view.observed)
    }

    fn restored(_: &str, _: &NoteSnapshot, _: &Observed) -> Vec<Restored> {
        Vec::new()
    }

    fn not_restored(
        _: &str,
        _: &NoteSnapshot,
        _: &RunStatus,
        _: &Owner,
        _: &Observed,
    ) -> Vec<Difference> {
        Vec::new()
    }

    fn drift_reads(want: &DesiredNote, view: ViewOf<'_, Self>) -> Vec<Read> {
        steps::read(&want.title, view.observed)
            .into_iter()
            .collect()
    }

    fn drift(
        want: &DesiredNote,
        _: &ReleaseRef,
        _left: Option<&str>,
        view: ViewOf<'_, Self>,
    ) -> Vec<Difference> {
        steps::drift(want, view.observed)
    }

    fn delete(item: &InventoryItem, _: &Owner, observed: &Observed) -> NextOf<Self> {
        steps::hold(&item.name, None, observed)
    }

    fn read_resource(read: &Read) -> String {
        read.0.clone()
    }

    fn read_grant(read: &Read) -> Resource<'_> {
        Resource::Bucket(&read.0)
    }

    fn action_grants<'a>(_: &'a Action, resource: &'a str) -> Vec<Resource<'a>> {
        vec![Resource::Bucket(resource)]
    }

    fn operation(action: &Action) -> &'static str {
        match action {
            Action::Write(_) => "Write",
            Action::Erase => "Erase",
            Action::Draft(..) => "Draft",
            Action::Publish(_) => "Publish",
            Action::Discard(_) => "Discard",
        }
    }
}
