//! Events: what people see under `kubectl describe`.
//!
//! Best effort and never in the way: publishing returns at once, a few are written at a time, those about one
//! object one after the other, and what cannot be written (a namespace that is being deleted takes no new
//! objects) is let go.
//!
//! kube's own recorder takes two Events of one reason for the same, whatever they say; here the
//! message counts too, because "rolled back release 5" does not repeat "rolled back release 4".

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
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
};
use tokio::sync::mpsc;
use tracing::debug;

use crate::{domain::reason::Reason, metrics::Metrics};

/// So many are written at a time.
const WRITERS: usize = 4;
/// More than this waiting for one writer means that the API server is in trouble: Events can go. A few
/// thousand Deployments that are delivered at once do not fill it.
const QUEUE: usize = 2048;
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
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// When it happened.
    pub at: Timestamp,
}

/// Where news goes. Clones share the way.
#[derive(Clone, Debug)]
pub struct Events {
    /// One for each writer.
    queues: Arc<[mpsc::Sender<News>]>,
    metrics: Arc<Metrics>,
}

/// The far end of the way for news.
#[derive(Debug)]
pub struct Inbox(Vec<mpsc::Receiver<News>>);

impl Events {
    /// A way for news and its far end; [`write()`] is what listens there.
    pub fn channel(metrics: Arc<Metrics>) -> (Self, Inbox) {
        let (queues, inbox): (Vec<_>, Vec<_>) = (0..WRITERS).map(|_| mpsc::channel(QUEUE)).unzip();
        let queues = queues.into();
        (Self { queues, metrics }, Inbox(inbox))
    }

    /// Publishes that something went as it should. Returns at once.
    pub fn normal<K>(&self, object: &K, reason: Reason, message: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        self.publish(object.object_ref(&()), EventType::Normal, reason, message);
    }

    /// Publishes that somebody should have a look. Returns at once.
    pub fn warning<K>(&self, object: &K, reason: Reason, message: &str)
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
        reason: Reason,
        message: &str,
    ) {
        let news = News {
            regarding,
            kind,
            reason,
            message: message.to_owned(),
            at: Timestamp::now(),
        };
        // Always the same for an object: its Events are written in the order in which they happened.
        let mut hasher = DefaultHasher::new();
        hash_object(&news.regarding, &mut hasher);
        let writer = hasher.finish() % (WRITERS as u64);
        let queue = usize::try_from(writer)
            .ok()
            .and_then(|it| self.queues.get(it));
        if queue.is_none_or(|queue| queue.try_send(news).is_err()) {
            self.metrics.event("dropped");
        }
    }
}

