//! Poll rounds: Deployments that follow the same ref of the same project are polled together, and may rest
//! until GitLab has news.
//!
//! A resting Deployment is not reconciled every minute, because it would find nothing to do. Instead, one
//! conditional request asks for all of them whether their last reads still hold; if not, they are woken.

use std::{collections::HashMap, time::Instant};

use kube::runtime::reflector::ObjectRef;

use crate::{api::v1alpha1::Deployment, domain::digest::Sha256, ports::validators::Validators};

/// The rounds, by source.
#[derive(Default)]
pub struct Rounds(HashMap<Sha256, Round>);

/// The Deployments of one source.
struct Round {
    /// When the next poll is due.
    at: Instant,
    /// Whether a poll for the resting Deployments is running.
    is_asked: bool,
    /// The Deployments that need not poll for themselves, by UID.
    resting: HashMap<String, ObjectRef<Deployment>>,
    /// The validators of their last reads.
    read: Validators,
}

/// A due poll for resting Deployments.
pub struct Due {
    pub source: Sha256,
    pub at: Instant,
    /// Any of them: all follow the same ref.
    pub deployment: ObjectRef<Deployment>,
    /// The reads to check. If it is unknown whether they still hold, GitLab is not asked.
    pub read: Validators,
}

impl Rounds {
    /// When a Deployment of this source polls next: when the others do, or at `at`.
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

    /// Removes the rounds that are over and in which no Deployment rests.
    pub fn remove_finished(&mut self, now: Instant) {
        self.0
            .retain(|_, round| round.at > now || round.is_asked || !round.resting.is_empty());
    }

    /// The number of rounds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Lets a Deployment rest until what it read changes, which is polled at `at` or together with those that
    /// rest already. Returns whether it is the first in the round.
    pub fn rest(
        &mut self,
        (source, at): (Sha256, Instant),
        uid: String,
        deployment: ObjectRef<Deployment>,
        read: Validators,
    ) -> bool {
        let round = self.0.entry(source).or_insert_with(|| Round::at(at));
        let is_first = round.resting.is_empty();
        round.resting.insert(uid, deployment);
        round.read.merge(read);
        is_first
    }

    /// Takes out a Deployment that polls for itself.
    pub fn leave(&mut self, source: Sha256, uid: &str) {
        if let Some(round) = self.0.get_mut(&source) {
            round.resting.remove(uid);
        }
    }

    /// When the first poll for resting Deployments is due.
    pub fn earliest(&self) -> Option<Instant> {
        let waiting = self
            .0
            .values()
            .filter(|it| !it.is_asked && !it.resting.is_empty());
        waiting.map(|round| round.at).min()
    }

    /// Starts the polls that are due now. Each ends with [`Rounds::unchanged`] or [`Rounds::news`].
    pub fn due(&mut self, now: Instant) -> Vec<Due> {
        let mut due = Vec::new();
        for (source, round) in &mut self.0 {
            if let Some(deployment) = round.resting.values().next()
                && !round.is_asked
                && round.at <= now
            {
                round.is_asked = true;
                due.push(Due {
                    source: *source,
                    at: round.at,
                    deployment: deployment.clone(),
                    read: round.read.clone(),
                });
            }
        }
        due
    }

    /// Ends a poll whose reads still hold; the next one is due at `at`. Returns the UIDs of the resting
    /// Deployments.
    pub fn unchanged(&mut self, source: Sha256, at: Instant) -> Vec<String> {
        let Some(round) = self.0.get_mut(&source) else {
            return Vec::new();
        };
        round.is_asked = false;
        round.at = at;
        round.resting.keys().cloned().collect()
    }

    /// Ends a poll whose reads changed or are unknown. Returns the Deployments, each of which now polls for
    /// itself.
    pub fn news(&mut self, source: Sha256) -> Vec<ObjectRef<Deployment>> {
        let Some(round) = self.0.get_mut(&source) else {
            return Vec::new();
        };
        round.is_asked = false;
        round.read = Validators::default();
        round
            .resting
            .drain()
            .map(|(_, deployment)| deployment)
            .collect()
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

    /// Rounds, and the start of the test.
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
            let deployment = ObjectRef::new(name);
            self.0
                .rest((source(nth), at), name.to_owned(), deployment, read)
        }

        fn due(&mut self, now: u64) -> Vec<Due> {
            self.0.due(self.at(now))
        }
    }

    fn source(nth: u32) -> Sha256 {
        Sha256::of_json(&nth)
    }

    #[test]
    fn finished_round_is_replaced_and_removed_when_unused() {
        let mut rounds = Clock::start();
        assert_eq!(rounds.next(0, 60, 0), 60);
        assert_eq!(rounds.next(0, 119, 59), 60);
        assert_eq!(rounds.next(0, 120, 60), 120);
        for nth in 1..=32 {
            rounds.next(nth, 60, 0);
        }
        let now = rounds.at(120);
        rounds.0.remove_finished(now);
        assert_eq!(rounds.0.len(), 0);
    }

    #[tokio::test]
    async fn resting_deployments_share_one_poll_at_a_time() {
        let mut rounds = Clock::start();
        rounds.next(0, 60, 0);
        assert_eq!(rounds.0.earliest(), None, "no Deployment rests");
        assert!(rounds.rest(0, "a", "1").await);
        assert!(!rounds.rest(0, "b", "1").await, "one rests already");
        assert_eq!(rounds.0.earliest(), Some(rounds.at(60)));
        assert_eq!(rounds.due(59).len(), 0);
        let due = rounds.due(60);
        assert_eq!(due.len(), 1, "one poll for both");
        assert!(due[0].read.can_revalidate());
        assert_eq!(rounds.due(61).len(), 0, "the poll is running");
        assert_eq!(rounds.0.earliest(), None);
        // A Deployment that polls meanwhile keeps its own time.
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
        assert_eq!(rounds.due(200).len(), 0, "no Deployment rests");
        rounds.0.remove_finished(rounds.at(200));
        assert_eq!(rounds.0.len(), 0);
    }

    #[tokio::test]
    async fn conflicting_reads_end_the_shared_poll_of_a_round() {
        let mut rounds = Clock::start();
        rounds.rest(0, "a", "1").await;
        rounds.rest(0, "b", "2").await;
        assert!(!rounds.due(60)[0].read.can_revalidate());
        assert_eq!(rounds.0.news(source(0)).len(), 2);
        // Now both have read the same.
        rounds.rest(0, "a", "2").await;
        rounds.rest(0, "b", "2").await;
        assert!(rounds.due(60)[0].read.can_revalidate());
    }

    #[tokio::test]
    async fn round_with_a_resting_deployment_is_kept() {
        let mut rounds = Clock::start();
        rounds.rest(0, "a", "1").await;
        let now = rounds.at(600);
        rounds.0.remove_finished(now);
        assert_eq!(rounds.due(600).len(), 1);
        rounds.0.remove_finished(now);
        assert_eq!(rounds.0.len(), 1);
    }
}
