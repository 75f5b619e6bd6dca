//! Counts a call once, however it ends, also if its future is dropped.

use std::time::Duration;

use tokio::time::Instant;

use crate::ports::CallError;

/// The call succeeded.
pub(super) const OK: &str = "ok";
/// The caller dropped the call before its response.
const ABANDONED: &str = "abandoned";

/// A call in progress.
pub(super) struct Counted<F: FnOnce(&'static str, Duration)> {
    began: Instant,
    count: Option<F>,
}

impl<F: FnOnce(&'static str, Duration)> Counted<F> {
    /// Begins a call. `count` gets its outcome and its duration.
    pub(super) fn begin(count: F) -> Self {
        Self {
            began: Instant::now(),
            count: Some(count),
        }
    }

    /// Ends the call with this outcome.
    pub(super) fn ended(mut self, outcome: &'static str) {
        self.count(outcome);
    }

    fn count(&mut self, outcome: &'static str) {
        if let Some(count) = self.count.take() {
            count(outcome, self.began.elapsed());
        }
    }
}

impl<F: FnOnce(&'static str, Duration)> Drop for Counted<F> {
    fn drop(&mut self) {
        self.count(ABANDONED);
    }
}

/// The outcome of a call, as a metric label.
pub(super) fn outcome<T>(result: &Result<T, CallError>) -> &'static str {
    match result {
        Ok(_) => OK,
        Err(error) => error.kind.class(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::ports::CallErrorKind;

    #[test]
    fn call_is_counted_once_even_if_it_is_dropped() {
        let outcomes = RefCell::new(Vec::new());
        let call = || Counted::begin(|outcome, _| outcomes.borrow_mut().push(outcome));
        call().ended(outcome(&Ok(())));
        let stale = CallError::new("op", "thing", CallErrorKind::Stale, "");
        call().ended(outcome::<()>(&Err(stale)));
        drop(call());
        assert_eq!(*outcomes.borrow(), ["ok", "stale", "abandoned"]);
    }
}
