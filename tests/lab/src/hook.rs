//! Hooks on the requests to AWS and GitLab: an endpoint for one caller only, and a hook that sees each of its
//! requests before it is forwarded, when it is done, and when it is answered.
//!
//! A hook may hold a request at each of these points for any time. A caller that disconnects in
//! the meantime cancels a request that is not forwarded yet; a forwarded request still takes effect.

use async_trait::async_trait;

/// A request that a hook sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// `lambda`, `s3`, `sts`…, or `gitlab`.
    pub service: String,
    /// The AWS operation, or the HTTP method.
    pub operation: String,
    /// The resource: a function's name with version or alias, a stack's name with a change set's name,
    /// `bucket/key`, or a path.
    pub resource: String,
    /// The account whose credentials signed it; `None` for GitLab and for unsigned requests.
    pub account: Option<String>,
    /// The access key that signed it, if it belongs to a session with an expiry.
    pub session: Option<String>,
    /// Whether it can change state.
    pub is_write: bool,
}

impl RequestInfo {
    /// Whether the request reads the state of a resource, so that its answer can be an old one.
    pub fn can_be_stale(&self) -> bool {
        let has_state = ["lambda", "cloudformation"].contains(&self.service.as_str());
        let mut reads = ["Get", "Describe"].iter();
        has_state && !self.is_write && reads.any(|read| self.operation.starts_with(read))
    }
}

/// How far a request has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Point {
    /// It is not forwarded yet.
    Before,
    /// It was executed, and the caller does not know yet.
    Done,
    /// The answer is on its way.
    Answered,
}

/// How a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// The service throttles it; it is not forwarded.
    Throttled,
    /// The service fails; it is not forwarded.
    Unavailable,
    /// The credentials have expired; it is not forwarded.
    Expired,
    /// The service refuses it permanently; it is not forwarded.
    Refused,
    /// The connection ends before it is forwarded.
    Unsent,
    /// It is executed, and the connection ends without an answer.
    ReplyLost,
    /// It is not forwarded and never answered.
    Silent,
    /// A read of Lambda or CloudFormation gets the answer from before the last change that was read, or the current one if
    /// no earlier answer differs.
    Stale,
}

/// A hook on the requests of one caller.
#[async_trait]
pub trait RequestHook: Send + Sync + 'static {
    /// Called when a request reaches `point`; the request continues when this returns. A fault that is
    /// returned at [`Point::Before`] is applied; at the other points it is ignored.
    async fn at(&self, request_info: &RequestInfo, point: Point) -> Option<Fault>;
}
