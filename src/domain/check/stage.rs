//! A check of a stage as a whole, on one Target.

use super::{alarms::DesiredAlarms, http::DesiredHttp, metric::DesiredMetric};

/// A check of a stage as a whole, on one Target.
#[derive(Clone, Debug, PartialEq)]
pub struct StageCheck {
    /// The name of the check, as in messages.
    pub name: String,
    /// What the check observes.
    pub kind: StageCheckKind,
}

/// What a check of a stage observes.
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
    /// Whether the check has to wait for data. Rollbacks skip such checks.
    pub fn waits_for_data(&self) -> bool {
        !matches!(self.kind, StageCheckKind::Http(_))
    }

    /// The Lambda component whose versions the check distinguishes.
    pub fn component(&self) -> Option<&str> {
        match &self.kind {
            StageCheckKind::Metric(metric) => metric.component.as_deref(),
            _ => None,
        }
    }
}
