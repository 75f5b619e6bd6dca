//! AWS through its SDK: the ports [`crate::ports::cloud`], [`crate::ports::lambda`],
//! [`crate::ports::monitoring`], [`crate::ports::s3`], [`crate::ports::stacks`] and [`crate::ports::store`].
//!
//! [`AwsCloud`] is the only public type. It hands out clients for one account, region and set of permissions,
//! which share connections, sessions and budgets.
//!
//! Guarantees:
//! - No request is sent with credentials of another account than the Account's `accountId`:
//!   `GetCallerIdentity` checks every access key before its first use.
//! - A write to Lambda or CloudFormation is sent once. A failure without a usable response ends in
//!   [`crate::ports::CallErrorKind::Unknown`], unless it is known that nothing was sent. A write ends at most
//!   `WRITE_TIMEOUT` after it is sent, however long it waited for its turn.
//! - A write to a user's bucket is sent once and carries a condition on the object that it replaces. A large
//!   one may take longer than `WRITE_TIMEOUT`: the source of its bytes ends it.
//! - No write begins once another process may be the leader, and a body that is still being sent then is not
//!   completed.
//! - Every call is counted once, by operation and outcome.
//! - Writes to an artifact bucket may be repeated and arrive late: each makes a version of its own, and
//!   Sluice reads only versions that were pinned after their write was answered.

mod body;
mod budget;
mod caller;
mod clients;
mod cloud;
mod cloudformation;
mod cloudwatch;
mod credentials;
mod errors;
mod fence;
mod lambda;
mod meter;
mod paced;
mod policy;
mod s3;
mod sdk;
mod shared;
mod store;
mod timeouts;
mod timestamps;

pub use cloud::AwsCloud;
