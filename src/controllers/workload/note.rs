//! The shell of the kind that only tests have: a note is an object in the Target's artifact bucket.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Shell;
use crate::{
    controllers::{access::Access, context::Context},
    domain::workload::{
        note::{Action, Found, Note, NoteSnapshot, Observed, Read, Reply},
        protocol::ActionResult,
    },
    ports::CallError,
};

/// Larger than any note, in bytes.
const LIMIT: u64 = 1 << 10;

impl Shell for Note {
    async fn read(
        _: &Context,
        access: &Access,
        Read(title): &Read,
        _: &Observed,
    ) -> Result<Found, CallError> {
        let text = access.store.get(title, None, LIMIT).await?;
        let text = text.map(|text| String::from_utf8_lossy(&text).into_owned());
        Ok(Found(title.clone(), text))
    }

    async fn carry_out(
        _: &Context,
        access: &Access,
        title: &str,
        action: &Action,
        _: &Observed,
    ) -> Result<ActionResult<Reply>, CallError> {
        let mut texts = BTreeMap::new();
        if let Action::Publish(draft) = action
            && let Some(text) = access.store.get(draft, None, LIMIT).await?
        {
            texts.insert(draft.clone(), String::from_utf8_lossy(&text).into_owned());
        }
        let texts = action.effect(title, &texts);
        for (name, text) in &texts {
            let bytes = Bytes::from(text.clone().unwrap_or_default());
            access.store.put(name, bytes, &BTreeMap::new()).await?;
        }
        Ok(ActionResult::Kind(Reply(texts)))
    }

    async fn keep(_: &Context, _: &Access, _: &NoteSnapshot) -> Result<(), CallError> {
        Ok(())
    }

    async fn discard(_: &Context, _: &Access, _: &NoteSnapshot) -> Result<(), CallError> {
        Ok(())
    }
}
