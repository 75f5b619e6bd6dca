//! The place a Target stands for: its account and region, with the clients to work there.

use std::sync::Arc;

use kube::{ResourceExt as _, runtime::reflector::ObjectRef};

use crate::{
    api::v1alpha1::{Account, Target},
    controllers::context::Context,
    domain::{grants::Permissions, outcome::Outcome, ownership::Owner},
    ports::{functions::Functions, monitoring::Monitoring, sites::Sites, store::Store},
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
                "WrongAccount",
                format!(
                    "Account {} is {} now, but this Target was made for {}: nothing is written. Delete the Target \
                     to start anew there",
                    spec.account, account.spec.account_id, spec.account_id
                ),
            ));
        }
        let namespace = target.namespace().unwrap_or_default();
        let labels = context
            .stores
            .namespaces
            .get(&ObjectRef::new(&namespace))
            .map(|namespace| namespace.labels().clone())
            .unwrap_or_default();
        let permissions = Permissions::of(&account, &labels);
        if permissions.grants.is_empty() {
            return Err(Outcome::stalled(
                "NotGranted",
                format!(
                    "Account {} grants nothing to namespace {namespace}; ask the platform team to add it to spec.grants",
                    spec.account
                ),
            ));
        }
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
