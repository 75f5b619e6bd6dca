//! Who asks, and whether they may.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, header};
use jiff::Timestamp;

use super::{answer::Answer, query::Query};
use crate::gitlab::model::{Project, Role, UserId, Visibility, World};

/// The headers a credential can come in.
pub const CREDENTIAL_HEADERS: [&str; 4] = [
    "private-token",
    "authorization",
    "job-token",
    "deploy-token",
];

/// Somebody with a good token.
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

/// Who asks. A bad credential is an error even where none is needed.
pub fn authenticate(
    world: &mut World,
    headers: &HeaderMap,
    query: &Query,
    now: Timestamp,
) -> Result<Option<Identity>, Answer> {
    let Some(secret) = credential(headers, query) else {
        return Ok(None);
    };
    let token = world
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
    /// Whether one of the token's scopes is among those that suffice.
    pub fn require_scope(&self, sufficient: &[&str]) -> Result<(), Answer> {
        if sufficient.iter().any(|&scope| self.scopes.contains(scope)) {
            Ok(())
        } else {
            Err(Answer::insufficient_scope(sufficient))
        }
    }
}

/// Whether the asker can know that a project exists.
pub fn sees(identity: Option<&Identity>, project: &Project) -> bool {
    match project.visibility {
        Visibility::Public => true,
        Visibility::Internal => identity.is_some(),
        Visibility::Private => identity.is_some_and(|identity| identity.role > Role::None),
    }
}

/// Refuses whoever is less than Reporter in a project that is not open to everybody.
pub fn require_read(identity: Option<&Identity>, project: &Project) -> Result<(), Answer> {
    let role = identity.map_or(Role::None, |identity| identity.role);
    if project.visibility == Visibility::Private && role < Role::Reporter {
        return Err(Answer::forbidden());
    }
    Ok(())
}

/// Refuses whoever is less than Developer.
pub fn require_write(identity: &Identity) -> Result<(), Answer> {
    if identity.role < Role::Developer {
        Err(Answer::forbidden())
    } else {
        Ok(())
    }
}
