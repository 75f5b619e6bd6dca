//! Session policies: the most that a session in an account may do, from a namespace's grants.
//!
//! They are a second fence behind the check before each wave, and coarser. AWS takes at most 2,048 characters.
//! If the patterns need more, the policy joins those with the longest common prefix into one that covers both
//! (`shop-api-*` and `shop-web` into `shop-*`), and then shortens the last one, until it fits. Such a policy
//! still limits the session to this account, this region and these kinds of calls; the check before each wave
//! enforces the exact patterns.
//!
//! One policy would not hold everything, so a Target has a session for its functions and buckets
//! ([`functions`]), another one for its stacks ([`stacks`]), and one for the files of its CDK stacks ([`assets`]).

mod assets;
mod functions;
mod patterns;
mod scope;
mod stacks;

pub(super) use self::scope::SessionScope;
use crate::domain::{grants::Permissions, workload::cloud_formation::Bootstrap};

/// The calls of a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Lambda, S3 and CloudWatch.
    Functions,
    /// CloudFormation.
    Stacks,
    /// The bucket of a CDK bootstrap, through the bootstrap's own role.
    Assets(Bootstrap),
}

/// The policy as JSON, at most 2,048 characters long.
pub(super) fn session_policy(
    purpose: &Purpose,
    scope: SessionScope<'_>,
    permissions: &Permissions,
) -> String {
    match purpose {
        Purpose::Functions => functions::policy(scope, permissions),
        Purpose::Stacks => stacks::policy(scope, permissions),
        Purpose::Assets(bootstrap) => assets::policy(scope, bootstrap),
    }
}

#[cfg(test)]
mod tests;
