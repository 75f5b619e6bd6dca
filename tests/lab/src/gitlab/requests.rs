//! The record of every request, to count requests and to check what a client sent where.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

/// Which of the two origins received a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// GitLab itself.
    GitLab,
    /// The object storage, the target of artifact redirects.
    Storage,
}

/// One request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRecord {
    /// The time of arrival.
    pub at: Timestamp,
    /// The origin that received it.
    pub origin: Origin,
    /// `GET`, …
    pub method: String,
    /// As sent, still percent-encoded.
    pub path: String,
    /// As sent, without the question mark; empty if none.
    pub query: String,
    /// The answer's status; `None` until it is answered, for example when a fault drops the connection.
    pub status: Option<u16>,
    /// Whether it has `If-None-Match`.
    pub conditional: bool,
    /// Whether it has a credential of any kind, valid or not.
    pub credential: bool,
    /// The name of its token, if that is valid.
    pub token_name: Option<String>,
}

/// A position in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(usize);

/// All requests since the start.
#[derive(Debug, Default)]
pub(super) struct RequestLog(Mutex<Vec<RequestRecord>>);

impl RequestLog {
    fn lock(&self) -> MutexGuard<'_, Vec<RequestRecord>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request; returns the index for [`answered`](Self::answered).
    pub(super) fn begin(&self, record: RequestRecord) -> usize {
        let mut records = self.lock();
        records.push(record);
        records.len() - 1
    }

    pub(super) fn answered(&self, index: usize, status: u16, token_name: Option<String>) {
        if let Some(record) = self.lock().get_mut(index) {
            record.status = Some(status);
            record.token_name = token_name;
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.lock().len())
    }

    pub(super) fn since(&self, mark: Mark) -> Vec<RequestRecord> {
        self.lock().get(mark.0..).unwrap_or_default().to_vec()
    }

    pub(super) fn all(&self) -> Vec<RequestRecord> {
        self.since(Mark(0))
    }
}
