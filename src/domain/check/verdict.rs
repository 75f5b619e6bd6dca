//! What a check comes to.

use crate::domain::failure::CallError;

/// What a check that looks at something over time has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is as it should be, up to now.
    Passed,
    /// It is not: why.
    Failed(String),
    /// There is no verdict yet: why.
    Inconclusive(String),
}

impl Verdict {
    /// What could not be read can't be judged.
    pub fn unreadable(error: &CallError) -> Self {
        Self::Inconclusive(error.to_string())
    }

    /// What is said is said of the check of this name.
    #[must_use]
    pub fn of(self, check: &str) -> Self {
        match self {
            Self::Passed => Self::Passed,
            Self::Failed(why) => Self::Failed(format!("check {check} failed: {why}")),
            Self::Inconclusive(why) => Self::Inconclusive(format!("check {check}: {why}")),
        }
    }

    /// All of them together: one that failed decides, then one that waits.
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
    fn what_could_not_be_read_is_inconclusive() {
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
    fn one_failure_decides_and_one_wait_holds() {
        let failed = || Verdict::Failed("a".into());
        let waits = || Verdict::Inconclusive("b".into());
        for (verdicts, expected) in [
            (vec![], Verdict::Passed),
            (vec![Verdict::Passed, Verdict::Passed], Verdict::Passed),
            (vec![waits(), Verdict::Passed], waits()),
            (vec![waits(), failed(), Verdict::Passed], failed()),
            (vec![Verdict::Passed, failed(), waits()], failed()),
        ] {
            assert_eq!(Verdict::all(verdicts), expected);
        }
    }
}
