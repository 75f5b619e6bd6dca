//! The emulator behind its proxy: it enforces AWS's rules, records calls and injects faults.
//!
//! All tests share one cloud; each uses functions, keys and rules with names of its own.

mod access;
mod alias;
mod doors;
mod faults;
mod identity;
mod invoke;
mod lambda;
mod mappings;
mod objects;
mod publish;
mod stacks;
mod transfer;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use aws_config::{SdkConfig, retry::RetryConfig, sts::AssumeRoleProvider};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_lambda::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::get_function::GetFunctionOutput,
    primitives::Blob,
    types::{FunctionCode, FunctionConfiguration, LastUpdateStatus, Runtime, State},
};
use sluice_lab::{
    aws::{AccountInfo, Cloud},
    lab::{PATIENCE, wait_until},
    toolchain,
};
use tokio::sync::OnceCell;

const REGION: &str = "eu-west-1";

async fn cloud() -> &'static Cloud {
    static CLOUD: OnceCell<Cloud> = OnceCell::const_new();
    CLOUD
        .get_or_init(|| async {
            let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aws");
            Cloud::start(&python(), &dir)
                .await
                .expect("the AWS emulator starts")
        })
        .await
}

fn python() -> PathBuf {
    if let Some(path) = std::env::var_os("SLUICE_LAB_PYTHON") {
        return path.into();
    }
    toolchain::python(&|line| eprintln!("lab: {line}")).expect("Python")
}

/// The SDK configuration of the hub's user, through the proxy.
fn hub_user(cloud: &Cloud) -> SdkConfig {
    let key = cloud.hub_access_key();
    let key = Credentials::new(&key.id, &key.secret, None, None, "hub");
    cloud.caller_config(SharedCredentialsProvider::new(key), REGION)
}

/// The SDK configuration of the deployer role of `account`, assumed by the hub's user, through the proxy,
/// without retries.
async fn deployer(cloud: &Cloud, account: &AccountInfo) -> SdkConfig {
    assumed(cloud, account, None).await
}

/// Dev's deployer with a session policy that allows only `action`.
async fn limited(cloud: &Cloud, action: &str) -> SdkConfig {
    let policy = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": action, "Resource": "*" }],
    });
    assumed(cloud, cloud.dev(), Some(policy.to_string())).await
}

async fn assumed(cloud: &Cloud, account: &AccountInfo, policy: Option<String>) -> SdkConfig {
    let mut builder = AssumeRoleProvider::builder(&account.role_arn)
        .configure(&hub_user(cloud))
        .external_id(&account.external_id)
        .session_name("test");
    if let Some(policy) = policy {
        builder = builder.policy(policy);
    }
    let provider = SharedCredentialsProvider::new(builder.build().await);
    let config = cloud.caller_config(provider, REGION).into_builder();
    config.retry_config(RetryConfig::disabled()).build()
}

/// A Lambda client that delivers into dev.
async fn dev_lambda(cloud: &Cloud) -> Client {
    Client::new(&deployer(cloud, cloud.dev()).await)
}

/// A package whose handler answers `answer`.
fn package(answer: &str) -> Blob {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stamp = zip::write::SimpleFileOptions::default();
    zip.start_file("app.py", stamp)
        .expect("a file in the package");
    write!(zip, "def handler(event, context):\n    return {answer:?}\n").expect("the handler");
    Blob::new(zip.finish().expect("the package").into_inner())
}

fn code(answer: &str) -> FunctionCode {
    FunctionCode::builder().zip_file(package(answer)).build()
}

/// Creates a function in dev and waits until it is Active.
async fn create(cloud: &Cloud, lambda: &Client, name: &str) {
    lambda
        .create_function()
        .function_name(name)
        .runtime(Runtime::Python313)
        .handler("app.handler")
        .role(&cloud.dev().execution_role_arn)
        .code(code("one"))
        .send()
        .await
        .expect("the function is created");
    settled(lambda, name).await;
}

async fn update(lambda: &Client, name: &str, answer: &str) {
    let request = lambda
        .update_function_code()
        .function_name(name)
        .zip_file(package(answer));
    request.send().await.expect("the code is updated");
}

/// Updates the code and publishes a version that is Active.
async fn release(lambda: &Client, name: &str, answer: &str) -> String {
    update(lambda, name, answer).await;
    settled(lambda, name).await;
    let version = lambda
        .publish_version()
        .function_name(name)
        .send()
        .await
        .expect("published");
    let version = version.version.expect("a version");
    active(lambda, name, &version).await;
    version
}

async fn get(lambda: &Client, name: &str, qualifier: Option<&str>) -> GetFunctionOutput {
    let request = lambda
        .get_function()
        .function_name(name)
        .set_qualifier(qualifier.map(Into::into));
    request.send().await.expect("the function exists")
}

async fn configuration(
    lambda: &Client,
    name: &str,
    qualifier: Option<&str>,
) -> FunctionConfiguration {
    get(lambda, name, qualifier)
        .await
        .configuration
        .expect("a configuration")
}

/// Waits until the last creation or update has succeeded.
async fn settled(lambda: &Client, name: &str) -> FunctionConfiguration {
    let config = ended(lambda, name).await;
    assert_eq!(
        config.last_update_status,
        Some(LastUpdateStatus::Successful),
        "{name}"
    );
    assert_eq!(config.state, Some(State::Active), "{name}");
    config
}

/// Waits until no creation or update is in progress.
async fn ended(lambda: &Client, name: &str) -> FunctionConfiguration {
    let done = |config: &FunctionConfiguration| {
        config.last_update_status != Some(LastUpdateStatus::InProgress)
    };
    until(lambda, name, None, done).await
}

/// Waits until a version is Active.
async fn active(lambda: &Client, name: &str, version: &str) -> FunctionConfiguration {
    let done = |config: &FunctionConfiguration| config.state == Some(State::Active);
    until(lambda, name, Some(version), done).await
}

async fn until(
    lambda: &Client,
    name: &str,
    qualifier: Option<&str>,
    done: impl Fn(&FunctionConfiguration) -> bool,
) -> FunctionConfiguration {
    let what = format!("{name} {} settles", qualifier.unwrap_or_default());
    let config = wait_until(&what, PATIENCE, async || {
        let config = configuration(lambda, name, qualifier).await;
        if done(&config) {
            Ok(config)
        } else {
            Err(format!("{config:?}"))
        }
    });
    config.await.unwrap_or_else(|error| panic!("{error}"))
}

/// Code and message of an error answer.
fn refusal<T: std::fmt::Debug, E>(result: Result<T, SdkError<E>>) -> (String, String)
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let error = result.expect_err("the call is refused");
    let part = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (part(error.code()), part(error.message()))
}

/// Only the code of an error answer.
fn refusal_code<T: std::fmt::Debug, E>(result: Result<T, SdkError<E>>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    refusal(result).0
}
