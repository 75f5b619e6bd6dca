//! Checks Releases before any of their stages starts.
//!
//! Guarantees: a preflight calls neither AWS nor the API server. Results are kept while their inputs are
//! unchanged, so that a reconcile without changes costs a lookup.

mod cache;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kube::ResourceExt as _;

pub use self::cache::Cache;
use self::cache::Kept;
use super::{controller::DeploymentController, failure::Failure, family::Family, release};
use crate::{
    api::v1alpha1::{Deployment, Release, ReleaseRef, ReleaseSpec},
    controllers::access,
    domain::{
        digest::Sha256,
        grants::{Holder, Permissions},
        ownership::Owner,
        preflight::{AccountAccess, Preflight, Problem},
        promotion::Preflights,
    },
};

/// The inputs of the preflights of one Deployment, besides the Releases.
struct Basis {
    owner: Owner,
    accounts: BTreeMap<String, AccountAccess>,
    granting: BTreeSet<String>,
    artifact_buckets: BTreeMap<String, String>,
    owned: BTreeSet<(String, String, String)>,
    digest: Sha256,
}

impl DeploymentController {
    /// The problems of the Releases that a stage may still get.
    pub(super) fn preflights(
        &self,
        deployment: &Deployment,
        family: &Family,
    ) -> Result<Preflights, Failure> {
        let uid = deployment.uid().unwrap_or_default();
        let mut before = self.preflights.kept().remove(&uid).unwrap_or_default();
        let mut now = Kept::new();
        let mut found = Preflights::default();
        let open = family.releases.iter().filter(|release| is_open(release));
        let open: Vec<&Arc<Release>> = open.collect();
        // At rest no Release is open, and the basis is not computed.
        if open.is_empty() {
            return Ok(found);
        }
        let basis = self.basis(deployment, family)?;
        for release in open {
            let release_uid = release.uid().unwrap_or_default();
            let kept = before.remove(&release_uid);
            let problems =
                if let Some((_, problems)) = kept.filter(|(digest, _)| *digest == basis.digest) {
                    problems
                } else {
                    let reference = release::reference(release);
                    Arc::new(basis.problems(deployment, &reference, &release.spec))
                };
            if !problems.is_empty() {
                found.0.insert(release_uid.clone(), problems.to_vec());
            }
            now.insert(release_uid, (basis.digest, problems));
        }
        self.preflights.kept().insert(uid, now);
        Ok(found)
    }

    /// The problems of a Release that does not exist yet.
    pub(super) fn preflight(
        &self,
        deployment: &Deployment,
        family: &Family,
        reference: &ReleaseRef,
        spec: &ReleaseSpec,
    ) -> Result<Vec<Problem>, Failure> {
        let basis = self.basis(deployment, family)?;
        Ok(basis.problems(deployment, reference, spec))
    }

    fn basis(&self, deployment: &Deployment, family: &Family) -> Result<Basis, Failure> {
        let stores = &self.context.stores;
        let namespace = deployment.namespace().unwrap_or_default();
        let labels = access::known_namespace(&stores.namespaces, &namespace)?;
        let templates = (family.releases.iter()).flat_map(|release| &release.spec.template.stages);
        let stages = templates.chain(&deployment.spec.stages);
        let names: BTreeSet<&str> = stages
            .flat_map(|stage| &stage.targets)
            .map(|target| target.account.as_str())
            .collect();
        let mut accounts = BTreeMap::new();
        for name in &names {
            if let Ok(account) = access::account(&self.context, name) {
                let holder = Holder {
                    namespace: namespace.clone(),
                    ..Holder::default()
                };
                let permissions = Permissions::of(&account, labels.labels()).with_holder(holder);
                let entered = AccountAccess {
                    account,
                    permissions,
                };
                accounts.insert((*name).to_owned(), entered);
            }
        }
        let all = stores.accounts.state();
        // Similar names are suggested only if an Account is missing.
        let is_incomplete = accounts.len() < names.len();
        let granting: BTreeSet<String> = (all.iter().filter(|_| is_incomplete))
            .filter(|account| !Permissions::of(account, labels.labels()).grants.is_empty())
            .map(|account| account.name_any())
            .collect();
        let buckets = all.iter().flat_map(|account| {
            let regions = account.spec.regions.iter();
            regions.map(|region| (region.artifact_bucket.clone(), account.name_any()))
        });
        let artifact_buckets: BTreeMap<String, String> = buckets.collect();
        let owned: BTreeSet<(String, String, String)> = family
            .targets
            .iter()
            .flat_map(|target| {
                let (account, region) = (&target.spec.account, &target.spec.region);
                let items = target.status.iter().flat_map(|status| &status.inventory);
                items.map(|item| (account.clone(), region.clone(), item.name.clone()))
            })
            .collect();
        let specs: BTreeMap<&String, _> = accounts
            .iter()
            .map(|(name, one)| (name, (one.account.uid(), one.account.metadata.generation)))
            .collect();
        let gates: Vec<_> = (deployment.spec.stages.iter())
            .map(|stage| (&stage.name, &stage.gate))
            .collect();
        let labels = labels.labels();
        let digest = Sha256::of_json(&(specs, labels, gates, &granting, &artifact_buckets, &owned));
        Ok(Basis {
            owner: Owner {
                cluster: self.context.settings.cluster_id.clone(),
                namespace,
                name: deployment.name_any(),
            },
            accounts,
            granting,
            artifact_buckets,
            owned,
            digest,
        })
    }
}

impl Basis {
    fn problems(
        &self,
        deployment: &Deployment,
        reference: &ReleaseRef,
        release: &ReleaseSpec,
    ) -> Vec<Problem> {
        let preflight = Preflight {
            reference,
            release,
            stages: &deployment.spec.stages,
            owner: &self.owner,
            accounts: &self.accounts,
            granting: &self.granting,
            artifact_buckets: &self.artifact_buckets,
            owned: &self.owned,
        };
        preflight.problems()
    }
}

/// Whether a stage may still get this Release: it failed in none, and at least one has not had it.
fn is_open(release: &Release) -> bool {
    let outcomes = release.status.iter().flat_map(|status| &status.stages);
    let (passed, failed): (Vec<_>, Vec<_>) = outcomes.partition(|one| one.outcome == "Succeeded");
    let had = |name: &String| passed.iter().any(|one| one.stage == *name);
    let mut stages = release.spec.template.stages.iter();
    failed.is_empty() && !stages.all(|stage| had(&stage.name))
}
