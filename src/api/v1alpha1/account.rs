//! An AWS account: its credentials, its regions, and what namespaces may touch there.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AccountRequires, SecretRef};

/// An AWS account, managed by the platform team.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "Account",
    plural = "accounts",
    shortname = "acct",
    status = "AccountStatus",
    doc = "An AWS account: how Sluice authenticates to it, and what each namespace may touch there.",
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
    /// The 12-digit account ID. Sluice never writes with credentials of another account.
    #[schemars(regex(pattern = r"^[0-9]{12}$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: create another Account"))]
    pub account_id: String,
    /// The regions in use, each with the bucket that stores packages and snapshots.
    #[schemars(length(min = 1, max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub regions: Vec<AccountRegion>,
    /// Endpoint to use instead of the public AWS endpoints, such as a VPC endpoint or an emulator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("isURL(self) && url(self).getScheme() in ['https', 'http']").message("must be an http or https URL"))]
    pub endpoint_url: Option<String>,
    /// How Sluice authenticates to the account.
    pub credentials: Credentials,
    /// Requirements for every stage with a target in this account, in addition to the stage's own gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<AccountRequires>,
    /// The GitLab instances and projects whose Releases may be delivered to this account. Defaults to
    /// all. The delivering team writes the GitLabConnection and can name its own GitLab instance; this
    /// list says which ones the account trusts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub sources: Vec<AllowedSource>,
    /// What each namespace may touch. Without a grant, a namespace may touch nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub grants: Vec<Grant>,
}

/// A GitLab instance, and those of its projects whose Releases may be delivered to an account.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedSource {
    /// URL of the GitLab instance, as in GitLabConnections: `https://gitlab.com`,
    /// `https://git.example.com/gitlab`.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("isURL(self) && url(self).getScheme() in ['https', 'http'] && url(self).getQuery().size() == 0")
        .message("must be an http or https URL without a query"))]
    pub url: String,
    /// Patterns of project paths, such as `shop/*`. `*` matches any characters.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 1024)))]
    pub projects: Vec<String>,
}

impl AccountSpec {
    /// The request rates that the spec sets for a region.
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
    /// Name of the region, such as `eu-west-1`.
    #[schemars(regex(pattern = r"^[a-z]{2,3}(-[a-z]+)+-[0-9]+$"), length(max = 32))]
    pub name: String,
    /// The bucket in this account and region for packages and snapshots. It needs versioning and a
    /// lifecycle rule that aborts incomplete multipart uploads. Deployments can't deliver to it.
    #[schemars(
        regex(pattern = r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$"),
        length(min = 3, max = 63)
    )]
    pub artifact_bucket: String,
    /// Maximum request rates, for accounts whose quota differs from the default or is shared with other
    /// tools. Accounts with the same account ID share the rates of the one that was used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_rates: Option<RequestRates>,
}

/// Requests per second, for all Deployments together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestRates {
    /// Requests to Lambda's control plane, except `GetFunction`. Defaults to 14 of AWS's quota of 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub lambda_control_plane: Option<i32>,
    /// `GetFunction` requests to Lambda. Defaults to 90 of AWS's quota of 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub lambda_get_function: Option<i32>,
    /// Reading requests to CloudFormation. AWS publishes no quota. Defaults to 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub cloud_formation_read: Option<i32>,
    /// Writing requests to CloudFormation. AWS publishes no quota. Defaults to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub cloud_formation_write: Option<i32>,
}

impl RequestRates {
    /// Requests per second to Lambda's control plane, except `GetFunction`.
    pub fn control_plane(rates: Option<&Self>) -> u32 {
        of(rates, |rates| rates.lambda_control_plane, 14)
    }

    /// `GetFunction` requests per second.
    pub fn get_function(rates: Option<&Self>) -> u32 {
        of(rates, |rates| rates.lambda_get_function, 90)
    }

    /// Reading requests per second to CloudFormation.
    pub fn stack_reads(rates: Option<&Self>) -> u32 {
        of(rates, |rates| rates.cloud_formation_read, 5)
    }

    /// Writing requests per second to CloudFormation.
    pub fn stack_writes(rates: Option<&Self>) -> u32 {
        of(rates, |rates| rates.cloud_formation_write, 2)
    }
}

/// The rate that is set, or the one that is safe in any account.
fn of(rates: Option<&RequestRates>, rate: fn(&RequestRates) -> Option<i32>, default: u32) -> u32 {
    let rate = rates.and_then(rate);
    rate.and_then(|rate| rate.try_into().ok())
        .unwrap_or(default)
}

/// How Sluice authenticates to the account: exactly one of the members.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("[has(self.ambient), has(self.accessKey), has(self.webIdentity), has(self.assumeRole)].filter(x, x).size() == 1")
    .message("exactly one of ambient, accessKey, webIdentity and assumeRole must be set"))]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The credentials of the controller's pod: IRSA, EKS Pod Identity, instance profile or environment.
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
    /// The external ID that the role's trust policy expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[\w+=,.@:/-]+$"), length(min = 2, max = 1224))]
    pub external_id: Option<String>,
    /// The Account whose credentials assume the role. Defaults to the controller's own credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub via: Option<String>,
    /// Session tags, for trust and permission policies that evaluate them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50))]
    pub session_tags: BTreeMap<String, String>,
}

/// What a set of namespaces may touch in this account. In patterns, `*` matches any characters; patterns
/// of buckets allow it only at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Selects the namespaces by their labels. `{}` selects all.
    pub namespace_selector: LabelSelector,
    /// Patterns of function names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 140)))]
    pub functions: Vec<String>,
    /// Patterns of the names of the functions' execution roles, path included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)))]
    pub roles: Vec<String>,
    /// Names of buckets that files may be uploaded to, or name prefixes followed by `*`. Anywhere else, a
    /// `*` would let a session policy match keys of other buckets. Artifact buckets are never included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 63), regex(pattern = r"^[^*]*[*]?$"))
    )]
    pub buckets: Vec<String>,
    /// Patterns of the names of CloudFormation stacks. Their nested stacks need no pattern.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z0-9*-]+$"))
    )]
    pub stacks: Vec<String>,
    /// Patterns of the names of the service roles that the stacks may be changed with, path included. Such a
    /// role must trust `cloudformation.amazonaws.com`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)))]
    pub stack_roles: Vec<String>,
    /// Patterns of the names of Systems Manager parameters whose values templates may use
    /// (`AWS::SSM::Parameter::Value`), with their leading `/` if they have one. AWS's public parameters
    /// (`/aws/*`) need no pattern.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 1011)))]
    pub parameters: Vec<String>,
    /// Qualifiers of CDK bootstraps, through whose roles the files of this grant's stacks may be published, such as
    /// `hnb659fds`. Their version parameters (`/cdk-bootstrap/<qualifier>/version`) need no pattern.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        inner(length(min = 1, max = 10), regex(pattern = r"^[A-Za-z0-9_-]+$"))
    )]
    pub cdk_qualifiers: Vec<String>,
    /// Whether components with `adopt` may adopt existing, unmanaged functions and stacks that this grant names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_adopt: bool,
}

/// The observed state of an Account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountStatus {
    /// The generation that this status reflects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The controller's identity, as `GetCallerIdentity` returns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub caller_arn: Option<String>,
    /// `Ready`, `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}
