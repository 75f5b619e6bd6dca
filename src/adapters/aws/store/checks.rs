//! Checks whether a bucket is configured to keep artifacts.

use aws_sdk_s3::types::{BucketVersioningStatus, ExpirationStatus, LifecycleRule};
use aws_sdk_s3::{error::SdkError, operation::head_bucket::HeadBucketError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use futures::TryFutureExt as _;

use super::bucket::S3Store;
use crate::ports::{CallError, CallErrorKind};

/// The problems of the bucket, each with its solution.
pub(super) async fn problems(
    store: &S3Store,
    account_id: &str,
    region: &str,
) -> Result<Vec<String>, CallError> {
    // A bucket that can't be reached, or has another owner, is not checked further.
    if let Some(problem) = location(store, account_id, region).await? {
        return Ok(vec![problem]);
    }
    let (versioning, lifecycle) =
        futures::try_join!(versioning(store, account_id), lifecycle(store, account_id))?;
    Ok(versioning.into_iter().chain(lifecycle).collect())
}

/// Checks existence, owner and region.
async fn location(
    store: &S3Store,
    account_id: &str,
    region: &str,
) -> Result<Option<String>, CallError> {
    let bucket = &store.bucket;
    let call = store.read("s3:HeadBucket", "");
    let request = store
        .client
        .head_bucket()
        .bucket(bucket)
        .expected_bucket_owner(account_id)
        .send();
    let mut elsewhere = None;
    let request = request.inspect_err(|error| elsewhere = region_header(error));
    let answer = store.verified.sent(&call, request).await;
    let found = match answer {
        Ok(answer) => answer.bucket_region,
        Err(error) => match (elsewhere, &error.kind) {
            (Some(found), CallErrorKind::Invalid) if found != region => Some(found),
            (_, CallErrorKind::NotFound) => {
                return Ok(Some(format!(
                    "bucket {bucket} does not exist: create it in {region} of account {account_id}"
                )));
            }
            (_, CallErrorKind::Denied) => {
                return Ok(Some(format!(
                    "bucket {bucket} belongs to another account than {account_id}, or the Account's \
                     credentials lack s3:ListBucket on it"
                )));
            }
            _ => return Err(error),
        },
    };
    Ok(found.filter(|found| found != region).map(|found| {
        format!(
            "bucket {bucket} is in {found}, not in {region}: Lambda reads packages from its own region \
             only; name a bucket of {region}"
        )
    }))
}

/// The bucket's region according to S3, after a request to the wrong region.
fn region_header(error: &SdkError<HeadBucketError, HttpResponse>) -> Option<String> {
    let headers = error.raw_response()?.headers();
    headers.get("x-amz-bucket-region").map(str::to_owned)
}

async fn versioning(store: &S3Store, account_id: &str) -> Result<Option<String>, CallError> {
    let bucket = &store.bucket;
    let call = store.read("s3:GetBucketVersioning", "");
    let request = store
        .client
        .get_bucket_versioning()
        .bucket(bucket)
        .expected_bucket_owner(account_id)
        .send();
    let answer = store.verified.sent(&call, request).await;
    match answer {
        Ok(answer) if answer.status == Some(BucketVersioningStatus::Enabled) => Ok(None),
        Ok(_) => Ok(Some(format!(
            "bucket {bucket} has no versioning: enable it, so that delivered artifacts stay unchanged"
        ))),
        Err(error) => unreadable(error, bucket, "s3:GetBucketVersioning").map(Some),
    }
}

async fn lifecycle(store: &S3Store, account_id: &str) -> Result<Option<String>, CallError> {
    let bucket = &store.bucket;
    let call = store.read("s3:GetBucketLifecycleConfiguration", "");
    let request = store
        .client
        .get_bucket_lifecycle_configuration()
        .bucket(bucket)
        .expected_bucket_owner(account_id)
        .send();
    let answer = store.verified.sent(&call, request).await;
    let missing = || {
        format!(
            "bucket {bucket} has no lifecycle rule that aborts incomplete multipart uploads: add one \
             for the whole bucket, so that interrupted uploads cost nothing"
        )
    };
    match answer {
        Ok(answer) if answer.rules().iter().any(aborts_all_uploads) => Ok(None),
        Ok(_) => Ok(Some(missing())),
        Err(error) if error.message.contains("NoSuchLifecycleConfiguration") => Ok(Some(missing())),
        Err(error) => unreadable(error, bucket, "s3:GetLifecycleConfiguration").map(Some),
    }
}

/// Reports a missing permission as a problem beside the others.
fn unreadable(error: CallError, bucket: &str, action: &str) -> Result<String, CallError> {
    match error.kind {
        CallErrorKind::Denied => Ok(format!(
            "bucket {bucket} can't be checked: the Account's credentials lack {action} on it"
        )),
        _ => Err(error),
    }
}

fn aborts_all_uploads(rule: &LifecycleRule) -> bool {
    #[expect(deprecated, reason = "rules from before filters are still in force")]
    let old = rule.prefix.as_deref();
    let prefix = rule
        .filter
        .as_ref()
        .and_then(|filter| filter.prefix.as_deref());
    let narrowed = rule
        .filter
        .as_ref()
        .is_some_and(|filter| filter.and.is_some() || filter.tag.is_some());
    rule.status == ExpirationStatus::Enabled
        && rule.abort_incomplete_multipart_upload.is_some()
        && !narrowed
        && old.or(prefix).unwrap_or_default().is_empty()
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{
        AbortIncompleteMultipartUpload, LifecycleRuleFilter, builders::LifecycleRuleBuilder,
    };

    use super::*;

    #[test]
    fn only_an_enabled_rule_for_the_whole_bucket_counts() {
        let abort = || {
            AbortIncompleteMultipartUpload::builder()
                .days_after_initiation(1)
                .build()
        };
        let rule = || LifecycleRule::builder().status(ExpirationStatus::Enabled);
        let counts = |rule: LifecycleRuleBuilder| {
            aborts_all_uploads(&rule.build().expect("it has a status"))
        };
        let under = |prefix: &str| LifecycleRuleFilter::builder().prefix(prefix).build();
        assert!(counts(rule().abort_incomplete_multipart_upload(abort())));
        assert!(counts(
            rule()
                .abort_incomplete_multipart_upload(abort())
                .filter(under(""))
        ));
        assert!(!counts(
            rule()
                .abort_incomplete_multipart_upload(abort())
                .filter(under("logs/"))
        ));
        assert!(!counts(rule().filter(under(""))));
        let off = LifecycleRule::builder().status(ExpirationStatus::Disabled);
        assert!(!counts(off.abort_incomplete_multipart_upload(abort())));
    }
}
