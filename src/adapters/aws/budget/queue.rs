//! The queue of waiting calls: the most urgent first, in turns among equally urgent ones.
//!
//! Namespaces take turns, one call each: a namespace with a thousand calls delays another by one. Within a
//! namespace, the few Deployments that began first take turns, and the others wait: thirty finished
//! deliveries are worth more than a thousand half-finished ones.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;

use crate::{domain::priority::Priority, ports::turn::Turn};

/// How many Deployments of a namespace take turns. More than one, so that a large one does not delay all
/// others; few, so that those that have begun also finish.
const ACTIVE_DEPLOYMENTS: usize = 16;

/// The calls of a Deployment, with their numbers.
type Line<T> = VecDeque<(u64, T)>;

/// When a Deployment began its work, and its name.
type Began = (Timestamp, Arc<str>);

/// The waiting calls.
#[derive(Debug)]
pub(super) struct Queue<T> {
    by_priority: BTreeMap<Priority, Namespaces<T>>,
    length: usize,
    next_number: u64,
}

/// A call's position in the queue.
#[derive(Debug)]
pub(super) struct Ticket {
    number: u64,
    priority: Priority,
    namespace: Arc<str>,
    deployment: Began,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            by_priority: BTreeMap::new(),
            length: 0,
            next_number: 0,
        }
    }
}

impl<T> Queue<T> {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// The most calls that go before a new one of this priority.
    pub(super) fn before(&self, priority: Priority) -> usize {
        let ahead = self.by_priority.range(..=priority);
        ahead.map(|(_, namespaces)| namespaces.length).sum()
    }

    pub(super) fn push(&mut self, turn: &Turn, item: T) -> Ticket {
        self.next_number += 1;
        self.length += 1;
        let ticket = Ticket {
            number: self.next_number,
            priority: turn.priority,
            namespace: Arc::clone(&turn.namespace),
            deployment: (turn.since, Arc::clone(&turn.deployment)),
        };
        let namespaces = self.by_priority.entry(turn.priority).or_default();
        let call = (ticket.number, item);
        namespaces.push(&turn.namespace, ticket.deployment.clone(), call);
        ticket
    }

    /// Removes the call whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let mut first = self.by_priority.first_entry()?;
        let item = first.get_mut().pop()?;
        if first.get().length == 0 {
            first.remove();
        }
        self.length -= 1;
        Some(item)
    }

    /// Removes the call whose turn would come last, if it is less urgent than this.
    pub(super) fn displace(&mut self, priority: Priority) -> Option<T> {
        let mut last = self.by_priority.last_entry()?;
        if *last.key() <= priority {
            return None;
        }
        let item = last.get_mut().pop_last()?;
        if last.get().length == 0 {
            last.remove();
        }
        self.length -= 1;
        Some(item)
    }

    /// Removes a call that no longer waits.
    pub(super) fn leave(&mut self, ticket: &Ticket) {
        let Some(namespaces) = self.by_priority.get_mut(&ticket.priority) else {
            return;
        };
        let before = namespaces.length;
        namespaces.leave(&ticket.namespace, &ticket.deployment, ticket.number);
        self.length -= before - namespaces.length;
        if namespaces.length == 0 {
            self.by_priority.remove(&ticket.priority);
        }
    }
}

/// The calls of the Deployments of a namespace.
#[derive(Debug)]
struct Deployments<T> {
    lines: BTreeMap<Began, Waiting<T>>,
    length: usize,
    turns: u64,
}

/// The waiting calls of a Deployment; never empty.
#[derive(Debug)]
struct Waiting<T> {
    line: Line<T>,
    /// When it last had its turn, or joined.
    turn: u64,
}

impl<T> Default for Deployments<T> {
    fn default() -> Self {
        Self {
            lines: BTreeMap::new(),
            length: 0,
            turns: 0,
        }
    }
}

