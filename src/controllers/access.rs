//! A Target's access to AWS: the clients for its account and region, limited to its permissions.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{ResourceExt as _, core::PartialObjectMeta, runtime::reflector::ObjectRef};

use crate::{
    api::v1alpha1::{Account, Target},
    controllers::{cache::Cache, context::Context},
    domain::{
        grants::{Holder, Permissions},
        outcome::Outcome,
        ownership::Owner,
        reason::Reason,
        workload::cloud_formation::Bootstrap,
    },
    ports::{
        CallError, CallErrorKind, lambda::Functions, monitoring::Monitoring, s3::Sites,
        stacks::Stacks, store::Store,
    },
};

/// The access of one Target to its account and region.
pub struct Access {
    /// The Target.
    pub target: ObjectRef<Target>,
    /// The owner of the Target's resources.
    pub owner: Owner,
    /// What the namespace may access in the account.
    pub permissions: Permissions,
    /// Lambda, limited to `permissions`.
    pub functions: Arc<dyn Functions>,
    /// The users' buckets, limited to `permissions`.
    pub sites: Arc<dyn Sites>,
    /// CloudWatch, in the session of `functions`.
    pub monitoring: Arc<dyn Monitoring>,
    /// The artifact bucket.
    pub store: Arc<dyn Store>,
    /// The Target's folder in the artifact bucket.
    pub folder: String,
    account: Arc<Account>,
    region: String,
}

