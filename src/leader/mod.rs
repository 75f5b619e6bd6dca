//! One leader at a time, by a Lease in the controller's namespace.
//!
//! # Expected flow
//! *standby → held → settled → leading → released or lost*. The holder of the Lease renews it.
//! Standbys poll it and take it once it has not been renewed for its duration.
//!
//! # Guarantees
//! - The [`Fence`] is open only while the Lease is held, counted from before the renewal was sent,
//!   on the monotonic clock. A process that was paused wakes up behind a closed fence.
//! - A Lease that was taken from a holder who did not release it opens the fence only after
//!   `takeover_delay`: by then every call that the former leader began in its time has timed out.
//! - Expiry depends on how long this process has observed the Lease unchanged; no two clocks are
//!   compared.
//!
//! # Assumptions
//! - No external call takes longer than `takeover_delay`.
//! - An identity belongs to one running process: a container restarted in the same pod may reuse its
//!   Lease at once, because the previous container has ended.
//!
//! # Errors
//! Losing the Lease ends the process: everything in memory was valid only under it.

mod lease;
mod settings;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::PostParams};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::lease::{Move, Sighting, claimed, created, next, released};
pub use self::settings::Settings;
use crate::fence::Fence;

/// Whether this process leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Another process leads, or none does yet.
    Standby,
    /// This process leads.
    Leading,
}

/// This process lost the Lease.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Another process took it.
    #[error("Lease {lease} was taken by {holder}: this process was cut off or paused for too long")]
    Taken {
        /// The Lease.
        lease: String,
        /// The new holder.
        holder: String,
    },
    /// The Lease was deleted.
    #[error("Lease {lease} was deleted while it was held")]
    Deleted {
        /// The Lease.
        lease: String,
    },
    /// The Lease expired.
    #[error(
        "Lease {lease} could not be renewed in time (last: {last}); check the API server and the \
         network between"
    )]
    Expired {
        /// The Lease.
        lease: String,
        /// The last failure.
        last: String,
    },
}

