//! The cache of one kind: what its watch delivered, and what this process has written since.
//!
//! A watch lags behind writes. A decision from the older state would repeat a write, create an object twice,
//! or be refused as stale, so controllers get the newer state of the two. A copy of a written object is kept
//! only until the watch has delivered it.
//!
//! Objects are indexed by the Deployment that they belong to; Approvals by their Release.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use kube::{
    ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};

use super::watched::Watched;
use crate::api::v1alpha1::{Approval, label};

/// After this time the watch is right even if it disagrees: the written object was deleted or replaced while
/// the watch was broken.
const TRUSTED: Duration = Duration::from_secs(30);

/// The cache of a kind. Clones share it.
pub struct Cache<K: Watched> {
    store: Store<K>,
    index: Index<K>,
    members: Arc<RwLock<Members<K>>>,
    written: Arc<Mutex<Written<K>>>,
}

/// Namespace and name of the object that others belong to.
pub type Owner = (String, String);

/// Returns what an object belongs to: rarely more than one.
pub type Index<K> = fn(&K) -> Vec<Owner>;

/// Objects by owner.
type Members<K> = HashMap<Owner, Vec<Arc<K>>>;

/// Written objects that are not in the store yet.
struct Written<K> {
    objects: HashMap<String, (Instant, Arc<K>)>,
    index: Index<K>,
    members: HashMap<Owner, Vec<String>>,
    evicted: Instant,
}

impl<K: Watched> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            index: self.index,
            members: Arc::clone(&self.members),
            written: Arc::clone(&self.written),
        }
    }
}

impl<K: Watched> Cache<K> {
    /// A cache on top of a store that a watch fills.
    pub fn new(store: Store<K>, index: Index<K>) -> Self {
        let written = Written {
            index,
            objects: HashMap::new(),
            members: HashMap::new(),
            evicted: Instant::now(),
        };
        Self {
            store,
            index,
            members: Arc::default(),
            written: Arc::new(Mutex::new(written)),
        }
    }

    /// The objects that the watch delivered.
    pub fn store(&self) -> &Store<K> {
        &self.store
    }

    /// The object, if it exists.
    pub fn get(&self, reference: &ObjectRef<K>) -> Option<Arc<K>> {
        let stored = self.store.get(reference)?;
        let written = self.written().find(&stored.uid().unwrap_or_default());
        Some(newer(stored, written))
    }

    /// Every object, as the watch delivered it.
    pub fn state(&self) -> Vec<Arc<K>> {
        self.store.state()
    }

    /// The newest known state of the object.
    pub fn newest(&self, known: &Arc<K>) -> Arc<K> {
        let stored = self
            .store
            .get(&ObjectRef::from_obj(&**known))
            .filter(|stored| stored.uid() == known.uid());
        let written = self.written().find(&known.uid().unwrap_or_default());
        newer(newer(Arc::clone(known), stored), written)
    }

    /// The objects that belong to the owner of this name, each in its newest state.
    pub fn belonging_to(&self, namespace: Option<&str>, name: &str) -> Vec<Arc<K>> {
        let owner = (namespace.unwrap_or_default().to_owned(), name.to_owned());
        let mut objects = self.members().get(&owner).cloned().unwrap_or_default();
        let written = self.written();
        for object in written.members_of(&owner) {
            let before = objects.iter_mut().find(|one| one.uid() == object.uid());
            match before {
                Some(before) if version(&**before) >= version(&*object) => {}
                Some(before) => *before = object,
                None => objects.push(object),
            }
        }
        objects
    }

    /// Remembers an object as the API server returned it.
    pub fn note(&self, object: K) {
        let stored = self.store.get(&ObjectRef::from_obj(&object));
        let is_known = stored.is_some_and(|stored| {
            stored.uid() == object.uid() && version(&*stored) >= version(&object)
        });
        if !is_known {
            self.written().add(Arc::new(object));
        }
    }

    /// Forgets a deleted object.
    pub fn forget(&self, object: &K) {
        self.written().remove(&object.uid().unwrap_or_default());
    }

    /// The watch replaced `before` with `after`.
    pub(super) fn replaced(&self, before: Option<&Arc<K>>, after: Option<&Arc<K>>) {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = before {
            leave(&mut members, before, self.index);
        }
        if let Some(after) = after {
            join(&mut members, after, self.index);
        }
        drop(members);
        let mut written = self.written();
        match (before, after) {
            (_, Some(after)) => written.caught_up(after),
            (Some(before), None) => written.remove(&before.uid().unwrap_or_default()),
            (None, None) => {}
        }
    }

