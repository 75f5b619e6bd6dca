//! When GitLab is asked, for all who follow the same ref of the same project together, and who of them rests
//! until it has news.
//!
//! A Deployment at rest that looked because a minute is over would find nothing to do. In its place one conditional
//! request for what was read last is made for all of them; those who rest are woken where that is answered otherwise.

use std::{collections::HashMap, time::Instant};

use kube::runtime::reflector::ObjectRef;

use crate::{api::v1alpha1::Deployment, domain::digest::Sha256, ports::validators::Validators};

/// The rounds of everything that is followed, by what is asked.
#[derive(Default)]
pub struct Rounds(HashMap<Sha256, Round>);

/// Those who ask the same.
struct Round {
    /// When they do so next.
    at: Instant,
    /// It is being asked for those who rest.
    is_asked: bool,
    /// Those who need not ask for themselves, by uid.
    resting: HashMap<String, ObjectRef<Deployment>>,
    /// What they read last.
    read: Validators,
}

/// What is to be asked for those who rest.
pub struct Due {
    pub source: Sha256,
    pub at: Instant,
    /// Any of them: they follow the same.
    pub who: ObjectRef<Deployment>,
    /// What is asked about; where it can't be told whether that still holds, there is nothing to ask.
    pub read: Validators,
}

impl Rounds {
    /// The next moment at which those ask who ask this: the one that others wait for, or `at`.
    pub fn next(&mut self, source: Sha256, at: Instant, now: Instant) -> Instant {
        let round = self.0.entry(source).or_insert_with(|| Round::at(at));
        if round.is_asked {
            return at;
        }
        if round.at <= now {
            round.at = at;
        }
        round.at
    }

