//! Kubernetes Events, as `kubectl describe` shows them.
//!
//! Events are best effort: publishing returns at once. A few writers work concurrently and keep the order of
//! each object's Events. An Event that can't be written is dropped, such as in a namespace that is being
//! deleted.
//!
//! kube's own recorder merges Events of one reason whatever their messages. Here the message counts too,
//! because "rolled back release 5" does not repeat "rolled back release 4".

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use tokio::sync::mpsc;
use tracing::debug;

use crate::{domain::reason::Reason, metrics::Metrics};

/// How many Events are written at a time.
const WRITERS: usize = 4;
/// A longer queue of one writer means that the API server is in trouble: further Events are dropped. A few
/// thousand concurrent deliveries do not fill it.
const QUEUE: usize = 2048;
/// The same Event within this time is a repetition of the first.
const REPEATS_WITHIN: Duration = Duration::from_mins(6);
/// A repetition is written at most this often.
const WRITE_REPETITION_AFTER: Duration = Duration::from_mins(1);
/// Kubernetes' limit on an Event's note, in bytes.
const NOTE_LIMIT: usize = 1024;
const REPORTER: &str = "sluice.dev/controller";

/// The type of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Information only.
    Normal,
    /// Needs attention.
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

/// An Event to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The object, with its uid.
    pub regarding: ObjectReference,
    /// The type.
    pub kind: EventType,
    /// The reason, for programs.
    pub reason: Reason,
    /// The message, for people.
    pub message: String,
    /// When it happened.
    pub at: Timestamp,
}

/// Publishes Events. Clones share the queues.
#[derive(Clone, Debug)]
pub struct Events {
    /// One queue for each writer.
    queues: Arc<[mpsc::Sender<Notice>]>,
    metrics: Arc<Metrics>,
}

/// The receiving end of [`Events`].
#[derive(Debug)]
pub struct Inbox(Vec<mpsc::Receiver<Notice>>);

impl Events {
    /// A publisher and its inbox, which [`write()`] reads.
    pub fn channel(metrics: Arc<Metrics>) -> (Self, Inbox) {
        let (queues, inbox): (Vec<_>, Vec<_>) = (0..WRITERS).map(|_| mpsc::channel(QUEUE)).unzip();
        let queues = queues.into();
        (Self { queues, metrics }, Inbox(inbox))
    }

    /// Publishes an Event about an object that is known by reference. Returns at once.
    pub fn publish(
        &self,
        regarding: ObjectReference,
        kind: EventType,
        reason: Reason,
        message: &str,
    ) {
        let notice = Notice {
            regarding,
            kind,
            reason,
            message: message.to_owned(),
            at: Timestamp::now(),
        };
        // An object always has the same writer, so its Events are written in order.
        let mut hasher = DefaultHasher::new();
        hash_object(&notice.regarding, &mut hasher);
        let writer = hasher.finish() % (WRITERS as u64);
        let queue = usize::try_from(writer)
            .ok()
            .and_then(|it| self.queues.get(it));
        if queue.is_none_or(|queue| queue.try_send(notice).is_err()) {
            self.metrics.event("dropped");
        }
    }
}

/// Writes Events until the last publisher is dropped. `instance` is the pod.
pub async fn write(client: Client, instance: String, metrics: Arc<Metrics>, inbox: Inbox) {
    let writer = Writer {
        client,
        instance,
        known: Mutex::default(),
    };
    let writing = inbox.0.into_iter().map(|mut notice| {
        let (writer, metrics) = (&writer, &metrics);
        async move {
            while let Some(notice) = notice.recv().await {
                match writer.write(&notice).await {
                    Ok(outcome) => metrics.event(outcome),
                    Err(error) => {
                        metrics.event("failed");
                        debug!(%error, reason = notice.reason.as_str(), "an Event was not written");
                    }
                }
            }
        }
    });
    join_all(writing).await;
}

struct Writer {
    client: Client,
    instance: String,
    known: Mutex<Known>,
}

