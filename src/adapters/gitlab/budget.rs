//! How many requests may be sent: the connection's own rate, and GitLab's word when that was too
//! many.

use std::{
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use tokio::time::Instant;

/// How long a request waits for its turn. One that would wait longer is given back to its caller, who
/// has better things to do.
const PATIENCE: Duration = Duration::from_secs(5);

/// The rate at which requests are sent with one token.
pub struct Budget {
    limiter: DefaultDirectRateLimiter,
    /// GitLab does not want to hear of us before.
    held_until: Mutex<Option<Instant>>,
}

impl Budget {
    /// So many a minute, a tenth of them at once.
    pub fn new(per_minute: i32) -> Self {
        let per_minute = u32::try_from(per_minute)
            .ok()
            .and_then(NonZeroU32::new)
            .unwrap_or(NonZeroU32::MIN);
        let burst = NonZeroU32::new(per_minute.get() / 10).unwrap_or(NonZeroU32::MIN);
        Self {
            limiter: RateLimiter::direct(Quota::per_minute(per_minute).allow_burst(burst)),
            held_until: Mutex::new(None),
        }
    }

    /// Waits for its turn; the error is how long that would take.
    pub async fn turn(&self) -> Result<(), Duration> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = Instant::now();
            if let Some(until) = self.held().filter(|until| *until > now) {
                return Err(until - now);
            }
            let Err(not_until) = self.limiter.check() else {
                return Ok(());
            };
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            if now + wait > deadline {
                return Err(wait);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends nothing more for this long.
    pub fn hold(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut held = self
            .held_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *held = Some(held.map_or(until, |held| held.max(until)));
    }

    fn held(&self) -> Option<Instant> {
        *self
            .held_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_over_the_budget_is_given_back() {
        let budget = Budget::new(20);
        assert_eq!(budget.turn().await, Ok(()));
        assert_eq!(budget.turn().await, Ok(()));
        let refused = Budget::new(1);
        assert_eq!(refused.turn().await, Ok(()));
        assert!(refused.turn().await.is_err_and(|wait| wait > PATIENCE));
    }

    #[tokio::test]
    async fn nothing_is_sent_while_gitlab_holds_us_off() {
        let budget = Budget::new(600);
        budget.hold(Duration::from_secs(100));
        budget.hold(Duration::from_secs(1));
        assert!(budget.turn().await.is_err_and(|wait| wait > PATIENCE));
    }
}
