//! Files in an S3 bucket.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Files of an archive, synchronized to a bucket under a prefix. Sluice never touches objects there
/// that it does not own.
///
/// Sluice uploads new files first, changed files next, and HTML documents last. It deletes files that
/// the Release no longer has once the Release serves everywhere in the stage.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3 {
    /// Name of the bucket, in the target's account and region. Takes `$(…)`.
    #[schemars(length(min = 1, max = 140))]
    #[x_kube(validation = Rule::new("self.contains('$(') || self.matches('^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$')")
        .message("must be 3 to 63 lower-case letters, digits, . and -, between letters or digits"))]
    pub bucket: String,
    /// Prefix of the keys, such as `docs/`. Defaults to the whole bucket. Takes `$(…)`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub prefix: String,
    /// Name of the artifact: a zip, such as the whole archive of a job.
    #[schemars(length(min = 1, max = 63))]
    pub artifact: String,
    /// Folder of the archive to upload, such as `public/`. Defaults to the whole archive.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub path: String,
    /// Content types of files whose names don't imply the right one. The first match applies. All other
    /// files get the content type that their names imply, text as UTF-8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["match"]))]
    pub content_types: Vec<ContentType>,
}

/// The content type of some files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContentType {
    /// Pattern of the file's path below `path`, such as `feeds/*.xml`. `*` matches any characters,
    /// including `/`.
    #[serde(rename = "match")]
    #[schemars(length(min = 1, max = 512))]
    pub pattern: String,
    /// The `Content-Type`, such as `application/rss+xml; charset=utf-8`.
    #[schemars(
        regex(
            pattern = r"^[a-zA-Z0-9!#$&^_.+-]+/[a-zA-Z0-9!#$&^_.+-]+( *; *[a-zA-Z0-9!#$&^_.+-]+=[a-zA-Z0-9!#$&^_.+-]+)*$"
        ),
        length(max = 255)
    )]
    pub value: String,
}
