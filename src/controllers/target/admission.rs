//! Limits how many runs of a namespace prepare at a time in one account and region.
//!
//! Without the limit, a thousand Deployments that change at once would all stay half done until the last one
//! finishes. Each would hold its observation in memory, and read it again when its turn comes.
//!
//! # Guarantees
//! - Runs that have waited longest begin first. Nothing is read or written for a waiting run, and its
//!   deadline does not run.
//! - Restores, rollbacks and runs that have begun do not wait.
//! - A slow preparation holds up other runs for at most [`COUNTED`].

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::Stream;
use jiff::Timestamp;
use kube::{ResourceExt as _, runtime::reflector::ObjectRef};
use tokio::time::Instant;

use crate::{
    api::v1alpha1::{Goal, Run, Target, TargetStatus},
    controllers::{retry::spread, wakes::Wakes},
    domain::engine::{self, Step},
};

/// The longest time from its start that a preparing run counts against the limit.
const COUNTED: Duration = Duration::from_mins(2);

/// How often a waiting run asks again without being woken.
const ASK_INTERVAL: Duration = Duration::from_secs(45);

/// A run that has not asked for this long leaves the queue.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(3);

/// After this wait the status reports it for the first time, and again whenever the wait has doubled.
const REPORT_AFTER: Duration = Duration::from_secs(10);

/// The preparing and waiting runs of all accounts and regions.
#[derive(Default)]
pub struct Admissions {
    queues: Mutex<HashMap<QueueKey, Queue>>,
    wakes: Wakes<Target>,
}

/// What runs of one queue share: the account id, the region and the namespace.
type QueueKey = (String, String, String);

#[derive(Default)]
struct Queue {
    /// How many runs may prepare at a time.
    limit: usize,
    /// The start of each preparing run, by the Target's uid.
    preparing: HashMap<String, Instant>,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    uid: String,
    who: ObjectRef<Target>,
    since: Instant,
    asked_at: Instant,
    reported_at: Option<Instant>,
}

/// A run must wait for others.
#[derive(Debug, PartialEq, Eq)]
pub struct MustWait {
    /// How many runs prepare or wait before it.
    pub before: usize,
    /// Whether the status reports the wait now.
    pub is_reported: bool,
    /// When the run asks again, unless it is woken before.
    pub after: Duration,
}

