//! Buckets of users in one account and region: the parts that every call uses, and the check whether a call
//! is allowed.

use std::sync::Arc;

use kube::ResourceExt as _;

use super::{clients::SitesClients, convert};
use crate::{
    adapters::aws::{clients::Clients, credentials::Verified, errors::Call},
    api::v1alpha1::Account,
    domain::grants::{Permissions, Resource, is_artifact_bucket},
    fence::Fence,
    ports::{CallError, CallErrorKind, store::StoredObject},
};

/// Buckets of users in one account and region.
pub struct S3Sites {
    pub(super) clients: SitesClients,
    pub(super) account: Account,
    pub(super) artifact_bucket: String,
    pub(super) permissions: Permissions,
    pub(super) verified: Arc<Verified>,
    pub(super) fence: Fence,
}

impl S3Sites {
    pub fn new(
        account: &Account,
        clients: &Clients,
        verified: Arc<Verified>,
        artifact_bucket: &str,
        permissions: &Permissions,
        fence: &Fence,
    ) -> Self {
        Self {
            clients: clients.sites(),
            account: account.clone(),
            artifact_bucket: artifact_bucket.to_owned(),
            permissions: permissions.clone(),
            verified,
            fence: fence.clone(),
        }
    }

    pub(super) fn owner(&self) -> &str {
        &self.account.spec.account_id
    }

    pub(super) fn read(
        &self,
        operation: &'static str,
        bucket: &str,
        key: &str,
    ) -> Result<Call, CallError> {
        self.allowed(
            Call::read(operation, format!("s3://{bucket}/{key}")),
            bucket,
        )
    }

    pub(super) fn write(
        &self,
        operation: &'static str,
        bucket: &str,
        key: &str,
    ) -> Result<Call, CallError> {
        self.allowed(
            Call::write(operation, format!("s3://{bucket}/{key}")),
            bucket,
        )
    }

    fn allowed(&self, call: Call, bucket: &str) -> Result<Call, CallError> {
        let account = self.account.name_any();
        let why = if is_artifact_bucket(&self.account, bucket) {
            format!("not sent: Account {account} keeps artifacts there; choose another bucket")
        } else if let Some(why) = self.permissions.refusal(Resource::Bucket(bucket)) {
            format!("not sent: {why}")
        } else {
            return Ok(call);
        };
        Err(call.error(CallErrorKind::Denied, why))
    }

    /// The version of an existing copy.
    pub(super) async fn kept(&self, key: &str) -> Result<Option<StoredObject>, CallError> {
        let resource = format!("s3://{}/{key}", self.artifact_bucket);
        let call = Call::read("s3:HeadObject", resource);
        let request = self
            .clients
            .reads
            .head_object()
            .bucket(&self.artifact_bucket)
            .key(key)
            .expected_bucket_owner(self.owner())
            .send();
        match self.verified.sent(&call, request).await {
            Ok(answer) => convert::stored(&call, answer).map(Some),
            Err(error) if error.kind == CallErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
