//! The AWS adapters against the lab's AWS: sessions, Lambda, CloudWatch, CloudFormation, S3 locations and the
//! artifact store.
//!
//! All tests share one cloud and run in parallel; each uses names of its own, and counts only calls about
//! those.

mod access;
mod counts;
mod functions;
mod monitoring;
mod sites;
mod stacks;
mod store;
mod writes;

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use secrecy::SecretString;
use sluice::{
    adapters::aws::AwsCloud,
    api::v1alpha1::{
        AccessKey, Account, AccountRegion, AccountSpec, AssumeRole, Credentials, SecretRef,
        WebIdentity,
    },
    domain::{
        grants::{Allowed, Permissions},
        workload::lambda::{
            CodeLocation, Function, FunctionConfiguration, FunctionState, LastUpdate,
        },
    },
    fence::Fence,
    metrics::Metrics,
    ports::{
        CallError, CallErrorKind,
        cloud::{AccountDirectory, Cloud as _},
        lambda::Functions,
        secrets::{SecretData, Secrets},
        store::Store,
    },
};
use sluice_lab::{
    aws::{AUDIENCE, AccountInfo, Cloud, REGIONS, SUBJECT},
    lab::{PATIENCE, wait_until},
    toolchain,
};
use tokio::sync::OnceCell;

const REGION: &str = REGIONS[0];
const NAMESPACE: &str = "sluice-system";
const HUB_KEY: &str = "hub-key";

async fn lab() -> &'static Cloud {
    static LAB: OnceCell<Cloud> = OnceCell::const_new();
    LAB.get_or_init(|| async {
        let python = toolchain::python(&|line| eprintln!("lab: {line}")).expect("Python");
        let dir = format!("adapters-aws-{}", std::process::id());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(dir);
        Cloud::start(&python, &dir)
            .await
            .expect("the lab's AWS starts")
    })
    .await
}

/// Secrets of the controller's namespace, and tokens as the cluster would sign them.
#[derive(Default)]
struct Vault(Mutex<BTreeMap<String, BTreeMap<String, String>>>);

impl Vault {
    fn put_key(&self, name: &str, id: &str, secret: &str) {
        let values = [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)];
        let values = values.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut secrets = self.0.lock().expect("not poisoned");
        secrets.insert(format!("{NAMESPACE}/{name}"), values.into());
    }

    fn remove(&self, name: &str) {
        let mut secrets = self.0.lock().expect("not poisoned");
        secrets.remove(&format!("{NAMESPACE}/{name}"));
    }
}

#[async_trait]
impl Secrets for Vault {
    async fn get(&self, namespace: &str, name: &str) -> Result<SecretData, CallError> {
        let id = format!("{namespace}/{name}");
        let secrets = self.0.lock().expect("not poisoned");
        let values = secrets
            .get(&id)
            .ok_or_else(|| CallError::new("get Secret", id, CallErrorKind::NotFound, "gone"))?;
        let secret = |(key, value): (&String, &String)| (key.clone(), value.clone().into());
        Ok(SecretData {
            values: values.iter().map(secret).collect(),
            ..SecretData::default()
        })
    }

    /// The emulator checks only the claims.
    async fn identity_token(&self, audience: &str) -> Result<SecretString, CallError> {
        let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = encode(serde_json::json!({ "alg": "RS256", "kid": "lab" }));
        let claims = encode(serde_json::json!({
            "iss": "https://kubernetes.default.svc",
            "aud": [audience],
            "sub": SUBJECT,
            "exp": 4_102_444_800_i64,
        }));
        Ok(format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode("signed")).into())
    }
}

/// The cluster's Accounts.
#[derive(Default)]
struct Accounts(Mutex<BTreeMap<String, Arc<Account>>>);

impl AccountDirectory for Accounts {
    fn account(&self, name: &str) -> Option<Arc<Account>> {
        self.0.lock().expect("not poisoned").get(name).cloned()
    }
}

/// The adapters of one controller, with the hub's key in a Secret and Accounts for hub, dev and prod.
struct Fixture {
    lab: &'static Cloud,
    cloud: AwsCloud,
    vault: Arc<Vault>,
    accounts: Arc<Accounts>,
    metrics: Arc<Metrics>,
    fence: Fence,
}

impl Fixture {
    async fn new() -> Self {
        let lab = lab().await;
        let vault = Arc::new(Vault::default());
        let key = lab.hub_access_key();
        vault.put_key(HUB_KEY, &key.id, &key.secret);
        let accounts = Arc::new(Accounts::default());
        let metrics = Arc::<Metrics>::default();
        let fence = Fence::open();
        let (secrets, directory) = (vault.clone(), accounts.clone());
        let cloud = AwsCloud::new(
            secrets,
            directory,
            NAMESPACE,
            metrics.clone(),
            fence.clone(),
        );
        let cloud = cloud.await.expect("a cloud");
        let fixture = Self {
            lab,
            cloud,
            vault,
            accounts,
            metrics,
            fence,
        };
        fixture.add("hub", lab.hub(), by_key());
        fixture.add("dev", lab.dev(), by_role(lab.dev(), "hub"));
        fixture.add("prod", lab.prod(), by_role(lab.prod(), "hub"));
        fixture
    }

