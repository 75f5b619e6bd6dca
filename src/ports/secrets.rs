//! Secrets and tokens of the cluster, read by name when they are needed.

use std::collections::BTreeMap;

use async_trait::async_trait;
use secrecy::SecretString;

use super::CallError;

/// Secrets and tokens of the cluster. Never listed, never watched.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The values of a Secret that are text. [`super::CallErrorKind::NotFound`] names the Secret.
    async fn get(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<BTreeMap<String, SecretString>, CallError>;

    /// A token of the controller's own ServiceAccount for another audience (TokenRequest).
    async fn identity_token(&self, audience: &str) -> Result<SecretString, CallError>;
}
