//! What is deployed: functions, and files in buckets.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing to deploy: a function, or files in a bucket.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.dependsOn) || !(self.name in self.dependsOn)")
        .message("a component can't depend on itself"),
    validation = Rule::new("has(self.lambda) != has(self.s3)")
        .message("exactly one of lambda and s3 must be set"),
    validation = Rule::new("!has(self.adopt) || !self.adopt || has(self.lambda)")
        .message("adopt is for functions: files of others in a bucket are never taken over"),
    validation = Rule::new("!has(self.allowUnqualified) || !self.allowUnqualified || (has(self.adopt) && self.adopt)")
        .message("allowUnqualified is for a function that is taken over: set adopt too, or leave it out")
)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// How checks and overrides refer to it.
    #[schemars(regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"), length(max = 63))]
    pub name: String,
    /// Names of components that must serve before this one is prepared. Components with nothing
    /// between them move together: all are prepared before any gets traffic.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 63)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub depends_on: Vec<String>,
    /// Takes over a function that exists and is nobody's, where a grant of the Account has `mayAdopt`.
    /// What belongs to another Deployment is never taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopt: bool,
    /// Takes it over also where it is invoked without a version or alias: by a permission on the function
    /// itself, a function URL or an event source. These get new code before it is checked, as soon as
    /// `$LATEST` has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_unqualified: bool,
    /// A Lambda function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lambda: Option<Lambda>,
    /// Files in an S3 bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
}

impl Component {
    /// Name of the artifact that it is made from.
    pub fn artifact(&self) -> Option<&str> {
        let function = self.lambda.as_ref().map(|lambda| &lambda.artifact);
        let site = || self.s3.as_ref().map(|s3| &s3.artifact);
        function.or_else(site).map(String::as_str)
    }
}

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

/// A Lambda function with an alias that serves.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lambda {
    /// Name of the function. Takes `$(…)`.
    #[schemars(length(min = 1, max = 140))]
    #[x_kube(validation = Rule::new("self.contains('$(') || self.matches('^[a-zA-Z0-9_-]{1,64}$')")
        .message("must be 1 to 64 letters, digits, - and _"))]
    pub function_name: String,
    /// Name of the artifact: a zip as Lambda takes it.
    #[schemars(length(min = 1, max = 63))]
    pub artifact: String,
    /// Lambda's identifier of the runtime, such as `python3.13` or `provided.al2023`.
    #[schemars(length(min = 1, max = 64))]
    pub runtime: String,
    /// Such as `app.handler`.
    #[schemars(length(min = 1, max = 128))]
    pub handler: String,
    /// Name (with path) or ARN of the execution role. Takes `$(…)`.
    #[schemars(length(min = 1, max = 768))]
    #[x_kube(validation = Rule::new("self.contains('$(') || self.matches('^(arn:[a-z-]+:iam::[0-9]{12}:role/)?([!-~]+/)?[a-zA-Z0-9_+=,.@-]{1,64}$')")
        .message("must be the name of a role, with its path if it has one, or its ARN"))]
    pub role: String,
    /// The alias that serves: what callers should invoke.
    #[serde(default = "default_alias")]
    #[schemars(
        regex(pattern = r"^[a-zA-Z0-9_-]*[a-zA-Z_-][a-zA-Z0-9_-]*$"),
        length(min = 1, max = 128)
    )]
    pub alias: String,
    /// Memory in MiB.
    #[serde(default = "default_memory_size")]
    #[schemars(range(min = 128, max = 10240))]
    pub memory_size: i32,
    /// How long an invocation may take, in seconds.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 1, max = 900))]
    pub timeout: i32,
    /// The instruction set.
    #[serde(default)]
    pub architecture: Architecture,
    /// Environment variables. Values take `$(…)`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 256,
        "additionalProperties" = {"type": "string", "maxLength": 4096}
    ))]
    #[x_kube(
        validation = Rule::new("self.all(k, k.matches('^[a-zA-Z][a-zA-Z0-9_]+$'))")
            .message("names must be letters, digits and _, at least two, beginning with a letter"),
        validation = Rule::new("!['AWS_ACCESS_KEY', 'AWS_ACCESS_KEY_ID', 'AWS_DEFAULT_REGION', 'AWS_EXECUTION_ENV', 'AWS_LAMBDA_FUNCTION_MEMORY_SIZE', 'AWS_LAMBDA_FUNCTION_NAME', 'AWS_LAMBDA_FUNCTION_VERSION', 'AWS_LAMBDA_INITIALIZATION_TYPE', 'AWS_LAMBDA_LOG_GROUP_NAME', 'AWS_LAMBDA_LOG_STREAM_NAME', 'AWS_LAMBDA_RUNTIME_API', 'AWS_REGION', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'LAMBDA_RUNTIME_DIR', 'LAMBDA_TASK_ROOT'].exists(r, r in self)")
            .message("Lambda sets the variables that it reserves itself, such as AWS_REGION and AWS_SESSION_TOKEN")
    )]
    pub environment: BTreeMap<String, String>,
    /// What the function is for. Takes `$(…)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// Tags of the function, besides those that Sluice sets. A tag that leaves this map leaves the function;
    /// tags that others set stay. Values take `$(…)`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 40,
        "additionalProperties" = {"type": "string", "maxLength": 1024}
    ))]
    #[x_kube(
        validation = Rule::new("self.all(k, !k.startsWith('sluice.dev/') && !k.startsWith('aws:'))")
            .message("the prefixes sluice.dev/ and aws: are taken"),
        validation = Rule::new("self.all(k, k.size() <= 128 && k.matches('^[\\\\p{L}\\\\p{Z}\\\\p{N}_.:/=+@-]+$'))")
            .message("keys must be 1 to 128 letters, digits, spaces and _ . : / = + - @")
    )]
    pub tags: BTreeMap<String, String>,
}

