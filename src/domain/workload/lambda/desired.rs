//! A component that is a Lambda function.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::function::FunctionConfiguration;
use crate::{
    api::v1alpha1::{
        Expectation, InvokeCheck, Lambda as Spec, LambdaOverride, StoreLocation, TargetSpec,
    },
    domain::{
        archive,
        digest::Sha256,
        duration::duration,
        grants::Resource,
        invalid::{Invalid, Problems},
        limits,
        ownership::Adoption,
        substitution::{Outputs, SubstitutionError, Template},
        workload::scope::{self, Pinned, Scope, deferred, take_known, texts},
    },
};

/// The desired state of a function.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredFunction {
    /// The component's name.
    pub component: String,
    /// The function's name.
    pub function_name: String,
    /// The live alias.
    pub alias: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// Digest of the package.
    pub code_sha256: Sha256,
    /// The package's location in the hub.
    pub package: StoreLocation,
    /// The settings that belong to a version. A variable that needs an output of another component has the
    /// reference as its value until the output is known.
    pub configuration: FunctionConfiguration,
    /// Environment variables that need an output of another component.
    pub deferred: BTreeMap<String, Template>,
    /// The user's tags and Sluice's own.
    pub tags: BTreeMap<String, String>,
    /// Whether an unmanaged function of this name is adopted.
    pub adoption: Adoption,
    /// The `invoke` checks of the stage for this component.
    pub checks: Vec<DesiredCheck>,
}

impl DesiredFunction {
    /// Fills in those outputs that are known.
    #[must_use]
    pub fn resolve(&self, outputs: &Outputs) -> Self {
        let mut resolved = self.clone();
        let known = take_known(&mut resolved.deferred, outputs);
        resolved.configuration.environment.extend(known);
        resolved
    }

    /// Digest of the whole effective configuration, for plans and status: it reveals whether something
    /// changed, but no values.
    pub fn configuration_digest(&self) -> Sha256 {
        configuration_digest(&self.architecture, &self.configuration)
    }
}

/// Digest of everything that belongs to a version besides its code.
pub fn configuration_digest(architecture: &str, configuration: &FunctionConfiguration) -> Sha256 {
    Sha256::of_json(&(architecture, configuration))
}

/// A check that invokes the function, with the expected response.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredCheck {
    /// Its name in messages.
    pub name: String,
    /// The event, as JSON text.
    pub payload: String,
    /// The expected value in the response.
    pub expect: Option<Expected>,
    /// The timeout of one invocation.
    pub timeout: Duration,
    /// The number of invocations; each must succeed.
    pub repeats: u32,
}

/// An expected value in a response.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// JSON pointer into the response; empty for the whole response.
    pub path: String,
    /// The value.
    pub equals: Value,
}

impl Expected {
    /// Reads the expectation of the spec, or says why it is invalid.
    fn of(expect: &Expectation) -> Result<Self, &'static str> {
        let equals = match (&expect.equals, expect.is_null) {
            (Some(Value::Null) | None, true) => Value::Null,
            (Some(value), false) => value.clone(),
            (Some(_), true) => {
                return Err("equals and isNull are mutually exclusive: remove one of them");
            }
            (None, false) => {
                return Err("set equals to the expected value, or isNull to true");
            }
        };
        Ok(Self {
            path: expect.path.clone(),
            equals,
        })
    }
}

/// The most time for all invocations of a check: as long as Lambda allows for a single one.
const LONGEST_CHECK: Duration = Duration::from_mins(15);

/// The desired state; `None` if it is invalid, with the reasons in `found`.
pub fn desire(lambda: &Spec, scope: &Scope<'_>, found: &mut Problems) -> Option<DesiredFunction> {
    let over = scope.overrides().and_then(|over| over.lambda.as_ref());
    let function_name = found.keep(function_name(lambda, scope));
    let role = found.keep(role(lambda, over, scope));
    if let (Some(name), Some(role)) = (&function_name, &role)
        && let Err(refused) = scope.granted("functionName", Resource::FunctionWithRole(name, role))
    {
        found.push(refused);
    }
    let artifact = found.keep(package(lambda, scope));
    let environment = over.map(|over| &over.environment);
    let environment = scope.merged("environment", &lambda.environment, environment, found);
    let deferred = environment.as_ref().map(deferred).unwrap_or_default();
    let environment = environment.map(texts);
    for why in environment.iter().flat_map(limits::environment) {
        found.push(scope.invalid("environment", why));
    }
    let tags = over.map(|over| &over.tags);
    // Sluice adds one more tag: the Release for which it created the function.
    let tags = scope.tags(&lambda.tags, tags, scope.owner.tags().len() + 1, found);
    let description = found.keep(description(lambda, over, scope));
    let mut checks = Vec::new();
    for check in &scope.stage.checks {
        let invoke = check.invoke.as_ref();
        let invoke = invoke.filter(|invoke| invoke.component == scope.component.name);
        let check = invoke.map(|invoke| invocation(&check.name, invoke, scope));
        checks.extend(check.and_then(|check| found.keep(check)));
    }
    let (function_name, artifact) = (function_name?, artifact?);
    let mut tags = tags?;
    tags.extend(scope.owner.tags());
    let granted = scope.permissions.can_adopt_function(&function_name);
    Some(DesiredFunction {
        component: scope.component.name.clone(),
        adoption: scope.adoption(granted),
        function_name,
        alias: lambda.alias.clone(),
        architecture: lambda.architecture.as_str().to_owned(),
        code_sha256: artifact.sha256,
        package: artifact.pinned.location.clone(),
        configuration: FunctionConfiguration {
            runtime: lambda.runtime.clone(),
            handler: lambda.handler.clone(),
            role: role?,
            memory_size: over
                .and_then(|over| over.memory_size)
                .unwrap_or(lambda.memory_size),
            timeout: over.and_then(|over| over.timeout).unwrap_or(lambda.timeout),
            environment: environment?,
            description: description?,
        },
        tags,
        checks,
        deferred,
    })
}

