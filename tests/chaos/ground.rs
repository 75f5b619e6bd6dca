//! What all runs share: the lab without its own controller, and places to run in side by side.

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
    aws::Door,
    kube::User,
    lab::{HUB_REGION, Lab, LabOptions, NAMESPACE},
};

use crate::{
    gate::Gate,
    instance::{Instance, Log, Place},
    names::Names,
    play::{LIMIT, Wrong, wait_until, wrong},
};

/// The accounts of each slot.
pub const ACCOUNTS: [&str; 3] = ["hub", "dev", "prod"];

/// Everything that runs are run on.
pub struct Ground {
    /// The lab; its own controller has ended.
    pub lab: Lab,
    /// As the platform team.
    pub admin: Client,
    /// As somebody who may approve.
    pub approver: Client,
    /// As the controller's own ServiceAccount.
    pub controller: Config,
    lambda: HashMap<&'static str, aws_sdk_lambda::Client>,
    s3: HashMap<&'static str, aws_sdk_s3::Client>,
    watch: HashMap<&'static str, aws_sdk_cloudwatch::Client>,
}

impl Ground {
    /// Starts the lab. Blocks.
    pub fn start(say: fn(&str)) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let options = LabOptions {
            dir: Path::new(env!("CARGO_TARGET_TMPDIR")).join("chaos"),
            binary: Some(PathBuf::from(env!("CARGO_BIN_EXE_sluice"))),
            progress: say,
            ..LabOptions::default()
        };
        let lab = Lab::start(&options).unwrap_or_else(|e| panic!("the lab: {e}"));
        lab.controller().terminate().unwrap();
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "chaos-approvers"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sluice-approver"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "sluice:approvers"}],
        });
        lab.apply(&binding.to_string()).unwrap();
        // Each run with two controllers has a Lease of its own; the chart's role names one.
        let leases = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "chaos-leases", "namespace": NAMESPACE},
            "rules": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}],
        });
        let elect = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "chaos-leases", "namespace": NAMESPACE},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "chaos-leases"},
            "subjects": [{"kind": "ServiceAccount", "name": "sluice", "namespace": NAMESPACE}],
        });
        lab.apply(&format!("{leases}\n---\n{elect}")).unwrap();
        let token = lab.kube.token_for(NAMESPACE, "sluice", None).unwrap();
        let own = lab.kube.kubeconfig_with_token("chaos", &token).unwrap();
        let handle = tokio::runtime::Handle::current();
        let read = |path: PathBuf| handle.block_on(config(path));
        let controller = read(own);
        let admin = Client::try_from(read(lab.kube.kubeconfig(User::Admin))).unwrap();
        let approver = Client::try_from(read(lab.kube.kubeconfig(User::Approver))).unwrap();
        let sdk = |account: &str| {
            lab.aws
                .sdk_config(lab.account_id(account).unwrap(), HUB_REGION)
        };
        let lambda = ACCOUNTS.map(|account| (account, aws_sdk_lambda::Client::new(&sdk(account))));
        let s3 = ACCOUNTS.map(|account| (account, aws_sdk_s3::Client::new(&sdk(account))));
        let watch =
            ACCOUNTS.map(|account| (account, aws_sdk_cloudwatch::Client::new(&sdk(account))));
        Self {
            admin,
            approver,
            controller,
            lambda: lambda.into(),
            s3: s3.into(),
            watch: watch.into(),
            lab,
        }
    }

    /// Waits until Approvals can be trusted: the admission policies are as young as the lab.
    pub async fn is_vouched_for(&self) -> Result<(), Wrong> {
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

    /// Lambda as the root of an account, past all doors.
    pub fn lambda(&self, account: &str) -> &aws_sdk_lambda::Client {
        &self.lambda[account]
    }

    /// S3 as the root of an account, past all doors.
    pub fn s3(&self, account: &str) -> &aws_sdk_s3::Client {
        &self.s3[account]
    }

    /// CloudWatch as the root of an account, past all doors.
    pub fn watch(&self, account: &str) -> &aws_sdk_cloudwatch::Client {
        &self.watch[account]
    }

    /// The artifact bucket of an account.
    pub fn bucket(&self, account: &str) -> String {
        let all = self.lab.aws.accounts();
        let info = all.iter().find(|info| info.name == account).unwrap();
        info.buckets[HUB_REGION].clone()
    }

    /// The bucket for files of an account.
    pub fn site(&self, account: &str) -> String {
        let all = self.lab.aws.accounts();
        let info = all.iter().find(|info| info.name == account).unwrap();
        info.sites[HUB_REGION].clone()
    }

    /// The number of an account.
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

/// A place in which one run after the other takes place: doors, and Accounts that lead through them.
pub struct Slot {
    /// Its name, with which those of its Accounts begin.
    pub name: String,
    /// What all calls of its controllers pass.
    pub gate: Arc<Gate>,
    /// GitLab's address here.
    pub gitlab: String,
    door: Door,
}

impl Slot {
    /// Makes one, whose Accounts are Ready.
    pub async fn open(ground: &'static Ground, number: usize) -> Self {
        let name = format!("slot{number}");
        let gate = Arc::new(Gate::default());
        let door = ground.lab.aws.open_door(gate.clone()).await.unwrap();
        let gitlab = ground.lab.gitlab.open_door(gate.clone()).await.unwrap();
        let slot = Self {
            name,
            gate,
            gitlab,
            door,
        };
        let api: Api<Account> = Api::all(ground.admin.clone());
        for account in ACCOUNTS {
            let manifest = slot.account(&api, account).await;
            let params = PatchParams::apply("chaos").force();
            let patch = Patch::Apply(&manifest);
            api.patch(&slot.account_name(account), &params, &patch)
                .await
                .unwrap();
        }
        slot.verify(ground, &api).await;
        slot
    }

    /// The name here of one of the lab's accounts.
    pub fn account_name(&self, account: &str) -> String {
        format!("{}-{account}", self.name)
    }

    /// As the lab's own, but through the door.
    async fn account(&self, api: &Api<Account>, account: &str) -> Value {
        let mut spec = json!(api.get(account).await.unwrap().spec);
        spec["endpointUrl"] = json!(self.door.endpoint);
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

    /// Has a controller see that they are as they should be.
    async fn verify(&self, ground: &Ground, api: &Api<Account>) {
        let (orders, _) = tokio::sync::mpsc::unbounded_channel();
        self.gate.begin(Names::default(), orders);
        let log = Log::default();
        let instance = Instance::start(Place {
            config: ground.controller.clone(),
            gate: self.gate.clone(),
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
                    .map_err(wrong)?
                    .status
                    .unwrap_or_default();
                let mut conditions = status.conditions.iter();
                let ready =
                    conditions.any(|it| it.type_ == condition::READY && it.status == "True");
                if ready {
                    Ok(())
                } else {
                    Err(format!("{status:?}"))
                }
            });
            if let Err(e) = ready.await {
                panic!("{name}: {e}\n{}", log.tail(30));
            }
        }
        tokio::task::spawn_blocking(|| instance.kill())
            .await
            .unwrap();
    }
}

/// The Secret with a token.
pub fn secret(name: &str, token: &str) -> Secret {
    let metadata = json!({"name": name, "labels": {"sluice.dev/gitlab-token": "true"}});
    serde_json::from_value(json!({"metadata": metadata, "stringData": {"token": token}})).unwrap()
}

/// Time that is given to a reply that is on its way before its reader ends.
pub const ON_ITS_WAY: Duration = Duration::from_millis(20);
