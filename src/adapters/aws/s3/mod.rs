//! [`Sites`] over the SDK.
//!
//! The SDK retries reads; writes and deletions are sent once. Every call states the bucket's owner, and no
//! call is made for a bucket that the grants don't name or that keeps artifacts.

mod buckets;
mod clients;
mod convert;
mod upload;
mod writes;

use async_trait::async_trait;
use aws_sdk_s3::types::{Delete, EncodingType, ObjectIdentifier};

use self::writes::{headers, in_time, unmet};
pub(super) use self::{buckets::S3Sites, clients::SitesClients};
use crate::{
    domain::workload::s3::site::{Condition, Deletion, ObjectHead},
    ports::{
        CallError, CallErrorKind,
        s3::{NewObject, Page, Sites, StoredCopy},
        store::StoredObject,
    },
};

#[async_trait]
impl Sites for S3Sites {
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        page: Option<&str>,
    ) -> Result<Page, CallError> {
        let call = self.read("s3:ListObjectsV2", bucket, prefix)?;
        // Encoded, because keys may hold characters that XML can't.
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
            // The copy exists already, or the object has changed.
            Err(error) if error.kind == CallErrorKind::Stale => self.kept(to).await?.ok_or(error),
            Err(error) => Err(error),
        }
    }

    async fn restore(
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
                    "the stored copy in {} is missing: {}",
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
        // Quiet: the response lists only objects that were not deleted.
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
