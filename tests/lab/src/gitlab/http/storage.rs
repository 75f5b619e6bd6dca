//! The object storage, the target of redirects: another origin, which accepts only signed addresses and
//! rejects requests that also carry a credential, as S3 does.

use aws_lc_rs::{digest, hmac};
use axum::http::HeaderMap;
use jiff::Timestamp;

use super::{access::CREDENTIAL_HEADERS, answer::Answer, artifacts::ranged, query::Query};
use crate::gitlab::model::{InstanceState, JobId};

/// Seconds for which an address is valid.
const LIFETIME: i64 = 600;
const KEY: &[u8] = b"the storage's own secret";

fn path(job: JobId) -> String {
    let digest = hex::encode(digest::digest(&digest::SHA256, &job.0.to_be_bytes()));
    format!(
        "/artifacts/{}/{}/{job}/artifacts.zip",
        &digest[..2],
        &digest[2..4]
    )
}

fn signature(path: &str, date: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY);
    hex::encode(hmac::sign(&key, format!("{path}\n{date}").as_bytes()))
}

/// The signed address of a job's archive.
pub fn signed_url(storage: &str, job: JobId, now: Timestamp) -> String {
    let path = path(job);
    let date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let signature = signature(&path, &date);
    format!(
        "{storage}{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={date}&X-Amz-Expires={LIFETIME}\
         &X-Amz-SignedHeaders=host&X-Amz-Signature={signature}"
    )
}

fn refused(status: u16, code: &str, message: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    Answer::text(status, "application/xml", body)
}

/// The storage's answer to a request.
pub fn answer(
    state: &InstanceState,
    method: &str,
    path: &str,
    query: &Query,
    headers: &HeaderMap,
    now: Timestamp,
) -> Answer {
    if CREDENTIAL_HEADERS
        .iter()
        .any(|name| headers.contains_key(*name))
    {
        let text = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature \
                    query string parameter or the Authorization header should be specified";
        return refused(400, "InvalidArgument", text);
    }
    let date = query.get("X-Amz-Date").unwrap_or_default();
    if query.get("X-Amz-Signature") != Some(&signature(path, date)) {
        return refused(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match",
        );
    }
    let signed_at = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date);
    let signed_at = signed_at
        .ok()
        .and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC).ok());
    if signed_at.is_none_or(|at| now.as_second() - at.timestamp().as_second() > LIFETIME) {
        return refused(403, "AccessDenied", "Request has expired");
    }
    if !matches!(method, "GET" | "HEAD") {
        return refused(
            405,
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
        );
    }
    let job = path
        .rsplit('/')
        .nth(1)
        .and_then(|id| id.parse().ok())
        .map(JobId);
    let archive = job
        .and_then(|id| state.job(id).ok())
        .and_then(|job| job.archive.as_ref());
    match archive {
        None => refused(404, "NoSuchKey", "The specified key does not exist."),
        Some(archive) => ranged(archive.source.whole(), headers)
            .with(axum::http::header::CONTENT_TYPE, "application/zip"),
    }
}
