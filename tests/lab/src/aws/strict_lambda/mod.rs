//! Lambda's behaviour that the emulator lacks: refusals, and details of responses.
//!
//! Each rule is a small function with the operations that it applies to: rules in [`BEFORE`] run ahead of
//! the emulator and may refuse, answer or change the request; rules in [`AFTER`] adjust the response. Rules
//! read the emulator's state each time, so that they hold whoever changed it.
//!
//! As on AWS, signature and permission are checked first: for an operation with rules in [`BEFORE`], the
//! proxy asks the emulator whether the caller is authorized ([`AUTHORIZE`]).

mod alias;
mod configuration;
mod invoke;
mod mapping;
mod network;
mod package;
mod provisioned;
mod publish;
mod tracker;
mod update;
mod view;

use std::sync::Arc;

use axum::http::StatusCode;
use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::Value;

pub use self::tracker::Settle;
pub(super) use self::tracker::{FunctionKey, FunctionTracker};
use super::{backend::Backend, reply::Reply};
use crate::error::LabError;

/// A request to Lambda in progress.
pub(super) struct Exchange {
    pub(super) backend: Arc<Backend>,
    pub(super) tracker: Arc<FunctionTracker>,
    /// The proxy's endpoint for callers.
    pub(super) endpoint: String,
    pub(super) function: FunctionKey,
    pub(super) operation: String,
    pub(super) qualifier: Option<String>,
    pub(super) path_and_query: String,
    pub(super) body: Bytes,
    /// Whether path, query or body are no longer what the caller signed.
    pub(super) changed: bool,
    /// The highest version before a write.
    pub(super) newest_before: Option<u64>,
    /// The version that Lambda asynchronously moves an alias away from.
    pub(super) leaves: Option<String>,
    /// The response to a dry run, if the emulator lets the caller write.
    pub(super) dry_run: Option<Value>,
}

/// The result of a rule.
pub(super) enum Step {
    /// Continue with the next rule.
    Pass,
    /// Respond with this; the emulator is not called.
    Answer(Reply),
}

type Before = for<'a> fn(&'a mut Exchange) -> BoxFuture<'a, Result<Step, LabError>>;
type After = fn(&mut Exchange, &mut Reply);

/// Rules that run ahead of the emulator, in order.
const BEFORE: &[(&[&str], Before)] = &[
    (&["DeleteFunction"], |x| {
        Box::pin(async { Ok(update::refuse_deleting_latest(x)) })
    }),
    (&["DeleteFunction"], |x| {
        Box::pin(alias::refuse_deleting_used(x))
    }),
    (
        &[
            "UpdateFunctionCode",
            "UpdateFunctionConfiguration",
            "PublishVersion",
            "DeleteFunction",
        ],
        |x| Box::pin(update::refuse_while_in_progress(x)),
    ),
    (&["CreateFunction", "UpdateFunctionCode"], |x| {
        Box::pin(package::refuse_missing_object(x))
    }),
    (&["CreateFunction", "UpdateFunctionConfiguration"], |x| {
        Box::pin(async { Ok(configuration::refuse_invalid_configuration(x)) })
    }),
    (&["CreateFunction", "UpdateFunctionConfiguration"], |x| {
        Box::pin(package::refuse_unusable_role(x))
    }),
    (&["CreateFunction", "UpdateFunctionConfiguration"], |x| {
        Box::pin(network::refuse_missing(x))
    }),
    (&["CreateFunction", "UpdateFunctionCode"], |x| {
        Box::pin(package::refuse_missing_image(x))
    }),
    (&["PutProvisionedConcurrencyConfig"], |x| {
        Box::pin(async { Ok(provisioned::refuse_latest(x)) })
    }),
    (
        &["UpdateEventSourceMapping", "DeleteEventSourceMapping"],
        |x| Box::pin(async { Ok(mapping::refuse_in_use(x)) }),
    ),
    (&["GetEventSourceMapping"], |x| {
        Box::pin(async { Ok(mapping::answer_deleted(x)) })
    }),
    (&["UpdateFunctionCode"], |x| {
        Box::pin(update::answer_dry_run(x))
    }),
    (&["PublishVersion"], |x| {
        Box::pin(publish::refuse_other_code_or_revision(x))
    }),
    (&["PublishVersion", "UpdateFunctionCode"], |x| {
        Box::pin(publish::record_newest_version(x))
    }),
    (&["PublishVersion"], |x| {
        Box::pin(publish::answer_unchanged(x))
    }),
    (&["CreateAlias", "UpdateAlias"], |x| {
        Box::pin(alias::refuse_invalid_routing(x))
    }),
    (&["Invoke", "InvokeWithResponseStream"], |x| {
        Box::pin(invoke::route(x))
    }),
];