/// Writes news as Events until nobody can publish any more. `instance` is the pod.
pub async fn write(client: Client, instance: String, metrics: Arc<Metrics>, inbox: Inbox) {
    let writer = Writer {
        client,
        instance,
        known: Mutex::default(),
    };
    let writing = inbox.0.into_iter().map(|mut news| {
        let (writer, metrics) = (&writer, &metrics);
        async move {
            while let Some(news) = news.recv().await {
                match writer.write(&news).await {
                    Ok(outcome) => metrics.event(outcome),
                    Err(error) => {
                        metrics.event("failed");
                        debug!(%error, reason = news.reason.as_str(), "an Event was not written");
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

/// What was written lately, by [`mark`].
struct Known {
    written: HashMap<u64, Written>,
    tidied: Instant,
}

struct Written {
    name: String,
    count: i32,
    last: Instant,
    noted: Instant,
}

/// What is to be written about a piece of news.
enum Writing {
    /// An Event of this name.
    First(String),
    /// That the Event of this name came so often by now.
    Again(String, i32),
    /// Nothing yet.
    Nothing,
}

impl Writer {
    async fn write(&self, news: &News) -> Result<&'static str, kube::Error> {
        let namespace = news.regarding.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let mark = mark(news);
        let writing = self.known().note(mark, news, Instant::now());
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
                    // Events expire: then this is the first one again.
                    Err(error) if is_not_found(&error) => self.known().anew(mark, news),
                    Err(error) => return Err(error),
                }
            }
        };
        let event = event(news, name, &self.instance, namespace);
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
            tidied: Instant::now(),
        }
    }
}

impl Known {
    /// Counts it. What is being written at this moment counts as written: the same news that comes meanwhile
    /// is a repetition.
    fn note(&mut self, mark: u64, news: &News, now: Instant) -> Writing {
        if now.duration_since(self.tidied) > WRITE_REPETITION_AFTER {
            self.tidied = now;
            self.written
                .retain(|_, written| now.duration_since(written.last) < REPEATS_WITHIN);
        }
        let Some(written) = self
            .written
            .get_mut(&mark)
            .filter(|written| now.duration_since(written.last) < REPEATS_WITHIN)
        else {
            return Writing::First(self.anew(mark, news));
        };
        written.count += 1;
        written.last = now;
        if now.duration_since(written.noted) < WRITE_REPETITION_AFTER {
            return Writing::Nothing;
        }
        written.noted = now;
        Writing::Again(written.name.clone(), written.count)
    }

    /// Counts it as the first of its kind; the name of its Event.
    fn anew(&mut self, mark: u64, news: &News) -> String {
        let object = news.regarding.name.as_deref().unwrap_or("unnamed");
        // The moment makes the name unique, as the API server's own clients do it.
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

/// Tells one piece of news from all others.
fn mark(news: &News) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_object(&news.regarding, &mut hasher);
    (news.kind, news.reason, &news.message).hash(&mut hasher);
    hasher.finish()
}

/// Tells one object from all others.
fn hash_object(about: &ObjectReference, hasher: &mut DefaultHasher) {
    match &about.uid {
        Some(uid) => uid.hash(hasher),
        None => (&about.kind, &about.namespace, &about.name).hash(hasher),
    }
}

fn event(news: &News, name: String, instance: &str, namespace: &str) -> Event {
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some(news.kind.as_str().to_owned()),
        reason: Some(news.reason.to_string()),
        note: Some(within(&news.message, NOTE_LIMIT)),
        action: Some("Reconcile".to_owned()),
        event_time: Some(MicroTime(news.at)),
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
            reason: Reason::RolledBack,
            message: message.into(),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn another_message_is_another_event() {
        assert_ne!(mark(&news("release 4")), mark(&news("release 5")));
        assert_eq!(mark(&news("release 5")), mark(&news("release 5")));
    }

    #[test]
    fn what_repeats_is_counted_and_written_once_a_minute() {
        let (mut known, begin) = (Known::default(), Instant::now());
        let news = news("release 4");
        let mut at = |seconds| {
            let now = begin + Duration::from_secs(seconds);
            match known.note(1, &news, now) {
                Writing::First(_) => "first".to_owned(),
                Writing::Again(_, count) => format!("{count} times"),
                Writing::Nothing => "nothing".to_owned(),
            }
        };
        let told = [0, 1, 30, 61, 62, 130, 491].map(&mut at);
        let expected = [
            "first", "nothing", "nothing", "4 times", "nothing", "6 times", "first",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_old_is_not_remembered() {
        let (mut known, begin) = (Known::default(), Instant::now());
        for mark in 0..1_000 {
            known.note(mark, &news("release 4"), begin);
        }
        known.note(
            1_000,
            &news("release 5"),
            begin + REPEATS_WITHIN + REPEATS_WITHIN,
        );
        assert_eq!(known.written.len(), 1);
    }

    #[test]
    fn a_note_fits_kubernetes_limit_in_bytes() {
        let event = event(&news(&"ä".repeat(1000)), "dev.1".into(), "pod", "shop");
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
    fn news_about_an_object_stays_in_order_and_that_about_many_is_shared_out() {
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
        for mut news in inbox {
            let mut told: HashMap<String, Vec<String>> = HashMap::new();
            while let Ok(news) = news.try_recv() {
                let uid = news.regarding.uid.unwrap_or_default();
                told.entry(uid).or_default().push(news.message);
            }
            let in_order: Vec<String> = (0..50).map(|message| message.to_string()).collect();
            assert!((1..50).contains(&told.len()), "{}", told.len());
            assert!(told.values().all(|messages| *messages == in_order));
        }
    }

    #[test]
    fn news_is_dropped_rather_than_waited_for() {
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
