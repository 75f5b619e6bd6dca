//! The permissions of a namespace in an account.
//!
//! An [`Account`] has grants. Those whose selector matches the namespace's labels are the namespace's
//! [`Permissions`]. All decisions go through [`Permissions::refusal`]: for a Release before its delivery, for
//! every wave of reads and changes, and for each call of the client for buckets. The permissions also
//! become the session policy of the client.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

#[cfg(test)]
mod tests;

use super::digest::Sha256;
use crate::api::v1alpha1::{Account, Grant};

/// The grants of one account that apply to one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Permissions {
    /// The Account's name.
    pub account: String,
    /// The holder of the permissions.
    pub holder: Holder,
    /// The grants. Each allows its functions to run as its roles, its stacks to be changed with its service
    /// roles, and allows its buckets and parameters.
    pub grants: Vec<Allowed>,
}

/// The holder of permissions. It determines the name of the session in AWS, and the folder of the artifact
/// bucket that the session may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The namespace.
    pub namespace: String,
    /// The Deployment.
    pub deployment: String,
    /// The Target.
    pub target: String,
}

impl Holder {
    /// The Target's folder in the artifact bucket.
    pub fn folder(&self) -> String {
        format!("{}/{}", self.namespace, self.target)
    }

    /// The name of the holder's sessions in AWS, which CloudTrail shows: `sluice.<namespace>.<deployment>`,
    /// at most 64 characters. A longer name is cut and ends in `=` and a digest of the full name. No name
    /// in Kubernetes can contain `=`, so two holders never share a session name.
    pub fn session_name(&self) -> String {
        let name = format!("sluice.{}.{}", self.namespace, self.deployment);
        if name.len() <= SESSION_NAME {
            return name;
        }
        let digest = Sha256::of(name.as_bytes()).to_string();
        let digest = &digest[..DIGEST];
        let room = SESSION_NAME - DIGEST - 1;
        let kept: String = name.chars().take(room).collect();
        format!("{kept}={digest}")
    }
}

/// The maximum length of a session name in STS.
const SESSION_NAME: usize = 64;
/// The number of digits of the digest in a cut name.
const DIGEST: usize = 16;

/// A resource in an account that is read or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// A function with its versions and aliases.
    Function(&'a str),
    /// A function that gets this role (its ARN).
    FunctionWithRole(&'a str, &'a str),
    /// A bucket that files are uploaded to.
    Bucket(&'a str),
    /// A CloudFormation stack (its name or ARN).
    Stack(&'a str),
    /// A stack (its name or ARN) that is changed with this service role (its ARN).
    StackWithRole(&'a str, &'a str),
    /// A stack (its name or ARN) whose files are published through the CDK bootstrap with this qualifier.
    StackWithBootstrap(&'a str, &'a str),
    /// A Systems Manager parameter (its name, perhaps with a version or label) that a template uses.
    Parameter(&'a str),
}

/// The resource as in messages.
impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(name) => write!(f, "function {name}"),
            Self::FunctionWithRole(name, role) => {
                write!(f, "function {name} with role {}", role_name(role))
            }
            Self::Bucket(name) => write!(f, "bucket {name}"),
            Self::Stack(stack) => write!(f, "stack {}", stack_name(stack)),
            Self::StackWithRole(stack, role) => {
                write!(
                    f,
                    "stack {} with role {}",
                    stack_name(stack),
                    role_name(role)
                )
            }
            Self::StackWithBootstrap(stack, qualifier) => {
                write!(
                    f,
                    "stack {} with the CDK qualifier {qualifier}",
                    stack_name(stack)
                )
            }
            Self::Parameter(name) => write!(f, "parameter {name}"),
        }
    }
}

/// The name of a role, path included, as in grants.
pub fn role_name(arn: &str) -> &str {
    arn.split_once(":role/").map_or(arn, |(_, name)| name)
}

/// The name of a stack, of its name or its ARN (`…:stack/<name>/<uuid>`).
pub fn stack_name(stack: &str) -> &str {
    let named = stack.split_once(":stack/").map_or(stack, |(_, rest)| rest);
    named.split_once('/').map_or(named, |(name, _)| name)
}

/// The names of the parameters that AWS publishes for every account begin so. No other parameter may.
const PUBLIC_PARAMETERS: &str = "/aws/";

/// The name of the parameter that has the version of a CDK bootstrap, which templates of CDK check.
pub fn version_parameter(qualifier: &str) -> String {
    format!("/cdk-bootstrap/{qualifier}/version")
}

/// The permissions of one grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Allowed {
    /// Patterns of function names.
    pub functions: Vec<String>,
    /// Patterns of role names, path included.
    pub roles: Vec<String>,
    /// Patterns of bucket names.
    pub buckets: Vec<String>,
    /// Patterns of stack names.
    pub stacks: Vec<String>,
    /// Patterns of the names of stacks' service roles, path included.
    pub stack_roles: Vec<String>,
    /// Patterns of the names of Systems Manager parameters that templates may use.
    pub parameters: Vec<String>,
    /// Qualifiers of CDK bootstraps.
    pub cdk_qualifiers: Vec<String>,
    /// Whether existing, unmanaged functions and stacks may be adopted.
    pub may_adopt: bool,
}

