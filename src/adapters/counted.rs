//! Counts a call once, however it ends: also where nobody waits for the end any longer.

use std::time::Duration;

use tokio::time::Instant;

use crate::ports::CallError;

/// The call did what it should.
pub(super) const OK: &str = "ok";
/// Nobody waited for the answer any longer.
const ABANDONED: &str = "abandoned";

/// A call under way.
pub(super) struct Counted<F: FnOnce(&'static str, Duration)> {
    began: Instant,
    count: Option<F>,
}

impl<F: FnOnce(&'static str, Duration)> Counted<F> {
    /// The call begins. `count` is given its outcome and how long it took.
    pub(super) fn begin(count: F) -> Self {
        Self {
            began: Instant::now(),
            count: Some(count),
        }
    }

    /// The call ended in this.
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

/// The outcome's name as a label.
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
    fn a_call_is_counted_once_also_where_nobody_waits() {
        let outcomes = RefCell::new(Vec::new());
        let call = || Counted::begin(|outcome, _| outcomes.borrow_mut().push(outcome));
        call().ended(outcome(&Ok(())));
        let stale = CallError::new("op", "thing", CallErrorKind::Stale, "");
        call().ended(outcome::<()>(&Err(stale)));
        drop(call());
        assert_eq!(*outcomes.borrow(), ["ok", "stale", "abandoned"]);
    }
}
