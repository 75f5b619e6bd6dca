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
        promotion::{self, Commands, ReleaseView},
        release,
    },
};

impl DeploymentController {
    /// Writes the reservation together with the status that the delivery will have once the Release exists,
    /// which saves a write.
    pub(super) async fn reserve(
        &self,
        deployment: &Deployment,
        family: &Family,
        spec: &ReleaseSpec,
        source: &Source,
    ) -> Result<Deployment, Failure> {
        let mut overview = overview(deployment, family, false);
        // The plan after the creation handles the commands.
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
        let plan = promotion::plan(&overview, &gates, Timestamp::now());
        // A gate is reported only after its readings, and a problem only once the Release exists: until then,
        // the status stays as it was.
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
