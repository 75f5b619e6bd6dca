//! Objects that are to be reconciled because of something that no watch tells of.

use std::sync::{Mutex, PoisonError};

use futures::{
    Stream,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    future::Either,
    stream,
};
use kube::{Resource, runtime::reflector::ObjectRef};

/// Objects of one kind, from whoever knows that they have something to do to their controller.
pub struct Wakes<K: Resource<DynamicType = ()>> {
    wake: UnboundedSender<ObjectRef<K>>,
    woken: Mutex<Option<UnboundedReceiver<ObjectRef<K>>>>,
}

impl<K: Resource<DynamicType = ()>> Default for Wakes<K> {
    fn default() -> Self {
        let (wake, woken) = unbounded();
        Self {
            wake,
            woken: Mutex::new(Some(woken)),
        }
    }
}

impl<K: Resource<DynamicType = ()> + 'static> Wakes<K> {
    /// Has the object reconciled.
    pub fn wake(&self, object: ObjectRef<K>) {
        wake(&self.wake, object);
    }

    /// The same for a task of its own.
    pub fn waker(&self) -> impl FnOnce(ObjectRef<K>) + Send + 'static {
        let sender = self.wake.clone();
        move |object| wake(&sender, object)
    }

    /// The objects to reconcile; for the first who asks.
    pub fn woken(&self) -> impl Stream<Item = ObjectRef<K>> + Send + 'static {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        match woken.take() {
            Some(woken) => Either::Left(woken),
            None => Either::Right(stream::pending()),
        }
    }
}

fn wake<K: Resource<DynamicType = ()>>(
    sender: &UnboundedSender<ObjectRef<K>>,
    object: ObjectRef<K>,
) {
    // The controller may be stopping: then it reconciles nothing more.
    let _ = sender.unbounded_send(object);
}
