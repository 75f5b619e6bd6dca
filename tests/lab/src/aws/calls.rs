//! Calls, filtered and counted.

use std::{collections::BTreeMap, ops::Deref};

use super::call::Call;

/// Calls in order of arrival.
#[derive(Clone, Debug, Default)]
pub struct Calls(Vec<Call>);

impl Calls {
    pub(super) fn new(calls: Vec<Call>) -> Self {
        Self(calls)
    }

    /// The calls of one operation.
    pub fn named<'a>(
        &'a self,
        service: &'a str,
        operation: &'a str,
    ) -> impl Iterator<Item = &'a Call> {
        self.0
            .iter()
            .filter(move |call| call.is(service, operation))
    }

    /// The calls for which `keep` is true.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&Call) -> bool) -> Self {
        Self(self.0.iter().filter(|call| keep(call)).cloned().collect())
    }

    /// The calls of one service, such as `lambda`.
    #[must_use]
    pub fn of_service(&self, service: &str) -> Self {
        self.only(|call| call.service == service)
    }

    /// The calls that can change state.
    #[must_use]
    pub fn writes(&self) -> Self {
        self.only(Call::is_write)
    }

    /// `service:operation` in order of arrival.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(Call::name).collect()
    }

    /// How often each `service:operation` was called.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for name in self.names() {
            *counts.entry(name).or_default() += 1;
        }
        counts
    }
}

impl Deref for Calls {
    type Target = [Call];

    fn deref(&self) -> &[Call] {
        &self.0
    }
}
