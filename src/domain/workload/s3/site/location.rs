//! S3 locations: a bucket and a prefix.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::unicode::{escaped, is_composed};
use crate::domain::{digest::Sha256, limits};

/// The most bytes of a key.
pub(super) const MAX_KEY_SIZE: usize = limits::KEY;

/// An S3 location: a bucket and a prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Location {
    /// The bucket's name.
    pub bucket: String,
    /// Empty, or ending in `/`.
    pub prefix: String,
}

impl S3Location {
    /// `docs` and `docs/` are the same prefix. The error names the invalid field, `bucket` or `prefix`, and
    /// the reason.
    pub fn new(bucket: &str, prefix: &str) -> Result<Self, (&'static str, String)> {
        if let Some(why) = limits::bucket(bucket) {
            return Err(("bucket", why));
        }
        let trimmed = prefix.strip_suffix('/').unwrap_or(prefix);
        if !trimmed.is_empty() {
            if let Some(why) = unfit(trimmed) {
                return Err(("prefix", format!("{prefix:?} is not a prefix: {why}")));
            }
            if trimmed.len() >= MAX_KEY_SIZE / 2 {
                let (bytes, limit) = (trimmed.len(), MAX_KEY_SIZE / 2);
                let why = format!("it has {bytes} bytes, more than the limit of {limit}");
                return Err(("prefix", why));
            }
        }
        let prefix = match trimmed {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix,
        })
    }

    /// Parses the displayed form, such as `s3://shop-site/docs/`.
    pub fn parse(shown: &str) -> Option<Self> {
        let (bucket, prefix) = shown.strip_prefix("s3://")?.split_once('/')?;
        Self::new(bucket, prefix).ok()
    }

    /// The key of the file at this path.
    pub fn key(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// The path of the file with this key; `None` if the key is outside of the prefix.
    pub fn path<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(&self.prefix)
            .filter(|path| !path.is_empty())
    }

    /// The object's name in messages. Characters that are not in Unicode's form NFC are escaped as well,
    /// because they look like another key.
    pub fn shown(&self, path: &str) -> String {
        let shown = format!("s3://{}/{}{path}", self.bucket, self.prefix);
        if is_composed(&shown) {
            shown
        } else {
            format!("{shown} ({})", escaped(path))
        }
    }

    /// Whether a key could belong to both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.bucket == other.bucket
            && (self.prefix.starts_with(&other.prefix) || other.prefix.starts_with(&self.prefix))
    }

    /// Identifies the location in the keys of its records: 16 hexadecimal digits.
    pub fn id(&self) -> String {
        let mut digest = Sha256::of_json(self).to_string();
        digest.truncate(16);
        digest
    }
}

impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// Why a path would result in keys that tools do not handle well; `None` if it is fine.
pub(super) fn unfit(path: &str) -> Option<&'static str> {
    if path.contains('\\') {
        Some("it contains a backslash")
    } else if path.chars().any(char::is_control) {
        Some("it contains a control character")
    } else if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        Some("each of its parts must have a name other than . and ..")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(bucket: &str, prefix: &str) -> S3Location {
        S3Location::new(bucket, prefix).expect("valid location")
    }

    #[test]
    fn prefix_is_a_folder() {
        assert_eq!(
            location("shop-site", "docs"),
            location("shop-site", "docs/")
        );
        let docs = location("shop-site", "docs");
        assert_eq!(docs.key("a/b.html"), "docs/a/b.html");
        assert_eq!(docs.path("docs/a/b.html"), Some("a/b.html"));
        assert_eq!(docs.path("docs-old/a"), None);
        assert_eq!(docs.path("docs/"), None);
        assert_eq!(docs.shown("a"), "s3://shop-site/docs/a");
        assert_eq!(docs.shown("\u{e9}"), "s3://shop-site/docs/\u{e9}");
        let decomposed = docs.shown("e\u{301}");
        assert!(decomposed.ends_with("(e\\u{301})"), "{decomposed}");
        let whole = location("shop-site", "");
        assert_eq!(whole.key("a"), "a");
        assert_eq!(whole.to_string(), "s3://shop-site/");
        assert_eq!(S3Location::parse("s3://shop-site/docs/"), Some(docs));
        assert_eq!(S3Location::parse("s3://shop-site/"), Some(whole.clone()));
        assert_eq!(S3Location::parse("shop-site/docs/"), None);
        assert_eq!(location("shop-site", "/"), whole);
    }

    #[test]
    fn invalid_bucket_or_prefix_is_rejected() {
        for bucket in [
            "ab",
            "Shop",
            "-shop",
            "shop-",
            "shop_site",
            "s/p",
            "arn:aws:s3:::x",
        ] {
            let refused = S3Location::new(bucket, "docs").map_err(|(field, _)| field);
            assert_eq!(refused, Err("bucket"), "{bucket}");
        }
        for prefix in ["/a", "a//b", "a/../b", "./a", "a\\b", "a\nb", "//"] {
            let refused = S3Location::new("shop-site", prefix).map_err(|(field, _)| field);
            assert_eq!(refused, Err("prefix"), "{prefix}");
        }
        let long = S3Location::new("shop-site", &"p".repeat(512));
        assert_eq!(long.map_err(|(field, _)| field), Err("prefix"));
    }

    #[test]
    fn s3_locations_overlap_if_they_can_share_a_key() {
        let docs = location("shop-site", "docs");
        assert!(docs.overlaps(&docs));
        assert!(docs.overlaps(&location("shop-site", "")));
        assert!(location("shop-site", "").overlaps(&docs));
        assert!(docs.overlaps(&location("shop-site", "docs/api")));
        assert!(!docs.overlaps(&location("shop-site", "docs-old")));
        assert!(!docs.overlaps(&location("pay-site", "docs")));
        assert_ne!(docs.id(), location("pay-site", "docs").id());
        assert_eq!(docs.id().len(), 16);
    }
}
