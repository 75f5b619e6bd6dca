//! Reports unreadable objects: a condition that names the field, and an Event.
//!
//! The status is written as untyped JSON, because the object does not match its type. It is
//! written at the resourceVersion that was unreadable: once the object has been corrected, the API
//! server refuses the write, as it should.

use std::{fmt::Debug, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject, Patch},
};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{debug, error};

use super::{
    events::{EventType, Events},
    guard::Malformed,
    status::strict_patch_params,
};
use crate::{
    domain::{outcome::Outcome, reason::Reason},
    fence::Fence,
    metrics::Metrics,
};

/// How often a standby checks whether it leads.
const STANDBY: Duration = Duration::from_secs(1);

/// An unreadable object with its kind.
pub struct Found {
    resource: ApiResource,
    malformed: Malformed,
}

/// Accepts unreadable objects.
#[derive(Clone)]
pub struct Isolation {
    found: UnboundedSender<Found>,
    metrics: Arc<Metrics>,
}

impl Isolation {
    /// A sender of unreadable objects and its receiver, which [`report`] reads.
    pub fn channel(metrics: Arc<Metrics>) -> (Self, UnboundedReceiver<Found>) {
        let (found, receiver) = unbounded_channel();
        (Self { found, metrics }, receiver)
    }

    /// The handler for unreadable objects of a feed. `kind` is its label in the metrics.
    pub fn of<K>(&self, kind: &'static str) -> impl Fn(Malformed) + Send + Sync + 'static
    where
        K: Resource<DynamicType = ()>,
    {
        let this = self.clone();
        move |malformed| {
            this.metrics.malformed(kind);
            error!(
                kind,
                namespace = malformed.metadata.namespace,
                name = malformed.metadata.name,
                field = malformed.field,
                problem = malformed.problem,
                "this version can't read an object and ignores it"
            );
            let resource = ApiResource::erase::<K>(&());
            // The receiver is dropped when the process stops.
            let _ = this.found.send(Found {
                resource,
                malformed,
            });
        }
    }
}

/// Writes a condition and an Event for each unreadable object, while this process leads.
pub async fn report(
    client: Client,
    events: Events,
    fence: Fence,
    mut found: UnboundedReceiver<Found>,
) {
    while let Some(found) = found.recv().await {
        while !fence.may_write() {
            tokio::time::sleep(STANDBY).await;
        }
        let Some(patch) = patch(&found.malformed, Timestamp::now()) else {
            continue;
        };
        let metadata = &found.malformed.metadata;
        let name = metadata.name.as_deref().unwrap_or_default();
        let resource = &found.resource;
        let api: Api<DynamicObject> = match metadata.namespace.as_deref() {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
            None => Api::all_with(client.clone(), resource),
        };
        if let Err(error) = api
            .patch_status(name, &strict_patch_params(), &Patch::Merge(patch))
            .await
        {
            debug!(name, %error, "the status of a malformed object was not written");
        }
        let regarding = ObjectReference {
            api_version: Some(resource.api_version.clone()),
            kind: Some(resource.kind.clone()),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
            ..ObjectReference::default()
        };
        let outcome = outcome(&found.malformed);
        events.publish(
            regarding,
            EventType::Warning,
            outcome.reason(),
            outcome.message(),
        );
    }
}

fn outcome(malformed: &Malformed) -> Outcome {
    let field = match malformed.field.as_str() {
        "" => "the object",
        field => field,
    };
    Outcome::stalled(
        Reason::Malformed,
        format!(
            "this version of Sluice can't read {field}: {}; correct it, or run the version that \
             wrote it",
            malformed.problem
        ),
    )
}

/// The patch that adds the conditions; `None` if the object already has them.
fn patch(malformed: &Malformed, now: Timestamp) -> Option<serde_json::Value> {
    let mut conditions = malformed.conditions.clone();
    let generation = malformed.metadata.generation;
    outcome(malformed).write_conditions(&mut conditions, generation, now);
    if conditions == malformed.conditions {
        return None;
    }
    Some(json!({
        "metadata": {"resourceVersion": malformed.metadata.resource_version},
        "status": {"conditions": conditions},
    }))
}

impl Debug for Isolation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Isolation")
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ObjectMeta;

    use super::*;

    #[test]
    fn malformed_object_is_reported_once() {
        let mut malformed = Malformed {
            metadata: ObjectMeta {
                name: Some("shop".into()),
                generation: Some(3),
                resource_version: Some("17".into()),
                ..ObjectMeta::default()
            },
            conditions: Vec::new(),
            field: "spec.stages[0]".into(),
            problem: "missing field `name`".into(),
        };
        let patch = patch(&malformed, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], "17");
        let stalled = &patch["status"]["conditions"][1];
        assert_eq!(stalled["type"], "Stalled");
        assert_eq!(stalled["reason"], "Malformed");
        let message = stalled["message"].as_str().unwrap();
        assert!(
            message.contains("spec.stages[0]: missing field `name`"),
            "{message}"
        );

        malformed.conditions =
            serde_json::from_value(patch["status"]["conditions"].clone()).unwrap();
        let later = Timestamp::from_second(60).unwrap();
        assert_eq!(super::patch(&malformed, later), None);
    }
}
