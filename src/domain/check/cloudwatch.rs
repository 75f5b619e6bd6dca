//! Properties of CloudWatch that affect every check that reads it.

use std::time::Duration;

/// The maximum delay until CloudWatch shows an event: data arrives late, and alarms are evaluated after
/// that.
pub const CLOUDWATCH_DELAY: Duration = Duration::from_mins(2);
