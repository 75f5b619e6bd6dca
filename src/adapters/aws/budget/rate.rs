//! The rate of calls: what AWS allows, and less for a while after it throttled one.

use std::time::Duration;

use tokio::time::Instant;

/// How long calls pause after AWS throttled one, if AWS does not say for how long.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the rate takes from half of it back to all of it.
const RECOVERY: Duration = Duration::from_secs(10);

/// The rate never falls below this fraction of the full rate.
const MIN_FRACTION: f64 = 1.0 / 8.0;

/// A token bucket that holds at most half a second's worth of tokens: AWS counts by the second.
#[derive(Debug)]
pub(super) struct Rate {
    full: f64,
    tokens: f64,
    filled_at: Instant,
    /// The rate right after AWS last throttled a call, and when calls continue.
    slowed: Option<(f64, Instant)>,
}

impl Rate {
    pub(super) fn per_second(calls: u32, now: Instant) -> Self {
        let full = f64::from(calls);
        Self {
            full,
            tokens: burst(full),
            filled_at: now,
            slowed: None,
        }
    }

    /// Allows this many calls a second from now on.
    pub(super) fn allow(&mut self, calls: u32, now: Instant) {
        self.fill(now);
        self.full = f64::from(calls);
    }

    /// Takes a token, or returns when the next one comes.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        self.fill(now);
        if let Some((_, from)) = self.slowed.filter(|(_, from)| *from > now) {
            return Err(from);
        }
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(now + self.time_for(1.0 - self.tokens, now))
    }

    /// How long this many calls take.
    pub(super) fn time_for(&self, calls: f64, now: Instant) -> Duration {
        // The extra millisecond makes up for rounding.
        Duration::from_secs_f64(calls / self.at(now)) + Duration::from_millis(1)
    }

    /// Notes that AWS throttled a call: all calls pause, and then continue slowly.
    pub(super) fn refused(&mut self, now: Instant, pause: Option<Duration>) {
        self.fill(now);
        self.tokens = 0.0;
        let until = now + pause.unwrap_or(PAUSE).min(RECOVERY);
        // Calls that were sent together are throttled together, and count as one.
        if let Some((_, from)) = &mut self.slowed
            && *from > now
        {
            *from = until.max(*from);
            return;
        }
        let rate = (self.at(now) / 2.0).max(self.full * MIN_FRACTION);
        self.slowed = Some((rate, until));
    }

    fn fill(&mut self, now: Instant) {
        let begin = self
            .slowed
            .map_or(self.filled_at, |(_, from)| from.max(self.filled_at));
        let passed = now.saturating_duration_since(begin).as_secs_f64();
        self.tokens = (self.tokens + passed * self.at(now)).min(burst(self.full));
        self.filled_at = now.max(self.filled_at);
    }

    /// The present rate, in calls a second.
    fn at(&self, now: Instant) -> f64 {
        let Some((rate, from)) = self.slowed else {
            return self.full;
        };
        let passed = now.saturating_duration_since(from).as_secs_f64();
        let more = self.full / 2.0 * passed / RECOVERY.as_secs_f64();
        (rate + more).min(self.full)
    }
}

fn burst(rate: f64) -> f64 {
    (rate / 2.0).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many calls get a token in this time, tried every millisecond.
    fn let_through(rate: &mut Rate, from: Instant, span: Duration) -> usize {
        let millis = u64::try_from(span.as_millis()).expect("short");
        let moments = (0..millis).map(|milli| from + Duration::from_millis(milli));
        moments.filter(|now| rate.take(*now).is_ok()).count()
    }

    #[test]
    fn burst_is_half_a_second_of_calls() {
        let begin = Instant::now();
        let mut rate = Rate::per_second(10, begin);
        let burst = (0..100).filter(|_| rate.take(begin).is_ok()).count();
        assert_eq!(burst, 5);
        let next = rate.take(begin).expect_err("used up");
        assert!(next > begin && next <= begin + Duration::from_millis(101));
        assert_eq!(rate.take(next), Ok(()), "at the returned time");
        let later = let_through(&mut rate, begin, Duration::from_secs(10));
        assert!((98..=100).contains(&later), "{later}");
    }

    #[test]
    fn throttling_pauses_and_halves_the_rate() {
        let begin = Instant::now();
        let mut rate = Rate::per_second(10, begin);
        rate.refused(begin, None);
        // Calls that were sent together count once.
        rate.refused(begin, None);
        assert_eq!(rate.take(begin), Err(begin + PAUSE));
        let second = |rate: &mut Rate, nth: u32| let_through(rate, begin + PAUSE * nth, PAUSE);
        assert_eq!(second(&mut rate, 0), 0);
        let slow = second(&mut rate, 1);
        assert!((4..=6).contains(&slow), "{slow}");
        for nth in 2..12 {
            second(&mut rate, nth);
        }
        let full = second(&mut rate, 12);
        assert!((9..=10).contains(&full), "{full}");
    }

    #[test]
    fn retry_after_is_honored_up_to_a_limit() {
        let begin = Instant::now();
        let mut rate = Rate::per_second(8, begin);
        let pause = Duration::from_secs(3);
        rate.refused(begin, Some(pause));
        assert_eq!(rate.take(begin), Err(begin + pause));
        let mut now = begin;
        for _ in 0..10 {
            now += Duration::from_secs(4);
            rate.refused(now, Some(Duration::from_hours(1)));
            let next = rate.take(now).expect_err("a pause");
            assert!(next <= now + RECOVERY, "an hour is capped");
            now = next;
        }
        assert!(rate.at(now) >= 1.0);
    }
}