/// Recently written Events, by [`mark`].
struct Known {
    written: HashMap<u64, Written>,
    evicted: Instant,
}

struct Written {
    name: String,
    count: i32,
    last: Instant,
    noted: Instant,
}

/// What to write for an Event.
enum Writing {
    /// A new Event of this name.
    First(String),
    /// The new count of the Event of this name.
    Again(String, i32),
    /// Nothing yet.
    Nothing,
}

impl Writer {
    async fn write(&self, notice: &Notice) -> Result<&'static str, kube::Error> {
        let namespace = notice.regarding.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let mark = mark(notice);
        let writing = self.known().note(mark, notice, Instant::now());
        let name = match writing {
            Writing::Nothing => return Ok("repeated"),
            Writing::First(name) => name,
            Writing::Again(name, count) => {
                let series = serde_json::json!({"series": EventSeries {
                    count,
                    last_observed_time: MicroTime(Timestamp::now()),
                }});
                let params = PatchParams::default();
                match api.patch(&name, &params, &Patch::Merge(&series)).await {
                    Ok(_) => return Ok("repeated"),
                    // Events expire: then this one is a first one again.
                    Err(error) if is_not_found(&error) => self.known().first(mark, notice),
                    Err(error) => return Err(error),
                }
            }
        };
        let event = event(notice, name, &self.instance, namespace);
        let created = api.create(&PostParams::default(), &event).await;
        if created.is_err() {
            self.known().written.remove(&mark);
        }
        created.map(|_| "published")
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Known {
    fn default() -> Self {
        Self {
            written: HashMap::new(),
            evicted: Instant::now(),
        }
    }
}

impl Known {
    /// Counts an Event. An Event that is being written counts as written, so the same one is a repetition.
    fn note(&mut self, mark: u64, notice: &Notice, now: Instant) -> Writing {
        if now.duration_since(self.evicted) > WRITE_REPETITION_AFTER {
            self.evicted = now;
            self.written
                .retain(|_, written| now.duration_since(written.last) < REPEATS_WITHIN);
        }
        let Some(written) = self
            .written
            .get_mut(&mark)
            .filter(|written| now.duration_since(written.last) < REPEATS_WITHIN)
        else {
            return Writing::First(self.first(mark, notice));
        };
        written.count += 1;
        written.last = now;
        if now.duration_since(written.noted) < WRITE_REPETITION_AFTER {
            return Writing::Nothing;
        }
        written.noted = now;
        Writing::Again(written.name.clone(), written.count)
    }

    /// Records a first Event and returns its name.
    fn first(&mut self, mark: u64, notice: &Notice) -> String {
        let object = notice.regarding.name.as_deref().unwrap_or("unnamed");
        // The timestamp makes the name unique, as in client-go.
        let name = format!("{object}.{:x}", Timestamp::now().as_nanosecond());
        let now = Instant::now();
        let written = Written {
            name: name.clone(),
            count: 1,
            last: now,
            noted: now,
        };
        self.written.insert(mark, written);
        name
    }
}

/// Identifies an Event by its object, type, reason and message.
fn mark(notice: &Notice) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_object(&notice.regarding, &mut hasher);
    (notice.kind, notice.reason, &notice.message).hash(&mut hasher);
    hasher.finish()
}

/// Identifies an object.
fn hash_object(about: &ObjectReference, hasher: &mut DefaultHasher) {
    match &about.uid {
        Some(uid) => uid.hash(hasher),
        None => (&about.kind, &about.namespace, &about.name).hash(hasher),
    }
}

fn event(notice: &Notice, name: String, instance: &str, namespace: &str) -> Event {
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some(notice.kind.as_str().to_owned()),
        reason: Some(notice.reason.to_string()),
        note: Some(within(&notice.message, NOTE_LIMIT)),
        action: Some("Reconcile".to_owned()),
        event_time: Some(MicroTime(notice.at)),
        regarding: Some(notice.regarding.clone()),
        reporting_controller: Some(REPORTER.to_owned()),
        reporting_instance: Some(within(instance, 128)),
        ..Event::default()
    }
}

