//! Files in an S3 bucket.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An archive's files, kept in step with a bucket under a prefix. What lies there and is not
/// Sluice's is never touched.
///
/// New files are put first, changed ones next, HTML documents last. What the Release no longer has
/// is removed once it serves everywhere in the stage.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3 {
    /// Name of the bucket, in the target's account and region. Takes `$(…)`.
    #[schemars(length(min = 1, max = 140))]
    #[x_kube(validation = Rule::new("self.contains('$(') || self.matches('^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$')")
        .message("must be 3 to 63 lower-case letters, digits, . and -, between letters or digits"))]
    pub bucket: String,
    /// What the keys begin with, such as `docs/`; the whole bucket where it is left out. Takes `$(…)`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub prefix: String,
    /// Name of the artifact: a zip, such as the whole archive of a job.
    #[schemars(length(min = 1, max = 63))]
    pub artifact: String,
    /// The folder of the archive that is taken, such as `public/`; all of it where it is left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub path: String,
    /// What files are served as whose names don't tell, or tell wrong: the first that matches decides.
    /// All others go by their names, text as UTF-8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["match"]))]
    pub content_types: Vec<ContentType>,
}

/// What some files are served as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContentType {
    /// Which: their path below `path`, in which `*` stands for any characters, `/` included, such as
    /// `feeds/*.xml`.
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
