//! The path of a request to Lambda: permission check, then the rules, then the emulator.

use std::sync::Arc;

use axum::http::{HeaderValue, Method, request::Parts};
use bytes::Bytes;
use jiff::Timestamp;

use super::{
    call::Asked,
    keys::Key,
    operation::Operation,
    proxy::Proxy,
    reply::Reply,
    sigv4::{self, Unsigned},
    strict_lambda::{AUTHORIZE, Exchange, FunctionKey, Step},
};
use crate::error::LabError;

impl Proxy {
    /// The refusal of a caller that is not authenticated or not authorized.
    async fn forbidden(
        &self,
        parts: &Parts,
        exchange: &Exchange,
    ) -> Result<Option<Reply>, LabError> {
        let mut headers = parts.headers.clone();
        headers.insert(AUTHORIZE, HeaderValue::from_static("only"));
        let (target, body) = (&exchange.path_and_query, exchange.body.clone());
        let reply = self
            .backend
            .exchange(parts.method.clone(), target, headers, body);
        let reply = reply.await?;
        Ok((!reply.status.is_success()).then_some(reply))
    }

    /// Forwards a request to Lambda, subject to its rules.
    pub(super) async fn pass_to_lambda(
        &self,
        parts: &Parts,
        target: String,
        body: Bytes,
        asked: &Asked,
        operation: &Operation,
        caller: &Key,
    ) -> Result<Reply, LabError> {
        let region = asked.region.clone().unwrap_or_default();
        let function = FunctionKey {
            account: caller.account.clone(),
            region: region.clone(),
            name: operation.resource.clone(),
        };
        let mut exchange = Exchange {
            operation: operation.name.clone(),
            qualifier: operation.qualifier.clone(),
            path_and_query: target,
            body,
            ..Exchange::new(
                Arc::clone(&self.backend),
                Arc::clone(&self.book),
                self.endpoint.clone(),
                function,
            )
        };
        if exchange.needs_authorization()
            && let Some(refusal) = self.forbidden(parts, &exchange).await?
        {
            return Ok(refusal);
        }
        let _writing = if exchange.is_write() {
            Some(self.book.writing(&exchange.function).await)
        } else {
            None
        };
        if let Step::Answer(reply) = exchange.before().await? {
            return Ok(reply);
        }
        let mut headers = parts.headers.clone();
        if exchange.changed {
            headers.remove("content-length");
            let (path, query) = exchange
                .path_and_query
                .split_once('?')
                .unwrap_or((&exchange.path_and_query, ""));
            let request = Unsigned {
                method: parts.method.as_str(),
                path,
                query,
                body: &exchange.body,
                region: &region,
                service: "lambda",
            };
            sigv4::sign(&request, &mut headers, caller, Timestamp::now())?;
        }
        let method: Method = parts.method.clone();
        let (target, body) = (exchange.path_and_query.clone(), exchange.body.clone());
        let mut reply = self
            .backend
            .exchange(method, &target, headers, body)
            .await?;
        exchange.after(&mut reply);
        Ok(reply)
    }
}
