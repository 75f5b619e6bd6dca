//! The artifact bucket of one account and region: the parts that every call uses.

use std::sync::Arc;

use aws_sdk_s3::{Client, operation::get_object::GetObjectOutput, types::ChecksumAlgorithm};

use crate::{
    adapters::aws::{clients::Clients, credentials::Verified, errors::Call},
    fence::Fence,
    ports::{CallError, CallErrorKind},
};

/// Computed by the SDK while sending, checked by S3.
pub(super) const CHECKSUM: ChecksumAlgorithm = ChecksumAlgorithm::Crc32;

/// The artifact bucket of one account and region.
#[derive(Clone)]
pub struct S3Store {
    pub(super) client: Client,
    pub(super) bucket: String,
    pub(super) owner: String,
    pub(super) verified: Arc<Verified>,
    pub(super) fence: Fence,
    /// Whether a write may replace an object.
    replaces: bool,
}

impl S3Store {
    pub fn new(
        clients: &Clients,
        verified: Arc<Verified>,
        bucket: &str,
        owner: &str,
        fence: &Fence,
    ) -> Self {
        Self {
            client: clients.store(),
            bucket: bucket.to_owned(),
            owner: owner.to_owned(),
            verified,
            fence: fence.clone(),
            replaces: true,
        }
    }

    /// The same bucket, for writes that create objects and never replace one.
    pub fn without_replacing(self) -> Self {
        Self {
            replaces: false,
            ..self
        }
    }

    /// The condition of writes (`If-None-Match`).
    pub(super) fn only_new(&self) -> Option<String> {
        (!self.replaces).then(|| "*".to_owned())
    }

    pub(super) fn read(&self, operation: &'static str, key: &str) -> Call {
        Call::read(operation, format!("s3://{}/{key}", self.bucket))
    }

    pub(super) fn write(&self, operation: &'static str, key: &str) -> Call {
        Call::write(operation, format!("s3://{}/{key}", self.bucket))
    }

    pub(super) async fn fetch(
        &self,
        call: &Call,
        key: &str,
        version_id: Option<&str>,
    ) -> Result<GetObjectOutput, CallError> {
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .set_version_id(version_id.map(str::to_owned))
            .expected_bucket_owner(&self.owner)
            .send();
        self.verified.sent(call, request).await
    }
}

/// The version id, which pins the bytes.
pub(super) fn version_id(call: &Call, version_id: Option<String>) -> Result<String, CallError> {
    // With suspended versioning, the id is "null", and the next write replaces that version.
    version_id.filter(|id| id != "null").ok_or_else(|| {
        call.error(
            CallErrorKind::Invalid,
            "the object has no version id, so it can't be pinned: enable versioning on the bucket",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_version_of_a_suspended_bucket_is_refused() {
        let call = Call::write("s3:PutObject", "s3://b/k");
        for id in [None, Some("null".to_owned())] {
            let error = version_id(&call, id).expect_err("no pin");
            assert!(error.message.contains("versioning"), "{error}");
        }
        assert_eq!(version_id(&call, Some("v1".into())), Ok("v1".to_owned()));
    }
}
