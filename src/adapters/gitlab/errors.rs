//! Classifies GitLab's error responses.
//!
//! GitLab reports errors in many shapes: `message` as text or as an object, `error` alone or with
//! `error_description`, plain text, and web pages of whatever is in front of it. One pure function reads them
//! all. A token never appears in a URL, and so in no error.
//!
//! Only errors in GitLab's own JSON are shown. Any other response may come from a service that the author of
//! the connection can't reach directly.

use std::{error::Error, time::Duration};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    adapters::{
        self,
        reach::{Refused as OutOfReach, refusal_within},
    },
    domain::outcome::shorten,
    ports::{CallError, CallErrorKind},
};

/// The longest wait that a server may ask for.
const MAX_WAIT: Duration = Duration::from_mins(15);

/// The call an error belongs to.
#[derive(Clone, Debug)]
pub struct Call {
    /// `GET /projects/:id`.
    pub operation: &'static str,
    /// `project shop/checkout on git.example.com`.
    pub resource: String,
    /// Where the token is kept: `key token of Secret shop/gitlab-token`.
    pub token: String,
}

impl Call {
    /// An error of this call.
    pub fn error(&self, kind: CallErrorKind, message: impl Into<String>) -> CallError {
        CallError::new(self.operation, self.resource.as_str(), kind, message)
    }

    /// Whether the call reads from a project, so that a missing role in it may be the cause.
    fn is_about_project(&self) -> bool {
        self.operation.contains("/projects/")
    }

    /// The error of a request that is not sent because its address is refused.
    pub fn out_of_reach(&self, refused: &OutOfReach) -> CallError {
        self.error(CallErrorKind::Invalid, refused.to_string())
    }

    /// The error of a request without a response. Reads have no effect, so it does not matter
    /// whether the request arrived.
    pub fn no_response(&self, error: reqwest::Error) -> CallError {
        if let Some(refused) = refusal_within(&error) {
            return self.out_of_reach(refused);
        }
        let message = if error.is_timeout() {
            "the request timed out".to_owned()
        } else {
            // The URL of a redirect to storage has a signature, which must not be shown.
            causes(&error.without_url())
        };
        let hint = if message.contains("certificate") {
            ": if a private CA issued the server's certificate, name that CA in \
             spec.caBundleRef of the GitLabConnection"
        } else {
            ""
        };
        self.error(CallErrorKind::Unavailable, format!("{message}{hint}"))
    }
}

/// A response other than 200.
pub struct Refusal<'a> {
    /// Its HTTP status.
    pub status: u16,
    /// Its `Retry-After`.
    pub retry_after: Option<&'a str>,
    /// Its body, or the beginning of it.
    pub body: &'a str,
}

