//! URLs that a check asks.

use async_trait::async_trait;

use super::CallError;
use crate::domain::check::http::{HttpAnswer, HttpRequest};

/// Asks URLs that tenants write, from inside the controller's network.
///
/// Addresses that are not public are refused ([`super::CallErrorKind::Denied`]) unless the platform
/// team allows them, wherever a name or a redirect leads. Whatever answers is an answer; that nobody
/// answers in time is [`super::CallErrorKind::Unavailable`], a redirect that is not followed
/// [`super::CallErrorKind::Invalid`].
#[async_trait]
pub trait HttpProbe: Send + Sync {
    /// Asks once.
    async fn ask(&self, request: &HttpRequest) -> Result<HttpAnswer, CallError>;
}
