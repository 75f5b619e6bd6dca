//! The Lease as a record, and the next move. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::api::ObjectMeta;
use tokio::time::Instant;

use super::settings::Settings;

/// The assumed duration of a Lease that names none.
const DEFAULT: Duration = Duration::from_secs(15);

/// A Lease, and since when this process has observed it unchanged.
#[derive(Clone, Debug)]
pub struct Sighting {
    pub lease: Lease,
    pub since: Instant,
}

impl Sighting {
    /// Observes a Lease now; keeps the earlier time if it has not been written since.
    pub fn of(lease: Lease, before: Option<Self>, now: Instant) -> Self {
        let version = &lease.metadata.resource_version;
        let since = before
            .filter(|before| before.lease.metadata.resource_version == *version)
            .map_or(now, |before| before.since);
        Self { lease, since }
    }
}

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// No Lease exists: create it.
    Create,
    /// The Lease is free, this process's own, or expired.
    Take {
        /// Another process held it and did not release it.
        from_other: bool,
    },
    /// Another process holds it.
    Wait,
}

/// The next move of `me`.
pub fn next(me: &str, sighting: Option<&Sighting>, now: Instant) -> Move {
    let Some(Sighting { lease, since }) = sighting else {
        return Move::Create;
    };
    match holder(lease) {
        None => Move::Take { from_other: false },
        Some(holder) if holder == me => Move::Take { from_other: false },
        Some(_) if now.saturating_duration_since(*since) >= duration(lease) => {
            Move::Take { from_other: true }
        }
        Some(_) => Move::Wait,
    }
}

/// The holder; `None` if the Lease was released.
pub fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    (!holder.is_empty()).then_some(holder)
}

fn duration(lease: &Lease) -> Duration {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.lease_duration_seconds)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(DEFAULT, Duration::from_secs)
}

/// A new Lease, held by this process.
pub fn created(settings: &Settings, now: Timestamp) -> Lease {
    let empty = Lease {
        metadata: ObjectMeta {
            name: Some(settings.name.clone()),
            ..ObjectMeta::default()
        },
        spec: None,
    };
    claimed(&empty, settings, now)
}

/// The Lease after it is taken or renewed. It keeps its resourceVersion: a write in between makes
/// this one fail.
pub fn claimed(lease: &Lease, settings: &Settings, now: Timestamp) -> Lease {
    let before = lease.spec.clone().unwrap_or_default();
    let is_own = holder(lease) == Some(settings.identity.as_str());
    let transitions = before.lease_transitions.unwrap_or_default();
    let first = before.acquire_time.is_none() && holder(lease).is_none();
    Lease {
        metadata: lease.metadata.clone(),
        spec: Some(LeaseSpec {
            holder_identity: Some(settings.identity.clone()),
            lease_duration_seconds: Some(
                i32::try_from(settings.duration.as_secs()).unwrap_or(i32::MAX),
            ),
            acquire_time: if is_own {
                before.acquire_time.clone()
            } else {
                Some(MicroTime(now))
            },
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(if is_own || first {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..before
        }),
    }
}

/// The Lease after it is released.
pub fn released(lease: &Lease, now: Timestamp) -> Lease {
    let before = lease.spec.clone().unwrap_or_default();
    Lease {
        metadata: lease.metadata.clone(),
        spec: Some(LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            renew_time: Some(MicroTime(now)),
            ..before
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(identity: &str) -> Settings {
        Settings {
            name: "sluice".into(),
            identity: identity.into(),
            duration: Duration::from_secs(15),
            renew: Duration::from_secs(5),
            retry: Duration::from_secs(2),
            takeover_delay: Duration::from_secs(16),
        }
    }

    fn lease(identity: &str, version: &str) -> Lease {
        let mut lease = created(&settings(identity), Timestamp::UNIX_EPOCH);
        lease.metadata.resource_version = Some(version.into());
        lease
    }

    fn after(seconds: u64, since: Instant) -> Instant {
        since + Duration::from_secs(seconds)
    }

    #[test]
    fn missing_lease_is_created() {
        assert_eq!(next("a", None, Instant::now()), Move::Create);
    }

    #[test]
    fn foreign_lease_is_taken_once_observed_unchanged_for_its_duration() {
        let start = Instant::now();
        let seen = Sighting::of(lease("a", "1"), None, start);
        assert_eq!(next("b", Some(&seen), after(14, start)), Move::Wait);
        let seen = Sighting::of(lease("a", "1"), Some(seen), after(15, start));
        assert_eq!(
            next("b", Some(&seen), after(15, start)),
            Move::Take { from_other: true }
        );
    }

    #[test]
    fn renewal_restarts_the_wait() {
        let start = Instant::now();
        let seen = Sighting::of(lease("a", "1"), None, start);
        let seen = Sighting::of(lease("a", "2"), Some(seen), after(10, start));
        assert_eq!(next("b", Some(&seen), after(24, start)), Move::Wait);
    }

    #[test]
    fn clock_that_lags_takes_no_lease() {
        // The Lease says that it was renewed in 1970: only observations of this process count.
        let start = Instant::now();
        let seen = Sighting::of(lease("a", "1"), None, start);
        assert_eq!(next("b", Some(&seen), start), Move::Wait);
    }

    #[test]
    fn released_lease_and_own_lease_are_taken_at_once() {
        let start = Instant::now();
        let free = released(&lease("a", "1"), Timestamp::UNIX_EPOCH);
        let free = Sighting::of(free, None, start);
        let own = Sighting::of(lease("b", "1"), None, start);
        for seen in [free, own] {
            assert_eq!(
                next("b", Some(&seen), start),
                Move::Take { from_other: false }
            );
        }
    }

    #[test]
    fn only_a_new_holder_counts_as_a_transition() {
        let later = Timestamp::from_second(60).unwrap();
        let first = lease("a", "1");
        let count = |lease: &Lease| lease.spec.as_ref().unwrap().lease_transitions.unwrap();
        assert_eq!(count(&first), 0);
        let renewed = claimed(&first, &settings("a"), later);
        assert_eq!(count(&renewed), 0);
        let acquired = &renewed.spec.as_ref().unwrap().acquire_time;
        assert_eq!(acquired, &Some(MicroTime(Timestamp::UNIX_EPOCH)));
        let taken = claimed(&renewed, &settings("b"), later);
        assert_eq!(count(&taken), 1);
        assert_eq!(taken.metadata.resource_version.as_deref(), Some("1"));
        let again = claimed(&released(&taken, later), &settings("c"), later);
        assert_eq!(count(&again), 2);
    }
}
