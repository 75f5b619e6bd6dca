//! Requests to the URLs of checks.

use async_trait::async_trait;

use super::CallError;
use crate::domain::check::http::{HttpAnswer, HttpRequest};

/// Requests URLs that tenants write, from inside the controller's network.
///
/// The adapter refuses addresses that are not public ([`super::CallErrorKind::Denied`]) unless the platform
/// team allows them, wherever a name or a redirect leads. Every HTTP response is an answer. A request
/// without a response in time is [`super::CallErrorKind::Unavailable`], a redirect that is not followed
/// [`super::CallErrorKind::Invalid`].
#[async_trait]
pub trait HttpProbe: Send + Sync {
    /// Sends one request.
    async fn ask(&self, request: &HttpRequest) -> Result<HttpAnswer, CallError>;
}
