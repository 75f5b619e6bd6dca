//! Converts between the SDK's types and Sluice's.
//!
//! Lambda answers each operation with a type of its own, all alike. Each becomes the SDK's
//! `FunctionConfiguration` or `AliasConfiguration` first, so that one function converts them all.

use std::collections::BTreeMap;

use aws_sdk_lambda::{
    operation::{
        create_alias::CreateAliasOutput, create_function::CreateFunctionOutput,
        get_alias::GetAliasOutput,
        get_provisioned_concurrency_config::GetProvisionedConcurrencyConfigOutput,
        publish_version::PublishVersionOutput, update_alias::UpdateAliasOutput,
        update_function_code::UpdateFunctionCodeOutput,
        update_function_configuration::UpdateFunctionConfigurationOutput,
    },
    types::{
        AliasConfiguration, AliasRoutingConfiguration, Architecture, Environment,
        EnvironmentResponse, FunctionConfiguration as Answer, LastUpdateStatus, PackageType,
        ProvisionedConcurrencyStatusEnum, State,
    },
};

use super::super::errors::{Call, Effect};
use crate::{
    domain::{
        digest::Sha256,
        workload::lambda::{
            Alias, Function, FunctionConfiguration, FunctionState, LastUpdate,
            ProvisionedConcurrency,
        },
    },
    ports::{CallError, CallErrorKind},
};

/// The version that is not published.
pub(super) const LATEST: &str = "$LATEST";

/// The fields that Sluice reads, from any response that describes a function.
macro_rules! answer {
    ($name:ident, $output:ty) => {
        pub(super) fn $name(output: $output) -> Answer {
            Answer::builder()
                .set_function_arn(output.function_arn)
                .set_version(output.version)
                .set_code_sha256(output.code_sha256)
                .code_size(output.code_size)
                .set_architectures(output.architectures)
                .set_package_type(output.package_type)
                .set_runtime(output.runtime)
                .set_handler(output.handler)
                .set_role(output.role)
                .set_memory_size(output.memory_size)
                .set_timeout(output.timeout)
                .set_environment(output.environment)
                .set_description(output.description)
                .set_revision_id(output.revision_id)
                .set_last_modified(output.last_modified)
                .set_state(output.state)
                .set_state_reason(output.state_reason)
                .set_state_reason_code(output.state_reason_code)
                .set_last_update_status(output.last_update_status)
                .set_last_update_status_reason(output.last_update_status_reason)
                .set_last_update_status_reason_code(output.last_update_status_reason_code)
                .build()
        }
    };
}

answer!(from_create, CreateFunctionOutput);
answer!(from_update_code, UpdateFunctionCodeOutput);
answer!(from_update_configuration, UpdateFunctionConfigurationOutput);
answer!(from_publish, PublishVersionOutput);

macro_rules! alias_answer {
    ($name:ident, $output:ty) => {
        pub(super) fn $name(output: $output) -> AliasConfiguration {
            AliasConfiguration::builder()
                .set_function_version(output.function_version)
                .set_routing_config(output.routing_config)
                .set_description(output.description)
                .set_revision_id(output.revision_id)
                .build()
        }
    };
}

alias_answer!(from_get_alias, GetAliasOutput);
alias_answer!(from_create_alias, CreateAliasOutput);
alias_answer!(from_update_alias, UpdateAliasOutput);

/// A field that the response has to have.
pub(super) fn present<T>(call: &Call, field: Option<T>) -> Result<T, CallError> {
    field.ok_or_else(|| {
        let message =
            "the response lacks a field that Lambda always returns; check the Account's spec.endpointUrl";
        call.unusable(message)
    })
}

