//! The verdict on the response of a URL.
//!
//! Every HTTP response gets a verdict. Without a response, the check is inconclusive.

use std::time::Duration;

use bytes::Bytes;
use regex::Regex;
use url::Url;

use super::Verdict;
use crate::{
    api::v1alpha1::{ExpectedStatus, HttpCheck, HttpMethod},
    domain::{
        duration::duration, invalid::Invalid, outcome::shorten, pattern, substitution::Variables,
    },
};

/// The bytes of a body that are checked.
pub const BODY_LIMIT: usize = 64 * 1024;

/// The most characters of the body in a message.
const EXCERPT: usize = 200;

/// The size limit of a compiled pattern, in bytes: 512 characters can compile to a very large program.
const PATTERN_LIMIT: usize = 1024 * 1024;

/// A request of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// http or https, without user and password.
    pub url: Url,
    /// GET or HEAD.
    pub method: HttpMethod,
    /// Whether to follow a redirect. Otherwise a redirect is the response.
    pub follow_redirects: bool,
    /// The maximum bytes of the body to read.
    pub body_limit: usize,
    /// The maximum time for the whole request.
    pub timeout: Duration,
}

/// The response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The beginning of the body.
    pub body: Bytes,
}

/// An HTTP check on a Target.
#[derive(Clone, Debug)]
pub struct DesiredHttp {
    request: HttpRequest,
    expected_status: Vec<ExpectedStatus>,
    body_pattern: Option<Regex>,
}

impl PartialEq for DesiredHttp {
    fn eq(&self, other: &Self) -> bool {
        let pattern = |check: &Self| {
            check
                .body_pattern
                .as_ref()
                .map(|one| one.as_str().to_owned())
        };
        self.request == other.request
            && self.expected_status == other.expected_status
            && pattern(self) == pattern(other)
    }
}

impl DesiredHttp {
    /// The check with a substituted URL. The field of an error is relative to the check: `http.url`.
    pub fn new(check: &HttpCheck, variables: &Variables) -> Result<Self, Invalid> {
        let invalid = |field: &str, message: String| Invalid {
            field: format!("http.{field}"),
            message,
        };
        let text = variables
            .expand(&check.url)
            .map_err(|error| invalid("url", error.to_string()))?;
        let url = parse(&text).map_err(|message| invalid("url", message.to_owned()))?;
        let expected_status = match check.expected_status.as_slice() {
            [] => vec![ExpectedStatus::Class("2xx".to_owned())],
            expected => expected.to_vec(),
        };
        let names_redirects = REDIRECTS
            .iter()
            .any(|code| expected_status.iter().any(|one| is_among(*code, one)));
        let body_pattern = check
            .body_pattern
            .as_deref()
            .map(|pattern| pattern::compile(pattern, PATTERN_LIMIT))
            .transpose()
            .map_err(|problem| invalid("bodyPattern", problem))?;
        let timeout = duration(&check.timeout)
            .ok_or_else(|| invalid("timeout", "must be a duration such as 10s".to_owned()))?;
        let request = HttpRequest {
            url,
            method: check.method,
            follow_redirects: !names_redirects,
            body_limit: BODY_LIMIT,
            timeout,
        };
        Ok(Self {
            request,
            expected_status,
            body_pattern,
        })
    }

    /// The request to send.
    pub fn request(&self) -> &HttpRequest {
        &self.request
    }

    /// The verdict on the response.
    pub fn evaluate(&self, answer: &HttpAnswer) -> Verdict {
        let failed = |what: String| {
            let body = String::from_utf8_lossy(&answer.body);
            let body = body.split_whitespace().collect::<Vec<_>>().join(" ");
            let body = match body.as_str() {
                "" => String::new(),
                body => format!(": {}", shorten(body, EXCERPT)),
            };
            let url = without_query(&self.request.url);
            Verdict::Failed(format!("{url} {what}{body}"))
        };
        if !self.is_expected(answer.status) {
            let what = format!("answered {}, not {}", answer.status, self.expected());
            return failed(what);
        }
        match &self.body_pattern {
            Some(pattern) if !pattern.is_match(&String::from_utf8_lossy(&answer.body)) => {
                failed(format!(
                    "answered {}, but nothing in the first {} KiB matches {}",
                    answer.status,
                    BODY_LIMIT / 1024,
                    pattern.as_str()
                ))
            }
            _ => Verdict::Passed,
        }
    }

    fn is_expected(&self, status: u16) -> bool {
        let mut expected = self.expected_status.iter();
        expected.any(|one| is_among(status, one))
    }

    fn expected(&self) -> String {
        let word = |one: &ExpectedStatus| match one {
            ExpectedStatus::Code(code) => code.to_string(),
            ExpectedStatus::Class(class) => class.clone(),
        };
        let words: Vec<String> = self.expected_status.iter().map(word).collect();
        words.join(" or ")
    }
}