impl Access {
    /// Opens a Target's account and region, or says why that is impossible.
    pub async fn enter(context: &Context, target: &Target) -> Result<Self, Outcome> {
        let spec = &target.spec;
        let account = account(context, &spec.account)?;
        if account.spec.account_id != spec.account_id {
            return Err(Outcome::stalled(
                Reason::WrongAccount,
                format!(
                    "Account {} is {} now, but this Target was created for {}: Sluice writes nothing. Delete the Target \
                     to start again there",
                    spec.account, account.spec.account_id, spec.account_id
                ),
            ));
        }
        let holder = Holder {
            namespace: target.namespace().unwrap_or_default(),
            deployment: spec.deployment.clone(),
            target: target.name_any(),
        };
        let folder = holder.folder();
        let permissions = permissions(&context.stores.namespaces, &account, &holder.namespace)?;
        let permissions = permissions.with_holder(holder);
        let into = |error: CallError| unreachable_account(&spec.account, error);
        let functions = context
            .cloud
            .functions(&account, &spec.region, &permissions)
            .await
            .map_err(into)?;
        let sites = context
            .cloud
            .sites(&account, &spec.region, &permissions)
            .await
            .map_err(into)?;
        let monitoring = context
            .cloud
            .monitoring(&account, &spec.region, &permissions)
            .await
            .map_err(into)?;
        let store = context
            .cloud
            .store(&account, &spec.region)
            .await
            .map_err(into)?;
        Ok(Self {
            target: ObjectRef::from_obj(target),
            owner: owner(context, target),
            permissions,
            functions,
            sites,
            monitoring,
            store,
            folder,
            region: spec.region.clone(),
            account,
        })
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// CloudFormation, limited to `permissions`. It has a session of its own, which only Targets with stacks open.
    pub async fn stacks(&self, context: &Context) -> Result<Arc<dyn Stacks>, CallError> {
        let cloud = &context.cloud;
        cloud
            .stacks(&self.account, &self.region, &self.permissions)
            .await
    }

    /// The bucket of file assets of a CDK bootstrap. Objects in it are created and never replaced.
    pub async fn assets(
        &self,
        context: &Context,
        bootstrap: &Bootstrap,
    ) -> Result<Arc<dyn Store>, CallError> {
        let store = context
            .cloud
            .assets(&self.account, bootstrap, &self.permissions);
        store.await.map_err(|error| match error.kind {
            CallErrorKind::Denied => CallError {
                message: format!(
                    "{}; CDK has to be bootstrapped with the qualifier {} in aws://{}/{}, and the role of Account {} needs \
                     the right to assume this role",
                    error.message,
                    bootstrap.qualifier,
                    bootstrap.account_id,
                    bootstrap.region,
                    self.account.name_any()
                ),
                ..error
            },
            _ => error,
        })
    }
}

/// The owner of a Target's resources.
pub fn owner(context: &Context, target: &Target) -> Owner {
    Owner {
        cluster: context.settings.cluster_id.clone(),
        namespace: target.namespace().unwrap_or_default(),
        name: target.spec.deployment.clone(),
    }
}

/// What a namespace may access in the account; an error if that is nothing. A namespace that is not cached
/// yet waits: a selector such as `DoesNotExist` would match while its labels are unknown.
pub fn permissions(
    namespaces: &Cache<PartialObjectMeta<Namespace>>,
    account: &Account,
    namespace: &str,
) -> Result<Permissions, Outcome> {
    let known = known_namespace(namespaces, namespace)?;
    let permissions = Permissions::of(account, known.labels());
    if permissions.grants.is_empty() {
        return Err(Outcome::stalled(
            Reason::NotGranted,
            format!(
                "Account {} grants nothing to namespace {namespace}; ask the platform team to add it to spec.grants",
                account.name_any()
            ),
        ));
    }
    Ok(permissions)
}

/// The namespace with its labels. The outcome waits until the namespace is cached.
pub fn known_namespace(
    namespaces: &Cache<PartialObjectMeta<Namespace>>,
    namespace: &str,
) -> Result<Arc<PartialObjectMeta<Namespace>>, Outcome> {
    namespaces
        .get(&ObjectRef::new(namespace))
        .ok_or_else(|| Outcome::Waiting {
            reason: Reason::WaitingForNamespace,
            message: format!(
                "Waiting for the labels of namespace {namespace}, by which grants select it"
            ),
            after: Duration::from_secs(1),
        })
}

/// The Account of that name.
pub fn account(context: &Context, name: &str) -> Result<Arc<Account>, Outcome> {
    context
        .stores
        .accounts
        .get(&ObjectRef::new(name))
        .ok_or_else(|| {
            Outcome::stalled(
                Reason::AccountNotFound,
                format!("There is no Account {name}; ask the platform team to create it"),
            )
        })
}

fn unreachable_account(account: &str, error: CallError) -> Outcome {
    let text = format!("Account {account}: {error}");
    match Outcome::from(error) {
        Outcome::Stalled { reason, .. } => Outcome::stalled(reason, text),
        Outcome::Transient { reason, after, .. } => Outcome::Transient {
            reason,
            message: text,
            after,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::{reflector, watcher::Event};
    use serde_json::json;

    use super::*;
    use crate::controllers::cache::by_deployment;

    #[test]
    fn uncached_namespace_waits_and_is_not_treated_as_unlabelled() {
        let account: Account = serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Account",
            "metadata": {"name": "dev"},
            "spec": {
                "accountId": "222222222222",
                "regions": [],
                "credentials": {"ambient": {}},
                "grants": [{
                    "namespaceSelector": {
                        "matchExpressions": [{"key": "untrusted", "operator": "DoesNotExist"}],
                    },
                    "functions": ["*"],
                    "roles": ["*"],
                }],
            },
        }))
        .unwrap();
        let (namespaces, mut writer) = reflector::store();
        let namespaces = Cache::new(namespaces, by_deployment);
        let permitted = || permissions(&namespaces, &account, "shop");
        let reason = || permitted().err().map(|outcome| outcome.reason());
        assert_eq!(reason(), Some(Reason::WaitingForNamespace));
        let mut apply = |labels: serde_json::Value| {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels},
            });
            writer.apply_watcher_event(&Event::Apply(serde_json::from_value(namespace).unwrap()));
        };
        apply(json!({"untrusted": "yes"}));
        assert_eq!(reason(), Some(Reason::NotGranted));
        apply(json!({}));
        assert_eq!(permitted().map(|it| it.grants.len()), Ok(1));
    }
}
