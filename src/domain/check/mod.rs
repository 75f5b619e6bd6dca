//! What checks come to, judged from what was observed.
//!
//! Expected flow, for the kinds that look at something over time (`alarms`, `metric`, `http`):
//! 1. the Release's check is made definite for the Target: [`DesiredAlarms`], [`DesiredMetric`],
//!    [`DesiredHttp`];
//! 2. when planning, a bake time too short for it is refused;
//! 3. again and again while a step bakes, what was read becomes a [`Verdict`]; a call that failed
//!    becomes one by [`Verdict::unreadable`];
//! 4. once `progressDeadline` has passed, the engine takes a check without a verdict for failed.
//!
//! Guarantees: nothing passes that could not be judged. What is unknown is [`Verdict::Inconclusive`].

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
    stage::{StageCheck, StageCheckKind},
    verdict::Verdict,
};
