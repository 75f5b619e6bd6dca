//! Counts that are omitted from JSON when they are zero.

/// Whether serde omits a count.
#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(super) fn is_zero(count: &i64) -> bool {
    *count == 0
}
