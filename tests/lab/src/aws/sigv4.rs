//! Signature Version 4 for requests that the proxy had to change after their caller signed them.
//!
//! Source: AWS's "Create a signed AWS API request". Not for S3: only other services encode paths twice.

use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};
use axum::http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::form_urlencoded;

use super::keys::Key;
use crate::error::LabError;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// The request to sign.
pub(super) struct Unsigned<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// Replaces date, token and signature in `headers` by valid ones for `request`.
pub(super) fn sign(
    request: &Unsigned<'_>,
    headers: &mut HeaderMap,
    key: &Key,
    now: Timestamp,
) -> Result<(), LabError> {
    let secret = key.secret.as_ref().ok_or_else(|| {
        LabError::new(format!(
            "a changed request cannot be signed again for {}: its secret was issued past the \
             proxy",
            key.id
        ))
    })?;
    let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = &stamp[..8];
    headers.remove("x-amz-content-sha256");
    set(headers, "x-amz-date", &stamp)?;
    headers.remove("x-amz-security-token");
    if let Some(token) = &key.token {
        set(headers, "x-amz-security-token", token)?;
    }

    let names: Vec<&str> = ["host", "x-amz-date", "x-amz-security-token"]
        .into_iter()
        .filter(|name| headers.contains_key(*name))
        .collect();
    let mut canonical_headers = String::new();
    for name in &names {
        let value = headers
            .get(*name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let _ = writeln!(canonical_headers, "{name}:{}", value.trim());
    }
    let signed = names.join(";");
    let canonical = [
        request.method,
        &utf8_percent_encode(request.path, PATH).to_string(),
        &canonical_query(request.query),
        &canonical_headers,
        &signed,
        &sha256(request.body),
    ]
    .join("\n");
    let scope = format!("{day}/{}/{}/aws4_request", request.region, request.service);
    let text = format!(
        "AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}",
        sha256(canonical.as_bytes())
    );

    let mut signing = format!("AWS4{secret}").into_bytes();
    for part in [day, request.region, request.service, "aws4_request"] {
        signing = mac(&signing, part);
    }
    let signature = hex::encode(mac(&signing, &text));
    set(
        headers,
        "authorization",
        &format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}",
            key.id
        ),
    )
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<(), LabError> {
    let value = HeaderValue::from_str(value).map_err(|_| {
        LabError::new(format!(
            "cannot sign again: the value of {name} is not valid in a header"
        ))
    })?;
    headers.insert(name, value);
    Ok(())
}

fn canonical_query(query: &str) -> String {
    let encode = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
    let mut pairs: Vec<String> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| format!("{}={}", encode(&name), encode(&value)))
        .collect();
    pairs.sort();
    pairs.join("&")
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
        .as_ref()
        .to_vec()
}
