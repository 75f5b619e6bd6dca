//! [`Sites`] over the SDK.
//!
//! Reads are repeated by the SDK; writes and deletions are sent once. Every call states the bucket's
//! owner, and no call is made for a bucket that the grants don't name or that keeps artifacts.

mod convert;
mod upload;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_config::{SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_s3::{
    Client,
    config::Builder,
    types::{Delete, EncodingType, ObjectIdentifier},
};
use kube::ResourceExt as _;

use super::{
    CONNECT_TIMEOUT, WRITE_TIMEOUT, clients::Clients, credentials::Verified, errors::Call,
    fence::Fenced,
};
use crate::{
    api::v1alpha1::Account,
    domain::{
        grants::{Permissions, Resource, is_artifact_bucket},
        site::{Condition, Deletion, ObjectHead},
    },
    fence::Fence,
    ports::{
        CallError, CallErrorKind,
        sites::{NewObject, Page, Sites, StoredCopy},
        store::StoredObject,
    },
};

/// How much of an object S3 takes, or copies, at least: what a call may take grows by its size.
const BYTES_A_SECOND: u64 = 512 << 10;

/// Buckets of users in one account and region.
pub(super) struct S3Sites {
    clients: SitesClients,
    account: Account,
    artifact_bucket: String,
    permissions: Permissions,
    verified: Arc<Verified>,
    fence: Fence,
}

/// Clients for what is repeated, and for what is not.
#[derive(Clone, Debug)]
pub(super) struct SitesClients {
    reads: Client,
    writes: Client,
}

impl SitesClients {
    pub(super) fn new(sdk: &SdkConfig, own_endpoint: bool, fence: &Fence) -> Self {
        let builder = || Builder::from(sdk).force_path_style(own_endpoint);
        let by_size = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .disable_operation_timeout()
            .build();
        let writes = builder()
            .retry_config(RetryConfig::disabled())
            .timeout_config(by_size)
            .interceptor(Fenced::new(fence));
        Self {
            reads: Client::from_conf(builder().build()),
            writes: Client::from_conf(writes.build()),
        }
    }
}

impl S3Sites {
    pub(super) fn new(
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

    fn owner(&self) -> &str {
        &self.account.spec.account_id
    }

    fn read(&self, operation: &'static str, bucket: &str, key: &str) -> Result<Call, CallError> {
        self.allowed(
            Call::read(operation, format!("s3://{bucket}/{key}")),
            bucket,
        )
    }

    fn write(&self, operation: &'static str, bucket: &str, key: &str) -> Result<Call, CallError> {
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

    /// The version of a copy that is there already.
    async fn kept(&self, key: &str) -> Result<Option<StoredObject>, CallError> {
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

#[async_trait]
impl Sites for S3Sites {
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        page: Option<&str>,
    ) -> Result<Page, CallError> {
        let call = self.read("s3:ListObjectsV2", bucket, prefix)?;
        // Encoded, because keys may hold what XML can't.
        let request = self
            .clients
            .reads
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            .set_continuation_token(page.map(str::to_owned))
            .encoding_type(EncodingType::Url)
            .expected_bucket_owner(self.owner())
            .send();
        let answer = self.verified.sent(&call, request).await?;
        convert::page(&call, answer)
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<Option<ObjectHead>, CallError> {
        let call = self.read("s3:HeadObject", bucket, key)?;
        let request = self
            .clients
            .reads
            .head_object()
            .bucket(bucket)
            .key(key)
            .expected_bucket_owner(self.owner())
            .send();
        match self.verified.sent(&call, request).await {
            Ok(answer) => convert::head(&call, answer).map(Some),
            Err(error) if error.kind == CallErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn put(
        &self,
        bucket: &str,
        key: &str,
        object: NewObject,
        condition: &Condition,
    ) -> Result<String, CallError> {
        let call = self.write("s3:PutObject", bucket, key)?;
        let answer = upload::put(self, &call, bucket, key, object, condition).await;
        answer.map_err(|error| unmet(error, condition))
    }

    async fn keep(
        &self,
        bucket: &str,
        key: &str,
        etag: &str,
        size: u64,
        to: &str,
    ) -> Result<StoredObject, CallError> {
        let call = self.write("s3:CopyObject", bucket, key)?;
        let request = self
            .clients
            .writes
            .copy_object()
            .copy_source(convert::source(bucket, key, None))
            .copy_source_if_match(etag)
            .expected_source_bucket_owner(self.owner())
            .bucket(&self.artifact_bucket)
            .key(to)
            .if_none_match("*")
            .expected_bucket_owner(self.owner())
            .send();
        let answer = in_time(&call, size, self.verified.sent(&call, request)).await;
        match answer.map_err(|error| unmet(error, &Condition::Is(etag.to_owned()))) {
            Ok(answer) => convert::copied(&call, answer, size),
            // The copy is there, or the object is not what it was.
            Err(error) if error.kind == CallErrorKind::Stale => self.kept(to).await?.ok_or(error),
            Err(error) => Err(error),
        }
    }

    async fn put_back(
        &self,
        from: &StoredCopy<'_>,
        bucket: &str,
        key: &str,
        condition: &Condition,
    ) -> Result<String, CallError> {
        let call = self.write("s3:CopyObject", bucket, key)?;
        let source = convert::source(&self.artifact_bucket, from.key, Some(from.version_id));
        let (if_match, if_none_match) = headers(condition);
        let request = self
            .clients
            .writes
            .copy_object()
            .copy_source(source)
            .expected_source_bucket_owner(self.owner())
            .bucket(bucket)
            .key(key)
            .set_if_match(if_match)
            .set_if_none_match(if_none_match)
            .expected_bucket_owner(self.owner())
            .send();
        let answer = in_time(&call, from.size, self.verified.sent(&call, request)).await;
        match answer {
            Ok(answer) => convert::etag(&call, answer.copy_object_result.and_then(|r| r.e_tag)),
            // Without this, a lost copy would be taken for an object that changed.
            Err(error) if error.message.contains("NoSuchVersion") => Err(CallError {
                message: format!(
                    "the copy that was kept in {} is gone: {}",
                    self.artifact_bucket, error.message
                ),
                ..error
            }),
            Err(error) => Err(unmet(error, condition)),
        }
    }

    async fn delete(
        &self,
        bucket: &str,
        prefix: &str,
        objects: &[Deletion],
    ) -> Result<Vec<Result<(), CallError>>, CallError> {
        let call = self.write("s3:DeleteObjects", bucket, prefix)?;
        if objects.is_empty() {
            return Ok(Vec::new());
        }
        let identifiers: Result<Vec<ObjectIdentifier>, _> = objects
            .iter()
            .map(|object| {
                ObjectIdentifier::builder()
                    .key(format!("{prefix}{}", object.path))
                    .e_tag(&object.etag)
                    .build()
            })
            .collect();
        // Quiet: only what was not deleted is told.
        let delete = identifiers.and_then(|objects| {
            Delete::builder()
                .set_objects(Some(objects))
                .quiet(true)
                .build()
        });
        let delete =
            delete.map_err(|error| call.error(CallErrorKind::Invalid, error.to_string()))?;
        let request = self
            .clients
            .writes
            .delete_objects()
            .bucket(bucket)
            .delete(delete)
            .expected_bucket_owner(self.owner())
            .send();
        let answer = in_time(&call, 0, self.verified.sent(&call, request)).await?;
        Ok(convert::deleted(bucket, prefix, objects, &answer))
    }
}

/// `If-Match` and `If-None-Match`.
fn headers(condition: &Condition) -> (Option<String>, Option<String>) {
    match condition {
        Condition::Absent => (None, Some("*".to_owned())),
        Condition::Is(etag) => (Some(etag.clone()), None),
    }
}

/// A key that is gone does not have its ETag any more, which S3 calls 404 and not 412.
fn unmet(error: CallError, condition: &Condition) -> CallError {
    let gone = error.kind == CallErrorKind::NotFound && !error.message.contains("NoSuchBucket");
    if gone && matches!(condition, Condition::Is(_)) {
        return CallError {
            kind: CallErrorKind::Stale,
            ..error
        };
    }
    error
}

/// How long writing so many bytes takes at most.
fn allowance(size: u64) -> Duration {
    WRITE_TIMEOUT + Duration::from_secs(size / BYTES_A_SECOND)
}

/// The answer, if it comes in time for an object of this size.
async fn in_time<T>(
    call: &Call,
    size: u64,
    sent: impl Future<Output = Result<T, CallError>> + Send,
) -> Result<T, CallError> {
    let allowed = allowance(size);
    match tokio::time::timeout(allowed, sent).await {
        Ok(answer) => answer,
        Err(_) => Err(call.unusable(format!("no answer within {}s", allowed.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_not_what_it_was() {
        let missing = |message: &str| {
            CallError::new("s3:PutObject", "s3://b/k", CallErrorKind::NotFound, message)
        };
        let is = Condition::Is("\"1\"".into());
        let kind = |message: &str, condition: &Condition| unmet(missing(message), condition).kind;
        assert_eq!(kind("no such key (NoSuchKey)", &is), CallErrorKind::Stale);
        assert_eq!(kind("none (NoSuchBucket)", &is), CallErrorKind::NotFound);
        assert_eq!(
            kind("no such key (NoSuchKey)", &Condition::Absent),
            CallErrorKind::NotFound
        );
    }

    #[test]
    fn a_large_object_may_take_longer() {
        assert_eq!(allowance(0), WRITE_TIMEOUT);
        assert_eq!(
            allowance(60 * BYTES_A_SECOND),
            WRITE_TIMEOUT + Duration::from_mins(1)
        );
    }
}
