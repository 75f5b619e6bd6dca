//! AWS through its SDK: the ports [`crate::ports::cloud`], [`crate::ports::functions`],
//! [`crate::ports::monitoring`], [`crate::ports::sites`] and [`crate::ports::store`].
//!
//! [`AwsCloud`] is the one thing made from outside. It hands out clients that belong to one account,
//! region and set of permissions; they share connections, sessions and rate budgets.
//!
//! Guarantees:
//! - No request leaves with credentials of another account than the Account's `accountId`: every
//!   access key is shown to `GetCallerIdentity` before its first use.
//! - A write to Lambda is sent once. Whatever is not known to have failed before it was sent ends in
//!   [`crate::ports::CallErrorKind::Unknown`]. `WRITE_TIMEOUT` after it left it has ended, one way
//!   or the other; for how long it waited for its turn before, does not matter.
//! - A write to a user's bucket is sent once and says what must stand there. A large one may take
//!   longer than `WRITE_TIMEOUT`: whoever gives it its bytes ends it.
//! - No write is begun once the process may no longer lead, and a body that is still on its way then is
//!   not completed.
//! - Every call is counted, once, by what it was and how it ended.
//! - Writes to an artifact bucket may be repeated and arrive late: each makes a version of its own, and nothing
//!   is read but versions that were pinned after their write was answered.

mod body;
mod budget;
mod caller;
mod clients;
mod cloud;
mod cloudwatch;
mod credentials;
mod errors;
mod fence;
mod functions;
mod meter;
mod policy;
mod shared;
mod sites;
mod store;

use std::time::Duration;

pub use cloud::AwsCloud;

/// How long a read takes at most, with the SDK's retries.
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// How long sending a write to Lambda and waiting for the answer takes at most. Lambda answers within
/// a few seconds even where it copies a large package. A new leader has to wait longer than that, because
/// some writes have no precondition that would stop a former leader's.
const WRITE_TIMEOUT: Duration = Duration::from_secs(12);

/// How long opening a connection takes at most.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
