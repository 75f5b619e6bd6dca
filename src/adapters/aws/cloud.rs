//! [`Cloud`] over the SDK: which session a client gets, and what clients share.
//!
//! One HTTP client, and so one pool of connections, serves all of them. The sessions of an account and region
//! share clients. Sessions are kept until their Account, or one that it goes through, changes.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use aws_config::{Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use kube::ResourceExt as _;

use super::{
    budget::Budget,
    clients::Clients,
    cloudformation::CloudFormationStacks,
    cloudwatch::CloudWatch,
    credentials::{self, Restriction, Session, Source, Sts, Verified},
    lambda::LambdaFunctions,
    meter::Meter,
    policy::{Purpose, SessionScope, session_policy},
    s3::S3Sites,
    sdk::load,
    shared::{Key, Origin, Shared},
    store::S3Store,
    timeouts::{CONNECT_TIMEOUT, READ_TIMEOUT},
};
use crate::{
    api::v1alpha1::{Account, AccountRegion, AssumeRole},
    domain::{grants::Permissions, workload::cloud_formation::Bootstrap},
    fence::Fence,
    metrics::Metrics,
    ports::{
        CallError, CallErrorKind,
        cloud::{AccountDirectory, Cloud, Identity},
        lambda::Functions,
        monitoring::Monitoring,
        s3::Sites,
        secrets::Secrets,
        stacks::Stacks,
        store::Store,
    },
};

/// The clients of one service, each with its session.
type Ports<T> = Shared<(Arc<Verified>, Arc<T>)>;

/// What a session is limited to, in which region: nothing else, if its credentials come from a role.
type Limits<'a> = (&'a AccountRegion, &'a Purpose, &'a Permissions);

/// An account's id, a region, and the endpoint, if it is not AWS's own.
type Address = (String, String, Option<String>);

/// AWS accounts through the SDK.
pub struct AwsCloud {
    base: SdkConfig,
    ambient: Option<SharedCredentialsProvider>,
    downloads: reqwest::Client,
    secrets: Arc<dyn Secrets>,
    directory: Arc<dyn AccountDirectory>,
    namespace: String,
    meter: Meter,
    metrics: Arc<Metrics>,
    fence: Fence,
    sessions: Shared<Arc<Session>>,
    verified: Shared<Arc<Verified>>,
    functions: Ports<LambdaFunctions>,
    monitoring: Ports<CloudWatch>,
    sites: Ports<S3Sites>,
    stacks: Ports<CloudFormationStacks>,
    stores: Ports<S3Store>,
    clients: Mutex<HashMap<Address, Arc<Clients>>>,
    budgets: Mutex<HashMap<(String, String), Arc<Budget>>>,
}

impl fmt::Debug for AwsCloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCloud").finish_non_exhaustive()
    }
}