    /// The watch delivered a complete list.
    pub(super) fn filled(&self) {
        let mut members = Members::new();
        let mut written = self.written();
        for object in self.store.state() {
            join(&mut members, &object, self.index);
            written.caught_up(&object);
        }
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = members;
    }

    fn members(&self) -> std::sync::RwLockReadGuard<'_, Members<K>> {
        self.members.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn written(&self) -> MutexGuard<'_, Written<K>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Watched> Written<K> {
    fn find(&self, uid: &str) -> Option<Arc<K>> {
        let (at, object) = self.objects.get(uid)?;
        (at.elapsed() < TRUSTED).then(|| Arc::clone(object))
    }

    fn members_of(&self, owner: &Owner) -> impl Iterator<Item = Arc<K>> {
        let uids = self.members.get(owner).into_iter().flatten();
        uids.filter_map(|uid| self.find(uid))
    }

    fn add(&mut self, object: Arc<K>) {
        let now = Instant::now();
        if now.duration_since(self.evicted) > TRUSTED {
            self.evicted = now;
            self.evict(now);
        }
        let uid = object.uid().unwrap_or_default();
        self.remove(&uid);
        for owner in (self.index)(&object) {
            self.members.entry(owner).or_default().push(uid.clone());
        }
        self.objects.insert(uid, (now, object));
    }

    /// Evicts objects that the watch has superseded by now.
    fn evict(&mut self, now: Instant) {
        let is_old =
            |(_, (at, _)): &(&String, &(Instant, Arc<K>))| now.duration_since(*at) > TRUSTED;
        let old: Vec<String> = self
            .objects
            .iter()
            .filter(is_old)
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in old {
            self.remove(&uid);
        }
    }

    fn caught_up(&mut self, stored: &Arc<K>) {
        let uid = stored.uid().unwrap_or_default();
        let written = self.objects.get(&uid);
        if written.is_some_and(|(_, written)| version(&**written) <= version(&**stored)) {
            self.remove(&uid);
        }
    }

    fn remove(&mut self, uid: &str) {
        let Some((_, object)) = self.objects.remove(uid) else {
            return;
        };
        for owner in (self.index)(&object) {
            if let Some(uids) = self.members.get_mut(&owner) {
                uids.retain(|one| one != uid);
                if uids.is_empty() {
                    self.members.remove(&owner);
                }
            }
        }
    }
}

fn join<K: Watched>(members: &mut Members<K>, object: &Arc<K>, index: Index<K>) {
    for owner in index(object) {
        members.entry(owner).or_default().push(Arc::clone(object));
    }
}

fn leave<K: Watched>(members: &mut Members<K>, object: &Arc<K>, index: Index<K>) {
    for owner in index(object) {
        if let Some(objects) = members.get_mut(&owner) {
            objects.retain(|one| one.uid() != object.uid());
            if objects.is_empty() {
                members.remove(&owner);
            }
        }
    }
}

/// The Deployments whose name an object carries as label `sluice.dev/deployment`, or that own it.
pub fn by_deployment<K: Watched>(object: &K) -> Vec<Owner> {
    let meta = object.meta();
    let namespace = meta.namespace.clone().unwrap_or_default();
    let labels = meta.labels.iter();
    let labelled = labels.filter_map(|labels| labels.get(label::DEPLOYMENT));
    let owners = meta.owner_references.iter().flatten();
    let owners = owners
        .filter(|owner| owner.kind == "Deployment")
        .map(|owner| &owner.name);
    let mut names: Vec<&String> = labelled.chain(owners).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| (namespace.clone(), name.clone()))
        .collect()
}

/// The Release that an Approval names.
pub fn by_release(approval: &Approval) -> Vec<Owner> {
    let release = approval.spec.release_ref.name.clone();
    vec![(approval.namespace().unwrap_or_default(), release)]
}

/// `other` if it is newer, else `one`.
fn newer<K: Watched>(one: Arc<K>, other: Option<Arc<K>>) -> Arc<K> {
    match other {
        Some(other) if version(&*other) > version(&*one) => other,
        _ => one,
    }
}

