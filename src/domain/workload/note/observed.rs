//! Observations of notes and their drafts.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::workload::{
    kind,
    protocol::{IsAwsWorking, ReplyOutcome},
};

/// The read of a note or draft, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read(pub String);

/// The text of a note or draft; `None` if it does not exist.
pub struct Found(pub String, pub Option<String>);

/// A change of a note or draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Writes this text.
    Write(String),
    /// Deletes the note.
    Erase,
    /// Writes a draft: its name and text.
    Draft(String, String),
    /// Gives the note the text of the draft with this name, which ends the draft.
    Publish(String),
    /// Deletes the draft with this name.
    Discard(String),
}

/// The texts after an action, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(pub BTreeMap<String, Option<String>>);

/// Texts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed(BTreeMap<String, Option<String>>);

impl Action {
    /// The texts that it leaves, given the present ones.
    pub fn effect(
        &self,
        title: &str,
        texts: &BTreeMap<String, String>,
    ) -> BTreeMap<String, Option<String>> {
        let title = title.to_owned();
        let effect = match self {
            Self::Write(text) => vec![(title, Some(text.clone()))],
            Self::Erase => vec![(title, None)],
            Self::Draft(draft, text) => vec![(draft.clone(), Some(text.clone()))],
            Self::Publish(draft) => match texts.get(draft) {
                Some(text) => vec![(title, Some(text.clone())), (draft.clone(), None)],
                None => vec![(draft.clone(), None)],
            },
            Self::Discard(draft) => vec![(draft.clone(), None)],
        };
        effect.into_iter().collect()
    }
}

impl Observed {
    /// The text of a note or draft; the outer `None` if it was not read, the inner one if it does not exist.
    pub fn text(&self, name: &str) -> Option<Option<&String>> {
        self.0.get(name).map(Option::as_ref)
    }
}

impl kind::Observed for Observed {
    type Found = Found;
    type Action = Action;
    type Reply = Reply;

    fn begin_pass(&mut self, _: Timestamp) {
        self.0.clear();
    }

    fn end_pass(&mut self) {}

    fn forget_reads(&mut self) {
        self.0.clear();
    }

    fn begin_restore(&mut self) {
        self.0.clear();
    }

    fn found(&mut self, Found(name, text): Found, _: Timestamp) -> IsAwsWorking {
        self.0.insert(name, text);
        false
    }

    fn replied(
        &mut self,
        _: (&str, &str),
        Reply(texts): Reply,
        verify: bool,
        _: Timestamp,
    ) -> ReplyOutcome {
        for (name, text) in texts {
            self.0.remove(&name);
            if !verify {
                self.0.insert(name, text);
            }
        }
        ReplyOutcome::default()
    }

    fn forget(&mut self, _: &str) {
        self.0.clear();
    }
}
