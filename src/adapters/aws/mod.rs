//! AWS through its SDK: the ports [`crate::ports::cloud`], [`crate::ports::lambda`],
//! [`crate::ports::monitoring`], [`crate::ports::s3`] and [`crate::ports::store`].
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
mod lambda;
mod meter;
mod paced;
mod policy;
mod s3;
mod shared;
mod store;
mod timeouts;

pub use cloud::AwsCloud;