impl AwsCloud {
    /// `namespace` is the controller's own, which holds the Secrets of Accounts. Calls are counted
    /// in `metrics`; no write is sent once `fence` is closed.
    ///
    /// Looks for the pod's own credentials in the environment and in files. Sends nothing yet.
    pub async fn new(
        secrets: Arc<dyn Secrets>,
        directory: Arc<dyn AccountDirectory>,
        namespace: impl Into<String>,
        metrics: Arc<Metrics>,
        fence: Fence,
    ) -> Result<Self, CallError> {
        let downloads = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| {
                let message = super::errors::causes(&error);
                CallError::new(
                    "set up HTTPS",
                    "this process",
                    CallErrorKind::Unavailable,
                    message,
                )
            })?;
        let loaded = load().await;
        let ambient = loaded.credentials_provider();
        let mut base = loaded.into_builder();
        base.set_credentials_provider(None);
        Ok(Self {
            base: base.build(),
            ambient,
            downloads,
            secrets,
            directory,
            namespace: namespace.into(),
            meter: Meter::new(Arc::clone(&metrics)),
            metrics,
            fence,
            sessions: Shared::default(),
            verified: Shared::default(),
            functions: Shared::default(),
            monitoring: Shared::default(),
            sites: Shared::default(),
            stacks: Shared::default(),
            stores: Shared::default(),
            clients: Mutex::default(),
            budgets: Mutex::default(),
        })
    }

    /// The SDK's settings for an account and region, without credentials.
    fn sdk(&self, account: &Account, region: &str) -> SdkConfig {
        let mut builder = self
            .base
            .to_builder()
            .region(Region::new(region.to_owned()));
        if account.spec.endpoint_url.is_some() {
            builder.set_endpoint_url(account.spec.endpoint_url.clone());
        }
        builder.build()
    }

    /// The clients that all sessions of an account share in a region.
    fn clients(&self, account: &Account, region: &str) -> Arc<Clients> {
        let spec = &account.spec;
        let address = (
            spec.account_id.clone(),
            region.to_owned(),
            spec.endpoint_url.clone(),
        );
        let budget = self.budget(account, region);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            Arc::new(Clients::new(
                &self.sdk(account, region),
                budget,
                &self.fence,
            ))
        };
        Arc::clone(clients.entry(address).or_insert_with(make))
    }

    /// The session of an account, limited to `limits` if there are any and if the credentials come from a
    /// role.
    fn session(
        &self,
        account: &Account,
        limits: Option<Limits<'_>>,
    ) -> Result<Arc<Session>, CallError> {
        let region = limits.map_or("", |(region, ..)| region.name.as_str());
        let limited = limits.map(|(_, purpose, permissions)| (purpose, permissions));
        let key = key(account, region, limited);
        self.sessions
            .get(&*self.directory, key, self.origin(account)?, || {
                Ok(Arc::new(Session::new(self.source(account, limits)?)))
            })
    }

    fn source(&self, account: &Account, limits: Option<Limits<'_>>) -> Result<Source, CallError> {
        let name = account.name_any();
        let region = match limits {
            Some((region, ..)) => region,
            None => first_region(account)?,
        };
        let sts = Sts {
            client: self.clients(account, &region.name).sts(),
            meter: self.meter.clone(),
        };
        let restricted = |role_arn: &str| {
            let Some((region, purpose, permissions)) = limits else {
                return Restriction::default();
            };
            let scope = SessionScope {
                partition: role_arn.split(':').nth(1).unwrap_or("aws"),
                account_id: &account.spec.account_id,
                region: &region.name,
                artifact_bucket: &region.artifact_bucket,
            };
            Restriction {
                policy: Some(session_policy(purpose, scope, permissions)),
                name: Some(permissions.holder.session_name()),
            }
        };
        if let Some((_, Purpose::Assets(bootstrap), _)) = limits {
            let role = AssumeRole {
                role_arn: bootstrap.publishing_role(),
                external_id: None,
                via: None,
                session_tags: BTreeMap::new(),
            };
            return Ok(Source::AssumeRole {
                account: name,
                restriction: restricted(&role.role_arn),
                role,
                sts,
                from: self.session(account, None)?,
            });
        }
        let credentials = &account.spec.credentials;
        if let Some(key) = &credentials.access_key {
            return Ok(Source::AccessKey {
                account: name,
                secrets: Arc::clone(&self.secrets),
                namespace: self.namespace.clone(),
                name: key.secret_ref.name.clone(),
            });
        }
        if let Some(role) = &credentials.web_identity {
            return Ok(Source::WebIdentity {
                account: name,
                restriction: restricted(&role.role_arn),
                role: role.clone(),
                secrets: Arc::clone(&self.secrets),
                sts,
            });
        }
        if let Some(role) = &credentials.assume_role {
            let from = match &role.via {
                Some(via) => self.session(&*self.account(via)?, None)?,
                None => Arc::new(Session::new(self.ambient(&name))),
            };
            return Ok(Source::AssumeRole {
                account: name,
                restriction: restricted(&role.role_arn),
                role: role.clone(),
                sts,
                from,
            });
        }
        Ok(self.ambient(&name))
    }

    fn ambient(&self, account: &str) -> Source {
        Source::Ambient {
            account: account.to_owned(),
            provider: self.ambient.clone(),
        }
    }

    fn account(&self, name: &str) -> Result<Arc<Account>, CallError> {
        self.directory.account(name).ok_or_else(|| {
            let message = "it no longer exists";
            let resource = format!("Account {name}");
            CallError::new(
                "resolve assumeRole.via",
                resource,
                CallErrorKind::Invalid,
                message,
            )
        })
    }

    /// Checks the Accounts that this one goes through, and records their state.
    fn origin(&self, account: &Account) -> Result<Origin, CallError> {
        let behind = credentials::via(account, &*self.directory)?;
        let state = |account: &Account| (account.metadata.uid.clone(), account.metadata.generation);
        let behind = behind.iter().map(|account| state(account));
        Ok(Origin(
            std::iter::once(state(account)).chain(behind).collect(),
        ))
    }

    /// The session whose access keys are used only once they are known to be in that account.
    /// All clients with the same limits share it, and so the result of `GetCallerIdentity`.
    fn verified(
        &self,
        account: &Account,
        region: &AccountRegion,
        limits: Option<(&Purpose, &Permissions)>,
    ) -> Result<Arc<Verified>, CallError> {
        let key = key(account, &region.name, limits);
        self.verified
            .get(&*self.directory, key, self.origin(account)?, || {
                let limits = limits.map(|(purpose, permissions)| (region, purpose, permissions));
                Ok(Arc::new(Verified::new(
                    self.session(account, limits)?,
                    &account.name_any(),
                    &account.spec.account_id,
                    self.clients(account, &region.name).sts(),
                    self.meter.clone(),
                )))
            })
    }

    /// The client of this kind for an account, a region and limits, once its session is known to be in that
    /// account.
    async fn client<T>(
        &self,
        kept: &Ports<T>,
        (account, region, limits): (&Account, &str, Option<(&Purpose, &Permissions)>),
        make: impl FnOnce(&Clients, Arc<Verified>, &AccountRegion) -> T,
    ) -> Result<Arc<T>, CallError> {
        let listed = listed_region(account, region)?;
        let key = key(account, region, limits);
        let (verified, client) = kept.get(&*self.directory, key, self.origin(account)?, || {
            let verified = self.verified(account, listed, limits)?;
            let clients = self.clients(account, region);
            let client = make(&clients, Arc::clone(&verified), listed);
            Ok((verified, Arc::new(client)))
        })?;
        verified.credentials().await?;
        Ok(client)
    }

    fn budget(&self, account: &Account, region: &str) -> Arc<Budget> {
        let key = (account.spec.account_id.clone(), region.to_owned());
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = budgets
            .entry(key)
            .or_insert_with_key(|(id, region)| Arc::new(Budget::new(id, region, &self.metrics)));
        budget.allow(account.spec.request_rates(region));
        Arc::clone(budget)
    }
}

