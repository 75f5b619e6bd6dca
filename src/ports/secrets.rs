//! Secrets and tokens of the cluster, read by name when needed.

use std::collections::BTreeMap;

use async_trait::async_trait;
use secrecy::SecretString;

use super::CallError;

/// The type, labels and values of a Secret.
#[derive(Clone, Debug, Default)]
pub struct SecretData {
    /// The type; empty if the Secret has none.
    pub type_: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The values that are text.
    pub values: BTreeMap<String, SecretString>,
}

/// Secrets and tokens of the cluster. Sluice never lists or watches Secrets.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// A Secret by name. [`super::CallErrorKind::NotFound`] names it.
    async fn get(&self, namespace: &str, name: &str) -> Result<SecretData, CallError>;

    /// A token of the controller's own ServiceAccount for another audience (TokenRequest).
    async fn identity_token(&self, audience: &str) -> Result<SecretString, CallError>;
}
