//! The fixture of all runs: the lab without its own controller, and the slots in which runs take place.

use std::{collections::HashMap, path::Path, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use sluice::{
    api::v1alpha1::{Account, condition},
    controllers::approval::policy::{ApprovalPolicy, Shipped},
    domain::gates::PolicyForce,
};
use sluice_lab::{
    aws::HookedEndpoint,
    kube::User,
    lab::{HUB_REGION, Lab, LabOptions, NAMESPACE},
};

use crate::{
    instance::{Environment, Instance, Log},
    interceptor::Interceptor,
    names::Names,
    stacks::StackReader,
    waiting::{LIMIT, Problem, problem, wait_until},
};

/// The accounts that each slot has an Account for.
pub const ACCOUNTS: [&str; 3] = ["hub", "dev", "prod"];

/// The lab and its clients.
pub struct Fixture {
    /// The lab; its own controller has ended.
    pub lab: Lab,
    /// A client with the rights of the platform team.
    pub admin: Client,
    /// A client with the rights of an approver.
    pub approver: Client,
    /// The configuration for the controller's ServiceAccount.
    pub controller: Config,
    lambda: HashMap<&'static str, aws_sdk_lambda::Client>,
    s3: HashMap<&'static str, aws_sdk_s3::Client>,
    cloudwatch: HashMap<&'static str, aws_sdk_cloudwatch::Client>,
    stacks: HashMap<&'static str, StackReader>,
}

impl Fixture {
    /// Starts the lab. Blocks the thread.
    pub fn start(progress: fn(&str)) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let options = LabOptions {
            dir: Path::new(env!("CARGO_TARGET_TMPDIR")).join("chaos"),
            binary: Some(PathBuf::from(env!("CARGO_BIN_EXE_sluice"))),
            progress,
            ..LabOptions::default()
        };
        let lab = Lab::start(&options).unwrap_or_else(|e| panic!("the lab could not start: {e}"));
        lab.controller().terminate().unwrap();
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "chaos-approvers"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sluice-approver"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "sluice:approvers"}],
        });
        lab.apply(&binding.to_string()).unwrap();
        // Each run with two controllers has its own Lease; the role of the chart names only one.
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "chaos-leases", "namespace": NAMESPACE},
            "rules": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}],
        });
        let role_binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "chaos-leases", "namespace": NAMESPACE},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "chaos-leases"},
            "subjects": [{"kind": "ServiceAccount", "name": "sluice", "namespace": NAMESPACE}],
        });
        lab.apply(&format!("{role}\n---\n{role_binding}")).unwrap();
        let token = lab.kube.token_for(NAMESPACE, "sluice", None).unwrap();
        let kubeconfig = lab.kube.kubeconfig_with_token("chaos", &token).unwrap();
        let handle = tokio::runtime::Handle::current();
        let read = |path: PathBuf| handle.block_on(config(path));
        let controller = read(kubeconfig);
        let admin = Client::try_from(read(lab.kube.kubeconfig(User::Admin))).unwrap();
        let approver = Client::try_from(read(lab.kube.kubeconfig(User::Approver))).unwrap();
        let sdk = |account: &str| {
            lab.aws
                .sdk_config(lab.account_id(account).unwrap(), HUB_REGION)
        };
        let lambda = ACCOUNTS.map(|account| (account, aws_sdk_lambda::Client::new(&sdk(account))));
        let s3 = ACCOUNTS.map(|account| (account, aws_sdk_s3::Client::new(&sdk(account))));
        let cloudwatch =
            ACCOUNTS.map(|account| (account, aws_sdk_cloudwatch::Client::new(&sdk(account))));
        let stacks = ACCOUNTS.map(|account| {
            let id = lab.account_id(account).unwrap();
            (account, StackReader::new(&sdk(account), id))
        });
        Self {
            admin,
            approver,
            controller,
            lambda: lambda.into(),
            s3: s3.into(),
            cloudwatch: cloudwatch.into(),
            stacks: stacks.into(),
            lab,
        }
    }

    /// Waits until the admission policies for Approvals are in force: they were created with the lab.
    pub async fn wait_for_policies(&self) -> Result<(), Problem> {
        let controller = format!("system:serviceaccount:{NAMESPACE}:sluice");
        let shipped = [
            Shipped::approvals("sluice-approvals"),
            Shipped::records("sluice-records", &controller),
        ];
        let policy = ApprovalPolicy::new(self.admin.clone(), shipped);
        wait_until(
            "the admission policies are in force",
            LIMIT,
            async || match policy.force(Duration::ZERO).await {
                PolicyForce::Since(since) if since <= Timestamp::now() => Ok(()),
                force => Err(format!("{force:?}")),
            },
        )
        .await
    }

    /// A Lambda client as the root user of an account. It bypasses the interceptor.
    pub fn lambda(&self, account: &str) -> &aws_sdk_lambda::Client {
        &self.lambda[account]
    }

    /// An S3 client as the root user of an account. It bypasses the interceptor.
    pub fn s3(&self, account: &str) -> &aws_sdk_s3::Client {
        &self.s3[account]
    }

    /// A CloudWatch client as the root user of an account. It bypasses the interceptor.
    pub fn cloudwatch(&self, account: &str) -> &aws_sdk_cloudwatch::Client {
        &self.cloudwatch[account]
    }

    /// CloudFormation in an account, as its root user. It bypasses the interceptor.
    pub fn stacks(&self, account: &str) -> &StackReader {
        &self.stacks[account]
    }

    /// The artifact bucket of an account.
    pub fn artifact_bucket(&self, account: &str) -> String {
        let all = self.lab.aws.accounts();
        let info = all.iter().find(|info| info.name == account).unwrap();
        info.buckets[HUB_REGION].clone()
    }

    /// The bucket of an account that the teams' files are delivered to.
    pub fn site_bucket(&self, account: &str) -> String {
        let all = self.lab.aws.accounts();
        let info = all.iter().find(|info| info.name == account).unwrap();
        info.sites[HUB_REGION].clone()
    }

    /// The account with this ID.
    pub fn account_of(&self, id: &str) -> Option<&'static str> {
        let mut accounts = ACCOUNTS.into_iter();
        accounts.find(|account| self.account_id(account) == id)
    }

    /// The ID of an account.
    pub fn account_id(&self, account: &str) -> &str {
        self.lab.account_id(account).unwrap()
    }
}