pub(super) fn function(
    call: &Call,
    answer: Answer,
    tags: BTreeMap<String, String>,
) -> Result<Function, CallError> {
    if answer.package_type == Some(PackageType::Image) {
        let message = "it is a container image; only functions with a zip package can be updated \
            by Sluice: choose another name, or delete it";
        return Err(call.error(CallErrorKind::Invalid, message));
    }
    let code = answer.state_reason_code;
    let why = reason(code.map(|it| it.as_str().to_owned()), answer.state_reason);
    let state = state(answer.state.as_ref(), why);
    let code = answer.last_update_status_reason_code;
    let why = answer.last_update_status_reason;
    let why = reason(code.map(|it| it.as_str().to_owned()), why);
    let last_update = last_update(answer.last_update_status.as_ref(), why);
    let architecture = answer
        .architectures
        .and_then(|all| all.into_iter().next())
        .unwrap_or(Architecture::X8664);
    let code_sha256 = present(call, answer.code_sha256)?;
    let code_sha256 = Sha256::from_base64(&code_sha256);
    Ok(Function {
        arn: unqualified(&present(call, answer.function_arn)?),
        version: answer.version.unwrap_or_else(|| LATEST.to_owned()),
        code_sha256: present(call, code_sha256)?,
        code_size: answer.code_size,
        architecture: architecture.as_str().to_owned(),
        configuration: FunctionConfiguration {
            runtime: answer
                .runtime
                .map(|runtime| runtime.as_str().to_owned())
                .unwrap_or_default(),
            handler: answer.handler.unwrap_or_default(),
            role: answer.role.unwrap_or_default(),
            memory_size: answer.memory_size.unwrap_or_default(),
            timeout: answer.timeout.unwrap_or_default(),
            environment: variables(call, answer.environment)?,
            description: answer.description.unwrap_or_default(),
        },
        revision_id: present(call, answer.revision_id)?,
        state,
        last_update,
        dead_letter_queue: answer.dead_letter_config.and_then(|it| it.target_arn),
        tags,
        last_modified: answer.last_modified.and_then(|at| at.parse().ok()),
    })
}

/// The ARN of the function, without the qualifier of a version.
fn unqualified(arn: &str) -> String {
    arn.split(':').take(7).collect::<Vec<_>>().join(":")
}

/// Lambda's explanation, together with its code.
fn reason(code: Option<String>, text: Option<String>) -> Option<String> {
    match (code, text) {
        (Some(code), Some(text)) => Some(format!("{text} ({code})")),
        (code, text) => text.or(code),
    }
}

fn state(state: Option<&State>, reason: Option<String>) -> FunctionState {
    match state {
        None | Some(State::Active) => FunctionState::Active,
        Some(State::Inactive) => FunctionState::Inactive,
        Some(State::Pending) => FunctionState::Pending,
        // Failed, or not to be invoked for another reason, known or not.
        Some(other) => {
            let name = other.as_str();
            FunctionState::Failed(reason.unwrap_or_else(|| format!("its state is {name}")))
        }
    }
}

fn last_update(status: Option<&LastUpdateStatus>, reason: Option<String>) -> LastUpdate {
    match status {
        None | Some(LastUpdateStatus::Successful) => LastUpdate::Successful,
        Some(LastUpdateStatus::Failed) => {
            LastUpdate::Failed(reason.unwrap_or_else(|| "Lambda gives no reason".to_owned()))
        }
        Some(_) => LastUpdate::InProgress,
    }
}

/// Variables that Lambda can't decrypt are an error: they must not be taken for none.
fn variables(
    call: &Call,
    environment: Option<EnvironmentResponse>,
) -> Result<BTreeMap<String, String>, CallError> {
    let Some(environment) = environment else {
        return Ok(BTreeMap::new());
    };
    if let Some(error) = environment.error {
        let message = format!(
            "its environment variables can't be read: {} ({}): the Account's role needs kms:Decrypt \
             on the function's key",
            error.message.unwrap_or_default(),
            error.error_code.unwrap_or_default()
        );
        return Err(match call.effect {
            Effect::Read => call.error(CallErrorKind::Denied, message),
            Effect::Write => call.unusable(message),
        });
    }
    Ok(environment
        .variables
        .unwrap_or_default()
        .into_iter()
        .collect())
}

