//! Requests to reconcile objects because of events that no watch reports.

use std::sync::{Mutex, PoisonError};

use futures::{
    Stream,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    future::Either,
    stream,
};
use kube::{Resource, runtime::reflector::ObjectRef};

/// A channel of objects of one kind to their controller.
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
    /// Requests a reconcile of the object.
    pub fn wake(&self, object: ObjectRef<K>) {
        wake(&self.wake, object);
    }

    /// As [`Wakes::wake`], for another task.
    pub fn waker(&self) -> impl FnOnce(ObjectRef<K>) + Send + 'static {
        let sender = self.wake.clone();
        move |object| wake(&sender, object)
    }

    /// The objects to reconcile. Only the first caller gets them.
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
