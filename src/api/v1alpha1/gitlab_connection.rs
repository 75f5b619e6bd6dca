//! A GitLab instance and the token to read from it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretKeyRef;

/// A GitLab instance (gitlab.com, Self-Managed or Dedicated) and the token to read from it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "GitLabConnection",
    plural = "gitlabconnections",
    shortname = "glc",
    category = "sluice",
    namespaced,
    status = "GitLabConnectionStatus",
    doc = "A GitLab instance and the token to read from it.",
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "User", type_ = "string", json_path = ".status.user"),
    printcolumn(
        name = "Expires",
        type_ = "string",
        json_path = ".status.tokenExpiresAt"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct GitLabConnectionSpec {
    /// URL of the instance, with its relative root if it has one: `https://gitlab.com`,
    /// `https://git.example.com/gitlab`. The platform team has to allow addresses in private networks.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("isURL(self) && url(self).getScheme() in ['https', 'http'] && url(self).getQuery().size() == 0")
        .message("must be an http or https URL without a query"))]
    pub url: String,
    /// The access token: personal, project, group or service account, with the scope `read_api`
    /// and at least the role Reporter. Its Secret must be marked as a GitLab token: by the label
    /// `sluice.dev/gitlab-token: "true"`, or by the type `sluice.dev/gitlab-token`.
    pub token_secret_ref: SecretKeyRef,
    /// PEM certificates of the CAs to trust, instead of the public ones: at most 300 certificates and
    /// 512 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<SecretKeyRef>,
    /// Maximum requests per minute with this token. The platform team's limit for all connections to one
    /// host applies as well.
    #[serde(default = "default_requests_per_minute")]
    #[schemars(range(min = 1, max = 100_000))]
    pub requests_per_minute: i32,
}

/// The marks of a Secret that holds a GitLab token. Sluice sends no unmarked Secret to a GitLab instance.
pub mod token_secret {
    use std::collections::BTreeMap;

    /// A label with the value [`LABEL_VALUE`].
    pub const LABEL: &str = "sluice.dev/gitlab-token";
    /// The label's value.
    pub const LABEL_VALUE: &str = "true";
    /// The Secret's type.
    pub const TYPE: &str = "sluice.dev/gitlab-token";

    /// Whether a Secret with this type and these labels is marked as a GitLab token.
    pub fn is_token_secret(type_: &str, labels: &BTreeMap<String, String>) -> bool {
        type_ == TYPE || labels.get(LABEL).is_some_and(|value| value == LABEL_VALUE)
    }
}

/// A third of gitlab.com's limit for a user.
fn default_requests_per_minute() -> i32 {
    600
}

/// The observed state of a GitLabConnection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitLabConnectionStatus {
    /// The generation that this status reflects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// GitLab's version, such as `19.1.2-ee`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// The token's user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub user: Option<String>,
    /// The token's scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub scopes: Vec<String>,
    /// The day at whose start (UTC) the token stops working, as `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub token_expires_at: Option<String>,
    /// `Ready`, `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}
