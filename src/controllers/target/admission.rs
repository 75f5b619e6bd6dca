//! Which runs begin: so many of a namespace at a time, in an account and region, as come to their end soon.
//!
//! A thousand Deployments that change at once would otherwise all be half done for as long as the last of them
//! takes, and each would hold what it has read in memory, and read it again when its turn has come.
//!
//! # Guarantees
//! - Those that have waited the longest begin first. Nothing has been read or written for those that wait, and no
//!   deadline runs.
//! - What goes back does not wait, and neither does what has begun.
//! - What takes long to prepare holds up no other for longer than [`COUNTED`].

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

/// For how long a run counts from its begin, should it be at its preparation for longer.
const COUNTED: Duration = Duration::from_mins(2);

/// How often one that waits asks by itself, should nobody tell it that its turn has come.
const ASKED: Duration = Duration::from_secs(45);

/// One that has not asked for so long is gone.
const GONE: Duration = Duration::from_mins(3);

/// How soon it is told that a run waits, and then again after as long as it has waited by then.
const TOLD: Duration = Duration::from_secs(10);

/// Who prepares and who waits, in all accounts and regions.
#[derive(Default)]
pub struct Admissions {
    lines: Mutex<HashMap<Place, Line>>,
    wakes: Wakes<Target>,
}

/// Where those are that wait for each other: the id of the account, the region, and the namespace.
type Place = (String, String, String);

#[derive(Default)]
struct Line {
    /// How many may prepare.
    room: usize,
    /// Since when each prepares, by uid.
    preparing: HashMap<String, Instant>,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    uid: String,
    who: ObjectRef<Target>,
    since: Instant,
    asked_at: Instant,
    told_at: Option<Instant>,
}

/// That a run has to wait.
#[derive(Debug, PartialEq, Eq)]
pub struct Waits {
    /// How many come to their end, or begin, before it.
    pub before: usize,
    /// Whether that is to be told now.
    pub is_told: bool,
    /// When it is asked again, should its turn not come before.
    pub after: Duration,
}

