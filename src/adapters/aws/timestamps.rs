//! Timestamps of the SDK.

use aws_smithy_types::DateTime;
use jiff::Timestamp;

/// Converts to the SDK's type.
pub(super) fn to_sdk(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.as_millisecond())
}

/// Converts from the SDK's type; `None` if no [`Timestamp`] can be that far away.
pub(super) fn from_sdk(at: DateTime) -> Option<Timestamp> {
    Timestamp::from_millisecond(at.to_millis().ok()?).ok()
}
