//! What AWS Lambda refuses or shows and the emulator does not.
//!
//! Each rule is a small function with the operations it is for: [`BEFORE`] runs ahead of the
//! emulator and may refuse, answer or change the request; [`AFTER`] shapes the answer. What stands
//! in the emulator is asked from it each time, so that these rules hold whoever changed it.
//!
//! As on AWS, signature and permission are checked before any of that: where there are rules ahead of the
//! emulator, it is asked first whether the caller may ([`AUTHORIZE`]).

mod alias;
mod book;
mod configuration;
mod invoke;
mod mapping;
mod network;
mod package;
mod provisioned;
mod publish;
mod update;
mod view;

use std::sync::Arc;

use axum::http::StatusCode;
use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::Value;

pub use self::book::Settle;
pub(super) use self::book::{Book, FunctionKey};
use super::{backend::Backend, reply::Reply};
use crate::error::LabError;

/// A request to Lambda on its way.
pub(super) struct Exchange {
    pub(super) backend: Arc<Backend>,
    pub(super) book: Arc<Book>,
    /// Where callers reach the proxy.
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
    /// The version that Lambda moves an alias away from in its own time.
    pub(super) leaves: Option<String>,
    /// What a dry run answers if the emulator lets the caller write.
    pub(super) dry_run: Option<Value>,
}

/// What a rule makes of a request.
pub(super) enum Step {
    /// On to the next rule.
    Pass,
    /// This is the answer; the emulator is not asked.
    Answer(Reply),
}

type Before = for<'a> fn(&'a mut Exchange) -> BoxFuture<'a, Result<Step, LabError>>;
type After = fn(&mut Exchange, &mut Reply);

/// Rules ahead of the emulator, in the order in which they are asked.
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
        Box::pin(async { Ok(configuration::refuse_bad(x)) })
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
        Box::pin(async { Ok(provisioned::refuse_unpublished(x)) })
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
        Box::pin(publish::note_newest(x))
    }),
    (&["PublishVersion"], |x| {
        Box::pin(publish::answer_unchanged(x))
    }),
    (&["CreateAlias", "UpdateAlias"], |x| {
        Box::pin(alias::refuse_bad_routing(x))
    }),
    (&["Invoke", "InvokeWithResponseStream"], |x| {
        Box::pin(invoke::route(x))
    }),
];

/// Rules for successful answers, in the order in which they are applied.
const AFTER: &[(&[&str], After)] = &[
    (
        &["CreateFunction", "UpdateFunctionCode", "PublishVersion"],
        publish::note_published,
    ),
    (
        &[
            "CreateFunction",
            "UpdateFunctionCode",
            "UpdateFunctionConfiguration",
        ],
        view::note_change,
    ),
    (&["DeleteFunction"], |x, _| {
        if x.qualifier.is_none() {
            x.book.forget(&x.function);
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
    (&["UpdateAlias"], alias::note_move),
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

/// A request with this header is answered as soon as it is permitted, and has no effect.
pub(super) const AUTHORIZE: &str = "x-lab-authorize";

impl Exchange {
    /// For a request to `operation` on `function`.
    pub(super) fn new(
        backend: Arc<Backend>,
        book: Arc<Book>,
        endpoint: String,
        function: FunctionKey,
    ) -> Self {
        Self {
            backend,
            book,
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

    /// Whether it may change a function, so that its checks and its effect must be one.
    pub(super) fn is_write(&self) -> bool {
        !self.function.name.is_empty()
            && !["Get", "List", "Invoke"]
                .iter()
                .any(|read| self.operation.starts_with(read))
    }

    /// Whether a rule may answer in the emulator's place, so that permission must be asked for before.
    pub(super) fn is_judged(&self) -> bool {
        let mut rules = BEFORE.iter();
        rules.any(|(operations, _)| operations.contains(&self.operation.as_str()))
    }

    /// Runs the rules ahead of the emulator.
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

    /// Shapes the emulator's answer.
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

    /// The body's JSON, null where it is none.
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
            alias::show_left(self, alias);
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
