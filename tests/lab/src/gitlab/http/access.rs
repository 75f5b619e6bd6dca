//! Authentication and authorization of requests.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, header};
use jiff::Timestamp;

use super::{answer::Answer, query::Query};
use crate::gitlab::model::{InstanceState, Project, Role, UserId, Visibility};

/// The headers that can carry a credential.
pub const CREDENTIAL_HEADERS: [&str; 4] = [
    "private-token",
    "authorization",
    "job-token",
    "deploy-token",
];

/// The user of a valid token.
#[derive(Clone, Debug)]
pub struct Identity {
    pub user: UserId,
    pub secret: String,
    pub token_name: String,
    pub role: Role,
    pub scopes: BTreeSet<String>,
}

fn credential<'a>(headers: &'a HeaderMap, query: &'a Query) -> Option<&'a str> {
    let header = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    let bearer = header(header::AUTHORIZATION.as_str())
        .map(|value| value.strip_prefix("Bearer ").unwrap_or_default());
    header("private-token")
        .or(bearer)
        .or_else(|| query.get("private_token"))
        .or_else(|| query.get("access_token"))
        .or_else(|| header("job-token"))
        .or_else(|| query.get("job_token"))
}

/// The identity of a request. An invalid credential is an error even if none is needed.
pub fn authenticate(
    state: &mut InstanceState,
    headers: &HeaderMap,
    query: &Query,
    now: Timestamp,
) -> Result<Option<Identity>, Answer> {
    let Some(secret) = credential(headers, query) else {
        return Ok(None);
    };
    let token = state
        .token_mut(secret)
        .map_err(|_| Answer::unauthorized())?;
    if token.revoked {
        return Err(Answer::bad_token(
            "Token was revoked. You have to re-authorize from the user.",
        ));
    }
    if token.is_expired(now) {
        let text = "Token is expired. You can either do re-authorization or token refresh.";
        return Err(Answer::bad_token(text));
    }
    token.last_used_at = Some(now);
    Ok(Some(Identity {
        user: token.user,
        secret: secret.to_owned(),
        token_name: token.name.clone(),
        role: token.role,
        scopes: token.scopes.clone(),
    }))
}

impl Identity {
    /// Refuses a token without any of the sufficient scopes.
    pub fn require_scope(&self, sufficient: &[&str]) -> Result<(), Answer> {
        if sufficient.iter().any(|&scope| self.scopes.contains(scope)) {
            Ok(())
        } else {
            Err(Answer::insufficient_scope(sufficient))
        }
    }
}

/// Whether the identity can see that a project exists.
pub fn can_see(identity: Option<&Identity>, project: &Project) -> bool {
    match project.visibility {
        Visibility::Public => true,
        Visibility::Internal => identity.is_some(),
        Visibility::Private => identity.is_some_and(|identity| identity.role > Role::None),
    }
}

/// Refuses roles below Reporter in a private project.
pub fn require_read(identity: Option<&Identity>, project: &Project) -> Result<(), Answer> {
    let role = identity.map_or(Role::None, |identity| identity.role);
    if project.visibility == Visibility::Private && role < Role::Reporter {
        return Err(Answer::forbidden());
    }
    Ok(())
}

/// Refuses roles below Developer.
pub fn require_write(identity: &Identity) -> Result<(), Answer> {
    if identity.role < Role::Developer {
        Err(Answer::forbidden())
    } else {
        Ok(())
    }
}
