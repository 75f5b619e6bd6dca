//! Lambda in one account and region: the parts that every call uses.

use std::sync::Arc;

use aws_sdk_lambda::operation::get_function::GetFunctionOutput;

use super::clients::LambdaClients;
use crate::{
    adapters::aws::{budget::Budget, clients::Clients, credentials::Verified, errors::Call},
    ports::{CallError, CallErrorKind},
};

/// Lambda in one account and region.
pub struct LambdaFunctions {
    /// For messages: the Account and the region.
    pub(super) scope: String,
    pub(super) clients: LambdaClients,
    pub(super) verified: Arc<Verified>,
    pub(super) budget: Arc<Budget>,
    pub(super) downloads: reqwest::Client,
}

impl LambdaFunctions {
    /// `scope` is for messages: the Account and the region.
    pub fn new(
        scope: String,
        clients: &Clients,
        verified: Arc<Verified>,
        downloads: reqwest::Client,
    ) -> Self {
        Self {
            scope,
            clients: clients.lambda(),
            verified,
            budget: clients.budget(),
            downloads,
        }
    }

    pub(super) fn read(&self, operation: &'static str, thing: &str) -> Call {
        Call::read(operation, format!("{thing} ({})", self.scope))
    }

    pub(super) fn write(&self, operation: &'static str, thing: &str) -> Call {
        Call::write(operation, format!("{thing} ({})", self.scope))
    }

    /// `GetFunction`; `None` if the function or version does not exist.
    pub(super) async fn fetch(
        &self,
        call: &Call,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<GetFunctionOutput>, CallError> {
        self.budget.get_function.turn(call).await?;
        let request = self
            .clients
            .reads
            .get_function()
            .function_name(name)
            .set_qualifier(version.map(str::to_owned))
            .send();
        let answer = self.verified.sent(call, request).await;
        none_if_missing(answer)
    }
}

/// A missing resource is a result, not a failure.
pub(super) fn none_if_missing<T>(result: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match result {
        Ok(thing) => Ok(Some(thing)),
        Err(error) if error.kind == CallErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
