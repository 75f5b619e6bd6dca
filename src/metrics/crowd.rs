//! How many wait for something now.

use prometheus_client::metrics::gauge::Gauge;

/// Those that wait for something. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Crowd(Gauge);

impl Crowd {
    pub(super) fn of(gauge: Gauge) -> Self {
        Self(gauge)
    }

    /// One more waits, until what is returned is dropped.
    pub fn join(&self) -> InCrowd {
        self.0.inc();
        InCrowd(self.0.clone())
    }
}

/// One of a [`Crowd`].
#[derive(Debug)]
pub struct InCrowd(Gauge);

impl Drop for InCrowd {
    fn drop(&mut self) {
        self.0.dec();
    }
}