    /// Adds or replaces an Account; each time is a new generation.
    fn add(&self, name: &str, info: &AccountInfo, credentials: Credentials) -> Arc<Account> {
        let region = |(name, bucket): (&String, &String)| AccountRegion {
            request_rates: None,
            name: name.clone(),
            artifact_bucket: bucket.clone(),
        };
        let spec = AccountSpec {
            account_id: info.id.clone(),
            regions: info.buckets.iter().map(region).collect(),
            endpoint_url: Some(self.lab.endpoint().to_owned()),
            credentials,
            sources: Vec::new(),
            grants: Vec::new(),
            requires: None,
        };
        let mut account = Account::new(name, spec);
        let mut accounts = self.accounts.0.lock().expect("not poisoned");
        let former = accounts
            .get(name)
            .and_then(|account| account.metadata.generation);
        account.metadata.generation = Some(former.unwrap_or_default() + 1);
        let account = Arc::new(account);
        accounts.insert(name.to_owned(), account.clone());
        account
    }

    fn account(&self, name: &str) -> Arc<Account> {
        self.accounts
            .account(name)
            .expect("an Account of the fixture")
    }

    /// Lambda in dev, with a grant for functions that begin with `prefix`.
    async fn functions(&self, prefix: &str) -> Arc<dyn Functions> {
        let allowed = allowed(&format!("{prefix}*"));
        let functions = self
            .cloud
            .functions(&self.account("dev"), REGION, &allowed)
            .await;
        functions.expect("Lambda in dev")
    }

    async fn store(&self) -> Arc<dyn Store> {
        let store = self.cloud.store(&self.account("dev"), REGION).await;
        store.expect("dev's artifact bucket")
    }

    /// A package in dev's bucket whose handler answers `answer`.
    async fn package(&self, name: &str, answer: &str) -> (CodeLocation, Bytes) {
        let key = format!("packages/{name}");
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file("app.py", options)
            .expect("a file in the package");
        write!(zip, "def handler(event, context):\n    return {answer:?}\n").expect("the handler");
        let bytes = Bytes::from(zip.finish().expect("the package").into_inner());
        let store = self.store().await;
        let version_id = store
            .put(&key, bytes.clone(), &BTreeMap::new())
            .await
            .expect("stored");
        let location = CodeLocation {
            bucket: store.bucket().to_owned(),
            key,
            version_id,
        };
        (location, bytes)
    }

    fn configuration(&self) -> FunctionConfiguration {
        FunctionConfiguration {
            runtime: "python3.13".into(),
            handler: "app.handler".into(),
            role: self.lab.dev().execution_role_arn.clone(),
            memory_size: 256,
            timeout: 10,
            environment: BTreeMap::from([("LOG_LEVEL".into(), "info".into())]),
            description: "checkout".into(),
        }
    }

    /// Creates a function in dev, and waits until it is Active.
    async fn function(&self, functions: &dyn Functions, name: &str) -> Function {
        let (code, _) = self.package(name, "one").await;
        functions
            .create(
                name,
                "x86_64",
                &code,
                &self.configuration(),
                &BTreeMap::new(),
            )
            .await
            .expect("created");
        settled(functions, name, None).await
    }
}

fn by_key() -> Credentials {
    Credentials {
        access_key: Some(AccessKey {
            secret_ref: SecretRef {
                name: HUB_KEY.into(),
            },
        }),
        ..Credentials::default()
    }
}

fn by_role(info: &AccountInfo, via: &str) -> Credentials {
    Credentials {
        assume_role: Some(AssumeRole {
            role_arn: info.role_arn.clone(),
            external_id: Some(info.external_id.clone()),
            via: Some(via.to_owned()),
            session_tags: BTreeMap::new(),
        }),
        ..Credentials::default()
    }
}

fn by_token(info: &AccountInfo) -> Credentials {
    Credentials {
        web_identity: Some(WebIdentity {
            role_arn: info
                .web_identity_role_arn
                .clone()
                .expect("a role for tokens"),
            audience: AUDIENCE.to_owned(),
        }),
        ..Credentials::default()
    }
}

fn allowed(functions: &str) -> Permissions {
    Permissions {
        grants: vec![Allowed {
            functions: vec![functions.to_owned()],
            roles: vec!["*".to_owned()],
            ..Allowed::default()
        }],
        ..Permissions::default()
    }
}

/// Waits until the function or version is Active and its last update successful. Returns it.
async fn settled(functions: &dyn Functions, name: &str, version: Option<&str>) -> Function {
    let is = format!("{name} is Active and up to date");
    let function = wait_until(&is, PATIENCE, async || {
        let function = functions.get(name, version).await.expect("an answer");
        let function = function.expect("the function is there");
        let settled = function.state == FunctionState::Active
            && function.last_update == LastUpdate::Successful;
        if settled {
            Ok(function)
        } else {
            Err(format!("{function:?}"))
        }
    });
    function.await.unwrap_or_else(|error| panic!("{error}"))
}
