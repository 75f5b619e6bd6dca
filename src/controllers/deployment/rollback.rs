//! The rollback command: recorded once, then followed until it is done.
//!
//! # Guarantees
//! - A rollback is recorded before a run is assigned, and until no stage has the Release that it rolls back.

use kube::ResourceExt as _;

use super::{
    controller::DeploymentController, failure::Failure, family::Family, overview::overview,
};
use crate::{
    api::v1alpha1::{Deployment, RollbackStatus, annotation},
    controllers::events::EventType,
    domain::{outcome::shorten, reason::Reason},
};

impl DeploymentController {
    /// Records a new rollback, or why there is nothing to roll back.
    pub(super) async fn begin_rollback(
        &self,
        deployment: Deployment,
        family: &Family,
    ) -> Result<Deployment, Failure> {
        let mut status = deployment.status.clone().unwrap_or_default();
        let handled = status.last_handled_rollback.as_ref();
        let Some(value) = deployment.annotations().get(annotation::ROLLBACK) else {
            return Ok(deployment);
        };
        if handled == Some(value) {
            return Ok(deployment);
        }
        let name = deployment.name_any();
        let overview = overview(&deployment, family, false);
        let (kind, message) = match RollbackStatus::of(&overview, &name, value) {
            Ok(back) => {
                let to = back.to.as_deref().unwrap_or("the last good Release");
                let message = format!("Rolling back {} to {to}", back.from.name);
                status.rollback = Some(back);
                (EventType::Normal, message)
            }
            Err(why) => {
                let message = format!("{}: {why}", annotation::ROLLBACK);
                (EventType::Warning, message)
            }
        };
        status.last_handled_rollback = Some(value.clone());
        status.last_command = Some(shorten(&message, 1024));
        let written = self.write_status(&deployment, status, None).await?;
        self.publish_events(&written, [(kind, Reason::Rollback, message)]);
        Ok(written)
    }
}
