//! One shared watch per kind: a cache for all readers, and a stream of changes for any listener.
//!
//! The watch runs from the start of the process, leader or not, so that a standby takes over with
//! its caches filled. Listeners come later, when controllers start: each first receives everything
//! that is cached. The watch never waits for a listener.
//!
//! Listeners receive deleted objects as well, because dependent objects have to react.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher as _},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{Stream, StreamExt as _, stream};
use kube::{
    Resource, ResourceExt as _,
    core::object::HasStatus,
    runtime::{
        Controller,
        reflector::{ObjectRef, Store, store::Writer},
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::warn;

use super::{
    cache::{self, Cache, Index},
    guard::{Guarded, Malformed},
    watched::Watched,
};

/// What happened to an object.
#[derive(Clone, Debug)]
enum Change<K> {
    Applied(Arc<K>),
    Deleted(Arc<K>),
}

/// The shared watch of a kind. Clones share it.
pub struct Feed<K: Watched> {
    cache: Cache<K>,
    listeners: Arc<Mutex<Vec<UnboundedSender<Change<K>>>>>,
}

impl<K: Watched> Clone for Feed<K> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            listeners: Arc::clone(&self.listeners),
        }
    }
}

/// The end of a [`Feed`] that the watch fills.
pub struct Source<K: Watched> {
    feed: Feed<K>,
    writer: Writer<K>,
    /// Whether a list has been completed before.
    listed: bool,
}

/// A feed and its source. Objects are indexed by their Deployment.
pub fn feed<K: Watched>() -> (Feed<K>, Source<K>) {
    feed_by(cache::by_deployment)
}

/// As [`feed()`], with another index.
pub fn feed_by<K: Watched>(index: Index<K>) -> (Feed<K>, Source<K>) {
    let writer = Writer::new(());
    let feed = Feed {
        cache: Cache::new(writer.as_reader(), index),
        listeners: Arc::default(),
    };
    let source = Source {
        feed: feed.clone(),
        writer,
        listed: false,
    };
    (feed, source)
}

impl<K: Watched> Feed<K> {
    /// The cache.
    pub fn cache(&self) -> Cache<K> {
        self.cache.clone()
    }

    /// The objects that the watch delivered.
    pub fn store(&self) -> Store<K> {
        self.cache.store().clone()
    }