/// Truncates to at most `limit` bytes, between characters.
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

    fn notice(message: &str) -> Notice {
        Notice {
            regarding: ObjectReference {
                kind: Some("Account".into()),
                name: Some("dev".into()),
                uid: Some("1".into()),
                ..ObjectReference::default()
            },
            kind: EventType::Warning,
            reason: Reason::RolledBack,
            message: message.into(),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn different_message_is_a_different_event() {
        assert_ne!(mark(&notice("release 4")), mark(&notice("release 5")));
        assert_eq!(mark(&notice("release 5")), mark(&notice("release 5")));
    }

    #[test]
    fn repeated_event_is_counted_and_written_once_a_minute() {
        let (mut known, begin) = (Known::default(), Instant::now());
        let notice = notice("release 4");
        let mut at = |seconds| {
            let now = begin + Duration::from_secs(seconds);
            match known.note(1, &notice, now) {
                Writing::First(_) => "first".to_owned(),
                Writing::Again(_, count) => format!("{count} times"),
                Writing::Nothing => "nothing".to_owned(),
            }
        };
        let written = [0, 1, 30, 61, 62, 130, 491].map(&mut at);
        let expected = [
            "first", "nothing", "nothing", "4 times", "nothing", "6 times", "first",
        ];
        assert_eq!(written, expected);
    }

    #[test]
    fn old_events_are_forgotten() {
        let (mut known, begin) = (Known::default(), Instant::now());
        for mark in 0..1_000 {
            known.note(mark, &notice("release 4"), begin);
        }
        known.note(
            1_000,
            &notice("release 5"),
            begin + REPEATS_WITHIN + REPEATS_WITHIN,
        );
        assert_eq!(known.written.len(), 1);
    }

    #[test]
    fn event_note_fits_the_kubernetes_limit_in_bytes() {
        let event = event(&notice(&"ä".repeat(1000)), "dev.1".into(), "pod", "shop");
        let note = event.note.unwrap_or_default();
        assert!(note.len() <= 1024, "{}", note.len());
        assert!(note.ends_with('…'));
    }

    fn about(uid: &str) -> ObjectReference {
        ObjectReference {
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        }
    }

    #[test]
    fn events_of_one_object_stay_in_order_and_objects_share_the_writers() {
        let (events, Inbox(inbox)) = Events::channel(Arc::new(Metrics::new()));
        for message in 0..50 {
            for object in 0..50 {
                let about = about(&format!("uid-{object}"));
                events.publish(
                    about,
                    EventType::Normal,
                    Reason::Delivered,
                    &message.to_string(),
                );
            }
        }
        for mut notice in inbox {
            let mut written: HashMap<String, Vec<String>> = HashMap::new();
            while let Ok(notice) = notice.try_recv() {
                let uid = notice.regarding.uid.unwrap_or_default();
                written.entry(uid).or_default().push(notice.message);
            }
            let in_order: Vec<String> = (0..50).map(|message| message.to_string()).collect();
            assert!((1..50).contains(&written.len()), "{}", written.len());
            assert!(written.values().all(|messages| *messages == in_order));
        }
    }

    #[test]
    fn events_are_dropped_once_the_queue_is_full() {
        let metrics = Arc::new(Metrics::new());
        let (events, inbox) = Events::channel(Arc::clone(&metrics));
        for _ in 0..=QUEUE {
            events.publish(about("uid"), EventType::Normal, Reason::Delivered, "a");
        }
        let text = metrics.encode().unwrap();
        assert!(text.contains(r#"sluice_events_total{outcome="dropped"} 1"#));
        let waiting: usize = inbox.0.iter().map(mpsc::Receiver::len).sum();
        assert_eq!(waiting, QUEUE);
    }
}