impl<T> Deployments<T> {
    fn push(&mut self, deployment: Began, call: (u64, T)) {
        self.length += 1;
        self.turns += 1;
        let turn = self.turns;
        let joins = || Waiting {
            line: VecDeque::new(),
            turn,
        };
        let waiting = self.lines.entry(deployment).or_insert_with(joins);
        waiting.line.push_back(call);
    }

    fn leave(&mut self, deployment: &Began, number: u64) {
        let Some(waiting) = self.lines.get_mut(deployment) else {
            return;
        };
        let before = waiting.line.len();
        waiting.line.retain(|(other, _)| *other != number);
        self.length -= before - waiting.line.len();
        if waiting.line.is_empty() {
            self.lines.remove(deployment);
        }
    }

    fn take(
        &mut self,
        deployment: &Began,
        take: impl FnOnce(&mut Line<T>) -> Option<(u64, T)>,
    ) -> Option<T> {
        self.turns += 1;
        let waiting = self.lines.get_mut(deployment)?;
        waiting.turn = self.turns;
        let (_, item) = take(&mut waiting.line)?;
        self.length -= 1;
        if waiting.line.is_empty() {
            self.lines.remove(deployment);
        }
        Some(item)
    }

    fn pop(&mut self) -> Option<T> {
        let admitted = self.lines.iter().take(ACTIVE_DEPLOYMENTS);
        let (next, _) = admitted.min_by_key(|(_, waiting)| waiting.turn)?;
        let next = next.clone();
        self.take(&next, Line::pop_front)
    }

    fn pop_last(&mut self) -> Option<T> {
        let last = self.lines.keys().next_back()?.clone();
        self.take(&last, Line::pop_back)
    }
}

/// Equally urgent calls. The namespaces take turns; each has at least one call.
#[derive(Debug)]
struct Namespaces<T> {
    order: VecDeque<Arc<str>>,
    by_name: HashMap<Arc<str>, Deployments<T>>,
    length: usize,
}

impl<T> Default for Namespaces<T> {
    fn default() -> Self {
        Self {
            order: VecDeque::new(),
            by_name: HashMap::new(),
            length: 0,
        }
    }
}

impl<T> Namespaces<T> {
    fn push(&mut self, namespace: &Arc<str>, deployment: Began, call: (u64, T)) {
        self.length += 1;
        if !self.by_name.contains_key(namespace) {
            self.order.push_back(Arc::clone(namespace));
        }
        let deployments = self.by_name.entry(Arc::clone(namespace)).or_default();
        deployments.push(deployment, call);
    }

    fn leave(&mut self, namespace: &Arc<str>, deployment: &Began, number: u64) {
        let Some(deployments) = self.by_name.get_mut(namespace) else {
            return;
        };
        let before = deployments.length;
        deployments.leave(deployment, number);
        self.length -= before - deployments.length;
        if deployments.length == 0 {
            self.by_name.remove(namespace);
            self.order.retain(|other| other != namespace);
        }
    }

    /// Removes a call of a namespace, which has had its turn then.
    fn take(
        &mut self,
        namespace: Arc<str>,
        take: impl FnOnce(&mut Deployments<T>) -> Option<T>,
    ) -> Option<T> {
        let deployments = self.by_name.get_mut(&namespace)?;
        let item = take(deployments)?;
        self.length -= 1;
        if deployments.length == 0 {
            self.by_name.remove(&namespace);
        } else {
            self.order.push_back(namespace);
        }
        Some(item)
    }

    fn pop(&mut self) -> Option<T> {
        let namespace = self.order.pop_front()?;
        self.take(namespace, Deployments::pop)
    }

