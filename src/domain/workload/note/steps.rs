//! Decisions about a note.

use serde::{Deserialize, Serialize};

use super::observed::{Action, Observed, Read};
use crate::{
    api::v1alpha1::Difference,
    domain::{
        digest::Sha256,
        workload::{
            change::{Part, change, described, difference},
            protocol,
        },
    },
};

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
