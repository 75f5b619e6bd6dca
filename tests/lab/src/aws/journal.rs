//! The record of all calls, in order of arrival.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::call::Call;

/// Shared by the proxy, which writes, and the tests, which read.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal(Arc<Mutex<Vec<Call>>>);

/// A call in flight.
#[derive(Debug)]
pub(super) struct Entry {
    journal: Journal,
    index: usize,
}

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, call: Call) -> Entry {
        let mut calls = self.lock();
        calls.push(call);
        Entry {
            journal: self.clone(),
            index: calls.len() - 1,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn since(&self, mark: usize) -> Vec<Call> {
        self.lock()
            .get(mark..)
            .map(<[Call]>::to_vec)
            .unwrap_or_default()
    }
}

impl Entry {
    fn change(&self, change: impl FnOnce(&mut Call)) {
        if let Some(call) = self.journal.lock().get_mut(self.index) {
            change(call);
        }
    }

    pub(super) fn injected(&self) {
        self.change(|call| call.injected = true);
    }

    pub(super) fn answered(&self, status: u16, error: Option<String>) {
        let now = Timestamp::now();
        self.change(|call| {
            call.answered_at = Some(now);
            call.status = Some(status);
            call.error = error;
        });
    }
}