async fn config(path: PathBuf) -> Config {
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap()
}

/// The interceptor and the Accounts for one run at a time.
pub struct Slot {
    /// The prefix of the names of its Accounts.
    pub name: String,
    /// The interceptor that all calls of its controllers pass.
    pub interceptor: Arc<Interceptor>,
    /// The URL of GitLab through the interceptor.
    pub gitlab: String,
    endpoint: HookedEndpoint,
}

impl Slot {
    /// Creates a slot, and waits until its Accounts are Ready.
    pub async fn open(fixture: &'static Fixture, number: usize) -> Self {
        let name = format!("slot{number}");
        let interceptor = Arc::new(Interceptor::default());
        let endpoint = fixture
            .lab
            .aws
            .open_hooked_endpoint(interceptor.clone())
            .await
            .unwrap();
        let gitlab = fixture
            .lab
            .gitlab
            .open_hooked_endpoint(interceptor.clone())
            .await
            .unwrap();
        let slot = Self {
            name,
            interceptor,
            gitlab,
            endpoint,
        };
        let api: Api<Account> = Api::all(fixture.admin.clone());
        for account in ACCOUNTS {
            let manifest = slot.account_manifest(&api, account).await;
            let params = PatchParams::apply("chaos").force();
            let patch = Patch::Apply(&manifest);
            api.patch(&slot.account_name(account), &params, &patch)
                .await
                .unwrap();
        }
        slot.wait_for_accounts(fixture, &api).await;
        slot
    }

    /// The name of the slot's Account for one of the lab's accounts.
    pub fn account_name(&self, account: &str) -> String {
        format!("{}-{account}", self.name)
    }

    /// A copy of the lab's Account whose endpoint passes the interceptor.
    async fn account_manifest(&self, api: &Api<Account>, account: &str) -> Value {
        let mut spec = json!(api.get(account).await.unwrap().spec);
        spec["endpointUrl"] = json!(self.endpoint.endpoint);
        if let Some(role) = spec["credentials"].get_mut("assumeRole") {
            role["via"] = json!(self.account_name("hub"));
        }
        json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Account",
            "metadata": {"name": self.account_name(account), "labels": {"chaos": self.name}},
            "spec": spec,
        })
    }

    /// Runs a controller until the Accounts are Ready.
    async fn wait_for_accounts(&self, fixture: &Fixture, api: &Api<Account>) {
        let (signals, _) = tokio::sync::mpsc::unbounded_channel();
        self.interceptor.begin(Names::default(), signals);
        let log = Log::default();
        let instance = Instance::start(Environment {
            config: fixture.controller.clone(),
            interceptor: self.interceptor.clone(),
            namespace: "default".to_owned(),
            slot: self.name.clone(),
            log: log.clone(),
            lease: None,
        });
        for account in ACCOUNTS {
            let name = self.account_name(account);
            let ready = wait_until("the Account is Ready", LIMIT, async || {
                let status = api
                    .get(&name)
                    .await
                    .map_err(problem)?
                    .status
                    .unwrap_or_default();
                let mut conditions = status.conditions.iter();
                let is_ready =
                    conditions.any(|it| it.type_ == condition::READY && it.status == "True");
                if is_ready {
                    Ok(())
                } else {
                    Err(format!("{status:?}"))
                }
            });
            if let Err(e) = ready.await {
                panic!("Account {name}: {e}\n{}", log.tail(30));
            }
        }
        tokio::task::spawn_blocking(|| instance.kill())
            .await
            .unwrap();
    }
}

/// A Secret with a GitLab token.
pub fn secret(name: &str, token: &str) -> Secret {
    let metadata = json!({"name": name, "labels": {"sluice.dev/gitlab-token": "true"}});
    serde_json::from_value(json!({"metadata": metadata, "stringData": {"token": token}})).unwrap()
}

/// How long a kill waits for a reply that is on its way to the controller.
pub const REPLY_GRACE: Duration = Duration::from_millis(20);
