//! Secrets and tokens of the cluster, read by name when they are needed.

use std::collections::BTreeMap;

use async_trait::async_trait;
use secrecy::SecretString;

use super::CallError;

/// What a Secret holds, and what it says of itself.
#[derive(Clone, Debug, Default)]
pub struct SecretData {
    /// Its type; empty where it has none.
    pub type_: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its values that are text.
    pub values: BTreeMap<String, SecretString>,
}

/// Secrets and tokens of the cluster. Never listed, never watched.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// A Secret. [`super::CallErrorKind::NotFound`] names it.
    async fn get(&self, namespace: &str, name: &str) -> Result<SecretData, CallError>;

    /// A token of the controller's own ServiceAccount for another audience (TokenRequest).
    async fn identity_token(&self, audience: &str) -> Result<SecretString, CallError>;
}