    /// Everything cached, then every object that changes in any way or is deleted: for controllers
    /// of other kinds that depend on this one.
    pub fn touched(&self) -> impl Stream<Item = Arc<K>> + Send + 'static {
        self.listen().map(|change| match change {
            Change::Applied(object) | Change::Deleted(object) => object,
        })
    }

    /// As [`Feed::touched`], without changes that only a controller makes (status): for dependents of the
    /// spec, the labels, the annotations or the deletion of an object.
    pub fn changed(&self) -> impl Stream<Item = Arc<K>> + Send + 'static {
        self.marked(mark)
    }

    /// As [`Feed::touched`], without changes that leave this part of the status as it was: for the controller
    /// that writes the rest of the status.
    pub fn reported<P>(
        &self,
        part: fn(&K::Status) -> P,
    ) -> impl Stream<Item = Arc<K>> + Send + 'static
    where
        K: HasStatus,
        P: Hash + 'static,
    {
        self.marked(move |object| {
            let mut hasher = identity(object);
            object.status().map(part).hash(&mut hasher);
            hasher.finish()
        })
    }

    /// Everything cached, then every object whose mark changes or that is deleted.
    fn marked(
        &self,
        mark: impl Fn(&K) -> u64 + Send + 'static,
    ) -> impl Stream<Item = Arc<K>> + Send + 'static {
        // Keyed by a hash of the name, because every listener has an entry for every object. Objects with the
        // same hash are reported more often than needed: a mark is of one object.
        let mut known: HashMap<u64, u64> = HashMap::new();
        self.listen().filter_map(move |change| {
            let object = match change {
                Change::Applied(object) => {
                    let mark = mark(&object);
                    let before = known.insert(name_hash(&*object), mark);
                    (before != Some(mark)).then_some(object)
                }
                Change::Deleted(object) => {
                    known.remove(&name_hash(&*object));
                    Some(object)
                }
            };
            futures::future::ready(object)
        })
    }

    /// A controller of this kind, woken by [`Feed::changed`].
    pub fn controller(&self) -> Controller<K>
    where
        K: DeserializeOwned,
    {
        Controller::for_shared_stream(self.changed(), self.store())
    }

    fn listen(&self) -> impl Stream<Item = Change<K>> + Send + 'static {
        let (sender, receiver) = unbounded_channel();
        // Under the lock, so that no change is lost between the snapshot and the stream.
        let mut listeners = self.listeners();
        for object in self.cache.state() {
            // The receiver still exists.
            let _ = sender.send(Change::Applied(object));
        }
        listeners.push(sender);
        stream::unfold(receiver, |mut receiver: UnboundedReceiver<_>| async move {
            receiver.recv().await.map(|change| (change, receiver))
        })
    }

    fn notify(&self, change: &Change<K>) {
        self.listeners()
            .retain(|listener| listener.send(change.clone()).is_ok());
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<UnboundedSender<Change<K>>>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Watched> Source<K> {
    /// Fills the feed from a watch until that ends. `watch` backs off by itself.
    pub async fn fill(mut self, watch: impl Stream<Item = watcher::Result<Event<K>>>) {
        let mut watch = pin!(watch);
        while let Some(event) = watch.next().await {
            match event {
                Ok(event) => self.take(&event),
                Err(error) => {
                    let kind = K::kind(&());
                    warn!(%kind, %error, "the watch failed; the cache may be outdated until it recovers");
                }
            }
        }
    }

    /// As [`Source::fill`], but hands unreadable objects to `isolate`. The cache drops an earlier state of
    /// such an object, because it is outdated.
    pub async fn fill_guarded(
        self,
        watch: impl Stream<Item = watcher::Result<Event<Guarded<K>>>>,
        isolate: impl Fn(Malformed),
    ) {
        let store = self.feed.store();
        let cached = move |malformed: &Malformed| {
            let mut reference = ObjectRef::new(malformed.metadata.name.as_deref().unwrap_or(""));
            reference
                .namespace
                .clone_from(&malformed.metadata.namespace);
            store.get(&reference)
        };
        let readable = watch.filter_map(|event| {
            let event = match event {
                Err(error) => Some(Err(error)),
                Ok(Event::Init) => Some(Ok(Event::Init)),
                Ok(Event::InitDone) => Some(Ok(Event::InitDone)),
                Ok(Event::InitApply(Guarded(Ok(object)))) => Some(Ok(Event::InitApply(object))),
                Ok(Event::Apply(Guarded(Ok(object)))) => Some(Ok(Event::Apply(object))),
                Ok(Event::Delete(Guarded(Ok(object)))) => Some(Ok(Event::Delete(object))),
                Ok(Event::InitApply(Guarded(Err(malformed)))) => {
                    isolate(*malformed);
                    None
                }
                Ok(Event::Apply(Guarded(Err(malformed)))) => {
                    let before = cached(&malformed);
                    isolate(*malformed);
                    before.map(|before| Ok(Event::Delete(K::clone(&before))))
                }
                Ok(Event::Delete(Guarded(Err(malformed)))) => {
                    cached(&malformed).map(|before| Ok(Event::Delete(K::clone(&before))))
                }
            };
            futures::future::ready(event)
        });
        self.fill(readable).await;
    }

    fn take(&mut self, event: &Event<K>) {
        match event {
            Event::Init | Event::InitApply(_) => self.writer.apply_watcher_event(event),
            Event::InitDone => {
                let before = if self.listed {
                    self.feed.cache.state()
                } else {
                    Vec::new()
                };
                self.listed = true;
                self.writer.apply_watcher_event(event);
                self.feed.cache.filled();
                for object in self.feed.cache.state() {
                    self.feed.notify(&Change::Applied(object));
                }
                for object in before {
                    let reference = ObjectRef::from_obj(&*object);
                    if self.feed.cache.store().get(&reference).is_none() {
                        self.feed.notify(&Change::Deleted(object));
                    }
                }
            }
            Event::Apply(object) => {
                if let Some(object) = self.replace(event, object) {
                    self.feed.notify(&Change::Applied(object));
                }
            }
            Event::Delete(object) => {
                self.replace(event, object);
                self.feed.notify(&Change::Deleted(Arc::new(object.clone())));
            }
        }
    }

    /// Applies a change of one object to the cache. Returns what is cached now.
    fn replace(&mut self, event: &Event<K>, object: &K) -> Option<Arc<K>> {
        let reference = ObjectRef::from_obj(object);
        let store = self.feed.store();
        let before = store.get(&reference);
        self.writer.apply_watcher_event(event);
        let after = store.get(&reference);
        self.feed.cache.replaced(before.as_ref(), after.as_ref());
        after
    }
}

/// Hashes the parts of an object that wake its own controller: everything except status, managedFields, and
/// finalizers, which only controllers write.
fn mark<K: Resource>(object: &K) -> u64 {
    let mut hasher = identity(object);
    object.meta().generation.hash(&mut hasher);
    object.labels().hash(&mut hasher);
    object.annotations().hash(&mut hasher);
    hasher.finish()
}

fn name_hash<K: Resource>(object: &K) -> u64 {
    let mut hasher = DefaultHasher::new();
    let meta = object.meta();
    (&meta.namespace, &meta.name).hash(&mut hasher);
    hasher.finish()
}

/// Hashes an object's identity, its owners, and whether it is being deleted.
fn identity<K: Resource>(object: &K) -> DefaultHasher {
    let meta = object.meta();
    let mut hasher = DefaultHasher::new();
    meta.uid.hash(&mut hasher);
    meta.deletion_timestamp.is_some().hash(&mut hasher);
    for owner in meta.owner_references.iter().flatten() {
        owner.uid.hash(&mut hasher);
    }
    hasher
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use kube::api::ObjectMeta;
    use serde_json::json;

    use super::*;
    use crate::api::v1alpha1::{Account, AccountStatus};

    fn account(name: &str, generation: i64) -> Account {
        serde_json::from_value(json!({
            "metadata": {"name": name, "uid": name, "generation": generation},
            "spec": {"accountId": "111111111111", "regions": [], "credentials": {}},
        }))
        .unwrap()
    }

    async fn fill(source: Source<Account>, events: Vec<Event<Account>>) {
        source.fill(stream::iter(events.into_iter().map(Ok))).await;
    }

    /// What a listener has received so far, as name and generation.
    fn received(listener: &mut (impl Stream<Item = Arc<Account>> + Unpin)) -> Vec<(String, i64)> {
        let mut received = Vec::new();
        while let Some(Some(account)) = listener.next().now_or_never() {
            received.push((
                account.name_any(),
                account.metadata.generation.unwrap_or_default(),
            ));
        }
        received.sort();
        received
    }

    #[tokio::test]
    async fn late_listener_receives_cached_objects() {
        let (feed, source) = feed();
        fill(
            source,
            vec![
                Event::Init,
                Event::InitApply(account("a", 1)),
                Event::InitDone,
            ],
        )
        .await;
        let mut listener = Box::pin(feed.touched());
        assert_eq!(received(&mut listener), [("a".to_owned(), 1)]);
    }

    #[tokio::test]
    async fn status_change_counts_as_touched_but_not_as_changed() {
        let (feed, source) = feed();
        let mut touched = Box::pin(feed.touched());
        let mut changed = Box::pin(feed.changed());
        let mut with_status = account("a", 1);
        with_status.status = Some(AccountStatus::default());
        fill(
            source,
            vec![
                Event::Apply(account("a", 1)),
                Event::Apply(with_status),
                Event::Apply(account("a", 2)),
            ],
        )
        .await;
        let a = |generation| ("a".to_owned(), generation);
        assert_eq!(received(&mut touched), [a(1), a(1), a(2)]);
        assert_eq!(received(&mut changed), [a(1), a(2)]);
    }

    #[tokio::test]
    async fn report_listener_receives_status_changes_only() {
        let (feed, source) = feed();
        let mut reported =
            Box::pin(feed.reported(|status: &AccountStatus| status.caller_arn.clone()));
        let with = |generation, arn: &str| {
            let mut account = account("a", generation);
            account.status = Some(AccountStatus {
                caller_arn: Some(arn.to_owned()),
                ..Default::default()
            });
            account
        };
        fill(
            source,
            vec![
                Event::Apply(with(1, "one")),
                Event::Apply(with(2, "one")),
                Event::Apply(with(3, "two")),
                Event::Delete(with(4, "two")),
            ],
        )
        .await;
        let a = |generation| ("a".to_owned(), generation);
        assert_eq!(received(&mut reported), [a(1), a(3), a(4)]);
    }

    #[tokio::test]
    async fn object_missing_from_a_new_list_is_reported_as_deleted() {
        let (feed, source) = feed();
        let mut listener = Box::pin(feed.touched());
        fill(
            source,
            vec![
                Event::Init,
                Event::InitApply(account("a", 1)),
                Event::InitApply(account("b", 1)),
                Event::InitDone,
                Event::Init,
                Event::InitApply(account("a", 2)),
                Event::InitDone,
            ],
        )
        .await;
        let expected = [("a", 1), ("a", 2), ("b", 1), ("b", 1)];
        assert_eq!(
            received(&mut listener),
            expected.map(|(name, generation)| (name.to_owned(), generation))
        );
        assert_eq!(feed.store().len(), 1);
    }

    #[tokio::test]
    async fn unreadable_object_is_evicted_and_others_stay_cached() {
        let (feed, source) = feed::<Account>();
        let isolated = Mutex::new(Vec::new());
        let unreadable = |name: &str| {
            let metadata = ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            };
            Guarded(Err(Box::new(Malformed {
                metadata,
                conditions: Vec::new(),
                field: "spec".into(),
                problem: "is odd".into(),
            })))
        };
        let events = [
            Event::Init,
            Event::InitApply(Guarded(Ok(account("a", 1)))),
            Event::InitApply(unreadable("b")),
            Event::InitApply(Guarded(Ok(account("c", 1)))),
            Event::InitDone,
            Event::Apply(unreadable("a")),
        ];
        let events: Vec<_> = events.into_iter().map(Ok).collect();
        source
            .fill_guarded(stream::iter(events), |malformed| {
                isolated
                    .lock()
                    .unwrap()
                    .push(malformed.metadata.name.unwrap_or_default());
            })
            .await;
        let cached: Vec<String> = feed
            .store()
            .state()
            .iter()
            .map(|one| one.name_any())
            .collect();
        assert_eq!(cached, ["c"]);
        assert_eq!(*isolated.lock().unwrap(), ["b", "a"]);
    }
}
