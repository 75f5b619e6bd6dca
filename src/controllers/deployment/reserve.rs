//! Reserving the revision of a Release before it is created.

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::{
    controller::DeploymentController, failure::Failure, family::Family, overview::overview,
    source::Source, status::status,
};
use crate::{
    api::v1alpha1::{Deployment, ReleaseRef, ReleaseSpec, SourceStatus},
    domain::{
        release,
        rollout::{self, Commands, ReleaseView},
    },
};

impl DeploymentController {
    /// Writes the reservation, together with what the delivery will look like once the Release is
    /// there, which saves a write.
    pub(super) async fn reserve(
        &self,
        deployment: &Deployment,
        family: &Family,
        spec: &ReleaseSpec,
        source: &Source,
    ) -> Result<Deployment, Failure> {
        let mut overview = overview(deployment, family, false);
        // Commands are followed once they can be handled.
        overview.commands = Commands::default();
        let reference = ReleaseRef {
            name: release::name(&deployment.name_any(), spec.revision),
            uid: String::new(),
            revision: spec.revision,
        };
        let problems = self.preflight(deployment, family, &reference, spec)?;
        overview.releases.push(ReleaseView {
            reference,
            source: spec.source.clone(),
            stages: spec.template.stages.clone(),
            outcomes: Vec::new(),
        });
        let gates = self.unread_gates(deployment, family);
        let plan = rollout::plan(&overview, &gates, Timestamp::now());
        // What waits at a gate is not told before the gates were read, and what is wrong not before the
        // Release is there: all stays as it was.
        let waits = plan.stages.iter().any(|stage| stage.waiting.is_some());
        let mut reserved = if waits || !problems.is_empty() {
            deployment.status.clone().unwrap_or_default()
        } else {
            status(deployment, &plan, &plan.outcome)
        };
        source.write_condition(&mut reserved, deployment.metadata.generation);
        reserved.newest_revision = Some(spec.revision);
        reserved.newest_key = Some(spec.key.clone());
        reserved.source = Some(SourceStatus {
            project_id: spec.source.project_id,
            project: Some(deployment.spec.source.project.clone()),
            git_ref: deployment.spec.source.git_ref.clone(),
            pipeline_id: spec.source.pipeline_id,
        });
        self.write_status(deployment, reserved, Some(&plan.outcome))
            .await
    }
}
