//! An AWS account, how to get into it and who may do what there.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AccountRequires, SecretRef};

/// An AWS account, written by the platform team.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "Account",
    plural = "accounts",
    shortname = "acct",
    status = "AccountStatus",
    doc = "An AWS account: how to get into it, and which namespaces may touch what there.",
    printcolumn(name = "Account-Id", type_ = "string", json_path = ".spec.accountId"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Identity", type_ = "string", json_path = ".status.callerArn"),
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
pub struct AccountSpec {
    /// The twelve digits. Nothing is ever written with credentials of another account.
    #[schemars(regex(pattern = r"^[0-9]{12}$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make another Account"))]
    pub account_id: String,
    /// The regions in use, each with the bucket that keeps packages and snapshots.
    #[schemars(length(min = 1, max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub regions: Vec<AccountRegion>,
    /// Where AWS answers, in place of the public endpoints: emulators, VPC endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("isURL(self) && url(self).getScheme() in ['https', 'http']").message("must be an http or https URL"))]
    pub endpoint_url: Option<String>,
    /// How to get into the account.
    pub credentials: Credentials,
    /// What is asked of every stage with a target here, on top of the stage's own gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<AccountRequires>,
    /// From where Releases may be delivered here; from anywhere where it is left out. A
    /// GitLabConnection is written by the team that delivers, and may name a GitLab of its own: this
    /// says which ones the account trusts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub sources: Vec<AllowedSource>,
    /// Which namespaces may touch what. Without a grant nobody may touch anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub grants: Vec<Grant>,
}

/// A GitLab, and projects of it, whose Releases may be delivered into an account.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedSource {
    /// Where that GitLab is, as GitLabConnections name it: `https://gitlab.com`,
    /// `https://git.example.com/gitlab`.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("isURL(self) && url(self).getScheme() in ['https', 'http'] && url(self).getQuery().size() == 0")
        .message("must be an http or https URL without a query"))]
    pub url: String,
    /// Patterns of project paths, such as `shop/*`; `*` stands for any characters.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 1024)))]
    pub projects: Vec<String>,
}

impl AccountSpec {
    /// What it says about the requests of a region.
    pub fn request_rates(&self, region: &str) -> Option<&RequestRates> {
        let mut regions = self.regions.iter();
        let listed = regions.find(|listed| listed.name == region);
        listed.and_then(|listed| listed.request_rates.as_ref())
    }
}

/// A region in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountRegion {
    /// Such as `eu-west-1`.
    #[schemars(regex(pattern = r"^[a-z]{2,3}(-[a-z]+)+-[0-9]+$"), length(max = 32))]
    pub name: String,
    /// The bucket in this account and region for packages and snapshots: versioning on, and a
    /// lifecycle rule that aborts incomplete multipart uploads. Never a deployment's target.
    #[schemars(
        regex(pattern = r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$"),
        length(min = 3, max = 63)
    )]
    pub artifact_bucket: String,
    /// How many requests a second are sent there at most, where AWS granted another quota than usual or other
    /// tools need a part of it. Accounts of one account id share what the one says that was used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_rates: Option<RequestRates>,
}

/// Requests a second, for all Deployments together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestRates {
    /// To the control plane of Lambda, `GetFunction` apart: 14 where it is left out, of AWS's 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub lambda_control_plane: Option<i32>,
    /// `GetFunction` of Lambda: 90 where it is left out, of AWS's 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub lambda_get_function: Option<i32>,
}

impl RequestRates {
    /// Requests a second to the control plane of Lambda, `GetFunction` apart.
    pub fn control_plane(said: Option<&Self>) -> u32 {
        let said = said.and_then(|rates| rates.lambda_control_plane);
        said.and_then(|rate| rate.try_into().ok()).unwrap_or(14)
    }

    /// `GetFunction` requests a second.
    pub fn get_function(said: Option<&Self>) -> u32 {
        let said = said.and_then(|rates| rates.lambda_get_function);
        said.and_then(|rate| rate.try_into().ok()).unwrap_or(90)
    }
}

/// How to get into the account: exactly one of these.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("[has(self.ambient), has(self.accessKey), has(self.webIdentity), has(self.assumeRole)].filter(x, x).size() == 1")
    .message("exactly one of ambient, accessKey, webIdentity and assumeRole must be set"))]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// What the controller's pod has: IRSA, EKS Pod Identity, instance profile, environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ambient: Option<Ambient>,
    /// A long-lived access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key: Option<AccessKey>,
    /// A role that trusts the cluster's OIDC issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_identity: Option<WebIdentity>,
    /// A role that trusts another Account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,
}

/// No settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ambient {}

/// A long-lived access key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessKey {
    /// A Secret in the controller's namespace with the keys `AWS_ACCESS_KEY_ID` and
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_ref: SecretRef,
}

/// A role that trusts the cluster's OIDC issuer, assumed with a token of the controller's
/// ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebIdentity {
    /// ARN of the role.
    #[schemars(
        regex(pattern = r"^arn:[a-z-]+:iam::[0-9]{12}:role/.+$"),
        length(max = 2048)
    )]
    pub role_arn: String,
    /// The audience that the role's trust policy expects.
    #[serde(default = "default_audience")]
    #[schemars(length(min = 1, max = 255))]
    pub audience: String,
}

fn default_audience() -> String {
    "sts.amazonaws.com".to_owned()
}

/// A role that trusts another Account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssumeRole {
    /// ARN of the role.
    #[schemars(
        regex(pattern = r"^arn:[a-z-]+:iam::[0-9]{12}:role/.+$"),
        length(max = 2048)
    )]
    pub role_arn: String,
    /// The external id that the role's trust policy expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[\w+=,.@:/-]+$"), length(min = 2, max = 1224))]
    pub external_id: Option<String>,
    /// The Account whose credentials assume the role; the controller's own where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub via: Option<String>,
    /// Session tags, for trust and permission policies that look at them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50))]
    pub session_tags: BTreeMap<String, String>,
}

/// What a set of namespaces may touch in this account. Patterns take `*` for any characters, those of
/// buckets at the end only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The namespaces, by their labels; `{}` is all of them.
    pub namespace_selector: LabelSelector,
    /// Patterns of function names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 140)))]
    pub functions: Vec<String>,
    /// Patterns of the names of roles that those functions may run as, path included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)))]
    pub roles: Vec<String>,
    /// Names of buckets that files may be put into, or what their names begin with and a `*`: elsewhere
    /// `*` would let a session's policy reach into the keys of other buckets. Artifact buckets are never
    /// among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 63), regex(pattern = r"^[^*]*[*]?$"))
    )]
    pub buckets: Vec<String>,
    /// Components with `adopt` may take over functions that this grant names, and that exist and are
    /// nobody's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_adopt: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Who `GetCallerIdentity` says the controller is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub caller_arn: Option<String>,
    /// `Ready`, `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}
