//! Decisions about a note.

use serde::{Deserialize, Serialize};

use super::observed::{Action, Observed, Read};
use crate::{
    api::v1alpha1::{Difference, Proposal, ReleaseRef, TargetStatus},
    domain::{
        digest::Sha256,
        workload::{
            change::{Part, change, described, difference},
            protocol,
        },
    },
};

/// Its name in the inventory of a Target.
pub const INVENTORY: &str = "Note";

type Next = protocol::Next<Read, Action>;

/// The desired state of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredNote {
    /// The component's name.
    pub component: String,
    /// Its name.
    pub title: String,
    /// Its text.
    pub text: String,
    /// Whether a plan writes a draft of the text first.
    pub is_drafted: bool,
}

/// The state of a note before a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteSnapshot {
    /// Its name.
    pub title: String,
    /// Its text, if there was one.
    pub text: Option<String>,
}

/// The read of a note, unless it was read already.
pub fn read(title: &str, observed: &Observed) -> Option<Read> {
    observed
        .text(title)
        .is_none()
        .then(|| Read(title.to_owned()))
}

/// The next read or action until the note has this text, or is deleted.
pub fn hold(title: &str, text: Option<&String>, observed: &Observed) -> Next {
    match (observed.text(title), text) {
        (None, _) => Next::Read(Read(title.to_owned())),
        (Some(now), text) if now == text => Next::Ready,
        (_, Some(text)) => Next::Act(Action::Write(text.clone())),
        (_, None) => Next::Act(Action::Erase),
    }
}

/// The next read or action until a draft with this name and text exists.
pub fn draft(name: &str, text: &str, observed: &Observed) -> Next {
    match observed.text(name) {
        None => Next::Read(Read(name.to_owned())),
        Some(None) => Next::Act(Action::Draft(name.to_owned(), text.to_owned())),
        Some(Some(now)) if now == text => Next::Ready,
        Some(Some(_)) => Next::Fail(format!("draft {name} was changed externally")),
    }
}

/// The next read or action until the note has the text of this draft.
pub fn publish(want: &DesiredNote, draft: Option<&Proposal>, observed: &Observed) -> Next {
    let Some(draft) = draft.filter(|it| it.planned.is_some()) else {
        return Next::Fail(format!("note {} has no draft", want.title));
    };
    match (observed.text(&want.title), observed.text(&draft.name)) {
        (None, _) => Next::Read(Read(want.title.clone())),
        (Some(Some(now)), _) if *now == want.text => Next::Ready,
        (_, None) => Next::Read(Read(draft.name.clone())),
        (_, Some(Some(text))) if Some(digest(text)) == draft.planned => {
            Next::Act(Action::Publish(draft.name.clone()))
        }
        (_, Some(_)) => Next::Fail(format!("draft {} was changed externally", draft.name)),
    }
}

/// The next read or action until the draft is gone.
pub fn discard(name: &str, observed: &Observed) -> Next {
    match observed.text(name) {
        None => Next::Read(Read(name.to_owned())),
        Some(None) => Next::Ready,
        Some(Some(_)) => Next::Act(Action::Discard(name.to_owned())),
    }
}

/// The draft that the plan of a note needs: the last one on record with what was observed of it, or a new
/// one with this number.
pub fn proposal(
    want: &DesiredNote,
    release: &ReleaseRef,
    serial: i64,
    status: &TargetStatus,
    observed: &Observed,
) -> Option<Proposal> {
    if !want.is_drafted || observed.text(&want.title) == Some(Some(&want.text)) {
        return None;
    }
    let inputs = digest(&want.text);
    let on_record = status.proposal(&want.component, release);
    let on_record = on_record.filter(|it| it.inputs == inputs);
    match on_record.map(|it| (it, observed.text(&it.name))) {
        Some((it, Some(Some(text)))) => Some(Proposal {
            planned: Some(digest(text)),
            ..it.clone()
        }),
        Some((it, seen)) if seen.is_none() || it.planned.is_none() => Some(it.clone()),
        _ => Some(Proposal {
            component: want.component.clone(),
            kind: INVENTORY.to_owned(),
            resource: want.title.clone(),
            name: format!("{}-draft-{serial}", want.title),
            serial,
            release: release.clone(),
            inputs,
            planned: None,
        }),
    }
}

fn digest(text: &str) -> String {
    Sha256::of(text.as_bytes()).to_string()
}

/// The plan for a note.
pub fn plan(want: &DesiredNote, observed: &Observed) -> Part {
    let now = observed.text(&want.title).flatten();
    let values = (now.cloned(), Some(want.text.clone()));
    let update = change(&want.component, "Update", &want.title, Some("text"), values);
    let changes = if now == Some(&want.text) {
        Vec::new()
    } else {
        vec![update]
    };
    Part {
        summary: described(&want.component, &changes),
        changes,
        wanted: Sha256::of_json(&want.text),
        live: Sha256::of_json(&now),
    }
}

/// The differences from the text that was written.
pub fn drift(want: &DesiredNote, observed: &Observed) -> Vec<Difference> {
    match observed.text(&want.title) {
        Some(now) if now != Some(&want.text) => {
            let values = (Some(want.text.clone()), now.cloned());
            vec![difference(
                &want.component,
                &want.title,
                Some("text"),
                values,
            )]
        }
        _ => Vec::new(),
    }
}
