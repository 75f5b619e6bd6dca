//! Downloads of artifacts of unknown size, from GitLab or from the object storage it redirects to.
//!
//! Depending on its configuration, an instance serves artifacts itself or redirects to storage. The URL of
//! the redirect is signed: S3 would refuse an additional token, and the token would leak to the storage's
//! operator. So no token is sent there. The target of a redirect is checked like the connection's own
//! address, and only a response with status 200 is an artifact.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use reqwest::{Response, StatusCode, header::LOCATION};
use url::Url;

use super::{
    address::origin,
    answer::text,
    errors::{Call, causes},
    http::{Http, is_redirect},
};
use crate::ports::{CallError, CallErrorKind, gitlab::Download, store::ByteStream};

/// Timeout for the first byte. GitLab may have to search a large archive for it.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a download may stall.
const STALL_TIMEOUT: Duration = Duration::from_mins(1);
/// How many redirects are followed.
const HOPS: usize = 3;

/// Begins a download from a path of the API.
pub(super) async fn download(http: &Http, call: &Call, path: &str) -> Result<Download, CallError> {
    let mut at = http.address.of(path);
    let sent = async {
        let sent = http.send(call, path, None, None).await;
        sent.map_err(|refused| refused.error)
    };
    let mut response = in_time(call, sent).await?;
    let mut hops = 0;
    while is_redirect(response.status()) {
        if hops == HOPS {
            return Err(call.error(CallErrorKind::Unavailable, "redirected too often"));
        }
        hops += 1;
        at = target(call, &at, text(response.headers(), &LOCATION))?;
        http.reach
            .check(&at)
            .map_err(|refused| call.out_of_reach(&refused))?;
        let request = http.client.get(at.clone()).send();
        let sent = async { request.await.map_err(|error| call.no_response(error)) };
        response = in_time(call, sent).await?;
    }
    // No other response is the artifact, such as a 300 without a target or a 304.
    if response.status() != StatusCode::OK {
        return Err(call.error(
            CallErrorKind::Unavailable,
            format!(
                "{} answered with status {} instead of the artifact",
                origin(&at),
                response.status().as_u16()
            ),
        ));
    }
    let declared_size = response.content_length();
    Ok(Download {
        declared_size,
        body: body(call.clone(), response, declared_size),
    })
}

/// The target of a download's redirect.
fn target(call: &Call, from: &Url, location: Option<&str>) -> Result<Url, CallError> {
    let refuse = |message: String| call.error(CallErrorKind::Invalid, message);
    let target = location
        .filter(|location| !location.is_empty())
        .and_then(|location| from.join(location).ok())
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| refuse("redirected to an address that can't be read".to_owned()))?;
    if from.scheme() == "https" && target.scheme() == "http" {
        return Err(refuse(format!(
            "redirected from https to http at {}, where the bytes could be changed in transit: \
             give GitLab's object storage an https endpoint, or turn on proxy_download",
            origin(&target)
        )));
    }
    Ok(target)
}

async fn in_time(
    call: &Call,
    request: impl Future<Output = Result<Response, CallError>>,
) -> Result<Response, CallError> {
    tokio::time::timeout(FIRST_BYTE_TIMEOUT, request)
        .await
        .unwrap_or_else(|_| {
            let seconds = FIRST_BYTE_TIMEOUT.as_secs();
            Err(call.error(
                CallErrorKind::Unavailable,
                format!("no first byte within {seconds} s"),
            ))
        })
}

fn body(call: Call, response: Response, declared: Option<u64>) -> ByteStream {
    let of = declared.map_or_else(String::new, |declared| format!(" of {declared}"));
    let state = Some((call, response, 0_u64));
    stream::unfold(state, move |state| {
        let of = of.clone();
        async move {
            let (call, mut response, received) = state?;
            let error = match tokio::time::timeout(STALL_TIMEOUT, response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    let received = received + chunk.len() as u64;
                    return Some((Ok(chunk), Some((call, response, received))));
                }
                Ok(Ok(None)) => return None,
                Ok(Err(error)) => call.error(
                    CallErrorKind::Corrupt,
                    format!(
                        "cut off after {received}{of} bytes: {}",
                        causes(&error.without_url())
                    ),
                ),
                Err(_) => call.error(
                    CallErrorKind::Unavailable,
                    format!(
                        "stalled for {} s after {received}{of} bytes",
                        STALL_TIMEOUT.as_secs()
                    ),
                ),
            };
            Some((Err(error), None))
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed assumption ends the test")]

    use super::*;

    #[test]
    fn download_redirects_use_http_or_https_and_never_downgrade() {
        let call = Call {
            operation: "GET",
            resource: String::new(),
            token: String::new(),
        };
        let from = Url::parse("https://git.example.com/api/v4/x").unwrap();
        let follow = |location| target(&call, &from, Some(location)).map(|url| url.to_string());
        assert_eq!(
            follow("https://s3.example.com/a?X-Amz-Signature=1").as_deref(),
            Ok("https://s3.example.com/a?X-Amz-Signature=1")
        );
        assert_eq!(
            follow("/storage/a").as_deref(),
            Ok("https://git.example.com/storage/a")
        );
        assert!(target(&call, &from, None).is_err());
        for location in [
            "",
            "http://s3.example.com/a",
            "file:///etc/passwd",
            "http://",
        ] {
            assert!(follow(location).is_err(), "{location}");
        }
    }
}
