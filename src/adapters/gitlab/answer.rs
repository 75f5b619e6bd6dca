//! Reads and parses responses of the API within bounds.
//!
//! Guarantees
//! - Reading stops at [`ANSWER_BYTES`] and [`VALUES`] of a response, and at the requested number of rows of a
//!   list, whatever the response announces.
//! - The process reads a bounded number of responses at a time, fewer per namespace, and only a few that are
//!   larger than [`SMALL`]. This bounds its memory.
//! - The content of a response is never shown, except GitLab's own errors.

use std::sync::Arc;

use reqwest::{
    Response,
    header::{HeaderMap, HeaderName, LINK},
};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::{
    address::Address,
    errors::{Call, causes},
};
use crate::{
    fair_semaphore::FairSemaphore,
    ports::{CallError, CallErrorKind},
};

/// The most bytes of a response. A hundred jobs have some 300 KiB, and more with a long commit message, which
/// each of them repeats.
const ANSWER_BYTES: usize = 8 << 20;
/// The most bytes that are read of an error response.
const REFUSAL_BYTES: usize = 64 << 10;
/// The most values in a response: a short value takes many times its bytes once it is parsed. A hundred jobs
/// have some ten thousand.
const VALUES: usize = 200_000;
/// Most responses have at most this many bytes.
const SMALL: usize = 256 << 10;
/// How many responses are read at a time: in all, and of one namespace.
const READ: (usize, usize) = (64, 16);
/// The same for responses that are larger than [`SMALL`].
const LARGE: (usize, usize) = (4, 2);
/// The rows of a page if the request does not say.
const DEFAULT_ROWS: usize = 20;
/// The most rows of a page.
const MAX_ROWS: usize = 100;

/// Reads responses; shared by all clients.
#[derive(Clone)]
pub struct Reader {
    read: Arc<FairSemaphore>,
    large: Arc<FairSemaphore>,
}

/// Why a response was not read to its end.
enum Problem {
    Rows(usize),
    Values,
    Bytes,
    BrokeOff(String),
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            read: FairSemaphore::new(READ.0, READ.1),
            large: FairSemaphore::new(LARGE.0, LARGE.1),
        }
    }
}

impl Reader {
    /// Reads the whole response to a request for `path`.
    pub async fn answer(
        &self,
        call: &Call,
        namespace: &str,
        path: &str,
        response: Response,
    ) -> Result<Vec<u8>, CallError> {
        let rows = asked_rows(path);
        let too_large = |message: String| call.error(CallErrorKind::TooLarge, message);
        let read = self.read(response, namespace, rows).await;
        read.map_err(|problem| match problem {
            Problem::Rows(rows) => too_large(format!(
                "the response lists more than the {rows} requested rows, so reading stopped"
            )),
            Problem::Values => too_large(format!(
                "the response has more than the limit of {VALUES} values, so reading stopped"
            )),
            Problem::Bytes => too_large(format!(
                "the response has more than the limit of {ANSWER_BYTES} bytes, so reading stopped"
            )),
            Problem::BrokeOff(problem) => call.error(CallErrorKind::Unavailable, problem),
        })
    }

