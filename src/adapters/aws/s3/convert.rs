//! Converts between the SDK's types and Sluice's.

use std::{borrow::Cow, collections::HashMap};

use aws_sdk_s3::operation::{
    copy_object::CopyObjectOutput, delete_objects::DeleteObjectsOutput,
    head_object::HeadObjectOutput, list_objects_v2::ListObjectsV2Output,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{
    adapters::aws::errors::Call,
    domain::workload::s3::site::{Deletion, Listed, ObjectHead, Served},
    ports::{CallError, CallErrorKind, s3::Page, store::StoredObject},
};

/// The characters to encode in the name of a copy's source.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// The name of a copy's source, as the value of a header.
pub(super) fn source(bucket: &str, key: &str, version_id: Option<&str>) -> String {
    let key = utf8_percent_encode(key, PLAIN);
    match version_id {
        Some(version) => {
            let version = utf8_percent_encode(version, NON_ALPHANUMERIC);
            format!("{bucket}/{key}?versionId={version}")
        }
        None => format!("{bucket}/{key}"),
    }
}

/// The ETag with quotes, which not all responses have.
pub(super) fn etag(call: &Call, etag: Option<String>) -> Result<String, CallError> {
    let etag = etag.ok_or_else(|| call.unusable("the answer has no ETag"))?;
    Ok(if etag.starts_with('"') {
        etag
    } else {
        format!("\"{etag}\"")
    })
}

pub(super) fn page(call: &Call, answer: ListObjectsV2Output) -> Result<Page, CallError> {
    let mut objects = Vec::new();
    for object in answer.contents.unwrap_or_default() {
        let modified = object.last_modified.map(|time| time.secs());
        let (Some(key), Some(modified)) = (object.key.as_deref().and_then(decoded), modified)
        else {
            return Err(call.unusable("the response lists an object without a key or a time"));
        };
        let listed = Listed {
            etag: etag(call, object.e_tag)?,
            size: size(call, object.size)?,
            modified: Some(modified),
        };
        objects.push((key, listed));
    }
    Ok(Page {
        objects,
        next: answer.next_continuation_token,
    })
}

/// Decodes a key of a listing, which is encoded like a form.
fn decoded(key: &str) -> Option<String> {
    let spaces = key.replace('+', " ");
    let decoded = percent_decode_str(&spaces).decode_utf8();
    decoded.ok().map(Cow::into_owned)
}

pub(super) fn head(call: &Call, answer: HeadObjectOutput) -> Result<ObjectHead, CallError> {
    Ok(ObjectHead {
        etag: etag(call, answer.e_tag)?,
        size: size(call, answer.content_length)?,
        served: Served {
            content_type: answer.content_type.unwrap_or_default(),
            content_encoding: encoding(answer.content_encoding.as_deref()),
        },
        metadata: answer.metadata.unwrap_or_default().into_iter().collect(),
    })
}

/// The encoding of the content, without the encoding of its transfer.
fn encoding(header: Option<&str>) -> Option<String> {
    let parts = header?.split(',').map(str::trim);
    let parts: Vec<&str> = parts
        .filter(|part| !part.is_empty() && *part != "aws-chunked")
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// An existing copy.
pub(super) fn stored(call: &Call, answer: HeadObjectOutput) -> Result<StoredObject, CallError> {
    Ok(StoredObject {
        version_id: pinned(call, answer.version_id)?,
        size: size(call, answer.content_length)?,
        metadata: answer.metadata.unwrap_or_default().into_iter().collect(),
    })
}

/// A new copy.
pub(super) fn copied(
    call: &Call,
    answer: CopyObjectOutput,
    size: u64,
) -> Result<StoredObject, CallError> {
    Ok(StoredObject {
        version_id: pinned(call, answer.version_id)?,
        size,
        metadata: std::collections::BTreeMap::new(),
    })
}

fn pinned(call: &Call, version_id: Option<String>) -> Result<String, CallError> {
    version_id.filter(|id| id != "null").ok_or_else(|| {
        call.error(
            CallErrorKind::Invalid,
            "the copy has no version id, so it can't be pinned: enable versioning on the artifact bucket",
        )
    })
}

/// The result for each object. A quiet response lists only those that were not deleted.
pub(super) fn deleted(
    bucket: &str,
    prefix: &str,
    objects: &[Deletion],
    answer: &DeleteObjectsOutput,
) -> Vec<Result<(), CallError>> {
    let failures: HashMap<&str, _> = answer
        .errors()
        .iter()
        .filter_map(|error| Some((error.key()?, error)))
        .collect();
    let outcome = |object: &Deletion| {
        let key = format!("{prefix}{}", object.path);
        let Some(failure) = failures.get(key.as_str()) else {
            return Ok(());
        };
        let call = Call::write("s3:DeleteObjects", format!("s3://{bucket}/{key}"));
        let error = call.refused(
            failure.code().unwrap_or_default(),
            failure.message().unwrap_or_default(),
        );
        // With an ETag, S3 reports an error if the object is already deleted.
        match error.kind {
            CallErrorKind::NotFound => Ok(()),
            _ => Err(error),
        }
    };
    objects.iter().map(outcome).collect()
}

fn size(call: &Call, length: Option<i64>) -> Result<u64, CallError> {
    length
        .and_then(|length| u64::try_from(length).ok())
        .ok_or_else(|| call.unusable("the response has no object size"))
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{Error, Object};

    use super::*;

    #[test]
    fn source_of_a_copy_is_encoded_for_a_header() {
        assert_eq!(source("b", "a/b-c_1.js", None), "b/a/b-c_1.js");
        assert_eq!(
            source("b", "a b/ü?#%+.html", Some("v/1")),
            "b/a%20b/%C3%BC%3F%23%25%2B.html?versionId=v%2F1"
        );
    }

    #[test]
    fn listed_keys_are_decoded_and_etags_have_quotes() {
        let call = Call::read("s3:ListObjectsV2", "s3://b/");
        let object = |etag: &str| {
            Object::builder()
                .key("a+b%2Bc/%C3%BC%01")
                .e_tag(etag)
                .size(3)
                .last_modified(aws_smithy_types::DateTime::from_secs(7))
                .build()
        };
        let answer = ListObjectsV2Output::builder()
            .contents(object("\"e\""))
            .contents(object("e"))
            .build();
        let page = page(&call, answer).expect("a page");
        let listed = Listed {
            etag: "\"e\"".into(),
            size: 3,
            modified: Some(7),
        };
        let expected = ("a b+c/ü\u{1}".to_owned(), listed);
        assert_eq!(page.objects, [expected.clone(), expected]);
        let nameless = ListObjectsV2Output::builder()
            .contents(Object::builder().build())
            .build();
        assert!(super::page(&call, nameless).is_err());
    }

    #[test]
    fn each_deletion_has_its_own_result() {
        let deletion = |path: &str| Deletion {
            path: path.into(),
            etag: "\"e\"".into(),
        };
        let error = |key: &str, code: &str| Error::builder().key(key).code(code).build();
        let answer = DeleteObjectsOutput::builder()
            .errors(error("p/gone", "NoSuchKey"))
            .errors(error("p/changed", "PreconditionFailed"))
            .errors(error("p/busy", "ConditionalRequestConflict"))
            .errors(error("p/locked", "AccessDenied"))
            .errors(error("p/broken", "InternalError"))
            .build();
        let objects = ["a", "gone", "changed", "busy", "locked", "broken"].map(deletion);
        let outcomes = deleted("b", "p/", &objects, &answer);
        let kinds: Vec<_> = outcomes
            .iter()
            .map(|outcome| outcome.as_ref().map_err(|error| error.kind.clone()))
            .collect();
        assert_eq!(
            kinds,
            [
                Ok(&()),
                Ok(&()),
                Err(CallErrorKind::Stale),
                Err(CallErrorKind::Busy),
                Err(CallErrorKind::Denied),
                Err(CallErrorKind::Unknown)
            ]
        );
        let changed = outcomes[2].as_ref().expect_err("changed");
        assert_eq!(changed.resource, "s3://b/p/changed");
    }
}
