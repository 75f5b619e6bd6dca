//! The hub: the buckets that keep the artifacts of Releases.

use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;

use crate::{
    api::v1alpha1::StoreLocation,
    controllers::context::Context,
    ports::{CallError, CallErrorKind, store::Store},
};

/// The bucket that keeps an artifact.
pub async fn hub(context: &Context, at: &StoreLocation) -> Result<Arc<dyn Store>, CallError> {
    let account = context
        .stores
        .accounts
        .get(&ObjectRef::new(&at.account))
        .ok_or_else(|| {
            CallError::new(
                "s3:GetObject",
                format!("{}/{}", at.bucket, at.key),
                CallErrorKind::NotFound,
                format!(
                    "Account {}, which keeps the artifact, does not exist",
                    at.account
                ),
            )
        })?;
    context.cloud.store(&account, &at.region).await
}
