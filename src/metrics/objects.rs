//! Objects by kind and state, as the caches have them.

use std::{
    fmt::{self, Debug},
    sync::{Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindStateLabels {
    kind: &'static str,
    state: &'static str,
}

/// How many objects of a kind are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectCounts {
    /// Ready is True.
    pub ready: u32,
    /// Stalled is True: a person has to act.
    pub stalled: u32,
    /// Neither: in progress, or not reconciled yet.
    pub moving: u32,
}

type Count<T> = Box<dyn Fn() -> T + Send + Sync>;

/// The objects, counted whenever the metrics are read.
#[derive(Default)]
pub struct Objects {
    kinds: Mutex<Vec<(&'static str, Count<ObjectCounts>)>>,
    drifted: Mutex<Option<Count<u32>>>,
    waiting: Mutex<Option<Count<u32>>>,
}

impl Objects {
    pub fn count(&self, kind: &'static str, count: Count<ObjectCounts>) {
        lock(&self.kinds).push((kind, count));
    }

    pub fn count_drifted(&self, count: Count<u32>) {
        *lock(&self.drifted) = Some(count);
    }

    pub fn count_waiting(&self, count: Count<u32>) {
        *lock(&self.waiting) = Some(count);
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Debug for Objects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Objects")
    }
}

impl Collector for Objects {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut descriptor = encoder.encode_descriptor(
            "objects",
            "Objects by kind and state",
            None,
            MetricType::Gauge,
        )?;
        let kinds = lock(&self.kinds);
        for (kind, count) in kinds.iter() {
            let counts = count();
            for (state, number) in [
                ("ready", counts.ready),
                ("stalled", counts.stalled),
                ("moving", counts.moving),
            ] {
                let labels = KindStateLabels { kind, state };
                ConstGauge::new(i64::from(number)).encode(descriptor.encode_family(&labels)?)?;
            }
        }
        if let Some(count) = &*lock(&self.drifted) {
            let help = "Targets with drift";
            let gauge = MetricType::Gauge;
            let descriptor = encoder.encode_descriptor("drifted_targets", help, None, gauge)?;
            ConstGauge::new(i64::from(count())).encode(descriptor)?;
        }
        if let Some(count) = &*lock(&self.waiting) {
            let help = "Stages that wait for an approval";
            let name = "stages_waiting_for_approval";
            let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::from(count())).encode(descriptor)?;
        }
        Ok(())
    }
}