/// Rules for successful responses, in order.
const AFTER: &[(&[&str], After)] = &[
    (
        &["CreateFunction", "UpdateFunctionCode", "PublishVersion"],
        publish::record_published_version,
    ),
    (
        &[
            "CreateFunction",
            "UpdateFunctionCode",
            "UpdateFunctionConfiguration",
        ],
        view::record_change,
    ),
    (&["DeleteFunction"], |x, _| {
        if x.qualifier.is_none() {
            x.tracker.forget(&x.function);
        }
    }),
    (
        &[
            "CreateFunction",
            "UpdateFunctionCode",
            "UpdateFunctionConfiguration",
            "PublishVersion",
            "GetFunctionConfiguration",
        ],
        view::show_configuration,
    ),
    (&["GetFunction"], view::show_function),
    (&["UpdateAlias"], alias::record_move),
    (&["UpdateAlias", "GetAlias"], alias::show),
    (
        &["ListVersionsByFunction", "ListFunctions"],
        view::show_list,
    ),
    (&["PutProvisionedConcurrencyConfig"], provisioned::note),
    (
        &[
            "PutProvisionedConcurrencyConfig",
            "GetProvisionedConcurrencyConfig",
        ],
        provisioned::show,
    ),
    (
        &[
            "CreateEventSourceMapping",
            "UpdateEventSourceMapping",
            "DeleteEventSourceMapping",
        ],
        mapping::note,
    ),
    (
        &[
            "CreateEventSourceMapping",
            "UpdateEventSourceMapping",
            "DeleteEventSourceMapping",
            "GetEventSourceMapping",
        ],
        mapping::show_one,
    ),
    (&["ListEventSourceMappings"], mapping::show_list),
];

/// The emulator answers a request with this header as soon as it is authorized, and does nothing else.
pub(super) const AUTHORIZE: &str = "x-lab-authorize";

impl Exchange {
    /// A request about `function`.
    pub(super) fn new(
        backend: Arc<Backend>,
        tracker: Arc<FunctionTracker>,
        endpoint: String,
        function: FunctionKey,
    ) -> Self {
        Self {
            backend,
            tracker,
            endpoint,
            function,
            operation: String::new(),
            qualifier: None,
            path_and_query: String::new(),
            body: Bytes::new(),
            changed: false,
            newest_before: None,
            leaves: None,
            dry_run: None,
        }
    }

    /// Whether it may change a function, so that its checks and its effect must be atomic.
    pub(super) fn is_write(&self) -> bool {
        !self.function.name.is_empty()
            && !["Get", "List", "Invoke"]
                .iter()
                .any(|read| self.operation.starts_with(read))
    }

    /// Whether a rule may answer in the emulator's place, so that the permission check must come first.
    pub(super) fn needs_authorization(&self) -> bool {
        let mut rules = BEFORE.iter();
        rules.any(|(operations, _)| operations.contains(&self.operation.as_str()))
    }

    /// Runs the rules in [`BEFORE`].
    pub(super) async fn before(&mut self) -> Result<Step, LabError> {
        for (operations, rule) in BEFORE {
            if operations.contains(&self.operation.as_str())
                && let Step::Answer(reply) = rule(self).await?
            {
                return Ok(Step::Answer(reply));
            }
        }
        Ok(Step::Pass)
    }

    /// Adjusts the emulator's response by the rules in [`AFTER`].
    pub(super) fn after(&mut self, reply: &mut Reply) {
        if let Some(answer) = self.dry_run.take()
            && reply.status == StatusCode::PRECONDITION_FAILED
        {
            *reply = Reply::json(StatusCode::OK, &answer);
            return view::show_configuration(self, reply);
        }
        if !reply.status.is_success() {
            return;
        }
        for (operations, rule) in AFTER {
            if operations.contains(&self.operation.as_str()) {
                rule(self, reply);
            }
        }
    }

    /// The body as JSON; null if it is not JSON.
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The ARN without a qualifier.
    fn arn(&self) -> String {
        let FunctionKey {
            account,
            region,
            name,
        } = &self.function;
        format!("arn:aws:lambda:{region}:{account}:function:{name}")
    }

    async fn ask(&self, part: &str) -> Result<Option<Value>, LabError> {
        let FunctionKey {
            account,
            region,
            name,
        } = &self.function;
        let path = format!("/2015-03-31/functions/{name}/{part}");
        self.backend
            .ask_json(account, region, "lambda", &path)
            .await
    }

    /// `$LATEST` as the emulator has it.
    async fn latest(&self) -> Result<Option<Value>, LabError> {
        self.ask("configuration").await
    }

    /// An alias as callers see it.
    async fn alias(&self, name: &str) -> Result<Option<Value>, LabError> {
        let mut alias = self.ask(&format!("aliases/{name}")).await?;
        if let Some(alias) = &mut alias {
            alias::show_former_version(self, alias);
        }
        Ok(alias)
    }

    /// The published versions, in ascending order.
    async fn versions(&self) -> Result<Vec<(u64, Value)>, LabError> {
        let list = self
            .ask("versions?MaxItems=10000")
            .await?
            .unwrap_or_default();
        let versions = list["Versions"].as_array().into_iter().flatten();
        let mut numbered: Vec<_> = versions
            .filter_map(|config| Some((config["Version"].as_str()?.parse().ok()?, config.clone())))
            .collect();
        numbered.sort_by_key(|(number, _)| *number);
        Ok(numbered)
    }
}

fn refuse(status: u16, code: &str, message: &str) -> Step {
    Step::Answer(Reply::error("lambda", status, code, message))
}

fn invalid(message: &str) -> Step {
    refuse(400, "InvalidParameterValueException", message)
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value[field].as_str().filter(|text| !text.is_empty())
}