/// Always sent, because Lambda leaves omitted fields unchanged.
pub(super) fn environment(variables: &BTreeMap<String, String>) -> Environment {
    let variables = variables.clone().into_iter().collect();
    Environment::builder()
        .set_variables(Some(variables))
        .build()
}

/// Always sent, because Lambda leaves omitted fields unchanged.
pub(super) fn routing(weights: &BTreeMap<String, f64>) -> AliasRoutingConfiguration {
    let weights = weights.clone().into_iter().collect();
    AliasRoutingConfiguration::builder()
        .set_additional_version_weights(Some(weights))
        .build()
}

pub(super) fn provisioned(
    answer: GetProvisionedConcurrencyConfigOutput,
) -> Option<ProvisionedConcurrency> {
    let failed = answer.status == Some(ProvisionedConcurrencyStatusEnum::Failed);
    let is_allocating = answer.status == Some(ProvisionedConcurrencyStatusEnum::InProgress);
    let why = answer
        .status_reason
        .unwrap_or("Lambda gives no reason".to_owned());
    Some(ProvisionedConcurrency {
        requested: answer.requested_provisioned_concurrent_executions?,
        is_allocating,
        failure: failed.then_some(why),
    })
}

pub(super) fn alias(call: &Call, answer: AliasConfiguration) -> Result<Alias, CallError> {
    let weights = answer
        .routing_config
        .and_then(|routing| routing.additional_version_weights)
        .unwrap_or_default();
    Ok(Alias {
        version: present(call, answer.function_version)?,
        weights: weights.into_iter().collect(),
        description: answer.description.unwrap_or_default(),
        revision_id: present(call, answer.revision_id)?,
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::types::{EnvironmentError, Runtime};

    use super::*;

    fn call() -> Call {
        Call::read("lambda:GetFunction", "checkout-api")
    }

    fn answer() -> aws_sdk_lambda::types::builders::FunctionConfigurationBuilder {
        Answer::builder()
            .function_arn("arn:aws:lambda:eu-west-1:222222222222:function:checkout-api:7")
            .version("7")
            .code_sha256(Sha256::of(b"zip").to_base64())
            .code_size(3)
            .runtime(Runtime::Python313)
            .revision_id("r")
    }

    #[test]
    fn a_version_has_the_functions_arn() {
        let function = function(&call(), answer().build(), BTreeMap::new()).expect("complete");
        assert_eq!(
            function.arn,
            "arn:aws:lambda:eu-west-1:222222222222:function:checkout-api"
        );
        assert_eq!(function.version, "7");
        assert_eq!(function.code_sha256, Sha256::of(b"zip"));
        assert_eq!(function.configuration.runtime, "python3.13");
        assert_eq!(function.architecture, "x86_64");
        assert_eq!(function.state, FunctionState::Active);
    }

    #[test]
    fn unreadable_variables_are_not_taken_for_none() {
        let error = EnvironmentError::builder().message("no key").build();
        let environment = EnvironmentResponse::builder().error(error).build();
        let answer = answer().environment(environment).build();
        let error = function(&call(), answer, BTreeMap::new()).expect_err("unreadable");
        assert_eq!(error.kind, CallErrorKind::Denied);
        assert!(error.message.contains("no key"), "{error}");
    }

    #[test]
    fn a_container_image_is_refused() {
        let answer = answer().package_type(PackageType::Image).build();
        let error = function(&call(), answer, BTreeMap::new()).expect_err("an image");
        assert_eq!(error.kind, CallErrorKind::Invalid);
    }

    #[test]
    fn unknown_function_state_is_not_taken_for_active() {
        let function = |state| {
            let answer = answer().state(state).build();
            function(&call(), answer, BTreeMap::new())
                .expect("complete")
                .state
        };
        assert_eq!(
            function(State::from("Thawing")),
            FunctionState::Failed("its state is Thawing".into())
        );
        assert_eq!(function(State::Inactive), FunctionState::Inactive);
        assert_eq!(function(State::Pending), FunctionState::Pending);
    }
}