impl Admissions {
    /// The Targets whose turn has come. Only the first caller gets them.
    pub fn woken(&self) -> impl Stream<Item = ObjectRef<Target>> + Send + 'static {
        self.wakes.woken()
    }

    /// Admits the run, or says why it must wait.
    pub fn ask(
        &self,
        limit: usize,
        target: &Target,
        run: &Run,
        status: &TargetStatus,
    ) -> Result<(), MustWait> {
        let begun = status
            .run
            .as_ref()
            .filter(|journal| !engine::ended(journal));
        let prepares = begun.is_none_or(|journal| Step::of(journal) == Some(Step::Prepare));
        if !prepares || run.goal != Goal::Deliver || run.rollback || run.immediate {
            self.leave(target);
            return Ok(());
        }
        let begun = begun.map(|journal| {
            let since = Timestamp::now().duration_since(journal.started_at.0);
            Duration::try_from(since).unwrap_or_default()
        });
        let mut queues = self.queues();
        let queue = queues.entry(queue_key(target)).or_default();
        queue.limit = limit;
        queue.ask(
            target.uid().unwrap_or_default(),
            ObjectRef::from_obj(target),
            begun,
            Instant::now(),
        )
    }

    /// Removes a Target that no longer prepares or is deleted, and wakes those that may begin.
    pub fn leave(&self, target: &Target) {
        let mut queues = self.queues();
        let key = queue_key(target);
        let Some(queue) = queues.get_mut(&key) else {
            return;
        };
        queue.leave(&target.uid().unwrap_or_default());
        for who in queue.next() {
            self.wakes.wake(who);
        }
        if queue.preparing.is_empty() && queue.waiting.is_empty() {
            queues.remove(&key);
        }
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<QueueKey, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn queue_key(target: &Target) -> QueueKey {
    let spec = &target.spec;
    let namespace = target.namespace().unwrap_or_default();
    (spec.account_id.clone(), spec.region.clone(), namespace)
}

impl Queue {
    /// `begun` is the age of a run that has begun.
    fn ask(
        &mut self,
        uid: String,
        who: ObjectRef<Target>,
        begun: Option<Duration>,
        now: Instant,
    ) -> Result<(), MustWait> {
        self.preparing.retain(|_, since| now - *since < COUNTED);
        self.waiting
            .retain(|it| now - it.asked_at < FORGOTTEN_AFTER || it.uid == uid);
        let at = self.waiting.iter().position(|it| it.uid == uid);
        if let Some(ago) = begun {
            self.leave(&uid);
            if ago < COUNTED {
                self.preparing
                    .insert(uid, now.checked_sub(ago).unwrap_or(now));
            }
            return Ok(());
        }
        let before = at.unwrap_or(self.waiting.len());
        if self.preparing.contains_key(&uid) || self.preparing.len() + before < self.limit {
            self.leave(&uid);
            self.preparing.insert(uid, now);
            return Ok(());
        }
        if at.is_none() {
            self.waiting.push_back(Waiting {
                uid,
                who,
                since: now,
                asked_at: now,
                reported_at: None,
            });
        }
        let waiting = &mut self.waiting[before];
        waiting.asked_at = now;
        let waited = now - waiting.since;
        let is_reported =
            waited >= REPORT_AFTER && waiting.reported_at.is_none_or(|at| now - at >= waited / 2);
        if is_reported {
            waiting.reported_at = Some(now);
        }
        Err(MustWait {
            before: self.preparing.len() + before,
            is_reported,
            after: if waited < REPORT_AFTER {
                REPORT_AFTER
            } else {
                spread(ASK_INTERVAL)
            },
        })
    }

    fn leave(&mut self, uid: &str) {
        self.preparing.remove(uid);
        self.waiting.retain(|it| it.uid != uid);
    }

    /// The Targets that may begin now.
    fn next(&self) -> impl Iterator<Item = ObjectRef<Target>> {
        let free = self.limit.saturating_sub(self.preparing.len());
        self.waiting.iter().take(free).map(|it| it.who.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 4;

    /// A queue and the instant at which the test starts.
    struct Clock(Queue, Instant);

    impl Clock {
        fn start() -> Self {
            let queue = Queue {
                limit: LIMIT,
                ..Queue::default()
            };
            Self(queue, Instant::now())
        }

        fn at(&self, seconds: u64) -> Instant {
            self.1 + Duration::from_secs(seconds)
        }

        /// How many runs go before this one; `None` if it begins.
        fn ask(&mut self, nth: usize, seconds: u64) -> Option<usize> {
            self.begun(nth, None, seconds).map(|waits| waits.before)
        }

        fn begun(&mut self, nth: usize, ago: Option<u64>, seconds: u64) -> Option<MustWait> {
            let (uid, now) = (nth.to_string(), self.at(seconds));
            let who = ObjectRef::new(&uid);
            let ago = ago.map(Duration::from_secs);
            self.0.ask(uid, who, ago, now).err()
        }

        fn woken(&mut self, leaves: usize) -> Vec<String> {
            self.0.leave(&leaves.to_string());
            self.0.next().map(|who| who.name).collect()
        }
    }

    /// A queue whose limit is reached.
    fn full() -> Clock {
        let mut queue = Clock::start();
        for nth in 0..LIMIT {
            assert_eq!(queue.ask(nth, 0), None);
        }
        queue
    }

    #[test]
    fn limited_number_of_runs_prepare_and_the_others_follow_in_order() {
        let mut queue = full();
        assert_eq!(queue.ask(100, 0), Some(LIMIT));
        assert_eq!(queue.ask(101, 0), Some(LIMIT + 1));
        assert_eq!(queue.ask(100, 1), Some(LIMIT), "it keeps its position");
        assert_eq!(queue.ask(0, 1), None, "the run prepares already");
        assert_eq!(queue.woken(0), ["100"]);
        assert_eq!(queue.ask(101, 2), Some(LIMIT), "run 100 goes first");
        assert_eq!(queue.ask(100, 2), None);
        assert_eq!(queue.woken(1), ["101"]);
        assert_eq!(queue.ask(101, 3), None);
        assert!(queue.woken(2).is_empty(), "no run waits");
    }

    #[test]
    fn begun_run_continues_and_counts_for_a_limited_time() {
        let mut queue = full();
        assert_eq!(queue.begun(100, Some(1), 0), None);
        assert_eq!(queue.ask(101, 0), Some(LIMIT + 1));
        assert!(queue.woken(0).is_empty(), "the limit is reached");
        let counted = COUNTED.as_secs();
        assert_eq!(queue.begun(100, Some(counted + 1), counted), None);
        assert_eq!(queue.ask(101, counted), None, "the others no longer count");
    }

    #[test]
    fn run_that_stops_asking_does_not_block_the_queue() {
        let mut queue = full();
        assert_eq!(queue.ask(100, 0), Some(LIMIT));
        let gone = FORGOTTEN_AFTER.as_secs();
        for nth in 0..LIMIT {
            assert_eq!(queue.begun(nth, Some(0), gone), None);
        }
        assert_eq!(queue.ask(101, gone), Some(LIMIT));
        assert_eq!(queue.woken(0), ["101"]);
    }

    #[test]
    fn long_admission_wait_is_reported_at_growing_intervals() {
        let mut queue = full();
        let reported = |queue: &mut Clock, seconds| {
            for nth in 0..LIMIT {
                queue.begun(nth, Some(0), seconds);
            }
            queue.begun(100, None, seconds).unwrap().is_reported
        };
        assert!(!reported(&mut queue, 0));
        assert!(reported(&mut queue, 10));
        assert!(!reported(&mut queue, 19));
        assert!(reported(&mut queue, 20));
        assert!(!reported(&mut queue, 30));
        assert!(reported(&mut queue, 40));
    }
}