    async fn read(
        &self,
        mut response: Response,
        namespace: &str,
        rows: usize,
    ) -> Result<Vec<u8>, Problem> {
        let _turn = self.read.acquire(namespace).await;
        let mut bytes = Vec::new();
        let mut counter = Counter::default();
        let mut permit = None;
        while let Some(chunk) = response.chunk().await.map_err(broke_off)? {
            if bytes.len() + chunk.len() > ANSWER_BYTES {
                return Err(Problem::Bytes);
            }
            counter.count(&chunk);
            if counter.rows > rows {
                return Err(Problem::Rows(rows));
            }
            if counter.separators >= VALUES {
                return Err(Problem::Values);
            }
            if bytes.len() + chunk.len() > SMALL && permit.is_none() {
                permit = Some(self.large.acquire(namespace).await);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// Reads the beginning of an error response, or what arrived of it if it broke off.
pub async fn refusal(mut response: Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < REFUSAL_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        let wanted = chunk.len().min(REFUSAL_BYTES - bytes.len());
        bytes.extend_from_slice(&chunk[..wanted]);
    }
    bytes
}

fn broke_off(error: reqwest::Error) -> Problem {
    Problem::BrokeOff(if error.is_timeout() {
        "the response was not complete in time".to_owned()
    } else {
        causes(&error.without_url())
    })
}

/// How many rows a request asks for.
fn asked_rows(path: &str) -> usize {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let rows = query
        .split('&')
        .find_map(|part| part.strip_prefix("per_page="));
    let rows = rows.and_then(|rows| rows.parse().ok());
    // The path of a next page comes from GitLab, with any `per_page`.
    rows.unwrap_or(DEFAULT_ROWS).min(MAX_ROWS)
}

/// Counts rows and values of JSON from its bytes as they arrive, without keeping any.
#[derive(Default)]
struct Counter {
    depth: usize,
    text: Text,
    /// The response is an array.
    is_list: bool,
    /// The current row has begun.
    in_row: bool,
    /// How many rows have begun; 0 unless the response is an array.
    rows: usize,
    /// How many commas separate values, at any depth.
    separators: usize,
}

/// Where a byte is relative to a JSON string.
#[derive(Default)]
enum Text {
    #[default]
    Outside,
    Inside,
    AfterBackslash,
}

impl Counter {
    fn count(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.take(*byte);
        }
    }

    fn take(&mut self, byte: u8) {
        match (&self.text, byte) {
            (Text::Outside, _) => {}
            (Text::Inside, b'\\') => return self.text = Text::AfterBackslash,
            (Text::Inside, b'"') => return self.text = Text::Outside,
            (Text::Inside, _) => return,
            (Text::AfterBackslash, _) => return self.text = Text::Inside,
        }
        let outermost = self.depth == 1;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return,
            b'[' | b'{' => {
                self.is_list |= self.depth == 0 && byte == b'[';
                self.depth += 1;
            }
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            b'"' => self.text = Text::Inside,
            b',' => self.separators += 1,
            _ => {}
        }
        if !(self.is_list && outermost) {
            return;
        }
        if byte == b',' {
            self.in_row = false;
        } else if byte != b']' && !self.in_row {
            self.in_row = true;
            self.rows += 1;
        }
    }
}

/// Parses a response.
pub fn parse<T: DeserializeOwned>(call: &Call, bytes: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'<') {
            return call.error(
                CallErrorKind::Unavailable,
                "a web page instead of an API response: spec.url of the GitLabConnection has \
                 to be the address of GitLab with its relative root, and nothing in front of it \
                 may ask for a login",
            );
        }
        // Not serde's own message: it quotes the response, which may be another service's.
        let what = match error.classify() {
            Category::Data => "has other fields than GitLab's API",
            Category::Eof => "ends too early",
            Category::Io | Category::Syntax => "is not JSON",
        };
        let (line, column) = (error.line(), error.column());
        call.error(
            CallErrorKind::Unavailable,
            format!("a response that can't be read: it {what} (line {line}, column {column})"),
        )
    })
}

/// The path of the next page. Only the query of a `Link` is used: its host is the instance's own name, which
/// may differ from the connection's.
pub fn next_page(address: &Address, path: &str, headers: &HeaderMap) -> Option<String> {
    let (bare, query) = path.split_once('?').unwrap_or((path, ""));
    if let Some(page) = text(headers, &HeaderName::from_static("x-next-page")) {
        let page: u32 = page.trim().parse().ok()?;
        let kept = query
            .split('&')
            .filter(|part| !part.is_empty() && !part.starts_with("page="));
        let query: Vec<&str> = kept.collect();
        let separator = if query.is_empty() { "" } else { "&" };
        return Some(format!("{bare}?{}{separator}page={page}", query.join("&")));
    }
    let link = text(headers, &LINK)?;
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let target = next.trim().strip_prefix('<')?.split_once('>')?.0;
    let target = address.of(path).join(target).ok()?;
    Some(format!("{bare}?{}", target.query()?))
}

