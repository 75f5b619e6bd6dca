//! The budgets of requests: one for each host, which all connections to it share, and one for each
//! connection; and the pauses that GitLab asks for.
//!
//! Guarantees
//! - Requests wait in a queue. The waiting namespaces take turns at the host's budget, in order within each:
//!   no request is starved, and none has to try again.
//! - A connection can ask for less than its host's budget, never for more.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::Instant;

use crate::fair_semaphore::FairSemaphore;

/// The requests a minute to a host, unless the platform team sets another rate. gitlab.com allows a user
/// 2000.
pub const DEFAULT_PER_MINUTE: u32 = 1200;

/// How long a request waits in the queue at most. One that would wait longer is refused at once, so that its
/// caller can do other work.
const PATIENCE: Duration = Duration::from_secs(10);

/// The requests a minute to each host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    others: u32,
    hosts: BTreeMap<String, u32>,
}

impl Rates {
    /// `others` applies to hosts that are not in `hosts`, whose names are in lower case.
    pub fn new(others: u32, hosts: impl IntoIterator<Item = (String, u32)>) -> Self {
        Self {
            others,
            hosts: hosts.into_iter().collect(),
        }
    }

    /// The rate of a host.
    pub fn of(&self, host: &str) -> u32 {
        self.hosts.get(host).copied().unwrap_or(self.others)
    }
}

/// The budgets of all hosts with connections.
pub struct Hosts {
    rates: Rates,
    hosts: Mutex<HashMap<String, Weak<Host>>>,
}

/// The budget of one host.
struct Host {
    name: String,
    rate: Rate,
    /// The holder of the one permit is next.
    line: Arc<FairSemaphore>,
}

/// The budget of one connection.
pub struct Budget {
    namespace: String,
    /// Set if it is lower than the host's.
    own: Option<Rate>,
    host: Arc<Host>,
    /// GitLab asked for a pause until then.
    held_until: Mutex<Option<Instant>>,
}

/// Why a request is not sent now.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// How long the refusal lasts.
    pub wait: Duration,
    /// The reason.
    pub why: String,
}

impl Hosts {
    /// No requests were sent yet.
    pub fn new(rates: Rates) -> Self {
        Self {
            rates,
            hosts: Mutex::default(),
        }
    }

    /// The budget of a connection from `namespace` to `host` that asks for `per_minute` requests.
    pub fn budget(&self, namespace: &str, host: &str, per_minute: i32) -> Budget {
        let rate = self.rates.of(host);
        let own = u32::try_from(per_minute).unwrap_or(1);
        Budget {
            namespace: namespace.to_owned(),
            own: (own < rate).then(|| Rate::per_minute(own)),
            host: self.host(host, rate),
            held_until: Mutex::new(None),
        }
    }

    fn host(&self, name: &str, rate: u32) -> Arc<Host> {
        let mut hosts = lock(&self.hosts);
        if let Some(host) = hosts.get(name).and_then(Weak::upgrade) {
            return host;
        }
        hosts.retain(|_, host| host.strong_count() > 0);
        let host = Arc::new(Host {
            name: name.to_owned(),
            rate: Rate::per_minute(rate),
            line: FairSemaphore::new(1, 1),
        });
        hosts.insert(name.to_owned(), Arc::downgrade(&host));
        host
    }
}

impl Budget {
    /// Waits for the turn of one request.
    pub async fn turn(&self) -> Result<(), Refused> {
        self.held()?;
        if let Some(own) = &self.own {
            let wait = own.take(Instant::now(), PATIENCE);
            pause(wait.map_err(|wait| Refused {
                wait,
                why: "spec.requestsPerMinute of the GitLabConnection is used up".to_owned(),
            })?)
            .await;
        }
        self.host.turn(&self.namespace).await?;
        self.held()
    }

    /// Stops requests for this long.
    pub fn hold(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut held = lock(&self.held_until);
        *held = Some(held.map_or(until, |held| held.max(until)));
    }

    fn held(&self) -> Result<(), Refused> {
        let now = Instant::now();
        let until = lock(&self.held_until).filter(|until| *until > now);
        until.map_or(Ok(()), |until| {
            Err(Refused {
                wait: until - now,
                why: "GitLab asked for a pause".to_owned(),
            })
        })
    }
}

impl Host {
    async fn turn(&self, namespace: &str) -> Result<(), Refused> {
        let refused = |wait| Refused {
            wait,
            why: format!(
                "the budget of requests to {}, which all GitLabConnections to it share, is used up \
                 (the platform team sets it with gitlab.requestsPerMinute)",
                self.name
            ),
        };
        let wait = self.rate.wait(self.line.ahead(namespace), Instant::now());
        if wait > PATIENCE {
            return Err(refused(wait));
        }
        let _next = self.line.acquire(namespace).await;
        let wait = self
            .rate
            .take(Instant::now(), Duration::MAX)
            .map_err(refused)?;
        pause(wait).await;
        Ok(())
    }
}

async fn pause(wait: Duration) {
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
}

/// An even rate, with a burst of a tenth of a minute's requests after idle time.
struct Rate {
    interval: Duration,
    /// How far granted requests may be ahead of the even rate.
    slack: Duration,
    /// When the next request is due at the even rate.
    due: Mutex<Instant>,
}

