//! What stands in Kubernetes and in AWS when a run has ended, in words that are the same in each run.

use std::collections::BTreeMap;

use aws_sdk_lambda::types::{FunctionConfiguration, Runtime, State};
use serde_json::{Map, Value, json};
use sluice::api::v1alpha1::{Approval, Deployment, Release, Target};

use crate::{
    ground::ACCOUNTS,
    names::Names,
    play::{Play, SITE, Wrong},
};

/// What differs from run to run without meaning anything: times, uids, revisions of objects, attempts.
const PASSING: [&str; 28] = [
    // A packed name has another size than another one; digests are compared.
    "size",
    "uid",
    "resourceVersion",
    "generation",
    "observedGeneration",
    "creationTimestamp",
    "deletionTimestamp",
    "managedFields",
    "lastTransitionTime",
    "startedAt",
    "progressedAt",
    "finishedAt",
    "evaluatedAt",
    "since",
    "at",
    "attempt",
    "sequence",
    "bakedSeconds",
    "evaluations",
    "aliasRevisionId",
    "versionId",
    "releaseUid",
    "projectId",
    "pipelineId",
    "lastHandledReconcile",
    "newestKey",
    "key",
    "pending",
];

/// Where files are put.
const DEV: &str = "dev";

/// What stands at the end of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct End(pub Value);

/// What a function is in an account: `$LATEST`, published versions and aliases.
pub type Functions = BTreeMap<(String, String), Value>;

impl End {
    /// Looks at all there is of the run.
    pub async fn of(play: &Play<'_>, functions: &[String]) -> Result<Self, Wrong> {
        let names = play.slot.gate.names();
        let mut objects = Map::new();
        let mut add = |kind: &str, name: Option<String>, object: Value| {
            let name = names.plain(&name.unwrap_or_default());
            objects.insert(format!("{kind} {name}"), lasting(&object, &names));
        };
        for one in play.list::<Deployment>().await? {
            add("Deployment", one.metadata.name.clone(), json!(one));
        }
        for one in play.list::<Release>().await? {
            add("Release", one.metadata.name.clone(), json!(one));
        }
        for one in play.list::<Target>().await? {
            add("Target", one.metadata.name.clone(), json!(one));
        }
        for one in play.list::<Approval>().await? {
            add("Approval", one.metadata.name.clone(), json!(one));
        }
        for ((account, function), there) in standing(play, functions).await? {
            let name = names.plain(&function);
            objects.insert(format!("{account} {name}"), lasting(&there, &names));
        }
        for account in ACCOUNTS {
            let kept = kept(play, account).await?;
            let kept: Vec<String> = kept.iter().map(|key| names.plain(key)).collect();
            objects.insert(format!("{account} snapshots"), json!(kept));
        }
        Ok(Self(Value::Object(objects)))
    }

    /// Where two ends differ, a line each.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        differ("", &self.0, &other.0, &mut found);
        found
    }
}

/// The functions of these names in every account.
pub async fn standing(play: &Play<'_>, functions: &[String]) -> Result<Functions, Wrong> {
    let mut all = Functions::new();
    for account in ACCOUNTS {
        let lambda = play.ground.lambda(account);
        for function in functions {
            let found = lambda.get_function().function_name(function).send().await;
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    let error = error.into_service_error();
                    if error.is_resource_not_found_exception() {
                        continue;
                    }
                    return Err(format!("{function} in {account}: {error:?}"));
                }
            };
            let versions = lambda
                .list_versions_by_function()
                .function_name(function)
                .send()
                .await
                .map_err(|e| format!("{e:?}"))?;
            let versions: BTreeMap<String, Value> = versions
                .versions
                .unwrap_or_default()
                .iter()
                .map(|one| (one.version.clone().unwrap_or_default(), settings(one)))
                .filter(|(version, _)| version != "$LATEST")
                .collect();
            let aliases = lambda.list_aliases().function_name(function).send().await;
            let aliases: BTreeMap<String, Value> = aliases
                .map_err(|e| format!("{e:?}"))?
                .aliases
                .unwrap_or_default()
                .into_iter()
                .map(|alias| {
                    let weights = alias
                        .routing_config
                        .and_then(|it| it.additional_version_weights);
                    let weights: BTreeMap<_, _> = weights.unwrap_or_default().into_iter().collect();
                    let to = json!({
                        "version": alias.function_version,
                        "weights": weights,
                        "description": alias.description,
                    });
                    (alias.name.unwrap_or_default(), to)
                })
                .collect();
            let tags: BTreeMap<_, _> = found.tags.unwrap_or_default().into_iter().collect();
            let latest = found.configuration.as_ref().map(settings);
            let there =
                json!({"latest": latest, "tags": tags, "versions": versions, "aliases": aliases});
            all.insert((account.to_owned(), function.clone()), there);
        }
    }
    let files = files(play).await?;
    if !files.is_empty() {
        let site = (DEV.to_owned(), play.function(SITE));
        all.insert(site, json!({"latest": files}));
    }
    Ok(all)
}

