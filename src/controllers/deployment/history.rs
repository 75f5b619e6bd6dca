//! Garbage collection of Releases beyond the history limit.

use kube::{ResourceExt as _, api::DeleteParams};

use super::{controller::DeploymentController, failure::Failure, family::Family};
use crate::{
    api::v1alpha1::{Deployment, Release},
    domain::{
        promotion::{self, Overview},
        release,
    },
};

impl DeploymentController {
    /// Deletes Releases beyond the history limit that nothing refers to any more.
    pub(super) async fn delete_old_releases(
        &self,
        deployment: &Deployment,
        family: &Family,
        overview: &Overview,
    ) -> Result<(), Failure> {
        let limit = usize::try_from(deployment.spec.history_limit).unwrap_or(1);
        if family.releases.len() <= limit {
            return Ok(());
        }
        let mut named = promotion::needed(overview);
        let planned = family.targets.iter().filter_map(|it| it.spec.plan.as_ref());
        named.extend(planned.map(|release| release.revision));
        let named: Vec<i64> = named.into_iter().collect();
        let revisions: Vec<i64> = family
            .releases
            .iter()
            .map(|release| release.spec.revision)
            .collect();
        let old = release::old(&revisions, &named, limit);
        let api = self.api::<Release>(deployment);
        for release in family
            .releases
            .iter()
            .filter(|release| old.contains(&release.spec.revision))
        {
            match api
                .delete(&release.name_any(), &DeleteParams::default())
                .await
            {
                Ok(_) => self.context.stores.releases.forget(release),
                Err(kube::Error::Api(error)) if error.is_not_found() => {
                    self.context.stores.releases.forget(release);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
