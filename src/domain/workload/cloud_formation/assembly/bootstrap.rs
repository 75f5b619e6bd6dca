//! The bootstrap resources of CDK in one account and region.
//!
//! Their names are those of the bootstrap template (version 6 and later) and of the `DefaultStackSynthesizer`:
//! <https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html>.

use serde::Serialize;

use crate::{api::v1alpha1::AssemblyStack, domain::workload::scope::partition};

/// The bootstrap resources of CDK in one account and region.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Bootstrap {
    /// The account's id.
    pub account_id: String,
    /// The region's name.
    pub region: String,
    /// The qualifier, which is part of all names; `hnb659fds` unless the bootstrap has its own.
    pub qualifier: String,
}

impl Bootstrap {
    /// The bucket of file assets.
    pub fn bucket(&self) -> String {
        self.named("assets")
    }

    /// The ARN of the role that publishes file assets.
    pub fn publishing_role(&self) -> String {
        let partition = partition(&self.region);
        let role = self.named("file-publishing-role");
        format!("arn:{partition}:iam::{}:role/{role}", self.account_id)
    }

    fn named(&self, what: &str) -> String {
        let Self {
            account_id,
            region,
            qualifier,
        } = self;
        format!("cdk-{qualifier}-{what}-{account_id}-{region}")
    }

    /// A text of an asset manifest with the values of its placeholders.
    pub(super) fn expand(&self, text: &str) -> String {
        text.replace("${AWS::Partition}", partition(&self.region))
            .replace("${AWS::AccountId}", &self.account_id)
            .replace("${AWS::Region}", &self.region)
    }

    /// Why the stack can't be deployed to this account and region.
    pub fn refusal(&self, stack: &AssemblyStack) -> Option<String> {
        let environment = &stack.environment;
        let Some((account, region)) = environment
            .strip_prefix("aws://")
            .and_then(|rest| rest.split_once('/'))
        else {
            let name = &stack.name;
            return Some(format!(
                "stack {name} has the environment {environment:?}: only aws://<account>/<region> is supported"
            ));
        };
        let is_account = account == UNKNOWN_ACCOUNT || account == self.account_id;
        let is_region = region == UNKNOWN_REGION || region == self.region;
        if is_account && is_region {
            return None;
        }
        Some(format!(
            "stack {} was synthesized for {environment}, and the target is aws://{}/{}: choose the stack of the target, \
             for example by $(stage.name) in its name, or leave env out of the stack's properties",
            stack.name, self.account_id, self.region
        ))
    }
}

/// The account of a stack without one.
const UNKNOWN_ACCOUNT: &str = "unknown-account";
/// The region of a stack without one.
const UNKNOWN_REGION: &str = "unknown-region";
