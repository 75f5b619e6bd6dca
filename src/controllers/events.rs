//! Events: what people see under `kubectl describe`.
//!
//! Best effort and never in the way: publishing returns at once, a worker writes them one by one,
//! and what cannot be written (a namespace that is being deleted takes no new objects) is let go.
//!
//! kube's own recorder takes two Events of one reason for the same, whatever they say; here the
//! message counts too, because "rolled back release 5" does not repeat "rolled back release 4".

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
};
use tokio::sync::mpsc;
use tracing::debug;

use crate::metrics::Metrics;

/// More than this waiting to be written means that the API server is in trouble: Events can go.
const QUEUE: usize = 512;
/// The same Event within this time is a repetition of the first.
const REPEATS_WITHIN: Duration = Duration::from_mins(6);
/// A repetition is written down at most this often.
const WRITE_REPETITION_AFTER: Duration = Duration::from_mins(1);
/// Kubernetes' limit on an Event's note, in bytes.
const NOTE_LIMIT: usize = 1024;
const REPORTER: &str = "sluice.dev/controller";

/// What kind of news an Event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Good to know.
    Normal,
    /// Somebody should have a look.
    Warning,
}

impl EventType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// One piece of news about an object.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// The object, with its uid.
    pub regarding: ObjectReference,
    /// What kind of news.
    pub kind: EventType,
    /// CamelCase, for programs.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// Where news goes. Clones share the way.
#[derive(Clone, Debug)]
pub struct Events {
    queue: mpsc::Sender<News>,
    metrics: Arc<Metrics>,
}

impl Events {
    /// A way for news and its far end; [`write()`] is what listens there.
    pub fn channel(metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<News>) {
        let (queue, news) = mpsc::channel(QUEUE);
        (Self { queue, metrics }, news)
    }

    /// Publishes that something went as it should. Returns at once.
    pub fn normal<K>(&self, object: &K, reason: &str, message: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        self.publish(object.object_ref(&()), EventType::Normal, reason, message);
    }

    /// Publishes that somebody should have a look. Returns at once.
    pub fn warning<K>(&self, object: &K, reason: &str, message: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        self.publish(object.object_ref(&()), EventType::Warning, reason, message);
    }

    /// Publishes an Event about an object that is known by reference. Returns at once.
    pub fn publish(
        &self,
        regarding: ObjectReference,
        kind: EventType,
        reason: &str,
        message: &str,
    ) {
        let news = News {
            regarding,
            kind,
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        if self.queue.try_send(news).is_err() {
            self.metrics.event("dropped");
        }
    }
}

/// Writes news as Events until nobody can publish any more. `instance` is the pod.
pub async fn write(
    client: Client,
    instance: String,
    metrics: Arc<Metrics>,
    mut news: mpsc::Receiver<News>,
) {
    let mut writer = Writer {
        client,
        instance,
        written: HashMap::new(),
    };
    while let Some(news) = news.recv().await {
        match writer.write(&news).await {
            Ok(outcome) => metrics.event(outcome),
            Err(error) => {
                metrics.event("failed");
                debug!(%error, reason = news.reason, "an Event was not written");
            }
        }
    }
}

struct Writer {
    client: Client,
    instance: String,
    written: HashMap<Key, Written>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    object: String,
    kind: EventType,
    reason: String,
    message: String,
}

struct Written {
    name: String,
    count: i32,
    last: Instant,
    noted: Instant,
}

impl Writer {
    async fn write(&mut self, news: &News) -> Result<&'static str, kube::Error> {
        let now = Instant::now();
        self.written
            .retain(|_, written| now.duration_since(written.last) < REPEATS_WITHIN);
        let namespace = news.regarding.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let key = Key::of(news);
        if let Some(written) = self.written.get_mut(&key) {
            written.count += 1;
            written.last = now;
            if now.duration_since(written.noted) < WRITE_REPETITION_AFTER {
                return Ok("repeated");
            }
            let series = serde_json::json!({"series": EventSeries {
                count: written.count,
                last_observed_time: MicroTime(Timestamp::now()),
            }});
            let patched = api
                .patch(
                    &written.name,
                    &PatchParams::default(),
                    &Patch::Merge(&series),
                )
                .await;
            match patched {
                Ok(_) => {
                    written.noted = now;
                    return Ok("repeated");
                }
                // Events expire: then this is the first one again.
                Err(error) if is_not_found(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let event = event(news, &self.instance, namespace, Timestamp::now());
        let name = event.metadata.name.clone().unwrap_or_default();
        api.create(&PostParams::default(), &event).await?;
        self.written.insert(
            key,
            Written {
                name,
                count: 1,
                last: now,
                noted: now,
            },
        );
        Ok("published")
    }
}

impl Key {
    fn of(news: &News) -> Self {
        let about = &news.regarding;
        let object = about.uid.clone().unwrap_or_else(|| {
            let part = |part: &Option<String>| part.clone().unwrap_or_default();
            [&about.kind, &about.namespace, &about.name]
                .map(part)
                .join("/")
        });
        Self {
            object,
            kind: news.kind,
            reason: news.reason.clone(),
            message: news.message.clone(),
        }
    }
}

fn event(news: &News, instance: &str, namespace: &str, now: Timestamp) -> Event {
    let object = news.regarding.name.as_deref().unwrap_or("unnamed");
    Event {
        metadata: ObjectMeta {
            // The moment makes the name unique, as the API server's own clients do it.
            name: Some(format!("{object}.{:x}", now.as_nanosecond())),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some(news.kind.as_str().to_owned()),
        reason: Some(news.reason.clone()),
        note: Some(within(&news.message, NOTE_LIMIT)),
        action: Some("Reconcile".to_owned()),
        event_time: Some(MicroTime(now)),
        regarding: Some(news.regarding.clone()),
        reporting_controller: Some(REPORTER.to_owned()),
        reporting_instance: Some(within(instance, 128)),
        ..Event::default()
    }
}

/// At most `limit` bytes, cut between characters.
fn within(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit.saturating_sub('…'.len_utf8()));
    format!("{}…", &text[..end])
}

fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(message: &str) -> News {
        News {
            regarding: ObjectReference {
                kind: Some("Account".into()),
                name: Some("dev".into()),
                uid: Some("1".into()),
                ..ObjectReference::default()
            },
            kind: EventType::Warning,
            reason: "RolledBack".into(),
            message: message.into(),
        }
    }

    #[test]
    fn another_message_is_another_event() {
        assert!(Key::of(&news("release 4")) != Key::of(&news("release 5")));
        assert!(Key::of(&news("release 5")) == Key::of(&news("release 5")));
    }

    #[test]
    fn a_note_fits_kubernetes_limit_in_bytes() {
        let event = event(
            &news(&"ä".repeat(1000)),
            "pod",
            "shop",
            Timestamp::UNIX_EPOCH,
        );
        let note = event.note.unwrap_or_default();
        assert!(note.len() <= 1024, "{}", note.len());
        assert!(note.ends_with('…'));
    }

    #[test]
    fn news_is_dropped_rather_than_waited_for() {
        let metrics = Arc::new(Metrics::new());
        let (events, mut receiver) = Events::channel(Arc::clone(&metrics));
        for _ in 0..=QUEUE {
            events.publish(ObjectReference::default(), EventType::Normal, "A", "a");
        }
        assert!(receiver.try_recv().is_ok());
        let text = metrics.encode().unwrap();
        assert!(text.contains(r#"sluice_events_total{outcome="dropped"} 1"#));
    }
}
