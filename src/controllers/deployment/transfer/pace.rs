//! How slow a download may be: a minimum rate within each minute, and a time limit for the whole.
//!
//! The rate counts only the time spent waiting for bytes, so that a slow bucket does not count against
//! GitLab; the time limit counts everything, so that every transfer ends.

use std::time::Duration;

use tokio::time::Instant;

/// The default minimum rate of a download, in bytes a second.
pub const DEFAULT_RATE: u64 = 64 << 10;

/// How slow a download may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceLimits {
    /// The minimum rate, in bytes a second.
    pub rate: u64,
    /// The time over which the rate is measured.
    pub window: Duration,
    /// The time that every transfer gets in addition, because GitLab and the bucket need time of their own.
    pub grace: Duration,
}

impl PaceLimits {
    /// This minimum rate, measured over a minute.
    pub fn at(rate: u64) -> Self {
        Self {
            rate: rate.max(1),
            window: Duration::from_mins(1),
            grace: Duration::from_mins(2),
        }
    }
}

/// The pace of one download.
pub struct Pace {
    limits: PaceLimits,
    deadline: Instant,
    allowed: Duration,
    /// The present window.
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// The pace of a download of at most `size` bytes that begins now.
    pub fn new(limits: PaceLimits, size: u64, now: Instant) -> Self {
        let allowed = limits.grace + Duration::from_secs(size / limits.rate);
        Self {
            limits,
            deadline: now + allowed,
            allowed,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// How long to wait for the next bytes before calling [`Self::waited`].
    pub fn patience(&self, now: Instant) -> Duration {
        let left = self.limits.window.saturating_sub(self.waited);
        left.min(self.deadline.saturating_duration_since(now))
    }

    /// Counts the bytes that came after a wait, or none. Fails if the download is too slow.
    pub fn waited(&mut self, wait: Duration, bytes: usize, now: Instant) -> Result<(), String> {
        let PaceLimits { rate, window, .. } = self.limits;
        self.waited += wait;
        self.bytes += bytes as u64;
        if now >= self.deadline {
            let seconds = self.allowed.as_secs_f32();
            return Err(format!(
                "not complete within {seconds} s, the limit for its size at {rate} bytes a second"
            ));
        }
        if self.waited < window {
            return Ok(());
        }
        if u128::from(self.bytes) * 1000 < u128::from(rate) * window.as_millis() {
            let (bytes, seconds) = (self.bytes, window.as_secs_f32());
            return Err(format!(
                "too slow: {bytes} bytes within {seconds} s, less than {rate} bytes a second"
            ));
        }
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 1000;

    /// Downloads pieces at an interval, until the end or an error.
    fn download(size: u64, interval: u64, bytes: usize) -> Result<(), String> {
        let mut now = Instant::now();
        let mut pace = Pace::new(PaceLimits::at(RATE), size, now);
        for _ in 0..size.div_ceil(bytes as u64) {
            let wait = Duration::from_secs(interval);
            now += wait;
            pace.waited(wait, bytes, now)?;
        }
        Ok(())
    }

    #[test]
    fn download_below_the_minimum_rate_is_too_slow() {
        assert_eq!(download(600_000, 1, 1000), Ok(()));
        assert_eq!(download(600_000, 30, 30_000), Ok(()));
        let slow = download(600_000, 59, 1).unwrap_err();
        assert!(slow.contains("too slow: 2 bytes within 60 s"), "{slow}");
        let slow = download(600_000, 1, 999).unwrap_err();
        assert!(slow.contains("59940 bytes"), "{slow}");
    }

    #[test]
    fn slow_bucket_counts_against_the_deadline_but_not_the_rate() {
        let mut now = Instant::now();
        let mut pace = Pace::new(PaceLimits::at(RATE), 100 * RATE, now);
        for _ in 0..4 {
            // Half a minute in which the bucket took no bytes.
            now += Duration::from_secs(30);
            assert_eq!(pace.waited(Duration::ZERO, 10, now), Ok(()));
        }
        assert_eq!(pace.patience(now), Duration::from_mins(1));
        now += Duration::from_secs(90);
        assert_eq!(pace.patience(now), Duration::from_secs(10));
        now += Duration::from_secs(10);
        let late = pace.waited(Duration::ZERO, 10, now).unwrap_err();
        assert!(late.contains("not complete within 220 s"), "{late}");
    }
}
