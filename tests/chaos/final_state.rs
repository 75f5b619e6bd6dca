//! The final state of a run in Kubernetes and AWS, normalised so that two runs can be compared.

use std::collections::BTreeMap;

use aws_sdk_lambda::types::{FunctionConfiguration, Runtime, State};
use serde_json::{Map, Value, json};
use sluice::api::v1alpha1::{Approval, Deployment, Release, Target};

use crate::{
    fixture::ACCOUNTS,
    names::Names,
    stacks::Stacks,
    team::{SITE, Team},
    waiting::Problem,
};

/// Fields that differ between equivalent runs: times, uids, revisions of objects, attempts.
const VOLATILE_FIELDS: [&str; 28] = [
    // Archives contain the team's name, which compresses differently. Digests are compared instead.
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

/// The account that files are delivered to.
const SITE_ACCOUNT: &str = "dev";

/// The normalised state at the end of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct FinalState(pub Value);

/// By account and name, the state of each function: `$LATEST`, tags, published versions and aliases. Files
/// count as the `$LATEST` of one more function.
pub type Functions = BTreeMap<(String, String), Value>;

/// What a team has in AWS.
pub struct AwsState {
    /// Its functions and files.
    pub functions: Functions,
    /// Its stacks.
    pub stacks: Stacks,
}

impl FinalState {
    /// Reads the team's objects, functions, stacks and snapshots.
    pub async fn read(team: &Team<'_>, functions: &[String]) -> Result<Self, Problem> {
        let names = team.slot.interceptor.names();
        let mut objects = Map::new();
        let mut add = |kind: &str, name: Option<String>, object: Value| {
            let name = names.normalise(&name.unwrap_or_default());
            objects.insert(format!("{kind} {name}"), normalised(&object, &names));
        };
        for one in team.list::<Deployment>().await? {
            add("Deployment", one.metadata.name.clone(), json!(one));
        }
        for one in team.list::<Release>().await? {
            add("Release", one.metadata.name.clone(), json!(one));
        }
        for one in team.list::<Target>().await? {
            add("Target", one.metadata.name.clone(), json!(one));
        }
        for one in team.list::<Approval>().await? {
            add("Approval", one.metadata.name.clone(), json!(one));
        }
        let aws = observe_aws(team, functions).await?;
        for ((account, resource), state) in aws.functions.into_iter().chain(aws.stacks) {
            let name = names.normalise(&resource);
            objects.insert(format!("{account} {name}"), normalised(&state, &names));
        }
        for account in ACCOUNTS {
            let keys = snapshot_keys(team, account).await?;
            let keys: Vec<String> = keys.iter().map(|key| names.normalise(key)).collect();
            objects.insert(format!("{account} snapshots"), json!(keys));
        }
        Ok(Self(Value::Object(objects)))
    }

    /// The differences between two final states, one line for each.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        compare("", &self.0, &other.0, &mut found);
        found
    }
}

/// Observes the functions with these names in every account, and the team's files and stacks.
pub async fn observe_aws(team: &Team<'_>, functions: &[String]) -> Result<AwsState, Problem> {
    let mut stacks = Stacks::new();
    for account in ACCOUNTS {
        let name = team.stack();
        if let Some(stack) = team.fixture.stacks(account).observe(&name).await? {
            stacks.insert((account.to_owned(), name), stack);
        }
    }
    let functions = observe_functions(team, functions).await?;
    Ok(AwsState { functions, stacks })
}

/// Observes the functions with these names in every account, and the team's files.
async fn observe_functions(team: &Team<'_>, functions: &[String]) -> Result<Functions, Problem> {
    let mut all = Functions::new();
    for account in ACCOUNTS {
        let lambda = team.fixture.lambda(account);
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
                    let routing = json!({
                        "version": alias.function_version,
                        "weights": weights,
                        "description": alias.description,
                    });
                    (alias.name.unwrap_or_default(), routing)
                })
                .collect();
            let tags: BTreeMap<_, _> = found.tags.unwrap_or_default().into_iter().collect();
            let latest = found.configuration.as_ref().map(settings);
            let state =
                json!({"latest": latest, "tags": tags, "versions": versions, "aliases": aliases});
            all.insert((account.to_owned(), function.clone()), state);
        }
    }
    let files = files(team).await?;
    if !files.is_empty() {
        let site = (SITE_ACCOUNT.to_owned(), team.function(SITE));
        all.insert(site, json!({"latest": files}));
    }
    Ok(all)
}

