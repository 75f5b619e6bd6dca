//! The team's stack: its template, and what the harness does with it.

use serde_json::{Value, json};
use sluice::api::v1alpha1::Target;
use sluice_lab::{aws::During, gitlab::zip};

use super::{STACK, Team};
use crate::{
    waiting::{LIMIT, Problem, problem, wait_until},
    witness::Seen,
};

/// A Systems Manager parameter: CloudFormation makes few calls for it, and its value shows the version.
const TEMPLATE: &str = r#"# The comments stay.
Parameters:
  Text: {Type: String, Default: none}
Resources:
  Setting:
    Type: AWS::SSM::Parameter
    Properties:
      Name: !Sub "${AWS::StackName}-setting"
      Type: String
      Value: !Sub "VERSION ${Text}"
"#;

/// A resource that fails after the parameter has changed.
const BROKEN: &str = "  Broken:
    Type: Custom::LabFailure
    DependsOn: Setting
    Properties: {FailOn: Create, Reason: the quota is exhausted}
";

/// The artifact with the template of a version. A bad one has a resource that fails.
pub fn archive(version: &str, is_bad: bool) -> Vec<u8> {
    let mut template = TEMPLATE.replace("VERSION", version);
    if is_bad {
        template.push_str(BROKEN);
    }
    zip(&[("template.yaml", template.as_bytes())])
}

impl Team<'_> {
    /// The name of the team's stack. The lab's service role covers only names that begin with `lab-`.
    pub fn stack(&self) -> String {
        format!("lab-{}", self.namespace)
    }

    /// The component of the stack in a Deployment.
    pub fn stack_component(&self) -> Value {
        json!({"name": STACK, "cloudFormation": {
            "stackName": self.stack(),
            "artifact": STACK,
            "template": "template.yaml",
            "role": "cfn-exec",
        }})
    }

    /// Waits until this many proposals are on record.
    pub async fn wait_for_proposals(&self, wanted: usize) -> Result<(), Problem> {
        let what = format!("{wanted} proposals are on record");
        let recorded = wait_until(&what, LIMIT, async || {
            let targets = self.list::<Target>().await?;
            let statuses = targets.iter().filter_map(|target| target.status.as_ref());
            let proposals: Vec<_> = statuses.flat_map(|status| &status.proposals).collect();
            if proposals.len() == wanted {
                Ok(())
            } else {
                Err(json!(proposals).to_string())
            }
        });
        recorded.await
    }

    /// Stops the next update of the stack before its resource changes.
    pub async fn hold_stack(&self) -> Result<(), Problem> {
        let aws = &self.fixture.lab.aws;
        let stack = self.stack();
        let hold = aws.hold_stack(&stack, "Setting", During::Update);
        *self.hold.lock().await = Some(hold.await.map_err(problem)?);
        Ok(())
    }

    /// Waits until an update of the stack is stopped.
    pub async fn wait_for_held_stack(&self) -> Result<(), Problem> {
        let hold = self.hold.lock().await;
        let hold = hold.as_ref().ok_or("the stack has no hold")?;
        let stopped = wait_until("the update of the stack is stopped", LIMIT, async || {
            let is_reached = hold.is_reached().await.map_err(problem)?;
            is_reached
                .then_some(())
                .ok_or_else(|| "it is not".to_owned())
        });
        stopped.await
    }

    /// What the witness has observed of the calls that change stacks.
    pub fn seen(&self) -> Seen {
        self.witness.seen()
    }
}