/// Parses and checks a URL. The adapter checks the address that it resolves to.
pub fn parse(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "must be a URL such as https://example.com/health")?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("must begin with http:// or https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must be without user and password: a check must not contain secrets");
    }
    Ok(url)
}

/// Whether a status code is the expected one, or of the expected class.
fn is_among(status: u16, expected: &ExpectedStatus) -> bool {
    match expected {
        ExpectedStatus::Code(code) => status == *code,
        ExpectedStatus::Class(class) => {
            class.strip_suffix("xx") == Some(&(status / 100).to_string())
        }
    }
}

/// The status codes of redirects.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// Whether a status code is a redirect.
pub fn is_redirect(status: u16) -> bool {
    REDIRECTS.contains(&status)
}

/// A URL for messages, without the query, which may have a secret.
pub fn without_query(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    shown.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut HttpCheck)) -> Result<DesiredHttp, Invalid> {
        let mut check = HttpCheck {
            url: "https://shop-$(stage.name).example.com/health?token=s3cret".into(),
            method: HttpMethod::Get,
            expected_status: Vec::new(),
            body_pattern: None,
            timeout: "10s".into(),
        };
        change(&mut check);
        DesiredHttp::new(&check, &Variables::default().with("stage.name", "dev"))
    }

    fn code(code: u16) -> ExpectedStatus {
        ExpectedStatus::Code(code)
    }

    fn class(class: &str) -> ExpectedStatus {
        ExpectedStatus::Class(class.to_owned())
    }

    fn answer(status: u16, body: &str) -> HttpAnswer {
        HttpAnswer {
            status,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    fn why(verdict: Verdict) -> String {
        match verdict {
            Verdict::Passed => "passed".to_owned(),
            Verdict::Failed(why) => why,
            Verdict::Inconclusive(why) => panic!("every response gets a verdict: {why}"),
        }
    }

    #[test]
    fn http_responses_are_judged_by_status_and_body() {
        let any = check(|_| {}).unwrap();
        let only = check(|check| check.expected_status = vec![code(200), code(404)]).unwrap();
        let class = check(|check| check.expected_status = vec![code(200), class("4xx")]).unwrap();
        let with_body = check(|check| check.body_pattern = Some("\"v\": *[2-9]".into())).unwrap();
        let url = "https://shop-dev.example.com/health";
        for (check, answer, expected) in [
            (&any, answer(204, ""), "passed".to_owned()),
            (
                &any,
                answer(301, ""),
                format!("{url} answered 301, not 2xx"),
            ),
            (
                &any,
                answer(503, "Service\n  Unavailable"),
                format!("{url} answered 503, not 2xx: Service Unavailable"),
            ),
            (&only, answer(404, ""), "passed".to_owned()),
            (
                &only,
                answer(204, ""),
                format!("{url} answered 204, not 200 or 404"),
            ),
            (&class, answer(200, ""), "passed".to_owned()),
            (&class, answer(400, ""), "passed".to_owned()),
            (&class, answer(499, ""), "passed".to_owned()),
            (
                &class,
                answer(500, ""),
                format!("{url} answered 500, not 200 or 4xx"),
            ),
            (&with_body, answer(200, "{\"v\": 3}"), "passed".to_owned()),
            (
                &with_body,
                answer(200, "{\"v\": 1}"),
                format!(
                    "{url} answered 200, but nothing in the first 64 KiB matches \"v\": *[2-9]: {{\"v\": 1}}"
                ),
            ),
        ] {
            assert_eq!(why(check.evaluate(&answer)), expected);
        }
    }

    #[test]
    fn redirect_is_followed_unless_its_status_is_expected() {
        assert!(check(|_| {}).unwrap().request().follow_redirects);
        for wanted in [vec![code(200), code(302)], vec![class("3xx")]] {
            let wanted = check(|check| check.expected_status = wanted).unwrap();
            assert!(!wanted.request().follow_redirects);
        }
    }

    #[test]
    fn invalid_check_names_its_field() {
        let url = |url: &str| check(|check| check.url = url.to_owned());
        for (result, field, words) in [
            (url("https://$(stage.nmae)/"), "http.url", "$(stage.nmae)"),
            (url("ftp://example.com/"), "http.url", "http://"),
            (url("https://"), "http.url", "must be a URL"),
            (
                url("https://me:secret@example.com/"),
                "http.url",
                "user and password",
            ),
            (
                check(|check| check.body_pattern = Some("(".into())),
                "http.bodyPattern",
                "unclosed group",
            ),
            (
                check(|check| check.body_pattern = Some("\\w{1000}{1000}".into())),
                "http.bodyPattern",
                "too large a regular expression",
            ),
            (
                check(|check| check.timeout = "soon".into()),
                "http.timeout",
                "duration",
            ),
        ] {
            let error = result.expect_err(words);
            assert_eq!(error.field, field);
            assert!(error.message.contains(words), "{error}");
            assert!(!error.to_string().contains("me:secret"), "{error}");
        }
    }
}