impl Admissions {
    /// The Targets whose turn has come; for the first who asks.
    pub fn woken(&self) -> impl Stream<Item = ObjectRef<Target>> + Send + 'static {
        self.wakes.woken()
    }

    /// Whether the order may be carried out now.
    pub fn ask(
        &self,
        room: usize,
        target: &Target,
        run: &Run,
        status: &TargetStatus,
    ) -> Result<(), Waits> {
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
        let mut lines = self.lines();
        let line = lines.entry(place(target)).or_default();
        line.room = room;
        line.ask(
            target.uid().unwrap_or_default(),
            ObjectRef::from_obj(target),
            begun,
            Instant::now(),
        )
    }

    /// It prepares no more, or is gone: others may begin.
    pub fn leave(&self, target: &Target) {
        let mut lines = self.lines();
        let place = place(target);
        let Some(line) = lines.get_mut(&place) else {
            return;
        };
        line.leave(&target.uid().unwrap_or_default());
        for who in line.next() {
            self.wakes.wake(who);
        }
        if line.preparing.is_empty() && line.waiting.is_empty() {
            lines.remove(&place);
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Place, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(target: &Target) -> Place {
    let spec = &target.spec;
    let namespace = target.namespace().unwrap_or_default();
    (spec.account_id.clone(), spec.region.clone(), namespace)
}

impl Line {
    /// `begun` is how long ago that was, for one that has.
    fn ask(
        &mut self,
        uid: String,
        who: ObjectRef<Target>,
        begun: Option<Duration>,
        now: Instant,
    ) -> Result<(), Waits> {
        self.preparing.retain(|_, since| now - *since < COUNTED);
        self.waiting
            .retain(|it| now - it.asked_at < GONE || it.uid == uid);
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
        if self.preparing.contains_key(&uid) || self.preparing.len() + before < self.room {
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
                told_at: None,
            });
        }
        let waiting = &mut self.waiting[before];
        waiting.asked_at = now;
        let waited = now - waiting.since;
        let is_told = waited >= TOLD && waiting.told_at.is_none_or(|at| now - at >= waited / 2);
        if is_told {
            waiting.told_at = Some(now);
        }
        Err(Waits {
            before: self.preparing.len() + before,
            is_told,
            after: if waited < TOLD { TOLD } else { spread(ASKED) },
        })
    }

    fn leave(&mut self, uid: &str) {
        self.preparing.remove(uid);
        self.waiting.retain(|it| it.uid != uid);
    }

    /// Those that may begin now.
    fn next(&self) -> impl Iterator<Item = ObjectRef<Target>> {
        let free = self.room.saturating_sub(self.preparing.len());
        self.waiting.iter().take(free).map(|it| it.who.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 4;

    /// A line, and a moment to count from.
    struct Clock(Line, Instant);

    impl Clock {
        fn start() -> Self {
            let line = Line {
                room: ROOM,
                ..Line::default()
            };
            Self(line, Instant::now())
        }

        fn at(&self, seconds: u64) -> Instant {
            self.1 + Duration::from_secs(seconds)
        }

        /// How many go before it; `None` if it begins.
        fn ask(&mut self, nth: usize, seconds: u64) -> Option<usize> {
            self.begun(nth, None, seconds).map(|waits| waits.before)
        }

        fn begun(&mut self, nth: usize, ago: Option<u64>, seconds: u64) -> Option<Waits> {
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

    /// So many prepare.
    fn full() -> Clock {
        let mut line = Clock::start();
        for nth in 0..ROOM {
            assert_eq!(line.ask(nth, 0), None);
        }
        line
    }

    #[test]
    fn so_many_prepare_and_the_others_begin_in_order_as_those_come_to_their_end() {
        let mut line = full();
        assert_eq!(line.ask(100, 0), Some(ROOM));
        assert_eq!(line.ask(101, 0), Some(ROOM + 1));
        assert_eq!(line.ask(100, 1), Some(ROOM), "it keeps its place");
        assert_eq!(line.ask(0, 1), None, "it prepares");
        assert_eq!(line.woken(0), ["100"]);
        assert_eq!(line.ask(101, 2), Some(ROOM), "another goes before it");
        assert_eq!(line.ask(100, 2), None);
        assert_eq!(line.woken(1), ["101"]);
        assert_eq!(line.ask(101, 3), None);
        assert!(line.woken(2).is_empty(), "nobody waits");
    }

    #[test]
    fn what_has_begun_goes_on_and_counts_for_a_while() {
        let mut line = full();
        assert_eq!(line.begun(100, Some(1), 0), None);
        assert_eq!(line.ask(101, 0), Some(ROOM + 1));
        assert!(line.woken(0).is_empty(), "there are as many as may");
        let counted = COUNTED.as_secs();
        assert_eq!(line.begun(100, Some(counted + 1), counted), None);
        assert_eq!(line.ask(101, counted), None, "they have had their time");
    }

    #[test]
    fn one_that_is_gone_holds_up_nobody() {
        let mut line = full();
        assert_eq!(line.ask(100, 0), Some(ROOM));
        let gone = GONE.as_secs();
        for nth in 0..ROOM {
            assert_eq!(line.begun(nth, Some(0), gone), None);
        }
        assert_eq!(line.ask(101, gone), Some(ROOM));
        assert_eq!(line.woken(0), ["101"]);
    }

    #[test]
    fn waiting_is_told_after_a_while_and_ever_more_seldom() {
        let mut line = full();
        let told = |line: &mut Clock, seconds| {
            for nth in 0..ROOM {
                line.begun(nth, Some(0), seconds);
            }
            line.begun(100, None, seconds).unwrap().is_told
        };
        assert!(!told(&mut line, 0));
        assert!(told(&mut line, 10));
        assert!(!told(&mut line, 19));
        assert!(told(&mut line, 20));
        assert!(!told(&mut line, 30));
        assert!(told(&mut line, 40));
    }
}