    fn pop_last(&mut self) -> Option<T> {
        let namespace = self.order.pop_back()?;
        self.take(namespace, Deployments::pop_last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(priority: Priority, namespace: &str, deployment: &str) -> Turn {
        Turn::new(priority, namespace, deployment, Timestamp::UNIX_EPOCH)
    }

    fn drained<T>(queue: &mut Queue<T>) -> Vec<T> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn most_urgent_call_goes_first() {
        let mut queue = Queue::default();
        for (priority, what) in [
            (Priority::Background, "drift"),
            (Priority::Planning, "plan"),
            (Priority::Traffic, "move"),
            (Priority::Restore, "undo"),
            (Priority::Preparation, "publish"),
        ] {
            queue.push(&turn(priority, "shop", "checkout"), what);
        }
        assert_eq!(queue.before(Priority::Traffic), 2);
        assert_eq!(
            drained(&mut queue),
            ["undo", "move", "publish", "plan", "drift"]
        );
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn namespaces_and_their_deployments_take_turns() {
        let mut queue = Queue::default();
        let calls = |queue: &mut Queue<&'static str>, namespace, deployment, what, count| {
            for _ in 0..count {
                queue.push(&turn(Priority::Traffic, namespace, deployment), what);
            }
        };
        calls(&mut queue, "a", "big", "a/big", 4);
        calls(&mut queue, "a", "small", "a/small", 1);
        calls(&mut queue, "b", "only", "b", 2);
        let expected = ["a/big", "b", "a/small", "b", "a/big", "a/big", "a/big"];
        assert_eq!(drained(&mut queue), expected);
    }

    #[test]
    fn busy_deployment_does_not_starve_another() {
        let mut queue = Queue::default();
        queue.push(&turn(Priority::Planning, "shop", "patient"), "patient");
        let mut served = Vec::new();
        for _ in 0..3 {
            queue.push(&turn(Priority::Planning, "shop", "busy"), "busy");
            queue.push(&turn(Priority::Planning, "shop", "busy"), "busy");
            served.extend(queue.pop());
        }
        assert!(served.contains(&"patient"), "{served:?}");
    }

    #[test]
    fn deployments_that_began_first_finish_first() {
        let mut queue = Queue::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        // Each makes its second call once it has made the first.
        let mut left: HashMap<i64, u32> = (0..100).map(|began| (began, 2)).collect();
        let join = |queue: &mut Queue<i64>, began: i64| {
            let name = format!("d{}", began % 7);
            let turn = Turn::new(Priority::Preparation, "shop", &name, at(began));
            queue.push(&turn, began);
        };
        for began in (0..100).rev() {
            join(&mut queue, began);
        }
        let mut done = Vec::new();
        while let Some(began) = queue.pop() {
            let calls = left.get_mut(&began).unwrap();
            *calls -= 1;
            if *calls == 0 {
                done.push(began);
            } else {
                join(&mut queue, began);
            }
        }
        let position = |began: i64| done.iter().position(|one| *one == began).unwrap();
        assert_eq!(done.len(), 100);
        assert!((0..16).all(|began| position(began) < 32), "{done:?}");
        assert!((50..100).all(|began| position(began) >= 34), "{done:?}");
    }

    #[test]
    fn cancelled_call_leaves_the_queue() {
        let mut queue = Queue::default();
        let traffic = |deployment| turn(Priority::Traffic, "shop", deployment);
        let first = queue.push(&traffic("one"), 1);
        queue.push(&traffic("other"), 2);
        queue.push(&traffic("one"), 3);
        queue.leave(&first);
        queue.leave(&first);
        assert_eq!(queue.len(), 2);
        assert_eq!(drained(&mut queue), [3, 2]);
        queue.leave(&first);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn full_queue_displaces_only_less_urgent_calls() {
        let mut queue = Queue::default();
        queue.push(&turn(Priority::Planning, "a", "a"), "first");
        queue.push(&turn(Priority::Planning, "b", "b"), "last");
        assert_eq!(queue.displace(Priority::Background), None);
        assert_eq!(queue.displace(Priority::Planning), None);
        assert_eq!(queue.displace(Priority::Restore), Some("last"));
        assert_eq!(drained(&mut queue), ["first"]);
    }
}