    /// Lets go of those that are over and that nobody rests in.
    pub fn tidy(&mut self, now: Instant) {
        self.0
            .retain(|_, round| round.at > now || round.is_asked || !round.resting.is_empty());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// From now on it is woken when what it read changes, for which is asked at that time or with those who rest
    /// already. Whether it is the first.
    pub fn rest(
        &mut self,
        (source, at): (Sha256, Instant),
        uid: String,
        who: ObjectRef<Deployment>,
        read: Validators,
    ) -> bool {
        let round = self.0.entry(source).or_insert_with(|| Round::at(at));
        let is_first = round.resting.is_empty();
        round.resting.insert(uid, who);
        round.read.merge(read);
        is_first
    }

    /// It looks for itself.
    pub fn leave(&mut self, source: Sha256, uid: &str) {
        if let Some(round) = self.0.get_mut(&source) {
            round.resting.remove(uid);
        }
    }

    /// When the first of those who rest are due.
    pub fn earliest(&self) -> Option<Instant> {
        let waiting = self
            .0
            .values()
            .filter(|it| !it.is_asked && !it.resting.is_empty());
        waiting.map(|round| round.at).min()
    }

    /// What is to be asked now; each is answered by [`Rounds::unchanged`] or [`Rounds::news`].
    pub fn due(&mut self, now: Instant) -> Vec<Due> {
        let mut due = Vec::new();
        for (source, round) in &mut self.0 {
            if let Some(who) = round.resting.values().next()
                && !round.is_asked
                && round.at <= now
            {
                round.is_asked = true;
                due.push(Due {
                    source: *source,
                    at: round.at,
                    who: who.clone(),
                    read: round.read.clone(),
                });
            }
        }
        due
    }

    /// What they read still holds: they are asked for again at that time. Who they are.
    pub fn unchanged(&mut self, source: Sha256, at: Instant) -> Vec<String> {
        let Some(round) = self.0.get_mut(&source) else {
            return Vec::new();
        };
        round.is_asked = false;
        round.at = at;
        round.resting.keys().cloned().collect()
    }

    /// It does not, or that can't be told: each has to look for itself. Who they are.
    pub fn news(&mut self, source: Sha256) -> Vec<ObjectRef<Deployment>> {
        let Some(round) = self.0.get_mut(&source) else {
            return Vec::new();
        };
        round.is_asked = false;
        round.read = Validators::default();
        round.resting.drain().map(|(_, who)| who).collect()
    }
}

impl Round {
    fn at(at: Instant) -> Self {
        Self {
            at,
            is_asked: false,
            resting: HashMap::new(),
            read: Validators::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ports::validators::Validator;

    /// Rounds, and a moment to count from.
    struct Clock(Rounds, Instant);

    impl Clock {
        fn start() -> Self {
            Self(Rounds::default(), Instant::now())
        }

        fn at(&self, seconds: u64) -> Instant {
            self.1 + Duration::from_secs(seconds)
        }

        fn next(&mut self, nth: u32, at: u64, now: u64) -> u64 {
            let (at, now) = (self.at(at), self.at(now));
            (self.0.next(source(nth), at, now) - self.1).as_secs()
        }

        async fn rest(&mut self, nth: u32, name: &str, etag: &str) -> bool {
            let validator = Validator {
                operation: "GET /projects/:id/pipelines",
                value: etag.to_owned(),
            };
            let read = async { Validators::note("/pipelines", Some(validator)) };
            let ((), read) = Validators::of(read).await;
            let at = self.at(60);
            let who = ObjectRef::new(name);
            self.0.rest((source(nth), at), name.to_owned(), who, read)
        }

        fn due(&mut self, now: u64) -> Vec<Due> {
            self.0.due(self.at(now))
        }
    }

    fn source(nth: u32) -> Sha256 {
        Sha256::of_json(&nth)
    }

    #[test]
    fn a_round_that_is_over_is_followed_by_another_and_forgotten_with_those_that_asked() {
        let mut rounds = Clock::start();
        assert_eq!(rounds.next(0, 60, 0), 60);
        assert_eq!(rounds.next(0, 119, 59), 60);
        assert_eq!(rounds.next(0, 120, 60), 120);
        for nth in 1..=32 {
            rounds.next(nth, 60, 0);
        }
        let now = rounds.at(120);
        rounds.0.tidy(now);
        assert_eq!(rounds.0.len(), 0);
    }

    #[tokio::test]
    async fn those_who_rest_are_asked_for_once_until_that_is_answered() {
        let mut rounds = Clock::start();
        rounds.next(0, 60, 0);
        assert_eq!(rounds.0.earliest(), None, "nobody rests");
        assert!(rounds.rest(0, "a", "1").await);
        assert!(!rounds.rest(0, "b", "1").await, "somebody did before");
        assert_eq!(rounds.0.earliest(), Some(rounds.at(60)));
        assert_eq!(rounds.due(59).len(), 0);
        let due = rounds.due(60);
        assert_eq!(due.len(), 1, "for both of them");
        assert!(due[0].read.tell_all());
        assert_eq!(rounds.due(61).len(), 0, "it is being asked");
        assert_eq!(rounds.0.earliest(), None);
        // Who looks meanwhile goes by its own time.
        assert_eq!(rounds.next(0, 121, 61), 121);

        let mut still = rounds.0.unchanged(source(0), rounds.at(120));
        still.sort();
        assert_eq!(still, ["a", "b"]);
        assert_eq!(rounds.0.earliest(), Some(rounds.at(120)));
        rounds.0.leave(source(0), "a");
        rounds.due(120);
        let woken: Vec<_> = rounds
            .0
            .news(source(0))
            .into_iter()
            .map(|it| it.name)
            .collect();
        assert_eq!(woken, ["b"]);
        assert_eq!(rounds.due(200).len(), 0, "nobody rests any more");
        rounds.0.tidy(rounds.at(200));
        assert_eq!(rounds.0.len(), 0);
    }

    #[tokio::test]
    async fn who_read_what_another_read_otherwise_is_asked_about_no_more() {
        let mut rounds = Clock::start();
        rounds.rest(0, "a", "1").await;
        rounds.rest(0, "b", "2").await;
        assert!(!rounds.due(60)[0].read.tell_all());
        assert_eq!(rounds.0.news(source(0)).len(), 2);
        // All is told anew.
        rounds.rest(0, "a", "2").await;
        rounds.rest(0, "b", "2").await;
        assert!(rounds.due(60)[0].read.tell_all());
    }

    #[tokio::test]
    async fn a_round_in_which_somebody_rests_is_not_forgotten() {
        let mut rounds = Clock::start();
        rounds.rest(0, "a", "1").await;
        let now = rounds.at(600);
        rounds.0.tidy(now);
        assert_eq!(rounds.due(600).len(), 1);
        rounds.0.tidy(now);
        assert_eq!(rounds.0.len(), 1);
    }
}
