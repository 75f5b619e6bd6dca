//! CloudFormation stacks in one account and region.
//!
//! The adapter never retries writes: the engine reads back and decides. All writes take a token, by which
//! CloudFormation recognizes a repeated call.

use async_trait::async_trait;

use super::CallError;
use crate::domain::workload::cloud_formation::{
    ChangeSet, NewChangeSet, Stack, StackEvent, StackResource, TemplateSource, TemplateSummary,
};

/// CloudFormation in one account and region, under one grant.
#[async_trait]
pub trait Stacks: Send + Sync {
    /// `DescribeStacks` of a name or ARN; `None` if it does not exist, or is deleted.
    async fn stack(&self, name: &str) -> Result<Option<Stack>, CallError>;

    /// `GetTemplate`: the text as it was given to CloudFormation (`Original`).
    async fn template(&self, stack: &str) -> Result<String, CallError>;

    /// `GetTemplateSummary` of a template that is not deployed. [`super::CallErrorKind::Invalid`] with AWS's
    /// reason if it is no template.
    async fn summary(
        &self,
        stack: &str,
        template: &TemplateSource,
    ) -> Result<TemplateSummary, CallError>;

    /// `CreateChangeSet`; returns its ARN. [`super::CallErrorKind::AlreadyExists`] if one of that name exists
    /// that another token created.
    async fn create_change_set(&self, new: &NewChangeSet) -> Result<String, CallError>;

    /// `DescribeChangeSet` with all pages and property values, of an ARN, or of a name with its stack; `None` if
    /// it does not exist.
    async fn change_set(
        &self,
        stack: &str,
        change_set: &str,
    ) -> Result<Option<ChangeSet>, CallError>;

    /// `ListChangeSets`: the names of the change sets of a stack.
    async fn change_sets(&self, stack: &str) -> Result<Vec<String>, CallError>;

    /// `ExecuteChangeSet` of an ARN. [`super::CallErrorKind::Stale`] if it can't be executed any more.
    async fn execute(&self, stack: &str, change_set: &str, token: &str) -> Result<(), CallError>;

    /// `DeleteChangeSet` of an ARN. Succeeds if it does not exist.
    async fn delete_change_set(&self, stack: &str, change_set: &str) -> Result<(), CallError>;

    /// `CancelUpdateStack`. [`super::CallErrorKind::Stale`] if no update is in progress.
    async fn cancel_update(&self, stack: &str, token: &str) -> Result<(), CallError>;

    /// `ContinueUpdateRollback`, skipping these resources. [`super::CallErrorKind::Stale`] if no rollback has failed.
    async fn continue_rollback(
        &self,
        stack: &str,
        role: &str,
        skip: &[String],
        token: &str,
    ) -> Result<(), CallError>;

    /// `DeleteStack` of an ARN, with this service role, retaining these resources (only for a stack whose
    /// deletion failed). Succeeds if it does not exist.
    async fn delete(
        &self,
        stack: &str,
        role: Option<&str>,
        retain: &[String],
        token: &str,
    ) -> Result<(), CallError>;

    /// `ListStackResources` of an ARN: all pages, also the resources that are deleted or were never created.
    async fn resources(&self, stack: &str) -> Result<Vec<StackResource>, CallError>;

    /// `DescribeStackEvents` of an ARN: the events of the last operation with this `ClientRequestToken`, the newest
    /// first. It reads no further than the beginning of the operation; at most 2,000 events.
    async fn events(&self, stack: &str, token: &str) -> Result<Vec<StackEvent>, CallError>;
}