/// A failed call about the Lease.
#[derive(Debug, thiserror::Error)]
enum CallFailed {
    #[error(transparent)]
    Refused(#[from] kube::Error),
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

/// The Lease as this process last wrote it.
struct Held {
    lease: Lease,
    /// Before the write was sent.
    since: Instant,
}

/// Takes part in the election.
pub struct Elector {
    api: Api<Lease>,
    settings: Settings,
    fence: Fence,
    phase: watch::Sender<Phase>,
}

impl Elector {
    /// Takes part with `api`, whose client must not retry by itself.
    pub fn new(
        api: Api<Lease>,
        settings: Settings,
        fence: Fence,
    ) -> (Self, watch::Receiver<Phase>) {
        let (phase, phases) = watch::channel(Phase::Standby);
        let elector = Self {
            api,
            settings,
            fence,
            phase,
        };
        (elector, phases)
    }

    /// Stands by, leads, and releases the Lease once `finish` is cancelled: when nothing writes any
    /// more.
    pub async fn run(self, finish: CancellationToken) -> Result<(), Lost> {
        let acquired = tokio::select! {
            acquired = self.acquire() => acquired,
            () = finish.cancelled() => return Ok(()),
        };
        let (held, delay) = acquired;
        let end = self.hold(held, delay, &finish).await;
        self.fence.close();
        self.phase.send_replace(Phase::Standby);
        let held = end?;
        self.release(held).await;
        Ok(())
    }

    /// Waits until this process holds the Lease. Also returns how long to wait before leading.
    async fn acquire(&self) -> (Held, Duration) {
        let Settings { name, retry, .. } = &self.settings;
        let mut sighting: Option<Sighting> = None;
        info!(
            lease = name,
            identity = self.settings.identity,
            "standing by"
        );
        loop {
            match self.try_acquire(&mut sighting).await {
                Ok(Some(acquired)) => return acquired,
                Ok(None) => {}
                Err(CallFailed::Refused(kube::Error::Api(status))) if status.is_conflict() => {}
                Err(error) => warn!(lease = name, %error, "the Lease can't be read or taken"),
            }
            sleep_until(Instant::now() + jittered(*retry)).await;
        }
    }

    async fn try_acquire(
        &self,
        sighting: &mut Option<Sighting>,
    ) -> Result<Option<(Held, Duration)>, CallFailed> {
        let settings = &self.settings;
        let lease = self.call(self.api.get_opt(&settings.name)).await?;
        let now = Instant::now();
        *sighting = lease.map(|lease| Sighting::of(lease, sighting.take(), now));
        let step = next(&settings.identity, sighting.as_ref(), now);
        let since = Instant::now();
        let (lease, delay) = match (step, sighting.as_ref()) {
            (Move::Create, _) => {
                let lease = created(settings, Timestamp::now());
                let lease = self
                    .call(self.api.create(&PostParams::default(), &lease))
                    .await?;
                (lease, Duration::ZERO)
            }
            (Move::Take { from_other }, Some(seen)) => {
                let lease = claimed(&seen.lease, settings, Timestamp::now());
                let lease = self.replace(&lease).await?;
                let delay = if from_other {
                    settings.takeover_delay
                } else {
                    Duration::ZERO
                };
                (lease, delay)
            }
            (Move::Take { .. } | Move::Wait, _) => return Ok(None),
        };
        info!(lease = settings.name, ?delay, "acquired the Lease");
        Ok(Some((Held { lease, since }, delay)))
    }

    /// Renews until `finish`, and leads once `delay` has passed.
    async fn hold(
        &self,
        mut held: Held,
        delay: Duration,
        finish: &CancellationToken,
    ) -> Result<Held, Lost> {
        let settings = &self.settings;
        let settled = held.since + delay;
        let mut renew_at = held.since + settings.renew;
        let mut last_failure = String::from("none");
        loop {
            let expires = held.since + settings.duration;
            let now = Instant::now();
            if now >= expires {
                return Err(Lost::Expired {
                    lease: settings.name.clone(),
                    last: last_failure,
                });
            }
            if now >= settled {
                self.fence.open_until(expires);
                if *self.phase.borrow() == Phase::Standby {
                    info!(lease = settings.name, "leading");
                    self.phase.send_replace(Phase::Leading);
                }
            }
            let wake = if now < settled { settled } else { expires }.min(renew_at);
            tokio::select! {
                () = sleep_until(wake) => {}
                () = finish.cancelled() => return Ok(held),
            }
            if Instant::now() < renew_at {
                continue;
            }
            match self.renew(&held).await {
                Ok(renewed) => {
                    held = renewed;
                    renew_at = held.since + settings.renew;
                }
                Err(RenewFailed::Lost(lost)) => return Err(lost),
                Err(RenewFailed::Again(error)) => {
                    warn!(lease = settings.name, error, "the Lease was not renewed");
                    last_failure = error;
                    renew_at = Instant::now() + jittered(settings.retry);
                }
            }
        }
    }

    async fn renew(&self, held: &Held) -> Result<Held, RenewFailed> {
        let settings = &self.settings;
        let since = Instant::now();
        let lease = claimed(&held.lease, settings, Timestamp::now());
        let error = match self.replace(&lease).await {
            Ok(lease) => return Ok(Held { lease, since }),
            Err(error) => error,
        };
        let stale = matches!(&error, CallFailed::Refused(kube::Error::Api(status))
            if status.is_conflict() || status.is_not_found());
        if !stale {
            return Err(RenewFailed::Again(error.to_string()));
        }
        // The Lease was written: perhaps by this process, and the answer was lost.
        let again = |error: CallFailed| RenewFailed::Again(error.to_string());
        let found = self
            .call(self.api.get_opt(&settings.name))
            .await
            .map_err(again)?;
        let Some(found) = found else {
            return Err(RenewFailed::Lost(Lost::Deleted {
                lease: settings.name.clone(),
            }));
        };
        match lease::holder(&found) {
            Some(holder) if holder == settings.identity => {
                let since = Instant::now();
                let lease = claimed(&found, settings, Timestamp::now());
                let lease = self.replace(&lease).await.map_err(again)?;
                Ok(Held { lease, since })
            }
            holder => Err(RenewFailed::Lost(Lost::Taken {
                lease: settings.name.clone(),
                holder: holder.unwrap_or("no holder").to_owned(),
            })),
        }
    }

    /// Releases the Lease, so that a standby takes it at once.
    async fn release(&self, held: Held) {
        let lease = released(&held.lease, Timestamp::now());
        match self.replace(&lease).await {
            Ok(_) => info!(lease = self.settings.name, "released the Lease"),
            Err(error) => {
                warn!(lease = self.settings.name, %error, "the Lease was not released and will expire");
            }
        }
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, CallFailed> {
        self.call(
            self.api
                .replace(&self.settings.name, &PostParams::default(), lease),
        )
        .await
    }

    /// Limits a call, so that it can't use up the time of the next one.
    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, CallFailed> {
        let limit = self.settings.renew;
        match timeout(limit, call).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(CallFailed::TimedOut(limit)),
        }
    }
}

enum RenewFailed {
    Again(String),
    Lost(Lost),
}

/// Up to a quarter longer, so that standbys don't move in step.
fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(1.0 + fastrand::f64() / 4.0)
}
