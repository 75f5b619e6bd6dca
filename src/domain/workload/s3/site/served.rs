//! How a file is served: its content type and encoding, by its name and the spec.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{api::v1alpha1::ContentType, domain::grants::matches};

/// The content type of files without a known name or extension.
const BYTES: &str = "application/octet-stream";

/// Content types of files without an extension, by the end of their path: clients expect these (RFC 8615
/// and the documents that register the names).
const WELL_KNOWN: [(&str, &str); 11] = [
    ("apple-app-site-association", "application/json"),
    (
        "apple-developer-domain-association",
        "text/plain; charset=utf-8",
    ),
    (
        "apple-developer-merchantid-domain-association",
        "text/plain; charset=utf-8",
    ),
    (".well-known/host-meta", "application/xrd+xml"),
    (".well-known/matrix/client", "application/json"),
    (".well-known/matrix/server", "application/json"),
    (".well-known/nodeinfo", "application/json"),
    (".well-known/oauth-authorization-server", "application/json"),
    (".well-known/oauth-protected-resource", "application/json"),
    (".well-known/openid-configuration", "application/json"),
    (".well-known/webfinger", "application/jrd+json"),
];

/// Extensions of HTML documents.
const DOCUMENTS: [&str; 5] = ["html", "htm", "xhtml", "xht", "shtml"];

/// Content types of HTML documents.
const DOCUMENT_TYPES: [&str; 2] = ["text/html", "application/xhtml+xml"];

/// How a file is served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Served {
    /// `Content-Type`.
    pub content_type: String,
    /// `Content-Encoding`, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
}

impl Served {
    /// By a file's name, and by the first of `types` that matches it.
    pub fn of(path: &str, types: &[ContentType]) -> Self {
        let specified = types.iter().find(|one| matches(&one.pattern, path));
        let content_type = match specified {
            Some(specified) => specified.value.clone(),
            None => by_name(path),
        };
        // A compressed SVG: browsers decompress it if Content-Encoding says so.
        let packed = specified.is_none() && has_extension(path, "svgz");
        Self {
            content_type,
            content_encoding: packed.then(|| "gzip".to_owned()),
        }
    }

    /// Whether it is an HTML document, which users open directly, so that it changes last.
    pub fn is_document(&self) -> bool {
        DOCUMENT_TYPES.contains(&essence(&self.content_type))
    }
}

/// A content type without its parameters.
pub(super) fn essence(content_type: &str) -> &str {
    let (essence, _) = content_type.split_once(';').unwrap_or((content_type, ""));
    essence.trim_end()
}

/// Whether a file is an HTML document by its name: users open it directly and it links others, so that it
/// changes last.
pub fn is_entry_document(path: &str) -> bool {
    DOCUMENTS.iter().any(|one| has_extension(path, one))
}

fn by_name(path: &str) -> String {
    let well_known = WELL_KNOWN.iter().find(|(name, _)| {
        let before = path.strip_suffix(name);
        before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
    });
    if let Some((_, content_type)) = well_known {
        return (*content_type).to_owned();
    }
    let guessed = mime_guess::from_path(path).first_raw().unwrap_or(BYTES);
    // Without a charset, browsers guess by the user's language.
    if guessed.starts_with("text/") {
        format!("{guessed}; charset=utf-8")
    } else {
        guessed.to_owned()
    }
}

fn has_extension(path: &str, wanted: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content_type(path: &str) -> String {
        Served::of(path, &[]).content_type
    }

    #[test]
    fn content_type_follows_the_file_name() {
        for (path, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b/INDEX.HTML", "text/html; charset=utf-8"),
            ("about.htm", "text/html; charset=utf-8"),
            ("legal.xhtml", "application/xhtml+xml"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "application/javascript"),
            ("style.css", "text/css; charset=utf-8"),
            ("data.json", "application/json"),
            ("app.js.map", "text/plain; charset=utf-8"),
            ("site.webmanifest", "application/manifest+json"),
            ("logo.svg", "image/svg+xml"),
            ("logo.png", "image/png"),
            ("photo.webp", "image/webp"),
            ("favicon.ico", "image/x-icon"),
            ("font.woff2", "font/woff2"),
            ("module.wasm", "application/wasm"),
            ("robots.txt", "text/plain; charset=utf-8"),
            ("sitemap.xml", "text/xml; charset=utf-8"),
            ("sitemap.xml.gz", "application/gzip"),
            (".well-known/apple-app-site-association", "application/json"),
            ("apple-app-site-association", "application/json"),
            ("not-apple-app-site-association", BYTES),
            (".well-known/openid-configuration", "application/json"),
            ("openid-configuration", BYTES),
            ("LICENSE", BYTES),
            ("html", BYTES),
            ("v1.2/LICENSE", BYTES),
        ] {
            assert_eq!(content_type(path), expected, "{path}");
        }
    }

    #[test]
    fn compressed_svg_has_content_encoding_gzip() {
        let served = Served::of("a/LOGO.svgz", &[]);
        assert_eq!(served.content_type, "image/svg+xml");
        assert_eq!(served.content_encoding.as_deref(), Some("gzip"));
        assert_eq!(Served::of("a/logo.svg", &[]).content_encoding, None);
    }

    #[test]
    fn first_matching_pattern_sets_the_content_type() {
        let types = [
            ("feeds/*", "application/rss+xml"),
            ("*.xml", "application/xml"),
        ];
        let types = types.map(|(pattern, value)| ContentType {
            pattern: pattern.into(),
            value: value.into(),
        });
        for (path, expected) in [
            ("feeds/news.xml", "application/rss+xml"),
            ("a/b.xml", "application/xml"),
            ("a/b.css", "text/css; charset=utf-8"),
        ] {
            assert_eq!(Served::of(path, &types).content_type, expected, "{path}");
        }
    }

    #[test]
    fn html_documents_are_recognised_by_name_or_type() {
        for path in ["index.html", "a/404.HTML", "about.htm", "legal.xhtml"] {
            assert!(is_entry_document(path), "{path}");
            assert!(Served::of(path, &[]).is_document(), "{path}");
        }
        for path in ["index.htm.js", "a.html/style.css", "app.js", "html"] {
            assert!(!is_entry_document(path), "{path}");
            assert!(!Served::of(path, &[]).is_document(), "{path}");
        }
        let types = [ContentType {
            pattern: "pages/*".into(),
            value: "text/html ; charset=utf-8".into(),
        }];
        assert!(Served::of("pages/about", &types).is_document());
    }
}
