//! Counts how many callers wait for something now.

use prometheus_client::metrics::gauge::Gauge;

/// The number of callers that wait for something. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct WaitGauge(Gauge);

impl WaitGauge {
    pub(super) fn of(gauge: Gauge) -> Self {
        Self(gauge)
    }

    /// Counts one more caller until the returned guard is dropped.
    pub fn join(&self) -> WaitGuard {
        self.0.inc();
        WaitGuard(self.0.clone())
    }
}

/// One caller of a [`WaitGauge`].
#[derive(Debug)]
pub struct WaitGuard(Gauge);

impl Drop for WaitGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
