//! [`Functions`] over the SDK.
//!
//! The SDK retries reads; writes and invocations are sent once. `GetFunction` is the only read for functions
//! and versions, because AWS allows far more calls of it than of similar reads.

mod callers;
mod clients;
mod convert;
mod functions;
mod package;
mod tags;

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use aws_sdk_lambda::{
    primitives::Blob,
    types::{FunctionCode, PackageType, Runtime},
};

use self::functions::none_if_missing;
pub(super) use self::{clients::LambdaClients, functions::LambdaFunctions};
use crate::{
    domain::{
        digest::Sha256,
        workload::lambda::{
            Alias, AliasTarget, CodeLocation, Function, FunctionConfiguration, Invocation,
            ProvisionedConcurrency,
        },
    },
    ports::{CallError, CallErrorKind, lambda::Functions, store::ByteStream},
};

#[async_trait]
impl Functions for LambdaFunctions {
    async fn get(&self, name: &str, version: Option<&str>) -> Result<Option<Function>, CallError> {
        let call = self.read("lambda:GetFunction", &qualified(name, version));
        let Some(answer) = self.fetch(&call, name, version).await? else {
            return Ok(None);
        };
        let tags = answer.tags.unwrap_or_default().into_iter().collect();
        let configuration = convert::present(&call, answer.configuration)?;
        convert::function(&call, configuration, tags).map(Some)
    }

    async fn create(
        &self,
        name: &str,
        architecture: &str,
        code: &CodeLocation,
        configuration: &FunctionConfiguration,
        tags: &BTreeMap<String, String>,
    ) -> Result<Function, CallError> {
        let call = self.write("lambda:CreateFunction", name);
        let package = FunctionCode::builder()
            .s3_bucket(&code.bucket)
            .s3_key(&code.key)
            .s3_object_version(&code.version_id)
            .build();
        self.budget.control.turn(&call).await?;
        let request = self
            .clients
            .writes
            .create_function()
            .function_name(name)
            .package_type(PackageType::Zip)
            .code(package)
            .architectures(architecture.into())
            .runtime(Runtime::from(configuration.runtime.as_str()))
            .handler(&configuration.handler)
            .role(&configuration.role)
            .memory_size(configuration.memory_size)
            .timeout(configuration.timeout)
            .environment(convert::environment(&configuration.environment))
            .description(&configuration.description)
            .set_tags(Some(tags.clone().into_iter().collect()))
            .publish(false)
            .send();
        let answer = self.verified.sent(&call, request).await?;
        convert::function(&call, convert::from_create(answer), tags.clone())
    }

    async fn update_code(
        &self,
        name: &str,
        architecture: &str,
        code: &CodeLocation,
        revision_id: &str,
    ) -> Result<Function, CallError> {
        let call = self.write("lambda:UpdateFunctionCode", name);
        self.budget.control.turn(&call).await?;
        let request = self
            .clients
            .writes
            .update_function_code()
            .function_name(name)
            .s3_bucket(&code.bucket)
            .s3_key(&code.key)
            .s3_object_version(&code.version_id)
            .architectures(architecture.into())
            .revision_id(revision_id)
            .publish(false)
            .send();
        let answer = self.verified.sent(&call, request).await?;
        convert::function(&call, convert::from_update_code(answer), BTreeMap::new())
    }

    async fn update_configuration(
        &self,
        name: &str,
        configuration: &FunctionConfiguration,
        revision_id: &str,
    ) -> Result<Function, CallError> {
        let call = self.write("lambda:UpdateFunctionConfiguration", name);
        self.budget.control.turn(&call).await?;
        let request = self
            .clients
            .writes
            .update_function_configuration()
            .function_name(name)
            .runtime(Runtime::from(configuration.runtime.as_str()))
            .handler(&configuration.handler)
            .role(&configuration.role)
            .memory_size(configuration.memory_size)
            .timeout(configuration.timeout)
            .environment(convert::environment(&configuration.environment))
            .description(&configuration.description)
            .revision_id(revision_id)
            .send();
        let answer = self.verified.sent(&call, request).await?;
        convert::function(
            &call,
            convert::from_update_configuration(answer),
            BTreeMap::new(),
        )
    }

    async fn set_tags(
        &self,
        arn: &str,
        current: &BTreeMap<String, String>,
        wanted: &BTreeMap<String, String>,
    ) -> Result<(), CallError> {
        self.tag(arn, current, wanted).await
    }

    async fn publish(
        &self,
        name: &str,
        code_sha256: &Sha256,
        revision_id: &str,
        description: &str,
    ) -> Result<Function, CallError> {
        let call = self.write("lambda:PublishVersion", name);
        self.budget.control.turn(&call).await?;
        let request = self
            .clients
            .writes
            .publish_version()
            .function_name(name)
            .code_sha256(code_sha256.to_base64())
            .revision_id(revision_id)
            .description(description)
            .send();
        let answer = self.verified.sent(&call, request).await?;
        convert::function(&call, convert::from_publish(answer), BTreeMap::new())
    }

