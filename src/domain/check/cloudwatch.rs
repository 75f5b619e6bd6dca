//! What every check that asks CloudWatch has to reckon with.

use std::time::Duration;

/// How long CloudWatch may take to show what has happened: data arrives late, and alarms are
/// evaluated after that.
pub const CLOUDWATCH_DELAY: Duration = Duration::from_mins(2);
