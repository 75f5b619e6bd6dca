//! Evaluates GitLab's answers for a connection. Pure.

use jiff::{ToSpan as _, civil::Date};
use kube::ResourceExt as _;

use crate::{
    api::v1alpha1::{GitLabConnection, GitLabConnectionStatus},
    controllers::report::Found,
    domain::{
        outcome::{Outcome, shorten},
        pipeline::Standing,
        reason::Reason,
    },
    ports::CallError,
};

/// Scopes of which any is enough to read. `granular` means fine-grained permissions: only a read shows
/// whether they suffice.
const READ_SCOPES: [&str; 3] = ["read_api", "api", "granular"];
/// How many days before its expiry a token causes a warning.
const WARN_DAYS: i32 = 14;

/// The most scopes that a status may hold; GitLab has about twenty.
const MAX_SCOPES: usize = 64;

/// The status and the outcome. `answer` is GitLab's answer, or why GitLab was not asked; either error says
/// what to do.
pub fn judge(
    connection: &GitLabConnection,
    answer: Result<Standing, CallError>,
    today: Date,
) -> Found<GitLabConnectionStatus> {
    let mut status = connection.status.clone().unwrap_or_default();
    let outcome = match answer {
        Err(error) => error.into(),
        Ok(standing) => {
            let outcome = judge_token(connection, &standing, today);
            status.version = Some(shorten(&standing.version, 64));
            status.user = Some(shorten(&standing.user, 255));
            status.token_expires_at = standing.expires_at.map(|date| date.to_string());
            let scopes = standing.scopes.iter().take(MAX_SCOPES);
            status.scopes = scopes.map(|scope| shorten(scope, 64)).collect();
            outcome
        }
    };
    Found { status, outcome }
}

fn judge_token(connection: &GitLabConnection, standing: &Standing, today: Date) -> Outcome {
    let Standing {
        version,
        user,
        scopes,
        expires_at,
    } = standing;
    if !scopes
        .iter()
        .any(|scope| READ_SCOPES.contains(&scope.as_str()))
    {
        let has = if scopes.is_empty() {
            "no scopes".to_owned()
        } else {
            format!("only {}", shorten(&scopes.join(", "), 200))
        };
        return Outcome::stalled(
            Reason::ScopeMissing,
            format!(
                "the token of {user} has {has} but needs read_api; {}",
                advice(connection)
            ),
        );
    }
    let Some(end) = expires_at else {
        return Outcome::Done {
            reason: Reason::Verified,
            message: format!("GitLab {version} as {user}; the token does not expire"),
        };
    };
    if *end <= today {
        return Outcome::stalled(
            Reason::TokenExpired,
            format!(
                "the token of {user} expired on {end}; {}",
                advice(connection)
            ),
        );
    }
    if today.saturating_add(WARN_DAYS.days()) >= *end {
        let days = today.until(*end).map_or(0, |span| span.get_days());
        let left = match days {
            1 => "tomorrow".to_owned(),
            days => format!("in {days} days"),
        };
        return Outcome::Done {
            reason: Reason::TokenExpires,
            message: format!(
                "GitLab {version} as {user}; the token expires {left}, on {end}: {}",
                advice(connection)
            ),
        };
    }
    Outcome::Done {
        reason: Reason::Verified,
        message: format!("GitLab {version} as {user}; the token expires on {end}"),
    }
}

fn advice(connection: &GitLabConnection) -> String {
    let secret = &connection.spec.token_secret_ref;
    format!(
        "put a new token with the scope read_api into Secret {}/{}, key {}",
        connection.namespace().unwrap_or_default(),
        secret.name,
        secret.key
    )
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::ports::CallErrorKind;

    fn connection() -> GitLabConnection {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "gitlab", "namespace": "shop"},
            "spec": {
                "url": "https://gitlab.example.com",
                "tokenSecretRef": {"name": "gitlab-token", "key": "token"},
            },
            "status": {"user": "before"},
        }))
        .unwrap()
    }

    fn judged(scopes: &[&str], expires_at: Option<Date>) -> Found<GitLabConnectionStatus> {
        let standing = Standing {
            version: "19.1.2-ee".into(),
            user: "deployer".into(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            expires_at,
        };
        judge(&connection(), Ok(standing), date(2026, 11, 20))
    }

    #[test]
    fn a_token_that_can_read_is_verified() {
        for scope in READ_SCOPES {
            let found = judged(&["read_user", scope], Some(date(2027, 5, 1)));
            assert_eq!(found.outcome.reason(), Reason::Verified, "{scope}");
            assert_eq!(found.status.token_expires_at.as_deref(), Some("2027-05-01"));
            assert_eq!(found.status.user.as_deref(), Some("deployer"));
        }
    }

    #[test]
    fn token_without_read_scope_names_the_scope_and_the_secret() {
        let found = judged(&["read_repository"], None);
        assert_eq!(found.outcome.reason(), Reason::ScopeMissing);
        let message = found.outcome.message();
        for part in [
            "only read_repository",
            "needs read_api",
            "shop/gitlab-token, key token",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn token_expiry_is_announced_fourteen_days_ahead() {
        let reason = |end| judged(&["api"], Some(end)).outcome.reason();
        assert_eq!(reason(date(2026, 12, 5)), Reason::Verified);
        assert_eq!(reason(date(2026, 12, 4)), Reason::TokenExpires);
        assert_eq!(reason(date(2026, 11, 21)), Reason::TokenExpires);
        assert_eq!(reason(date(2026, 11, 20)), Reason::TokenExpired);
        let found = judged(&["api"], Some(date(2026, 11, 29)));
        assert!(matches!(found.outcome, Outcome::Done { .. }), "still Ready");
        assert!(found.outcome.message().contains("in 9 days, on 2026-11-29"));
    }

    fn error(kind: CallErrorKind) -> CallError {
        let message = "GitLab says \"401 Unauthorized\". Put a valid access token with the scope read_api into key \
                       token of Secret shop/gitlab-token";
        CallError::new(
            "GET /user",
            "the token's user on gitlab.example.com",
            kind,
            message,
        )
    }

    #[test]
    fn gitlab_refusal_is_reported_with_its_advice_once() {
        let failed = |kind| judge(&connection(), Err(error(kind)), date(2026, 11, 20));
        let refused = failed(CallErrorKind::Unauthenticated);
        assert!(matches!(refused.outcome, Outcome::Stalled { .. }));
        let message = refused.outcome.message();
        assert_eq!(message.matches("read_api").count(), 1, "{message}");
        assert_eq!(message.matches("gitlab-token").count(), 1, "{message}");
        let away = failed(CallErrorKind::Unavailable);
        assert!(matches!(away.outcome, Outcome::Transient { .. }));
        assert_eq!(away.status.user.as_deref(), Some("before"));
    }
}