#[async_trait]
impl Cloud for AwsCloud {
    async fn identity(&self, account: &Account) -> Result<Identity, CallError> {
        let session = self.session(account, None)?;
        let credentials = session.renewed().await?;
        let sts = self.clients(account, &first_region(account)?.name).sts();
        credentials::identity(&account.name_any(), &sts, &credentials, &self.meter)
            .await
            .inspect_err(|error| session.note(error))
    }

    async fn functions(
        &self,
        account: &Account,
        region: &str,
        permissions: &Permissions,
    ) -> Result<Arc<dyn Functions>, CallError> {
        let make = |clients: &Clients, verified, _: &AccountRegion| {
            let scope = account_and_region(account, region);
            LambdaFunctions::new(scope, clients, verified, self.downloads.clone())
        };
        let to = (account, region, Some((&Purpose::Functions, permissions)));
        Ok(self.client(&self.functions, to, make).await?)
    }

    async fn monitoring(
        &self,
        account: &Account,
        region: &str,
        permissions: &Permissions,
    ) -> Result<Arc<dyn Monitoring>, CallError> {
        let make = |clients: &Clients, verified, _: &AccountRegion| {
            CloudWatch::new(account_and_region(account, region), clients, verified)
        };
        let to = (account, region, Some((&Purpose::Functions, permissions)));
        Ok(self.client(&self.monitoring, to, make).await?)
    }

