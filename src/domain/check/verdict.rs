//! The verdict of a check.

use crate::domain::failure::CallError;

/// The verdict of a check that observes something over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The check has held up to now.
    Passed,
    /// The check has failed, and why.
    Failed(String),
    /// The check has no verdict yet, and why.
    Inconclusive(String),
}

impl Verdict {
    /// The verdict after a failed read.
    pub fn unreadable(error: &CallError) -> Self {
        Self::Inconclusive(error.to_string())
    }

    /// The verdict with the name of its check in the message.
    #[must_use]
    pub fn of(self, check: &str) -> Self {
        match self {
            Self::Passed => Self::Passed,
            Self::Failed(why) => Self::Failed(format!("check {check} failed: {why}")),
            Self::Inconclusive(why) => Self::Inconclusive(format!("check {check}: {why}")),
        }
    }

    /// The verdict of all checks together: failed if one has failed, otherwise inconclusive if one is.
    #[must_use]
    pub fn all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::Passed;
        for verdict in verdicts {
            match verdict {
                Self::Failed(_) => return verdict,
                Self::Inconclusive(_) if all == Self::Passed => all = verdict,
                Self::Passed | Self::Inconclusive(_) => {}
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::CallErrorKind;

    #[test]
    fn failed_read_is_inconclusive() {
        let error = CallError::new(
            "cloudwatch:DescribeAlarms",
            "Account dev, eu-west-1",
            CallErrorKind::Throttled { retry_after: None },
            "Rate exceeded",
        );
        let verdict = Verdict::unreadable(&error);
        assert_eq!(
            verdict.of("errors"),
            Verdict::Inconclusive(
                "check errors: cloudwatch:DescribeAlarms on Account dev, eu-west-1: Rate exceeded"
                    .to_owned()
            )
        );
    }

    #[test]
    fn failed_check_outweighs_inconclusive_checks() {
        let failed = || Verdict::Failed("a".into());
        let inconclusive = || Verdict::Inconclusive("b".into());
        for (verdicts, expected) in [
            (vec![], Verdict::Passed),
            (vec![Verdict::Passed, Verdict::Passed], Verdict::Passed),
            (vec![inconclusive(), Verdict::Passed], inconclusive()),
            (vec![inconclusive(), failed(), Verdict::Passed], failed()),
            (vec![Verdict::Passed, failed(), inconclusive()], failed()),
        ] {
            assert_eq!(Verdict::all(verdicts), expected);
        }
    }
}
