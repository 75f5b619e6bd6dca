//! The baseline: a program that delivers with the AWS SDK only.
//!
//! It makes the same calls as the controller, to the same accounts and buckets through the same roles, one
//! after the other, and polls every 100 ms until AWS has settled. Like the controller, it has assumed its
//! role before. It does not use GitLab, keeps no journal and survives no crash.

use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_lc_rs::digest;
use aws_sdk_lambda::{
    error::DisplayErrorContext,
    operation::get_function::GetFunctionError,
    primitives::Blob,
    types::{FunctionCode, LastUpdateStatus, Runtime, State},
};
use aws_sdk_s3::operation::{get_object::GetObjectError, head_object::HeadObjectError};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sluice_lab::{
    aws::EXTERNAL_ID,
    error::LabError,
    lab::{HUB_REGION, Lab},
    runtime,
};
use tokio::time::sleep;

/// How often it polls until AWS has settled.
const POLL: Duration = Duration::from_millis(100);
const ALIAS: &str = "live";

/// Clients for the hub and dev.
pub struct Plain {
    session: Session,
    lambda: aws_sdk_lambda::Client,
    hub: Bucket,
    target: Bucket,
    role: String,
}

/// A session of the role that the controller assumes in dev.
#[derive(Clone)]
pub struct Session {
    /// The SDK configuration.
    pub config: SdkConfig,
    /// The access key's id, for other programs.
    pub access_key_id: String,
    /// The access key's secret.
    pub secret_access_key: String,
    /// The session's token.
    pub token: String,
}

struct Bucket {
    s3: aws_sdk_s3::Client,
    name: String,
}

impl Plain {
    /// Assumes dev's role.
    pub fn enter(lab: &Lab) -> Result<Self, LabError> {
        runtime::handle().block_on(Self::assume_role(lab))
    }

    async fn assume_role(lab: &Lab) -> Result<Self, LabError> {
        let (hub, dev, key) = (lab.aws.hub(), lab.aws.dev(), lab.aws.hub_access_key());
        let config = |key: Credentials| {
            lab.aws
                .caller_config(SharedCredentialsProvider::new(key), HUB_REGION)
        };
        let of_hub = config(Credentials::new(&key.id, &key.secret, None, None, "bench"));
        let assumed = aws_sdk_sts::Client::new(&of_hub)
            .assume_role()
            .role_arn(&dev.role_arn)
            .external_id(EXTERNAL_ID)
            .role_session_name("bench")
            .send()
            .await
            .map_err(|e| failed("AssumeRole", &e))?;
        let credentials = assumed
            .credentials
            .ok_or_else(|| LabError::new("AssumeRole gave no credentials"))?;
        let of_dev = config(Credentials::new(
            credentials.access_key_id(),
            credentials.secret_access_key(),
            Some(credentials.session_token().to_owned()),
            None,
            "bench",
        ));
        Ok(Self {
            session: Session {
                config: of_dev.clone(),
                access_key_id: credentials.access_key_id,
                secret_access_key: credentials.secret_access_key,
                token: credentials.session_token,
            },
            lambda: aws_sdk_lambda::Client::new(&of_dev),
            hub: Bucket {
                s3: aws_sdk_s3::Client::new(&of_hub),
                name: hub.buckets[HUB_REGION].clone(),
            },
            target: Bucket {
                s3: aws_sdk_s3::Client::new(&of_dev),
                name: dev.buckets[HUB_REGION].clone(),
            },
            role: dev.execution_role_arn.clone(),
        })
    }

    /// The session in dev.
    pub fn session(&self) -> Session {
        self.session.clone()
    }

    /// Delivers a new function. Returns the seconds until its alias serves.
    pub fn create(&self, function: &str, package: &[u8]) -> Result<f64, LabError> {
        runtime::handle().block_on(self.deliver(function, package, None))
    }

    /// Delivers changed code; `before` is the current package. Returns the seconds until the alias serves.
    pub fn change(&self, function: &str, before: &[u8], package: &[u8]) -> Result<f64, LabError> {
        runtime::handle().block_on(self.deliver(function, package, Some(before)))
    }