impl Refusal<'_> {
    /// GitLab's message in one line; nothing of a response that is not in GitLab's format.
    pub fn words(&self) -> String {
        let json = serde_json::from_str::<Value>(self.body);
        let words = json.ok().as_ref().map(gitlabs_error).unwrap_or_default();
        let words = match words {
            words if !words.is_empty() => words.replace(char::is_control, " "),
            _ if self.is_page() => "a web page instead of an API response".to_owned(),
            _ => format!("status {} without an error in GitLab's format", self.status),
        };
        shorten(&words, 300)
    }

    /// Whether it is a web page: from a proxy in front of GitLab, or from GitLab's website.
    fn is_page(&self) -> bool {
        self.body.trim_start().starts_with('<')
    }

    /// Whether the project itself is missing, and not something in it.
    pub fn is_about_project(&self) -> bool {
        self.words().contains("Project Not Found")
    }

    /// The error of `call` that this response means.
    pub fn classify(&self, call: &Call, now: Timestamp) -> CallError {
        let words = self.words();
        let status = self.status;
        match status {
            401 => call.error(
                CallErrorKind::Unauthenticated,
                format!(
                    "GitLab says {words:?}. Put a valid access token with the scope read_api into \
                     {}",
                    call.token
                ),
            ),
            403 if words.contains("insufficient_scope") => call.error(
                CallErrorKind::Denied,
                format!(
                    "the token lacks a scope: GitLab says {words:?}. Put a token with the scope \
                     read_api into {}",
                    call.token
                ),
            ),
            403 if words.contains("insufficient_granular_scope") => call.error(
                CallErrorKind::Denied,
                format!(
                    "the fine-grained token lacks a permission: GitLab says {words:?}. Put a token \
                     that has it, or one with the scope read_api, into {}",
                    call.token
                ),
            ),
            403 if self.is_page() => call.error(
                CallErrorKind::Unavailable,
                "403 with a web page: a proxy or firewall in front of GitLab refused the request. gitlab.com blocks \
                 an address for 15 minutes after many failed logins",
            ),
            403 if !call.is_about_project() => call.error(
                CallErrorKind::Denied,
                format!(
                    "GitLab says {words:?}. Put a token that may do this, with the scope read_api, into {}; a user \
                     who is blocked must be unblocked in GitLab",
                    call.token
                ),
            ),
            403 => call.error(
                CallErrorKind::Denied,
                format!(
                    "GitLab says {words:?}. The token's user needs at least the role Reporter, \
                     and the project must allow that role to read CI/CD and artifacts"
                ),
            ),
            404 if self.is_page() => call.error(
                CallErrorKind::NotFound,
                "404 with a web page: spec.url of the GitLabConnection has to be the address of \
                 GitLab with its relative root, if it has one",
            ),
            404 if self.is_about_project() => call.error(
                CallErrorKind::NotFound,
                "the project does not exist, or the token's user can't see it (it needs at least \
                 the role Reporter)",
            ),
            404 => call.error(CallErrorKind::NotFound, format!("GitLab says {words:?}")),
            429 => call.error(
                CallErrorKind::Throttled {
                    retry_after: self.retry_after(now),
                },
                format!(
                    "GitLab says {words:?}. If that goes on, lower spec.requestsPerMinute of the \
                     GitLabConnection"
                ),
            ),
            409 => call.error(CallErrorKind::Busy, format!("GitLab says {words:?}")),
            408 | 500.. => call.error(
                CallErrorKind::Unavailable,
                format!("status {status}: {words}"),
            ),
            _ if self.is_page() => call.error(
                CallErrorKind::Unavailable,
                format!("status {status}: {words}"),
            ),
            _ => call.error(
                CallErrorKind::Invalid,
                format!("status {status}: GitLab says {words:?}"),
            ),
        }
    }

    /// `Retry-After`, in seconds or as a date.
    fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let text = self.retry_after?.trim();
        let wait = if let Ok(seconds) = text.parse() {
            Duration::from_secs(seconds)
        } else {
            let when = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            when.duration_since(now).try_into().unwrap_or_default()
        };
        Some(wait.min(MAX_WAIT))
    }
}

/// The text of `{"message":"…"}`, `{"message":{"base":["…"]}}` or `{"error":"…","error_description":"…"}`;
/// empty for other objects.
fn gitlabs_error(json: &Value) -> String {
    let known = ["message", "error", "error_description"];
    let values = known.iter().filter_map(|key| json.get(key));
    join(values.map(flatten), ": ")
}