/// The team's files, by key: ETag, content type and metadata.
async fn files(team: &Team<'_>) -> Result<BTreeMap<String, Value>, Problem> {
    let s3 = team.fixture.s3(SITE_ACCOUNT);
    let bucket = team.fixture.site_bucket(SITE_ACCOUNT);
    let list = s3.list_objects_v2().bucket(&bucket).prefix(team.prefix());
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

/// The code and settings of a function or version.
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
async fn snapshot_keys(team: &Team<'_>, account: &str) -> Result<Vec<String>, Problem> {
    let list = team
        .fixture
        .s3(account)
        .list_objects_v2()
        .bucket(team.fixture.artifact_bucket(account))
        .prefix(format!("snapshots/{}/", team.namespace))
        .send()
        .await
        .map_err(|e| format!("{e:?}"))?;
    let keys = list.contents.unwrap_or_default();
    Ok(keys.into_iter().filter_map(|one| one.key).collect())
}

/// Removes volatile fields, and replaces names, IDs and times with placeholders.
fn normalised(value: &Value, names: &Names) -> Value {
    match value {
        Value::Object(map) => {
            let stable = map
                .iter()
                .filter(|(key, _)| !VOLATILE_FIELDS.contains(&key.as_str()));
            let stable = stable
                .map(|(key, value)| (names.normalise(key), normalised_field(key, value, names)));
            Value::Object(stable.collect())
        }
        Value::Array(list) => list.iter().map(|one| normalised(one, names)).collect(),
        Value::String(text) => json!(names.normalise(text)),
        other => other.clone(),
    }
}

/// Normalises a field. Conditions become a map by type, since their order is irrelevant; the reconcile
/// annotation is removed, since the harness sets it.
fn normalised_field(key: &str, value: &Value, names: &Names) -> Value {
    match (key, value) {
        ("conditions", Value::Array(list)) => {
            let by_type = list.iter().map(|one| {
                let kind = one["type"].as_str().unwrap_or_default();
                (kind.to_owned(), normalised(one, names))
            });
            by_type.collect()
        }
        ("annotations", Value::Object(map)) => {
            let kept = map.iter().filter(|(key, _)| *key != "sluice.dev/reconcile");
            kept.map(|(key, value)| (key.clone(), normalised(value, names)))
                .collect()
        }
        (_, value) => normalised(value, names),
    }
}

/// Whether two texts are equal, up to the end of a truncated one. Messages with longer Account names are
/// truncated earlier.
fn is_equal_up_to_truncation(one: &str, other: &str) -> bool {
    let matches = |text: &str, truncated: &str| {
        kept_words(truncated).is_some_and(|kept| text.starts_with(kept))
    };
    one == other || matches(one, other) || matches(other, one)
}

/// The part of a truncated text before its last, possibly incomplete word: an incomplete name has no
/// placeholder.
fn kept_words(text: &str) -> Option<&str> {
    let (kept, _) = text.strip_suffix('…')?.rsplit_once(' ')?;
    Some(kept)
}

/// Adds a line for each difference between the values at a path.
fn compare(at: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for (key, value) in one {
                let other_value = other.get(key).unwrap_or(&Value::Null);
                compare(&format!("{at}/{key}"), value, other_value, found);
            }
            for (key, value) in other.iter().filter(|(key, _)| !one.contains_key(*key)) {
                found.push(format!("{at}/{key}: expected nothing, found {value}"));
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{at}/{index}"), one, other, found);
            }
        }
        (Value::String(one), Value::String(other)) if is_equal_up_to_truncation(one, other) => {}
        (one, other) if one != other => {
            found.push(format!("{at}: expected {one}, found {other}"));
        }
        _ => {}
    }
}
