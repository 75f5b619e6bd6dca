//! Evaluates the answers of AWS for an Account. Pure.

use crate::{
    api::v1alpha1::{AccountRegion, AccountSpec, AccountStatus},
    controllers::report::Found,
    domain::{outcome::Outcome, reason::Reason},
    ports::{CallError, cloud::Identity},
};

/// The result of checking a region's artifact bucket.
pub struct BucketReport {
    /// The region with its bucket.
    pub region: AccountRegion,
    /// The problems of the bucket, or why it could not be checked.
    pub problems: Result<Vec<String>, CallError>,
}

/// The status and the outcome. A certain problem takes precedence over a failed check.
pub fn judge(
    spec: &AccountSpec,
    before: AccountStatus,
    identity: Result<Identity, CallError>,
    buckets: Vec<BucketReport>,
) -> Found<AccountStatus> {
    let mut status = before;
    let identity = match identity {
        Ok(identity) => identity,
        Err(error) => {
            let outcome = Outcome::from(error);
            if matches!(outcome, Outcome::Stalled { .. }) {
                status.caller_arn = None;
            }
            return Found { status, outcome };
        }
    };
    status.caller_arn = Some(identity.arn.clone());
    let outcome = if identity.account_id == spec.account_id {
        judge_buckets(&identity, buckets)
    } else {
        Outcome::stalled(
            Reason::WrongAccount,
            format!(
                "the credentials are those of {} in account {}, but spec.accountId is {}: nothing \
                 will be written; correct spec.credentials, or make an Account for {}",
                identity.arn, identity.account_id, spec.account_id, identity.account_id
            ),
        )
    };
    Found { status, outcome }
}

fn judge_buckets(identity: &Identity, buckets: Vec<BucketReport>) -> Outcome {
    let regions: Vec<String> = buckets
        .iter()
        .map(|bucket| bucket.region.name.clone())
        .collect();
    let mut wrong = Vec::new();
    let mut uncertain = None;
    for BucketReport { region, problems } in buckets {
        let bucket = format!("{} in {}", region.artifact_bucket, region.name);
        match problems {
            Ok(problems) => wrong.extend(
                problems
                    .into_iter()
                    .map(|problem| format!("{bucket}: {problem}")),
            ),
            Err(error) if error.is_transient() => uncertain = Some(error),
            Err(error) => wrong.push(format!("{bucket}: {error}")),
        }
    }
    if !wrong.is_empty() {
        let message = format!("artifact bucket {}", wrong.join("; artifact bucket "));
        return Outcome::stalled(Reason::BucketMisconfigured, message);
    }
    if let Some(error) = uncertain {
        return error.into();
    }
    Outcome::Done {
        reason: Reason::Verified,
        message: format!(
            "{}; artifact buckets verified in {}",
            identity.arn,
            regions.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::CallErrorKind;

    fn spec() -> AccountSpec {
        serde_json::from_value(serde_json::json!({
            "accountId": "111111111111",
            "credentials": {"ambient": {}},
            "regions": [{"name": "eu-west-1", "artifactBucket": "packages"}],
        }))
        .unwrap()
    }

    fn identity(account_id: &str) -> Identity {
        Identity {
            account_id: account_id.into(),
            arn: format!("arn:aws:iam::{account_id}:user/sluice"),
        }
    }

    fn bucket(region: &str, problems: Result<Vec<String>, CallError>) -> BucketReport {
        BucketReport {
            region: AccountRegion {
                request_rates: None,
                name: region.into(),
                artifact_bucket: "packages".into(),
            },
            problems,
        }
    }

    fn error(kind: CallErrorKind) -> CallError {
        CallError::new("s3:GetBucketVersioning", "packages", kind, "said so")
    }

    fn judged(
        identity: Result<Identity, CallError>,
        buckets: Vec<BucketReport>,
    ) -> Found<AccountStatus> {
        let before = AccountStatus {
            caller_arn: Some("before".into()),
            ..AccountStatus::default()
        };
        judge(&spec(), before, identity, buckets)
    }

    #[test]
    fn right_account_with_usable_buckets_is_verified() {
        let found = judged(
            Ok(identity("111111111111")),
            vec![bucket("eu-west-1", Ok(vec![]))],
        );
        assert_eq!(found.outcome.reason(), Reason::Verified);
        assert!(matches!(found.outcome, Outcome::Done { .. }));
        let arn = found.status.caller_arn.unwrap();
        assert_eq!(arn, "arn:aws:iam::111111111111:user/sluice");
    }

    #[test]
    fn wrong_account_stalls_and_says_that_nothing_is_written() {
        let found = judged(Ok(identity("222222222222")), Vec::new());
        assert_eq!(found.outcome.reason(), Reason::WrongAccount);
        let message = found.outcome.message();
        for part in ["222222222222", "111111111111", "nothing will be written"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn every_misconfigured_bucket_is_listed_and_outweighs_failed_checks() {
        let found = judged(
            Ok(identity("111111111111")),
            vec![
                bucket("eu-west-1", Ok(vec!["versioning is off".into()])),
                bucket("eu-west-2", Err(error(CallErrorKind::Unavailable))),
                bucket("us-east-1", Err(error(CallErrorKind::Denied))),
            ],
        );
        assert!(matches!(found.outcome, Outcome::Stalled { .. }));
        let message = found.outcome.message();
        assert!(
            message.contains("packages in eu-west-1: versioning is off"),
            "{message}"
        );
        assert!(
            message.contains("packages in us-east-1: s3:GetBucketVersioning"),
            "{message}"
        );
        assert!(!message.contains("eu-west-2"), "{message}");
    }

    #[test]
    fn transient_error_keeps_the_known_identity() {
        let found = judged(Err(error(CallErrorKind::Unavailable)), Vec::new());
        assert!(matches!(found.outcome, Outcome::Transient { .. }));
        assert_eq!(found.status.caller_arn.as_deref(), Some("before"));
        let found = judged(Err(error(CallErrorKind::Unauthenticated)), Vec::new());
        assert!(matches!(found.outcome, Outcome::Stalled { .. }));
        assert_eq!(found.status.caller_arn, None);
    }
}