    async fn package(&self, name: &str) -> Result<(u64, ByteStream), CallError> {
        let call = self.read("lambda:GetFunction", name);
        let Some(answer) = self.fetch(&call, name, None).await? else {
            return Err(call.error(CallErrorKind::NotFound, "the function does not exist"));
        };
        let location = answer.code.and_then(|code| code.location).ok_or_else(|| {
            let message = "its package can't be downloaded: the answer has no Code.Location";
            call.error(CallErrorKind::Invalid, message)
        })?;
        self.download(name, &location).await
    }

    async fn delete(&self, name: &str, version: Option<&str>) -> Result<(), CallError> {
        let call = self.write("lambda:DeleteFunction", &qualified(name, version));
        if version == Some(convert::LATEST) {
            let message = "$LATEST can't be deleted by itself; name a version or none";
            return Err(call.error(CallErrorKind::Invalid, message));
        }
        self.budget.control.turn(&call).await?;
        let request = self
            .clients
            .writes
            .delete_function()
            .function_name(name)
            .set_qualifier(version.map(str::to_owned))
            .send();
        let answer = self.verified.sent(&call, request).await;
        none_if_missing(answer).map(drop)
    }

    async fn unqualified_callers(&self, name: &str) -> Result<Vec<String>, CallError> {
        callers::unqualified(self, name).await
    }

    async fn alias(&self, name: &str, alias: &str) -> Result<Option<Alias>, CallError> {
        let call = self.read("lambda:GetAlias", &qualified(name, Some(alias)));
        self.budget.control.turn(&call).await?;
        let request = self
            .clients
            .reads
            .get_alias()
            .function_name(name)
            .name(alias)
            .send();
        let answer = self.verified.sent(&call, request).await;
        let answer = none_if_missing(answer)?;
        answer
            .map(|answer| convert::alias(&call, convert::from_get_alias(answer)))
            .transpose()
    }

    async fn provisioned_concurrency(
        &self,
        name: &str,
        alias: &str,
    ) -> Result<Option<ProvisionedConcurrency>, CallError> {
        let thing = qualified(name, Some(alias));
        let call = self.read("lambda:GetProvisionedConcurrencyConfig", &thing);
        self.budget.control.turn(&call).await?;
        let request = self.clients.reads.get_provisioned_concurrency_config();
        let request = request.function_name(name).qualifier(alias).send();
        let answer = none_if_missing(self.verified.sent(&call, request).await)?;
        Ok(answer.and_then(convert::provisioned))
    }

    async fn create_alias(
        &self,
        name: &str,
        alias: &str,
        to: &AliasTarget,
    ) -> Result<Alias, CallError> {
        let call = self.write("lambda:CreateAlias", &qualified(name, Some(alias)));
        self.budget.control.turn(&call).await?;
        let request = self
            .clients
            .writes
            .create_alias()
            .function_name(name)
            .name(alias)
            .function_version(&to.version)
            .description(&to.description)
            .routing_config(convert::routing(&to.weights))
            .send();
        let answer = self.verified.sent(&call, request).await?;
        convert::alias(&call, convert::from_create_alias(answer))
    }

    async fn update_alias(
        &self,
        name: &str,
        alias: &str,
        to: &AliasTarget,
        revision_id: &str,
    ) -> Result<Alias, CallError> {
        let call = self.write("lambda:UpdateAlias", &qualified(name, Some(alias)));
        self.budget.control.turn(&call).await?;
        let request = self
            .clients
            .writes
            .update_alias()
            .function_name(name)
            .name(alias)
            .function_version(&to.version)
            .description(&to.description)
            .routing_config(convert::routing(&to.weights))
            .revision_id(revision_id)
            .send();
        let answer = self.verified.sent(&call, request).await?;
        convert::alias(&call, convert::from_update_alias(answer))
    }

    async fn delete_alias(&self, name: &str, alias: &str) -> Result<(), CallError> {
        let call = self.write("lambda:DeleteAlias", &qualified(name, Some(alias)));
        self.budget.control.turn(&call).await?;
        let request = self
            .clients
            .writes
            .delete_alias()
            .function_name(name)
            .name(alias)
            .send();
        let answer = self.verified.sent(&call, request).await;
        none_if_missing(answer).map(drop)
    }

    async fn invoke(
        &self,
        name: &str,
        qualifier: &str,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Invocation, CallError> {
        let call = self.write("lambda:Invoke", &qualified(name, Some(qualifier)));
        // The timeout begins when the call is sent.
        let _running = self.budget.invocation().await;
        let request = self
            .clients
            .invocations
            .invoke()
            .function_name(name)
            .qualifier(qualifier)
            .payload(Blob::new(payload))
            .send();
        let answer = tokio::time::timeout(timeout, self.verified.sent(&call, request))
            .await
            .map_err(|_| {
                let message = format!("no answer within {} s", timeout.as_secs_f32());
                call.error(CallErrorKind::Unknown, message)
            })??;
        Ok(Invocation {
            executed_version: answer.executed_version,
            function_error: answer.function_error,
            payload: answer
                .payload
                .map(Blob::into_inner)
                .unwrap_or_default()
                .into(),
        })
    }
}

fn qualified(name: &str, qualifier: Option<&str>) -> String {
    qualifier.map_or_else(
        || name.to_owned(),
        |qualifier| format!("{name}:{qualifier}"),
    )
}
