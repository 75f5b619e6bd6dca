//! The place a Target stands for: its account and region, with the clients to work there.

use std::{sync::Arc, time::Duration};

use kube::{ResourceExt as _, runtime::reflector::ObjectRef};

use crate::{
    api::v1alpha1::{Account, Target},
    controllers::context::Context,
    domain::{grants::Permissions, outcome::Outcome, ownership::Owner},
    ports::{functions::Functions, monitoring::Monitoring, sites::Sites, store::Store},
};

/// When to look again for a namespace that has not been seen.
const NAMESPACE_WAIT: Duration = Duration::from_secs(1);

/// An account and region with the clients to work there.
pub struct Access {
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
                "WrongAccount",
                format!(
                    "Account {} is {} now, but this Target was made for {}: nothing is written. Delete the Target \
                     to start anew there",
                    spec.account, account.spec.account_id, spec.account_id
                ),
            ));
        }
        let namespace = target.namespace().unwrap_or_default();
        let permissions = permissions(context, &account, &namespace)?;
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
            owner: super::owner(context, target),
            permissions,
            functions,
            sites,
            monitoring,
            store,
            folder: format!("{namespace}/{}", target.name_any()),
        })
    }
}

/// What a namespace may touch in an Account, which must be something.
///
/// Grants select by the namespace's labels, and some by what is not among them: a namespace that has
/// not been seen yet is waited for, not taken for one without labels.
pub fn permissions(
    context: &Context,
    account: &Account,
    namespace: &str,
) -> Result<Permissions, Outcome> {
    let seen = context.stores.namespaces.get(&ObjectRef::new(namespace));
    let Some(seen) = seen else {
        return Err(Outcome::Waiting {
            reason: "WaitingForNamespace",
            message: format!(
                "Waiting for the labels of namespace {namespace}, which grants select by"
            ),
            after: NAMESPACE_WAIT,
        });
    };
    let permissions = Permissions::of(account, seen.labels());
    if permissions.grants.is_empty() {
        return Err(Outcome::stalled(
            "NotGranted",
            format!(
                "Account {} grants nothing to namespace {namespace}; ask the platform team to add it to spec.grants",
                account.name_any()
            ),
        ));
    }
    Ok(permissions)
}

/// The Account of that name.
pub fn account(context: &Context, name: &str) -> Result<Arc<Account>, Outcome> {
    context
        .stores
        .accounts
        .get(&ObjectRef::new(name))
        .ok_or_else(|| {
            Outcome::stalled(
                "AccountNotFound",
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
