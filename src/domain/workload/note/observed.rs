//! Observations of notes.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::workload::{
    kind,
    protocol::{IsAwsWorking, ReplyOutcome},
};

/// A note, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read(pub String);

/// A note's name and text.
pub struct Found(pub String, pub Option<String>);

/// A change of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Writes this text.
    Write(String),
    /// Deletes the note.
    Erase,
}

/// The note's text after an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(pub Option<String>);

/// Texts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed(BTreeMap<String, Option<String>>);

impl Observed {
    /// The text of a note; the outer `None` if it was not read, the inner one if it does not exist.
    pub fn text(&self, title: &str) -> Option<Option<&String>> {
        self.0.get(title).map(Option::as_ref)
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

    fn found(&mut self, Found(title, text): Found, _: Timestamp) -> IsAwsWorking {
        self.0.insert(title, text);
        false
    }

    fn replied(
        &mut self,
        (_, title): (&str, &str),
        Reply(text): Reply,
        verify: bool,
        _: Timestamp,
    ) -> ReplyOutcome {
        self.0.remove(title);
        if !verify {
            self.0.insert(title.to_owned(), text);
        }
        ReplyOutcome::default()
    }

    fn forget(&mut self, title: &str) {
        self.0.remove(title);
    }
}
