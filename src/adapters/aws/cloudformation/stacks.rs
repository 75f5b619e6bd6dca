//! CloudFormation in one account and region: the parts that every call uses.

use std::{error::Error, sync::Arc};

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::clients::CloudFormationClients;
use crate::{
    adapters::aws::{
        budget::Budget,
        clients::Clients,
        credentials::Verified,
        errors::{Call, Effect},
    },
    domain::grants::stack_name,
    ports::{CallError, CallErrorKind},
};

/// The most pages that are read. A page of `DescribeChangeSet` or `ListStackResources` has up to 100 entries, and a
/// stack at most 500 resources.
pub(super) const PAGES: usize = 50;

/// The most pages of `DescribeStackEvents`, of 100 events each: more than an operation on the largest stack has.
pub(super) const EVENT_PAGES: usize = 20;

/// CloudFormation in one account and region.
pub struct CloudFormationStacks {
    /// For messages: the Account and the region.
    scope: String,
    /// The region, for the URLs of templates.
    pub(super) region: String,
    pub(super) clients: CloudFormationClients,
    verified: Arc<Verified>,
    budget: Arc<Budget>,
}

impl CloudFormationStacks {
    /// `scope` is for messages: the Account and the region.
    pub fn new(scope: String, region: &str, clients: &Clients, verified: Arc<Verified>) -> Self {
        Self {
            scope,
            region: region.to_owned(),
            clients: clients.cloudformation(),
            verified,
            budget: clients.budget(),
        }
    }

    /// A read of a stack, by its name or ARN.
    pub(super) fn read(&self, operation: &'static str, stack: &str) -> Call {
        Call::read(operation, self.shown(stack))
    }

    /// A write to a stack, by its name or ARN.
    pub(super) fn write(&self, operation: &'static str, stack: &str) -> Call {
        Call::write(operation, self.shown(stack))
    }

    fn shown(&self, stack: &str) -> String {
        format!("{} ({})", stack_name(stack), self.scope)
    }

    /// Waits for the call's turn, and makes it.
    pub(super) async fn made<T, E>(
        &self,
        call: &Call,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    ) -> Result<T, CallError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let budget = match call.effect {
            Effect::Read => &self.budget.stack_reads,
            Effect::Write => &self.budget.stack_writes,
        };
        // The SDK sends nothing before the request is polled.
        budget.turn(call).await?;
        let answer = self.verified.sent(call, request).await;
        answer.inspect_err(|error| budget.note(error))
    }
}

/// A missing stack or change set is a result, not a failure.
pub(super) fn none_if_missing<T>(result: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match result {
        Ok(thing) => Ok(Some(thing)),
        Err(error) if error.kind == CallErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The error of an answer that has more than [`PAGES`].
pub(super) fn too_long(call: &Call) -> CallError {
    let message = format!("the response has more than {PAGES} pages");
    call.error(CallErrorKind::TooLarge, message)
}
