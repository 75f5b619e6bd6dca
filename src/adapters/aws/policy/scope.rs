//! The account and region that a session policy is for.

use crate::domain::grants::{Allowed, Permissions};

/// The account and region of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionScope<'a> {
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub partition: &'a str,
    /// The account's id.
    pub account_id: &'a str,
    /// The region's name.
    pub region: &'a str,
    /// The artifact bucket there.
    pub artifact_bucket: &'a str,
}

impl SessionScope<'_> {
    /// The ARN of a role, or of all whose names match a pattern. The name includes the path.
    pub(super) fn role(&self, name: &str) -> String {
        let Self {
            partition,
            account_id,
            ..
        } = self;
        format!("arn:{partition}:iam::{account_id}:role/{name}")
    }
}

/// The patterns of one kind, of all grants.
pub(super) fn all(
    permissions: &Permissions,
    patterns: fn(&Allowed) -> &Vec<String>,
) -> impl Iterator<Item = String> {
    permissions.grants.iter().flat_map(patterns).cloned()
}