/// Resource versions of one kind can be compared as numbers (KEP-5504); an unreadable one is oldest.
fn version(object: &impl ResourceExt) -> u128 {
    object
        .resource_version()
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::v1alpha1::Target,
        controllers::feed::{Feed, feed},
    };

    fn target(name: &str, version: u32, metadata: &Value) -> Target {
        let mut object = json!({
            "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": version.to_string()},
            "spec": {
                "deployment": "checkout", "stage": "dev", "account": "dev", "accountId": "111111111111",
                "region": "eu-central-1", "deletionPolicy": "Retain",
            },
        });
        let fields = metadata.as_object().into_iter().flatten();
        for (field, value) in fields {
            object["metadata"][field] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn labelled(name: &str, version: u32, deployment: &str) -> Target {
        let labels = json!({"labels": {(label::DEPLOYMENT): deployment}});
        target(name, version, &labels)
    }

    async fn filled(events: Vec<Event<Target>>) -> Feed<Target> {
        let (feed, source) = feed();
        source.fill(stream::iter(events.into_iter().map(Ok))).await;
        feed
    }

    fn versions(objects: &[Arc<Target>]) -> Vec<(String, String)> {
        let mut found: Vec<_> = objects
            .iter()
            .map(|one| (one.name_any(), one.resource_version().unwrap_or_default()))
            .collect();
        found.sort();
        found
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, version): &(&str, &str)| ((*name).to_owned(), (*version).to_owned());
        expected.iter().map(owned).collect()
    }

    #[tokio::test]
    async fn written_object_stays_cached_across_lookups() {
        let feed = filled(vec![Event::Apply(labelled("a", 1, "checkout"))]).await;
        let cache = feed.cache();
        let written = labelled("a", 2, "checkout");
        cache.note(written.clone());
        let cached = feed.cache().store().state().remove(0);
        // A lookup of the written object itself does not evict it.
        for known in [Arc::new(written), Arc::clone(&cached), cached] {
            let newest = cache.newest(&known);
            assert_eq!(newest.resource_version().as_deref(), Some("2"));
        }
        let later = Arc::new(labelled("a", 3, "checkout"));
        assert_eq!(
            cache.newest(&later).resource_version().as_deref(),
            Some("3")
        );
    }

    #[tokio::test]
    async fn written_copy_is_evicted_once_the_watch_delivers_it() {
        let (feed, source) = feed();
        let cache = feed.cache();
        cache.note(labelled("a", 2, "checkout"));
        cache.note(labelled("b", 3, "checkout"));
        cache.note(labelled("c", 4, "checkout"));
        let events = vec![
            Event::Apply(labelled("a", 2, "checkout")),
            Event::Apply(labelled("b", 2, "checkout")),
            Event::Apply(labelled("c", 4, "checkout")),
            Event::Delete(labelled("c", 5, "checkout")),
        ];
        source.fill(stream::iter(events.into_iter().map(Ok))).await;
        let kept: Vec<String> = cache.written().objects.keys().cloned().collect();
        assert_eq!(kept, ["b"]);
        // A late note of an older version is not kept either.
        cache.note(labelled("a", 1, "checkout"));
        assert_eq!(cache.written().objects.len(), 1);
        let members = cache.belonging_to(Some("shop"), "checkout");
        assert_eq!(versions(&members), pairs(&[("a", "2"), ("b", "3")]));
    }

    #[tokio::test]
    async fn the_members_of_a_deployment_are_found_by_label_and_by_owner() {
        let owner = json!({"ownerReferences": [
            {"apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment", "name": "checkout", "uid": "u"},
        ]});
        let feed = filled(vec![
            Event::Init,
            Event::InitApply(labelled("a", 1, "checkout")),
            Event::InitApply(target("b", 1, &owner)),
            Event::InitApply(labelled("c", 1, "billing")),
            Event::InitDone,
            Event::Apply(labelled("c", 2, "checkout")),
            Event::Apply(labelled("d", 1, "billing")),
            Event::Delete(labelled("a", 2, "checkout")),
        ])
        .await;
        let cache = feed.cache();
        cache.note(labelled("e", 7, "checkout"));
        let of = |name| versions(&cache.belonging_to(Some("shop"), name));
        assert_eq!(of("checkout"), pairs(&[("b", "1"), ("c", "2"), ("e", "7")]));
        assert_eq!(of("billing"), pairs(&[("d", "1")]));
        assert_eq!(cache.belonging_to(Some("other"), "checkout").len(), 0);
        cache.forget(&labelled("e", 7, "checkout"));
        assert_eq!(of("checkout"), pairs(&[("b", "1"), ("c", "2")]));
    }
}
