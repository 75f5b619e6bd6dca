//! AWS through its SDK: the ports [`crate::ports::cloud`], [`crate::ports::functions`] and
//! [`crate::ports::store`].
//!
//! [`AwsCloud`] is the one thing made from outside. It hands out clients that belong to one account,
//! region and set of permissions; they share connections, sessions and rate budgets.
//!
//! Guarantees:
//! - No request leaves with credentials of another account than the Account's `accountId`: every
//!   access key is shown to `GetCallerIdentity` before its first use.
//! - A write is sent once. Whatever is not known to have failed before it was sent ends in
//!   [`crate::ports::CallErrorKind::Unknown`].
//! - A write has ended, one way or the other, [`LONGEST_WRITE`] after it was asked for.

mod body;
mod budget;
mod cloud;
mod credentials;
mod errors;
mod functions;
mod policy;
mod store;

use std::time::Duration;

pub use cloud::AwsCloud;

/// How long a call waits for the account's rate budget before it answers with
/// [`crate::ports::CallErrorKind::Throttled`].
const BUDGET_WAIT: Duration = Duration::from_secs(5);

/// How long a control-plane call takes at most, with the SDK's retries where it has any.
///
/// Lambda answers within a few seconds even where it copies a large package.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// How long opening a connection takes at most.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// After this long no write that was asked for is still to be sent, or waited for. A Lease has to
/// outlast it, because some writes have no precondition that would stop a former leader's.
pub const LONGEST_WRITE: Duration = BUDGET_WAIT.saturating_add(CALL_TIMEOUT);