impl Permissions {
    /// The grants of `account` whose selector matches these labels.
    pub fn of(account: &Account, namespace_labels: &BTreeMap<String, String>) -> Self {
        let allowed = |grant: &Grant| Allowed {
            functions: grant.functions.clone(),
            roles: grant.roles.clone(),
            buckets: grant.buckets.clone(),
            stacks: grant.stacks.clone(),
            stack_roles: grant.stack_roles.clone(),
            parameters: grant.parameters.clone(),
            cdk_qualifiers: grant.cdk_qualifiers.clone(),
            may_adopt: grant.may_adopt,
        };
        let grants = account
            .spec
            .grants
            .iter()
            .filter(|grant| selects(&grant.namespace_selector, namespace_labels))
            .map(allowed)
            .collect();
        Self {
            account: account.metadata.name.clone().unwrap_or_default(),
            holder: Holder::default(),
            grants,
        }
    }

    /// The same permissions with this holder.
    #[must_use]
    pub fn with_holder(self, holder: Holder) -> Self {
        Self { holder, ..self }
    }

    /// Why the resource may not be touched; `None` if a grant allows it.
    pub fn refusal(&self, resource: Resource<'_>) -> Option<String> {
        if self.grants.iter().any(|grant| grant.allows(resource)) {
            return None;
        }
        let Self {
            account, holder, ..
        } = self;
        let namespace = &holder.namespace;
        if let Resource::Bucket(bucket) = resource
            && let Some(pattern) = self.unsafe_pattern(bucket)
        {
            return Some(format!(
                "the grant of bucket pattern {pattern:?} in Account {account} allows nothing, because * is \
                 valid only at its end; ask the platform team to name {bucket} in spec.grants"
            ));
        }
        Some(format!(
            "Account {account} has no grant that lets namespace {namespace} use {resource}; ask the platform team to \
             extend its spec.grants"
        ))
    }

    /// Whether a grant allows the adoption of this function.
    pub fn can_adopt_function(&self, function: &str) -> bool {
        let mut grants = self.grants.iter().filter(|grant| grant.may_adopt);
        grants.any(|grant| grant.allows(Resource::Function(function)))
    }

    /// Whether a grant allows the adoption of this stack, to be changed with this service role.
    pub fn can_adopt_stack(&self, stack: &str, role: &str) -> bool {
        let mut grants = self.grants.iter().filter(|grant| grant.may_adopt);
        grants.any(|grant| grant.allows(Resource::StackWithRole(stack, role)))
    }

    /// A pattern that matches this bucket, but is invalid.
    fn unsafe_pattern(&self, bucket: &str) -> Option<&str> {
        let mut patterns = self.grants.iter().flat_map(|grant| &grant.buckets);
        let matching =
            patterns.find(|pattern| !is_bucket_pattern(pattern) && matches(pattern, bucket));
        matching.map(String::as_str)
    }
}

impl Allowed {
    fn allows(&self, resource: Resource<'_>) -> bool {
        let any =
            |patterns: &[String], name: &str| patterns.iter().any(|pattern| matches(pattern, name));
        match resource {
            Resource::Function(function) => any(&self.functions, function),
            Resource::FunctionWithRole(function, role) => {
                any(&self.functions, function) && any(&self.roles, role_name(role))
            }
            Resource::Bucket(bucket) => self
                .buckets
                .iter()
                .any(|pattern| is_bucket_pattern(pattern) && matches(pattern, bucket)),
            Resource::Stack(stack) => any(&self.stacks, stack_name(stack)),
            Resource::StackWithRole(stack, role) => {
                any(&self.stacks, stack_name(stack)) && any(&self.stack_roles, role_name(role))
            }
            Resource::StackWithBootstrap(stack, qualifier) => {
                any(&self.stacks, stack_name(stack))
                    && self.cdk_qualifiers.iter().any(|it| it == qualifier)
            }
            Resource::Parameter(parameter) => {
                let name = parameter.split(':').next().unwrap_or_default();
                let is_version = |qualifier: &String| name == version_parameter(qualifier);
                name.starts_with(PUBLIC_PARAMETERS)
                    || any(&self.parameters, name)
                    || self.cdk_qualifiers.iter().any(is_version)
            }
        }
    }
}

/// Whether a pattern of buckets has `*` at its end only. In a session policy, `*` also matches `/`, so
/// `arn:aws:s3:::*-site` would allow the key `x-site` of every bucket. The CRD of Accounts rejects other
/// patterns; those that were stored before that rule allow nothing.
pub fn is_bucket_pattern(pattern: &str) -> bool {
    !pattern.trim_end_matches('*').contains('*')
}

/// Whether the bucket is an artifact bucket of an Account. Sluice delivers nothing to an artifact bucket,
/// whatever the grants say.
pub fn is_artifact_bucket(account: &Account, bucket: &str) -> bool {
    let mut regions = account.spec.regions.iter();
    regions.any(|region| region.artifact_bucket == bucket)
}

/// Whether `text` matches `pattern`, in which `*` matches any characters, `/` included.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else {
        return rest.is_empty();
    };
    let mut rest = rest;
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether a selector matches labels, as Kubernetes defines it. An unknown operator matches nothing.
pub fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let exact = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    let expressions = selector.match_expressions.iter().flatten().all(|rule| {
        let value = labels.get(&rule.key);
        let listed =
            || value.is_some_and(|value| rule.values.iter().flatten().any(|one| one == value));
        match rule.operator.as_str() {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    });
    exact && expressions
}
