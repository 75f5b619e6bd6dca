//! A check of a stage as a whole, on one Target.

use super::{alarms::DesiredAlarms, http::DesiredHttp, metric::DesiredMetric};

/// A check of a stage as a whole, on one Target.
#[derive(Clone, Debug, PartialEq)]
pub struct StageCheck {
    /// How messages call it.
    pub name: String,
    /// What it looks at.
    pub kind: StageCheckKind,
}

/// What a check of a stage looks at.
#[derive(Clone, Debug, PartialEq)]
pub enum StageCheckKind {
    /// CloudWatch alarms.
    Alarms(DesiredAlarms),
    /// A CloudWatch metric.
    Metric(Box<DesiredMetric>),
    /// A URL.
    Http(Box<DesiredHttp>),
}

impl StageCheck {
    /// Whether it needs time in which data arrives. On the way back nobody waits for that.
    pub fn takes_time(&self) -> bool {
        !matches!(self.kind, StageCheckKind::Http(_))
    }

    /// The Lambda component whose versions it tells apart.
    pub fn component(&self) -> Option<&str> {
        match &self.kind {
            StageCheckKind::Metric(metric) => metric.component.as_deref(),
            _ => None,
        }
    }
}
