//! The approvals of a team.

use kube::{Api, api::PostParams};
use serde_json::json;
use sluice::api::v1alpha1::{Approval, Deployment, GateStatus, condition};

use super::{Team, is_true};
use crate::waiting::{Problem, problem};

impl Team<'_> {
    /// Waits until a stage requests an approval of this revision.
    pub async fn wait_for_approval_request(
        &self,
        stage: &str,
        revision: i64,
    ) -> Result<GateStatus, Problem> {
        let what = format!("{stage} requests an approval of r{revision}");
        self.wait(&what, |deployment| {
            approval_request(deployment, stage)
                .filter(|waiting| waiting.release.revision == revision)
        })
        .await
    }

    /// Waits until the Deployment is stalled for this reason, or until the stage requests an approval: a plan
    /// can succeed on a stale response.
    pub async fn wait_for_stall_or_request(
        &self,
        reason: &str,
        stage: &str,
    ) -> Result<(), Problem> {
        let what = format!("the Deployment is stalled: {reason}, or {stage} requests an approval");
        self.wait(&what, |deployment| {
            let is_stalled = is_true(deployment, condition::STALLED, Some(reason));
            (is_stalled || approval_request(deployment, stage).is_some()).then_some(())
        })
        .await
    }

    /// Approves or rejects the waiting plan, as the approver.
    pub async fn decide(
        &self,
        decision: &str,
        stage: &str,
        waiting: &GateStatus,
    ) -> Result<(), Problem> {
        let approval: Approval = serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Approval",
            "metadata": {"name": format!("yes-{}", waiting.release.revision)},
            "spec": {
                "releaseRef": {"name": waiting.release.name, "uid": waiting.release.uid},
                "stage": stage,
                "stageDigest": waiting.digest,
                "decision": decision,
                "approver": {"username": "approver", "groups": ["sluice:approvers"]},
            },
        }))
        .map_err(problem)?;
        let api: Api<Approval> = Api::namespaced(self.fixture.approver.clone(), &self.namespace);
        let created = api.create(&PostParams::default(), &approval).await;
        created.map(drop).map_err(problem)
    }
}

/// The gate of a stage, if it waits for an approval.
fn approval_request(deployment: &Deployment, stage: &str) -> Option<GateStatus> {
    let stages = &deployment.status.as_ref()?.stages;
    let mut waiting = stages
        .iter()
        .filter(|status| status.name == stage)
        .filter_map(|status| status.waiting.as_ref());
    let is_request =
        |gate: &&GateStatus| gate.reason == "WaitingForApproval" && gate.digest.is_some();
    waiting.find(is_request).cloned()
}