/// A header as text.
pub fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed assumption ends the test")]

    use reqwest::header::HeaderValue;

    use super::*;

    fn next(path: &str, headers: &[(&'static str, &'static str)]) -> Option<String> {
        let address = Address::parse("http://inside/gitlab").unwrap();
        let headers = (headers.iter())
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        next_page(&address, path, &headers)
    }

    #[test]
    fn next_page_stays_on_the_configured_address() {
        let path = "/projects/7/x?per_page=100&page=2";
        let link = (
            "link",
            "<https://git.example.com/gitlab/api/v4/projects/7/x?page=1>; \
                     rel=\"first\", <https://git.example.com/y?page=3&per_page=100>; rel=\"next\"",
        );
        let page = |headers: &[_]| next(path, headers);
        let third = Some("/projects/7/x?per_page=100&page=3".to_owned());
        assert_eq!(page(&[("x-next-page", "3")]), third);
        assert_eq!(page(&[("x-next-page", ""), link]), None);
        let third = Some("/projects/7/x?page=3&per_page=100".to_owned());
        assert_eq!(page(&[link]), third);
        assert_eq!(page(&[]), None);
        assert_eq!(
            next("/x", &[("x-next-page", "2")]).as_deref(),
            Some("/x?page=2")
        );
    }

    #[test]
    fn rows_are_counted_across_chunks_and_nested_values() {
        let table = [
            ("", 0),
            ("[]", 0),
            (" [ ] ", 0),
            (r#"{"a": [1, 2, 3]}"#, 0),
            ("[1]", 1),
            ("[null, true ,-1.5e3]", 3),
            (r#"["a,b", "c\",", "\\", ""]"#, 4),
            (r#"[{"a": [1, 2], "b": {"c": ","}}, [1, 2, [3]], {}]"#, 3),
            (r#"[{"text": "], ["}, {"text": "\\\"]"}]"#, 2),
        ];
        for (json, rows) in table {
            let mut counter = Counter::default();
            counter.count(json.as_bytes());
            assert_eq!(counter.rows, rows, "{json}");
            let mut counter = Counter::default();
            for byte in json.as_bytes() {
                counter.count(std::slice::from_ref(byte));
            }
            assert_eq!(counter.rows, rows, "{json} byte by byte");
        }
    }

    #[test]
    fn values_are_counted_at_any_depth_but_not_inside_strings() {
        let mut counter = Counter::default();
        counter.count(br#"{"a": ["1,2", [3, 4]], "b": "\",,"}"#);
        assert_eq!(counter.separators, 3);
    }

    #[test]
    fn requested_rows_are_read_from_the_path_and_capped() {
        assert_eq!(
            asked_rows("/projects/7/pipelines?ref=main&per_page=100&page=2"),
            100
        );
        assert_eq!(asked_rows("/projects/7"), DEFAULT_ROWS);
        assert_eq!(asked_rows("/projects/7/jobs?per_page=500000"), MAX_ROWS);
    }

    #[test]
    fn unreadable_response_is_not_quoted() {
        let call = Call {
            operation: "GET /version",
            resource: String::new(),
            token: String::new(),
        };
        for (answer, words) in [
            (r#"{"id": "s3cret"}"#, "other fields"),
            ("s3cret: yes", "not JSON"),
            (r#"{"id": "s3cret"#, "too early"),
            ("  <html>s3cret</html>", "a web page"),
        ] {
            let error = parse::<std::collections::BTreeMap<String, i64>>(&call, answer.as_bytes());
            let error = error.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
