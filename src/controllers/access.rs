//! The place a Target stands for: its account and region, with the clients to work there.

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
    },
    ports::{lambda::Functions, monitoring::Monitoring, s3::Sites, store::Store},
};

/// An account and region with the clients to work there.
pub struct Access {
    /// The Target.
    pub target: ObjectRef<Target>,
    /// Whose functions these are.
    pub owner: Owner,
    /// What the namespace may touch there.
    pub permissions: Permissions,
    /// Lambda, limited to that.
    pub functions: Arc<dyn Functions>,
    /// Buckets of users, limited in the same way.
    pub sites: Arc<dyn Sites>,
    /// CloudWatch, in the same session.
    pub monitoring: Arc<dyn Monitoring>,
    /// The artifact bucket.
    pub store: Arc<dyn Store>,
    /// Tells what is kept of this Target in the artifact bucket from what is of others: a folder.
    pub folder: String,
}

impl Access {
    /// The way in; where there is none, why.
    pub async fn enter(context: &Context, target: &Target) -> Result<Self, Outcome> {
        let spec = &target.spec;
        let account = account(context, &spec.account)?;
        if account.spec.account_id != spec.account_id {
            return Err(Outcome::stalled(
                Reason::WrongAccount,
                format!(
                    "Account {} is {} now, but this Target was made for {}: nothing is written. Delete the Target \
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
        let permissions = permissions.held_by(holder);
        let into = |error: crate::ports::CallError| unreachable_account(&spec.account, error);
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
        })
    }
}

/// Whose the resources of a Target are.
pub fn owner(context: &Context, target: &Target) -> Owner {
    Owner {
        cluster: context.settings.cluster_id.clone(),
        namespace: target.namespace().unwrap_or_default(),
        name: target.spec.deployment.clone(),
    }
}

/// What a namespace may touch in the account, which must be something. A namespace that is not known waits: a selector such as
/// `DoesNotExist` would match labels that are not there yet.
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

/// The namespace with its labels, as far as it has been seen: until then it waits.
pub fn known_namespace(
    namespaces: &Cache<PartialObjectMeta<Namespace>>,
    namespace: &str,
) -> Result<Arc<PartialObjectMeta<Namespace>>, Outcome> {
    namespaces
        .get(&ObjectRef::new(namespace))
        .ok_or_else(|| Outcome::Waiting {
            reason: Reason::WaitingForNamespace,
            message: format!(
                "Waiting for the labels of namespace {namespace}, which grants are chosen by"
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

fn unreachable_account(account: &str, error: crate::ports::CallError) -> Outcome {
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
    fn a_namespace_that_is_not_known_yet_waits_and_is_not_taken_for_one_without_labels() {
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
        let asked = || permissions(&namespaces, &account, "shop");
        let reason = || asked().err().map(|outcome| outcome.reason());
        assert_eq!(reason(), Some(Reason::WaitingForNamespace));
        let mut seen = |labels: serde_json::Value| {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels},
            });
            writer.apply_watcher_event(&Event::Apply(serde_json::from_value(namespace).unwrap()));
        };
        seen(json!({"untrusted": "yes"}));
        assert_eq!(reason(), Some(Reason::NotGranted));
        seen(json!({}));
        assert_eq!(asked().map(|it| it.grants.len()), Ok(1));
    }
}