impl Rate {
    fn per_minute(rate: u32) -> Self {
        let rate = rate.max(1);
        let interval = Duration::from_mins(1) / rate;
        let at_once = (rate / 10).max(1);
        Self {
            interval,
            slack: interval * (at_once - 1),
            due: Mutex::new(Instant::now()),
        }
    }

    /// How long a request with `ahead` others before it waits.
    fn wait(&self, ahead: usize, now: Instant) -> Duration {
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        let due = (*lock(&self.due)).max(now);
        let early = due.saturating_duration_since(now + self.slack);
        early.saturating_add(self.interval.saturating_mul(ahead))
    }

    /// Takes a turn and returns the wait before it. If the wait is longer than `patience`, takes
    /// none and returns the wait as an error.
    fn take(&self, now: Instant, patience: Duration) -> Result<Duration, Duration> {
        let mut due = lock(&self.due);
        let at = (*due).max(now);
        let wait = at.saturating_duration_since(now + self.slack);
        if wait > patience {
            return Err(wait);
        }
        *due = at + self.interval;
        Ok(wait)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn hosts(per_minute: u32) -> Hosts {
        Hosts::new(Rates::new(per_minute, []))
    }

    /// How many turns are granted without a wait.
    fn at_once(budget: &Budget) -> usize {
        let turns = std::iter::from_fn(|| budget.turn().now_or_never());
        turns.take_while(Result::is_ok).count()
    }

    #[test]
    fn turns_are_even_after_a_burst_of_a_tenth() {
        let rate = Rate::per_minute(60);
        let now = Instant::now();
        let waits: Vec<u64> = (0..9)
            .filter_map(|_| rate.take(now, PATIENCE).ok())
            .map(|wait| {
                wait.as_millis()
                    .div_ceil(1000)
                    .try_into()
                    .unwrap_or(u64::MAX)
            })
            .collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 1, 2, 3]);
        // An hour later, only the burst of a tenth is granted at once.
        let later = now + Duration::from_hours(1);
        let waits = (0..100).filter_map(|_| rate.take(later, Duration::ZERO).ok());
        assert_eq!(waits.count(), 6);
    }

    #[test]
    fn turn_beyond_the_patience_is_not_taken() {
        let rate = Rate::per_minute(1);
        let now = Instant::now();
        assert_eq!(rate.take(now, PATIENCE), Ok(Duration::ZERO));
        for _ in 0..3 {
            let wait = rate.take(now, PATIENCE).unwrap_err();
            assert!(wait <= Duration::from_mins(1), "{wait:?}");
        }
    }

    #[tokio::test]
    async fn connections_to_one_host_share_its_budget() {
        let hosts = Hosts::new(Rates::new(100, [("git.example.com".to_owned(), 200)]));
        let one = hosts.budget("shop", "gitlab.com", 100_000);
        let other = hosts.budget("till", "gitlab.com", 100_000);
        let elsewhere = hosts.budget("shop", "git.example.com", 100_000);
        assert_eq!(at_once(&one), 10);
        assert_eq!(at_once(&other), 0);
        assert_eq!(at_once(&elsewhere), 20);
    }

    #[tokio::test]
    async fn connection_lowers_only_its_own_rate() {
        let hosts = hosts(1000);
        let modest = hosts.budget("shop", "gitlab.com", 20);
        assert_eq!(at_once(&modest), 2);
        let other = hosts.budget("till", "gitlab.com", 600);
        assert_eq!(at_once(&other), 60);
    }

    #[tokio::test]
    async fn overlong_queue_refuses_a_request_at_once() {
        let hosts = hosts(60);
        let busy = hosts.budget("shop", "gitlab.com", 100_000);
        let mut queue = Vec::new();
        let refused = loop {
            assert!(queue.len() < 100, "the queue never ends");
            let mut turn = Box::pin(busy.turn());
            match turn.as_mut().now_or_never() {
                Some(Ok(())) => {}
                Some(Err(refused)) => break refused,
                None => queue.push(turn),
            }
        };
        assert!(refused.wait > PATIENCE, "{refused:?}");
        assert!(refused.why.contains("gitlab.com"), "{refused:?}");
        assert!((8..=11).contains(&queue.len()), "{}", queue.len());
        // Another namespace waits for one of these requests, not for all.
        let other = hosts.budget("till", "gitlab.com", 100_000);
        assert!(other.turn().now_or_never().is_none(), "it is queued");
    }

    #[tokio::test]
    async fn nothing_is_sent_during_a_pause_that_gitlab_asked_for() {
        let hosts = hosts(600);
        let budget = hosts.budget("shop", "gitlab.com", 600);
        budget.hold(Duration::from_secs(100));
        budget.hold(Duration::from_secs(1));
        let refused = budget.turn().await.unwrap_err();
        assert!(
            refused.wait > PATIENCE && refused.why.contains("pause"),
            "{refused:?}"
        );
        let other = hosts.budget("till", "gitlab.com", 600);
        assert_eq!(other.turn().await, Ok(()), "the pause is another token's");
    }
}