/// The team's files: by key, what they are and what goes with them.
async fn files(play: &Play<'_>) -> Result<BTreeMap<String, Value>, Wrong> {
    let (s3, bucket) = (play.ground.s3(DEV), play.ground.site(DEV));
    let list = s3.list_objects_v2().bucket(&bucket).prefix(play.prefix());
    let list = list.send().await.map_err(|e| format!("{e:?}"))?;
    let mut files = BTreeMap::new();
    for key in list
        .contents
        .unwrap_or_default()
        .into_iter()
        .filter_map(|one| one.key)
    {
        let head = s3.head_object().bucket(&bucket).key(&key).send().await;
        let head = head.map_err(|e| format!("{key}: {e:?}"))?;
        let metadata: BTreeMap<_, _> = head.metadata.unwrap_or_default().into_iter().collect();
        let file = json!({"etag": head.e_tag, "type": head.content_type, "metadata": metadata});
        files.insert(key, file);
    }
    Ok(files)
}

/// A function's code and settings.
fn settings(one: &FunctionConfiguration) -> Value {
    let environment = one.environment.as_ref().and_then(|it| it.variables.clone());
    let environment: BTreeMap<_, _> = environment.unwrap_or_default().into_iter().collect();
    json!({
        "codeSha256": one.code_sha256,
        "description": one.description,
        "environment": environment,
        "handler": one.handler,
        "runtime": one.runtime.as_ref().map(Runtime::as_str),
        "role": one.role,
        "memorySize": one.memory_size,
        "timeout": one.timeout,
        "architectures": format!("{:?}", one.architectures),
        "layers": format!("{:?}", one.layers),
        "ephemeralStorage": format!("{:?}", one.ephemeral_storage),
        "vpc": format!("{:?}", one.vpc_config),
        "tracing": format!("{:?}", one.tracing_config),
        "state": one.state.as_ref().map(State::as_str),
    })
}

/// The keys of the team's snapshots in an account.
async fn kept(play: &Play<'_>, account: &str) -> Result<Vec<String>, Wrong> {
    let list = play
        .ground
        .s3(account)
        .list_objects_v2()
        .bucket(play.ground.bucket(account))
        .prefix(format!("snapshots/{}/", play.team))
        .send()
        .await
        .map_err(|e| format!("{e:?}"))?;
    let keys = list.contents.unwrap_or_default();
    Ok(keys.into_iter().filter_map(|one| one.key).collect())
}

/// Without what passes, and in words that are the same in each run.
fn lasting(value: &Value, names: &Names) -> Value {
    match value {
        Value::Object(map) => {
            let lasting = map
                .iter()
                .filter(|(key, _)| !PASSING.contains(&key.as_str()));
            let lasting =
                lasting.map(|(key, value)| (names.plain(key), lasting_of(key, value, names)));
            Value::Object(lasting.collect())
        }
        Value::Array(list) => list.iter().map(|one| lasting(one, names)).collect(),
        Value::String(text) => json!(names.plain(text)),
        other => other.clone(),
    }
}

/// Of annotations, those of the harness say nothing; conditions are told by their types, in whatever order.
fn lasting_of(key: &str, value: &Value, names: &Names) -> Value {
    match (key, value) {
        ("conditions", Value::Array(list)) => {
            let by_type = list.iter().map(|one| {
                let kind = one["type"].as_str().unwrap_or_default();
                (kind.to_owned(), lasting(one, names))
            });
            by_type.collect()
        }
        ("annotations", Value::Object(map)) => {
            let kept = map.iter().filter(|(key, _)| *key != "sluice.dev/reconcile");
            kept.map(|(key, value)| (key.clone(), lasting(value, names)))
                .collect()
        }
        (_, value) => lasting(value, names),
    }
}

/// The texts are the same, where one was cut to fit as far as it goes: it is cut sooner in a run whose
/// accounts have longer names.
fn is_same_as_far_as_it_goes(one: &str, other: &str) -> bool {
    let begins = |text: &str, cut: &str| uncut(cut).is_some_and(|kept| text.starts_with(kept));
    one == other || begins(one, other) || begins(other, one)
}

/// What is left of a text that was cut to fit, without the word in which it was cut: half a name is not
/// replaced by the word that stands for it.
fn uncut(text: &str) -> Option<&str> {
    let (kept, _) = text.strip_suffix('…')?.rsplit_once(' ')?;
    Some(kept)
}

fn differ(at: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for (key, value) in one {
                let there = other.get(key).unwrap_or(&Value::Null);
                differ(&format!("{at}/{key}"), value, there, found);
            }
            for (key, value) in other.iter().filter(|(key, _)| !one.contains_key(*key)) {
                found.push(format!("{at}/{key}: expected nothing, found {value}"));
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                differ(&format!("{at}/{index}"), one, other, found);
            }
        }
        (Value::String(one), Value::String(other)) if is_same_as_far_as_it_goes(one, other) => {}
        (one, other) if one != other => {
            found.push(format!("{at}: expected {one}, found {other}"));
        }
        _ => {}
    }
}