fn default_alias() -> String {
    "live".to_owned()
}

fn default_memory_size() -> i32 {
    128
}

fn default_timeout() -> i32 {
    3
}

/// Lambda's instruction sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// 64-bit x86.
    #[default]
    X86_64,
    /// 64-bit ARM (Graviton).
    Arm64,
}

impl Architecture {
    /// Lambda's own word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

/// What is different for one component in one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    /// Name of the component.
    #[schemars(length(min = 1, max = 63))]
    pub component: String,
    /// For a Lambda function.
    pub lambda: LambdaOverride,
}

/// Settings of a function that may differ from stage to stage.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LambdaOverride {
    /// In place of the component's role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 768))]
    #[x_kube(validation = Rule::new("self.contains('$(') || self.matches('^(arn:[a-z-]+:iam::[0-9]{12}:role/)?([!-~]+/)?[a-zA-Z0-9_+=,.@-]{1,64}$')")
        .message("must be the name of a role, with its path if it has one, or its ARN"))]
    pub role: Option<String>,
    /// In place of the component's memory, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 128, max = 10240))]
    pub memory_size: Option<i32>,
    /// In place of the component's timeout, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 900))]
    pub timeout: Option<i32>,
    /// Added to the component's variables, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 256,
        "additionalProperties" = {"type": "string", "maxLength": 4096}
    ))]
    #[x_kube(
        validation = Rule::new("self.all(k, k.matches('^[a-zA-Z][a-zA-Z0-9_]+$'))")
            .message("names must be letters, digits and _, at least two, beginning with a letter"),
        validation = Rule::new("!['AWS_ACCESS_KEY', 'AWS_ACCESS_KEY_ID', 'AWS_DEFAULT_REGION', 'AWS_EXECUTION_ENV', 'AWS_LAMBDA_FUNCTION_MEMORY_SIZE', 'AWS_LAMBDA_FUNCTION_NAME', 'AWS_LAMBDA_FUNCTION_VERSION', 'AWS_LAMBDA_INITIALIZATION_TYPE', 'AWS_LAMBDA_LOG_GROUP_NAME', 'AWS_LAMBDA_LOG_STREAM_NAME', 'AWS_LAMBDA_RUNTIME_API', 'AWS_REGION', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'LAMBDA_RUNTIME_DIR', 'LAMBDA_TASK_ROOT'].exists(r, r in self)")
            .message("Lambda sets the variables that it reserves itself, such as AWS_REGION and AWS_SESSION_TOKEN")
    )]
    pub environment: BTreeMap<String, String>,
    /// In place of the component's description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// Added to the component's tags, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 40,
        "additionalProperties" = {"type": "string", "maxLength": 1024}
    ))]
    #[x_kube(
        validation = Rule::new("self.all(k, !k.startsWith('sluice.dev/') && !k.startsWith('aws:'))")
            .message("the prefixes sluice.dev/ and aws: are taken"),
        validation = Rule::new("self.all(k, k.size() <= 128 && k.matches('^[\\\\p{L}\\\\p{Z}\\\\p{N}_.:/=+@-]+$'))")
            .message("keys must be 1 to 128 letters, digits, spaces and _ . : / = + - @")
    )]
    pub tags: BTreeMap<String, String>,
}
