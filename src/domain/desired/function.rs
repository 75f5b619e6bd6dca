//! A component that is a Lambda function.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::{Invalid, Scope};
use crate::{
    api::v1alpha1::{
        Expectation, InvokeCheck, Lambda, LambdaOverride, PinnedArtifact, StoreLocation,
    },
    domain::{
        archive, digest::Sha256, duration::duration, function::FunctionConfiguration,
        grants::Resource, ownership::Adoption, substitution::UnknownName,
    },
};

/// A function as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredFunction {
    /// The component's name.
    pub component: String,
    /// The function's name.
    pub function_name: String,
    /// The alias that serves.
    pub alias: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// Digest of the package.
    pub code_sha256: Sha256,
    /// Where the package is kept in the hub.
    pub package: StoreLocation,
    /// The settings that belong to a version.
    pub configuration: FunctionConfiguration,
    /// The user's tags and ours.
    pub tags: BTreeMap<String, String>,
    /// Whether it is taken over where it exists and is nobody's.
    pub adoption: Adoption,
    /// What must hold on the version before traffic, and through the alias after.
    pub checks: Vec<DesiredCheck>,
}

impl DesiredFunction {
    /// Digest of the whole effective configuration, for plans and status: says whether something
    /// changed without saying what.
    pub fn configuration_digest(&self) -> Sha256 {
        configuration_digest(&self.architecture, &self.configuration)
    }
}

/// Digest of everything that belongs to a version besides its code.
pub fn configuration_digest(architecture: &str, configuration: &FunctionConfiguration) -> Sha256 {
    Sha256::of_json(&(architecture, configuration))
}

/// An invocation and what it must answer.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredCheck {
    /// How messages call it.
    pub name: String,
    /// The event, as JSON text.
    pub payload: String,
    /// What the answer must hold.
    pub expect: Option<Expectation>,
    /// How long it may take.
    pub timeout: Duration,
    /// How often it is made; each time it must answer so.
    pub repeats: u32,
}

/// How long all invocations of a check may take, as long as one of Lambda's may.
const LONGEST_CHECK: Duration = Duration::from_mins(15);

impl Scope<'_> {
    pub(super) fn function(
        &self,
        lambda: &Lambda,
        over: Option<&LambdaOverride>,
        artifacts: &[PinnedArtifact],
    ) -> Result<DesiredFunction, Invalid> {
        let function_name = self.expand("functionName", &lambda.function_name)?;
        if !is_function_name(&function_name) {
            return Err(self.invalid(
                "functionName",
                format!(
                    "{function_name:?} is not a function's name: 1 to 64 letters, digits, - and _"
                ),
            ));
        }
        let role = self.expand(
            "role",
            over.and_then(|over| over.role.as_ref())
                .unwrap_or(&lambda.role),
        )?;
        let role = self.role_arn(&role)?;
        self.granted(
            "functionName",
            Resource::FunctionWithRole(&function_name, &role),
        )?;
        let artifact = self.artifact(&lambda.artifact, artifacts)?;
        if let Some(problem) = archive::lambda_problem(artifact.pinned.archive.as_ref(), None) {
            return Err(self.invalid("artifact", problem));
        }
        let mut environment = lambda.environment.clone();
        let mut tags = lambda.tags.clone();
        if let Some(over) = over {
            environment.extend(over.environment.clone());
            tags.extend(over.tags.clone());
        }
        let description = over
            .and_then(|over| over.description.as_ref())
            .or(lambda.description.as_ref());
        let mut tags = self.expand_map("tags", &tags)?;
        tags.extend(self.owner.tags());
        let granted = self.permissions.allow_adopting_function(&function_name);
        Ok(DesiredFunction {
            component: self.component.name.clone(),
            adoption: self.adoption(granted),
            function_name,
            alias: lambda.alias.clone(),
            architecture: lambda.architecture.as_str().to_owned(),
            code_sha256: artifact.sha256,
            package: artifact.pinned.location.clone(),
            configuration: FunctionConfiguration {
                runtime: lambda.runtime.clone(),
                handler: lambda.handler.clone(),
                role,
                memory_size: over
                    .and_then(|over| over.memory_size)
                    .unwrap_or(lambda.memory_size),
                timeout: over.and_then(|over| over.timeout).unwrap_or(lambda.timeout),
                environment: self.expand_map("environment", &environment)?,
                description: self.expand("description", description.map_or("", String::as_str))?,
            },
            tags,
            checks: Vec::new(),
        })
    }

    pub(super) fn check(&self, name: &str, invoke: &InvokeCheck) -> Result<DesiredCheck, Invalid> {
        let field = |below: &str| {
            format!(
                "spec.stages[{}].checks[{name}].invoke.{below}",
                self.target.stage
            )
        };
        let unknown = |name: &str| {
            let field = field(name);
            move |error: UnknownName| Invalid::new(field, error.to_string())
        };
        let payload = invoke
            .payload
            .clone()
            .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let payload = self
            .variables
            .expand_json(&payload)
            .map_err(unknown("payload"))?;
        let expect = match &invoke.expect {
            Some(expect) => Some(Expectation {
                path: expect.path.clone(),
                equals: self
                    .variables
                    .expand_json(&expect.equals)
                    .map_err(unknown("expect.equals"))?,
            }),
            None => None,
        };
        let timeout = duration(&invoke.timeout)
            .ok_or_else(|| Invalid::new(field("timeout"), "must be a duration such as 10s"))?;
        let repeats = u32::try_from(invoke.repeats).unwrap_or_default().max(1);
        if timeout.saturating_mul(repeats) > LONGEST_CHECK {
            let why = "repeats times timeout is more than 15m: nothing else happens in that time";
            return Err(Invalid::new(field("repeats"), why));
        }
        Ok(DesiredCheck {
            name: name.to_owned(),
            payload: payload.to_string(),
            expect,
            timeout,
            repeats,
        })
    }

    /// The role's ARN: a bare name is a role of the Target's own account and partition.
    fn role_arn(&self, role: &str) -> Result<String, Invalid> {
        let Some(rest) = role.strip_prefix("arn:") else {
            let partition = partition(&self.target.region);
            return Ok(format!(
                "arn:{partition}:iam::{}:role/{role}",
                self.target.account_id
            ));
        };
        let account = rest.split(':').nth(3).unwrap_or_default();
        if account != self.target.account_id || !role.contains(":role/") {
            return Err(self.invalid(
                "role",
                format!("{role} is not a role of account {}; name the role alone to use each account's own", self.target.account_id),
            ));
        }
        Ok(role.to_owned())
    }
}

/// The partition of a region, by the prefixes that AWS gives them.
pub fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// <https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html>: a name, at most 64
/// characters. ARNs are not taken: they could point elsewhere.
fn is_function_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=64).contains(&name.len()) && name.chars().all(allowed)
}
