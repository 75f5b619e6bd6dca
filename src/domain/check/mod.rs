//! The verdicts of checks, judged from observations.
//!
//! Expected flow, for the kinds that observe something over time (`alarms`, `metric`, `http`):
//! 1. the Release's check is resolved for the Target: [`DesiredAlarms`], [`DesiredMetric`],
//!    [`DesiredHttp`];
//! 2. the plan refuses a bake that is too short for the check;
//! 3. repeatedly while a step bakes, an observation becomes a [`Verdict`], and a failed call becomes one by
//!    [`Verdict::unreadable`];
//! 4. once `progressDeadline` has passed, the engine treats an inconclusive check as failed.
//!
//! Guarantees: a check without enough data never passes. It is [`Verdict::Inconclusive`].

mod alarm_rule;
pub mod alarms;
mod ask;
mod cloudwatch;
pub mod http;
pub mod metric;
mod stage;
mod verdict;

pub use self::{
    alarms::DesiredAlarms,
    ask::{Ask, CheckKey, CheckPhase, Checks, Moment, STAGE, ServedVersions},
    cloudwatch::CLOUDWATCH_DELAY,
    http::DesiredHttp,
    metric::DesiredMetric,
    stage::{DeferredCheck, StageCheck, StageCheckKind},
    verdict::Verdict,
};