    async fn sites(
        &self,
        account: &Account,
        region: &str,
        permissions: &Permissions,
    ) -> Result<Arc<dyn Sites>, CallError> {
        let make = |clients: &Clients, verified, listed: &AccountRegion| {
            let bucket = &listed.artifact_bucket;
            S3Sites::new(account, clients, verified, bucket, permissions, &self.fence)
        };
        let to = (account, region, Some((&Purpose::Functions, permissions)));
        Ok(self.client(&self.sites, to, make).await?)
    }

    async fn stacks(
        &self,
        account: &Account,
        region: &str,
        permissions: &Permissions,
    ) -> Result<Arc<dyn Stacks>, CallError> {
        let make = |clients: &Clients, verified, _: &AccountRegion| {
            let scope = account_and_region(account, region);
            CloudFormationStacks::new(scope, region, clients, verified)
        };
        let to = (account, region, Some((&Purpose::Stacks, permissions)));
        Ok(self.client(&self.stacks, to, make).await?)
    }

    async fn assets(
        &self,
        account: &Account,
        bootstrap: &Bootstrap,
        permissions: &Permissions,
    ) -> Result<Arc<dyn Store>, CallError> {
        let make = |clients: &Clients, verified, _: &AccountRegion| {
            let (bucket, owner) = (bootstrap.bucket(), &account.spec.account_id);
            S3Store::new(clients, verified, &bucket, owner, &self.fence).without_replacing()
        };
        let purpose = Purpose::Assets(bootstrap.clone());
        let limits = Some((&purpose, permissions));
        let to = (account, bootstrap.region.as_str(), limits);
        Ok(self.client(&self.stores, to, make).await?)
    }

    async fn store(&self, account: &Account, region: &str) -> Result<Arc<dyn Store>, CallError> {
        let make = |clients: &Clients, verified, listed: &AccountRegion| {
            let (bucket, owner) = (&listed.artifact_bucket, &account.spec.account_id);
            S3Store::new(clients, verified, bucket, owner, &self.fence)
        };
        Ok(self
            .client(&self.stores, (account, region, None), make)
            .await?)
    }
}

fn key(account: &Account, region: &str, limits: Option<(&Purpose, &Permissions)>) -> Key {
    Key {
        account: account.name_any(),
        region: region.to_owned(),
        limits: limits.map(|(purpose, permissions)| (purpose.clone(), permissions.clone())),
    }
}

/// The Account and the region, for messages.
fn account_and_region(account: &Account, region: &str) -> String {
    format!("Account {}, {region}", account.name_any())
}

fn first_region(account: &Account) -> Result<&AccountRegion, CallError> {
    account
        .spec
        .regions
        .first()
        .ok_or_else(|| no_region(account, "any"))
}

fn listed_region<'a>(account: &'a Account, name: &str) -> Result<&'a AccountRegion, CallError> {
    let mut regions = account.spec.regions.iter();
    regions
        .find(|region| region.name == name)
        .ok_or_else(|| no_region(account, name))
}

fn no_region(account: &Account, name: &str) -> CallError {
    CallError::new(
        "use region",
        format!("{name} of Account {}", account.name_any()),
        CallErrorKind::Invalid,
        "the Account does not list it: add it with its artifact bucket to spec.regions",
    )
}
