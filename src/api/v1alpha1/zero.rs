//! Counts that are left out where they say nothing.

/// Whether a count says nothing.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) fn is_zero(count: &i64) -> bool {
    *count == 0
}
