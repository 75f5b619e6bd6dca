//! Job artifacts: the whole archive in three transports, and single files from it.

use axum::http::{HeaderMap, HeaderName, header};

use super::{
    answer::{Answer, Content},
    call::Call,
    jobs::job,
    storage,
};
use crate::gitlab::{Transport, archive::Entry, model::ProjectId};

/// The whole archive, even if it has expired, until it is cleaned up.
pub fn archive(call: &Call<'_>, project: ProjectId, id: &str) -> Result<Answer, Answer> {
    let found = job(call, project, id)?;
    let archive = found.archive.as_ref().ok_or_else(Answer::nothing)?;
    match call.transport {
        Transport::Disk => Ok(ranged(archive.source.whole(), call.headers)
            .with(header::CONTENT_TYPE, "application/octet-stream")
            .with(
                header::CONTENT_DISPOSITION,
                "attachment; filename=\"artifacts.zip\"",
            )
            .with(
                HeaderName::from_static("content-transfer-encoding"),
                "binary",
            )),
        Transport::Proxied => Ok(ranged(archive.source.whole(), call.headers)
            .with(header::CONTENT_TYPE, "application/zip")),
        Transport::Redirect => {
            let to = storage::signed_url(&call.site.storage, found.id, call.now);
            let text = format!("This resource has been moved temporarily to {to}.");
            Ok(Answer::text(302, "text/plain", text).with(header::LOCATION, to))
        }
    }
}

/// One file, extracted while it is sent: without a length and without ranges.
pub fn file(call: &Call<'_>, project: ProjectId, id: &str, path: &str) -> Result<Answer, Answer> {
    let found = job(call, project, id)?;
    let is_expired = found.artifacts_expire_at.is_some_and(|at| at <= call.now);
    let is_kept = call
        .state
        .pipeline(found.pipeline)
        .is_ok_and(|pipeline| call.state.keeps_artifacts(pipeline));
    let archive = found
        .archive
        .as_ref()
        .filter(|_| !is_expired || is_kept)
        .ok_or_else(Answer::nothing)?;
    if !is_file_path(path) {
        return Err(Answer::message(400, "400 Bad request"));
    }
    let entry = archive
        .source
        .entry(path)
        .ok_or_else(|| Answer::text(404, "text/plain", "Not Found\n"))?;
    Ok(Answer::new(200, Content::Stream(entry)).with(header::CONTENT_TYPE, content_type(path)))
}

fn is_file_path(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("zip") => "application/zip",
        Some("json") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// A file with its length, or the requested range of it.
pub fn ranged(whole: Entry, headers: &HeaderMap) -> Answer {
    let size = whole.size();
    let requested = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok());
    let answer = match requested.and_then(|text| Range::parse(text, size)) {
        None => {
            Answer::new(200, Content::Stream(whole)).with(header::CONTENT_LENGTH, size.to_string())
        }
        Some(Range { first, len: 0 }) if size > 0 || first > 0 => {
            Answer::empty(416).with(header::CONTENT_RANGE, format!("bytes */{size}"))
        }
        Some(Range { first, len }) => Answer::new(206, Content::Stream(whole.part(first, len)))
            .with(header::CONTENT_LENGTH, len.to_string())
            .with(
                header::CONTENT_RANGE,
                format!("bytes {first}-{}/{size}", first + len.max(1) - 1),
            ),
    };
    answer.with(header::ACCEPT_RANGES, "bytes")
}

/// One range of bytes; empty if it is outside of the file.
struct Range {
    first: u64,
    len: u64,
}

impl Range {
    /// Parses one range; `None` for ignored forms, such as several ranges.
    fn parse(text: &str, size: u64) -> Option<Self> {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        if first.is_empty() {
            let len = last.parse::<u64>().ok()?.min(size);
            return Some(Self {
                first: size - len,
                len,
            });
        }
        let first = first.parse().ok()?;
        let end = if last.is_empty() {
            size
        } else {
            size.min(last.parse::<u64>().ok()?.saturating_add(1))
        };
        Some(Self {
            first,
            len: end.saturating_sub(first),
        })
    }
}
