//! Old Releases go.

use kube::{ResourceExt as _, api::DeleteParams};

use super::{DeploymentController, Failure, Family};
use crate::{
    api::v1alpha1::{Deployment, Release},
    domain::release,
};

impl DeploymentController {
    /// Deletes Releases beyond the history limit that nothing refers to any more.
    pub(super) async fn tidy(
        &self,
        deployment: &Deployment,
        family: &Family,
    ) -> Result<(), Failure> {
        let limit = usize::try_from(deployment.spec.history_limit).unwrap_or(1);
        if family.releases.len() <= limit {
            return Ok(());
        }
        let mut named = Vec::new();
        for target in &family.targets {
            named.extend(target.spec.run.as_ref().map(|run| run.release.revision));
            let Some(status) = &target.status else {
                continue;
            };
            named.extend(status.live.as_ref().map(|live| live.release.revision));
            if let Some(run) = &status.run {
                named.push(run.release.revision);
                let before = run
                    .snapshot
                    .as_ref()
                    .and_then(|snapshot| snapshot.release.as_ref());
                named.extend(before.map(|before| before.revision));
            }
        }
        let pin = deployment.spec.pin.as_ref();
        let pinned = |release: &&std::sync::Arc<Release>| Some(&release.name_any()) == pin;
        let pinned = family.releases.iter().filter(pinned);
        named.extend(pinned.map(|release| release.spec.revision));
        let revisions: Vec<i64> = family
            .releases
            .iter()
            .map(|release| release.spec.revision)
            .collect();
        let superfluous = release::superfluous(&revisions, &named, limit);
        let api = self.api::<Release>(deployment);
        for release in family
            .releases
            .iter()
            .filter(|release| superfluous.contains(&release.spec.revision))
        {
            match api
                .delete(&release.name_any(), &DeleteParams::default())
                .await
            {
                Ok(_) => self.releases.forget(release),
                Err(kube::Error::Api(error)) if error.is_not_found() => {
                    self.releases.forget(release);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