fn flatten(json: &Value) -> String {
    match json {
        Value::String(text) => text.trim().to_owned(),
        Value::Array(list) => join(list.iter().map(flatten), ", "),
        Value::Object(map) if map.keys().any(|key| key == "error") => gitlabs_error(json),
        Value::Object(map) => join(
            map.iter()
                .map(|(key, value)| format!("{key}: {}", flatten(value))),
            ", ",
        ),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn join(parts: impl Iterator<Item = String>, separator: &str) -> String {
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    parts.join(separator)
}

/// An error with its chain of causes: reqwest names the actual failure only at the end of the chain.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    shorten(&adapters::causes::causes(error), 500)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed assumption ends the test")]

    use super::*;

    fn classify(status: u16, retry_after: Option<&str>, body: &str) -> CallError {
        let call = Call {
            operation: "GET /projects/:id",
            resource: "project shop/checkout on git.example.com".to_owned(),
            token: "key token of Secret shop/gitlab".to_owned(),
        };
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        Refusal {
            status,
            retry_after,
            body,
        }
        .classify(&call, now)
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "one table of all shapes")]
    fn error_responses_of_every_shape_are_classified() {
        use CallErrorKind::{Busy, Denied, Invalid, NotFound, Unauthenticated, Unavailable};
        let table = [
            (
                401,
                r#"{"message":"401 Unauthorized"}"#,
                Unauthenticated,
                "Secret shop/gitlab",
            ),
            (
                401,
                r#"{"error":"invalid_token","error_description":"Token is expired. You can"}"#,
                Unauthenticated,
                "Token is expired",
            ),
            (
                401,
                r#"{"error":"invalid_token","error_description":"Token was revoked."}"#,
                Unauthenticated,
                "revoked",
            ),
            (
                403,
                r#"{"error":"insufficient_scope","error_description":"x","scope":"api read_api"}"#,
                Denied,
                "scope read_api into key token of Secret shop/gitlab",
            ),
            (
                403,
                r#"{"error":"insufficient_granular_scope","error_description":"read_pipeline"}"#,
                Denied,
                "read_pipeline",
            ),
            (
                403,
                r#"{"message":"403 Forbidden - no"}"#,
                Denied,
                "Reporter",
            ),
            (403, "<html>", Unavailable, "15 minutes"),
            (
                404,
                r#"{"message":"404 Project Not Found"}"#,
                NotFound,
                "can't see it",
            ),
            (
                404,
                r#"{"message":"404 Not found"}"#,
                NotFound,
                "404 Not found",
            ),
            (
                404,
                r#"{"error":"404 Not Found"}"#,
                NotFound,
                "404 Not Found",
            ),
            (404, "<html>", NotFound, "relative root"),
            (
                400,
                r#"{"message":{"base":["one","two"]}}"#,
                Invalid,
                "base: one, two",
            ),
            (
                400,
                r#"{"error":"ref is missing"}"#,
                Invalid,
                "ref is missing",
            ),
            (
                409,
                r#"{"message":"409 Conflict: Resource lock"}"#,
                Busy,
                "Resource lock",
            ),
            (
                414,
                "",
                Invalid,
                "status 414 without an error in GitLab's format",
            ),
            (
                500,
                r#"{"message":"500 Internal Server Error"}"#,
                Unavailable,
                "500",
            ),
            (
                502,
                "<html>GitLab is not responding",
                Unavailable,
                "a web page",
            ),
            (503, "", Unavailable, "503"),
        ];
        for (status, body, kind, words) in table {
            let error = classify(status, None, body);
            assert_eq!(error.kind, kind, "{status} {body}");
            assert!(error.message.contains(words), "{}", error.message);
        }
    }

    #[test]
    fn denied_read_of_a_project_advises_a_role_in_it() {
        let refusal = Refusal {
            status: 403,
            retry_after: None,
            body: r#"{"message":"403 Forbidden"}"#,
        };
        let advised = |operation| {
            let call = Call {
                operation,
                resource: "x on gitlab.example.com".into(),
                token: "key token of Secret shop/gitlab-token".into(),
            };
            refusal.classify(&call, Timestamp::UNIX_EPOCH).message
        };
        let project = advised("GET /projects/:id");
        assert!(
            project.contains("role Reporter") && !project.contains("Secret"),
            "{project}"
        );
        let user = advised("GET /user");
        assert!(
            user.contains("Secret shop/gitlab-token") && !user.contains("Reporter"),
            "{user}"
        );
    }

    #[test]
    fn only_gitlabs_own_errors_are_shown() {
        let foreign = [
            "s3cret",
            "s3cret: yes\nother: no",
            r#"{"AccessKeyId":"s3cret"}"#,
            r#"["s3cret"]"#,
            r#""s3cret""#,
            "<html>s3cret</html>",
            r#"{"data":{"message":"s3cret"}}"#,
        ];
        for status in [302, 400, 401, 403, 404, 409, 418, 429, 500, 503] {
            for body in foreign {
                let error = classify(status, None, body);
                assert!(
                    !error.message.contains("s3cret"),
                    "{status} {body}: {error}"
                );
            }
        }
        let own = classify(
            400,
            None,
            r#"{"message":{"ref":["is\tmissing"]},"other":"s3cret"}"#,
        );
        assert!(own.message.contains("ref: is missing"), "{own}");
        assert!(!own.message.contains("s3cret"), "{own}");
    }

    #[test]
    fn throttling_error_carries_retry_after() {
        let json = r#"{"message":{"error":"This endpoint has been requested too many times."}}"#;
        let table = [
            (Some("7"), "Retry later", Some(7)),
            (Some("Fri, 02 Jan 2026 03:05:05 GMT"), json, Some(60)),
            (Some("Fri, 02 Jan 2026 03:00:00 GMT"), json, Some(0)),
            (Some("86400"), json, Some(900)),
            (Some("soon"), json, None),
            (None, json, None),
        ];
        for (header, body, seconds) in table {
            let retry_after = seconds.map(Duration::from_secs);
            let error = classify(429, header, body);
            assert_eq!(error.kind, CallErrorKind::Throttled { retry_after });
        }
        assert!(
            classify(429, None, json)
                .message
                .contains("requested too many times")
        );
    }
}
