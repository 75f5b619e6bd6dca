//! Doors into AWS and GitLab: addresses by which one caller comes alone, and a porter who sees each of
//! its requests before it is passed on, once it is done, and as it is answered.
//!
//! A porter may hold a request at each of these points for as long as it likes. Whoever asked and went
//! away in the meantime takes with it what was not passed on yet, and undoes nothing that was.

use async_trait::async_trait;

/// A request by a door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// `lambda`, `s3`, `sts`…, or `gitlab`.
    pub service: String,
    /// AWS's name of the operation, or the HTTP method.
    pub operation: String,
    /// What it is about: a function's name with version or alias, `bucket/key`; or a path.
    pub resource: String,
    /// The account whose credentials signed it; none for GitLab and for what is not signed.
    pub account: Option<String>,
    /// The access key that signed it, where that is of a session, which ends.
    pub session: Option<String>,
    /// Whether it could change something.
    pub is_write: bool,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Point {
    /// It has not been passed on.
    Before,
    /// It was carried out; who asked does not know.
    Done,
    /// The answer is on its way.
    Answered,
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// It is one too many; it is not passed on.
    Throttled,
    /// The service fails; it is not passed on.
    Unavailable,
    /// The credentials have run out; it is not passed on.
    Expired,
    /// The service refuses for good; it is not passed on.
    Refused,
    /// The connection ends before it is passed on.
    Unsent,
    /// It is carried out, and the connection ends without an answer.
    ReplyLost,
    /// It is not passed on, and nothing is ever answered.
    Silent,
    /// A read of Lambda that is answered with what stood there before the last change that was read; as
    /// usual where there is no such answer.
    Stale,
}

/// Who stands at a door.
#[async_trait]
pub trait Porter: Send + Sync + 'static {
    /// A request has come this far, and goes on when this returns. What is answered
    /// [before](Point::Before) it is passed on goes wrong with it; at other points it is not heeded.
    async fn at(&self, visit: &Visit, point: Point) -> Option<Fault>;
}