    async fn deliver(
        &self,
        function: &str,
        package: &[u8],
        before: Option<&[u8]>,
    ) -> Result<f64, LabError> {
        let begun = Instant::now();
        let digest = hash(package);
        let artifact = format!("bench/{function}/{}", hex::encode(&digest));
        let marker = format!("{artifact}.json");
        self.hub.find(&marker).await?;
        self.hub.put(&artifact, package).await?;
        self.hub.put(&marker, b"{}").await?;

        let existing = self.observe(function, None).await?;
        let mut alias_revision = None;
        if let Some(before) = before {
            let alias = self.lambda.get_alias().function_name(function).name(ALIAS);
            let alias = alias.send().await.map_err(|e| failed("GetAlias", &e))?;
            alias_revision = alias.revision_id;
            self.target.head(&package_key(function, before)).await?;
        }
        self.target
            .put(&format!("bench/{function}/snapshot.json"), b"{}")
            .await?;
        let key = package_key(function, package);
        self.target.head(&key).await?;
        let bytes = self.hub.get(&artifact).await?;
        let version_id = self.target.put(&key, &bytes).await?;
        if let Some(existing) = &existing {
            let update = self.lambda.update_function_code().function_name(function);
            let update = update
                .s3_bucket(&self.target.name)
                .s3_key(&key)
                .set_s3_object_version(version_id)
                .set_revision_id(existing.revision.clone());
            let sent = update.send().await;
            sent.map_err(|e| failed("UpdateFunctionCode", &e))?;
        } else {
            self.create_function(function, &key, version_id).await?;
        }
        let settled = self.wait_until_settled(function, None).await?;
        let publish = self.lambda.publish_version().function_name(function);
        let published = publish
            .code_sha256(STANDARD.encode(&digest))
            .set_revision_id(settled.revision)
            .send()
            .await
            .map_err(|e| failed("PublishVersion", &e))?;
        let version = published.version.unwrap_or_default();
        self.wait_until_settled(function, Some(&version)).await?;
        self.invoke(function, &version).await?;
        if existing.is_some() {
            let alias = self.lambda.update_alias().function_name(function);
            let alias = alias.name(ALIAS).function_version(&version);
            let sent = alias.set_revision_id(alias_revision).send().await;
            sent.map_err(|e| failed("UpdateAlias", &e))?;
        } else {
            let alias = self.lambda.create_alias().function_name(function);
            let sent = alias.name(ALIAS).function_version(&version).send().await;
            sent.map_err(|e| failed("CreateAlias", &e))?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        self.invoke(function, ALIAS).await?;
        Ok(seconds)
    }

    async fn create_function(
        &self,
        function: &str,
        key: &str,
        version_id: Option<String>,
    ) -> Result<(), LabError> {
        let code = FunctionCode::builder()
            .s3_bucket(&self.target.name)
            .s3_key(key)
            .set_s3_object_version(version_id)
            .build();
        let create = self.lambda.create_function().function_name(function);
        let create = create.code(code).runtime(Runtime::from("python3.13"));
        let create = create.handler("app.handler").role(&self.role);
        let sent = create.send().await;
        sent.map(drop).map_err(|e| failed("CreateFunction", &e))
    }

    async fn wait_until_settled(
        &self,
        function: &str,
        version: Option<&str>,
    ) -> Result<Observed, LabError> {
        loop {
            match self.observe(function, version).await? {
                Some(observed) if observed.settled => return Ok(observed),
                Some(_) => sleep(POLL).await,
                None => return Err(LabError::new(format!("{function} has gone"))),
            }
        }
    }

    async fn observe(
        &self,
        function: &str,
        version: Option<&str>,
    ) -> Result<Option<Observed>, LabError> {
        let get = self.lambda.get_function().function_name(function);
        let sent = get.set_qualifier(version.map(str::to_owned)).send().await;
        let found = match sent {
            Ok(found) => found
                .configuration
                .unwrap_or_else(|| aws_sdk_lambda::types::FunctionConfiguration::builder().build()),
            Err(error) => {
                let missing = error
                    .as_service_error()
                    .is_some_and(GetFunctionError::is_resource_not_found_exception);
                return if missing {
                    Ok(None)
                } else {
                    Err(failed("GetFunction", &error))
                };
            }
        };
        let updated = found
            .last_update_status
            .is_none_or(|status| status == LastUpdateStatus::Successful);
        Ok(Some(Observed {
            settled: found.state == Some(State::Active) && updated,
            revision: found.revision_id,
        }))
    }

    async fn invoke(&self, function: &str, qualifier: &str) -> Result<(), LabError> {
        let call = self.lambda.invoke().function_name(function);
        let call = call.qualifier(qualifier).payload(Blob::new("{}"));
        let answer = call.send().await.map_err(|e| failed("Invoke", &e))?;
        match answer.function_error {
            None => Ok(()),
            Some(error) => Err(LabError::new(format!("{function}:{qualifier}: {error}"))),
        }
    }
}

/// The state of a function.
struct Observed {
    settled: bool,
    revision: Option<String>,
}

impl Bucket {
    /// Reads an object that is expected to be missing.
    async fn find(&self, key: &str) -> Result<(), LabError> {
        let sent = self
            .s3
            .get_object()
            .bucket(&self.name)
            .key(key)
            .send()
            .await;
        match sent {
            Err(error)
                if !error
                    .as_service_error()
                    .is_some_and(GetObjectError::is_no_such_key) =>
            {
                Err(failed("GetObject", &error))
            }
            _ => Ok(()),
        }
    }

    async fn head(&self, key: &str) -> Result<(), LabError> {
        let sent = self
            .s3
            .head_object()
            .bucket(&self.name)
            .key(key)
            .send()
            .await;
        match sent {
            Err(error)
                if !error
                    .as_service_error()
                    .is_some_and(HeadObjectError::is_not_found) =>
            {
                Err(failed("HeadObject", &error))
            }
            _ => Ok(()),
        }
    }

    async fn get(&self, key: &str) -> Result<Vec<u8>, LabError> {
        let sent = self
            .s3
            .get_object()
            .bucket(&self.name)
            .key(key)
            .send()
            .await;
        let found = sent.map_err(|e| failed("GetObject", &e))?;
        let body = found.body.collect().await;
        body.map(|body| body.into_bytes().to_vec())
            .map_err(|e| LabError::new(format!("GetObject: {e}")))
    }

    async fn put(&self, key: &str, bytes: &[u8]) -> Result<Option<String>, LabError> {
        let put = self.s3.put_object().bucket(&self.name).key(key);
        let sent = put.body(bytes.to_vec().into()).send().await;
        sent.map(|put| put.version_id)
            .map_err(|e| failed("PutObject", &e))
    }
}

fn hash(package: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, package).as_ref().to_vec()
}

fn package_key(function: &str, package: &[u8]) -> String {
    format!("bench/{function}/{}.zip", hex::encode(hash(package)))
}

fn failed(operation: &str, error: &dyn std::error::Error) -> LabError {
    LabError::new(format!(
        "the plain program: {operation}: {}",
        DisplayErrorContext(error)
    ))
}