fn function_name(lambda: &Spec, scope: &Scope<'_>) -> Result<String, Invalid> {
    let name = scope.expand("functionName", &lambda.function_name)?;
    let problem = limits::function_name(&name);
    scope.within("functionName", name, problem)
}

/// The role's ARN.
fn role(
    lambda: &Spec,
    over: Option<&LambdaOverride>,
    scope: &Scope<'_>,
) -> Result<String, Invalid> {
    let own = over.and_then(|over| over.role.as_ref());
    let role = scope.variables.expand(own.unwrap_or(&lambda.role));
    let role = role.map_err(|error| error.to_string());
    let arn = role.and_then(|role| scope.role_arn(&role));
    arn.map_err(|why| scope.wrong("role", own.is_some(), why))
}

fn description(
    lambda: &Spec,
    over: Option<&LambdaOverride>,
    scope: &Scope<'_>,
) -> Result<String, Invalid> {
    let own = over.and_then(|over| over.description.as_ref());
    let text = own
        .or(lambda.description.as_ref())
        .map_or("", String::as_str);
    let wrong = |why: String| scope.wrong("description", own.is_some(), why);
    let text = scope
        .variables
        .expand(text)
        .map_err(|error| wrong(error.to_string()))?;
    match limits::description(&text) {
        None => Ok(text),
        Some(problem) => Err(wrong(problem)),
    }
}

fn package<'a>(lambda: &Spec, scope: &'a Scope<'_>) -> Result<Pinned<'a>, Invalid> {
    let artifact = scope.artifact(&lambda.artifact)?;
    let archive = artifact.pinned.archive.as_ref();
    let problem = archive::lambda_problem(archive, None, &lambda.runtime);
    scope.within("artifact", artifact, problem)
}

fn invocation(
    name: &str,
    invoke: &InvokeCheck,
    scope: &Scope<'_>,
) -> Result<DesiredCheck, Invalid> {
    let field = |below: &str| {
        format!(
            "spec.stages[{}].checks[{name}].invoke.{below}",
            scope.target.stage
        )
    };
    let unknown = |name: &str| {
        let field = field(name);
        move |error: SubstitutionError| Invalid::new(field, error.to_string())
    };
    let payload = invoke
        .payload
        .clone()
        .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let payload = scope
        .variables
        .expand_json(&payload)
        .map_err(unknown("payload"))?;
    let expect = match &invoke.expect {
        Some(expect) => {
            let expected =
                Expected::of(expect).map_err(|why| Invalid::new(field("expect.equals"), why))?;
            let equals = scope
                .variables
                .expand_json(&expected.equals)
                .map_err(unknown("expect.equals"))?;
            Some(Expected { equals, ..expected })
        }
        None => None,
    };
    let timeout = duration(&invoke.timeout)
        .ok_or_else(|| Invalid::new(field("timeout"), "must be a duration such as 10s"))?;
    let repeats = u32::try_from(invoke.repeats).unwrap_or_default().max(1);
    if timeout.saturating_mul(repeats) > LONGEST_CHECK {
        let why = "repeats times timeout is more than the limit of 15m";
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

/// The outputs that other components may refer to. The ARNs follow from the names:
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html#awslambda-resources-for-iam-policies>.
pub fn outputs(want: &DesiredFunction, target: &TargetSpec) -> Vec<(&'static str, Option<String>)> {
    let TargetSpec {
        region, account_id, ..
    } = target;
    let (name, alias) = (&want.function_name, &want.alias);
    let arn = format!(
        "arn:{}:lambda:{region}:{account_id}:function:{name}",
        scope::partition(region)
    );
    vec![
        ("functionName", Some(name.clone())),
        ("functionArn", Some(arn.clone())),
        ("aliasName", Some(alias.clone())),
        ("aliasArn", Some(format!("{arn}:{alias}"))),
        ("version", None),
    ]
}
