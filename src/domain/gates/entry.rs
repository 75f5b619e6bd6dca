//! What a Release needs to enter a stage, on every path.
//!
//! Delivery, pin, rollback, retry and correction call [`needs`]; a Target calls [`admits`] again before it
//! begins.
//!
//! # Guarantees
//! - Account requirements come from all targets that are changed: those of the Release's own template,
//!   together with those of the current spec. No edit of the Deployment removes one.
//! - A missing Account refuses every Release.
//! - What an Account trusts (`spec.sources`, `requires.protectedRef`) applies on every path, also to Releases
//!   that have served there before.

use url::Url;

use super::requirements::{Asker, Requirements, protected_ref};
use crate::{
    api::v1alpha1::{AccountSpec, Gate, ReleaseSource},
    domain::{grants::matches, reason::Reason},
};

#[cfg(test)]
mod tests;

/// How a Release enters a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As the next Release.
    Forward,
    /// As a rollback to a Release that has served there before: it waits only for the approvals that an
    /// Account requires.
    Rollback,
    /// As a correction of drift: the same Release on the same targets.
    Correction,
}

/// Why a stage does not accept a Release, regardless of approvals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// CamelCase, for programs.
    pub reason: Reason,
    /// For people: what is wrong and what to do.
    pub message: String,
}

/// Everything that restricts entry into a stage.
#[derive(Clone, Debug)]
pub struct Guard<'a> {
    /// The stage.
    pub stage: &'a str,
    /// The Deployment's own gate.
    pub gate: Option<&'a Gate>,
    /// Whether the Deployment delivers only protected branches and tags.
    pub protected_ref: bool,
    /// The Accounts of all targets that are changed, by name; `None` for a missing Account.
    pub accounts: Vec<(&'a str, Option<&'a AccountSpec>)>,
}

/// The requirements for this Release to enter the stage, or why the stage refuses it.
pub fn needs(
    guard: &Guard<'_>,
    release: &str,
    source: &ReleaseSource,
    way: Way,
) -> Result<Requirements, Refusal> {
    let mut accounts = Vec::new();
    for (name, account) in &guard.accounts {
        let account = account.ok_or_else(|| Refusal {
            reason: Reason::AccountNotFound,
            message: format!(
                "there is no Account {name}, which {release} or the Deployment names for this stage; ask the \
                 platform team to create it, or correct spec.stages[{}].targets",
                guard.stage
            ),
        })?;
        admits(name, account, release, source)?;
        accounts.push((*name, account));
    }
    let own = way == Way::Forward && guard.protected_ref;
    if own && source.ref_protected != Some(true) {
        return Err(not_protected(&Asker::Deployment, release, source));
    }
    let required = accounts
        .iter()
        .filter_map(|(name, account)| Some((*name, account.requires.as_ref()?)));
    let asked = match way {
        Way::Forward => Requirements::of(guard.gate, required),
        Way::Rollback => Requirements::of_rollback(required),
        Way::Correction => Ok(Requirements::default()),
    };
    asked.map_err(|invalid| Refusal {
        reason: Reason::InvalidGate,
        message: match &invalid.asker {
            Asker::Deployment => format!("spec.stages[{}].gate: {invalid}", guard.stage),
            Asker::Account(_) | Asker::Deletion(_) => format!("spec.requires of {invalid}"),
        },
    })
}

/// Whether an Account accepts Releases from this source at all.
pub fn admits(
    name: &str,
    account: &AccountSpec,
    release: &str,
    source: &ReleaseSource,
) -> Result<(), Refusal> {
    let trusted = |url: &str| {
        let allowed = account.sources.iter();
        let mut allowed = allowed.filter(|one| is_same_gitlab(&one.url, url));
        allowed.any(|one| one.projects.iter().any(|it| matches(it, &source.project)))
    };
    if !account.sources.is_empty() && !source.url.as_deref().is_some_and(trusted) {
        let project = &source.project;
        let message = match &source.url {
            Some(url) => format!(
                "{release} comes from project {project} of {url}, which spec.sources of Account {name} does \
                 not name; ask the platform team to add it"
            ),
            None => format!(
                "{release} was made by an earlier version of Sluice, which did not record its GitLab, and \
                 Account {name} accepts only its spec.sources; run a new pipeline of {project}"
            ),
        };
        return Err(Refusal {
            reason: Reason::SourceNotAllowed,
            message,
        });
    }
    let requires = account.requires.as_ref().map(|requires| (name, requires));
    match protected_ref(None, false, requires) {
        Some(asker) if source.ref_protected != Some(true) => {
            Err(not_protected(&asker, release, source))
        }
        _ => Ok(()),
    }
}

fn not_protected(asker: &Asker, release: &str, source: &ReleaseSource) -> Refusal {
    let (git_ref, project) = (&source.git_ref, &source.project);
    let asks = match asker {
        Asker::Deployment => {
            "the Deployment requires (spec.source.requireProtectedRef, or one of its gates)"
                .to_owned()
        }
        account => format!("{account} requires"),
    };
    let message = match source.ref_protected {
        Some(_) => format!(
            "{release} is from {git_ref} of {project}, which was not a protected branch or tag, as {asks}; \
             protect it in GitLab"
        ),
        None => format!(
            "{release} was made by an earlier version of Sluice, which did not record whether {git_ref} of \
             {project} was protected, as {asks}; run a new pipeline"
        ),
    };
    Refusal {
        reason: Reason::RefNotProtected,
        message,
    }
}

/// Whether two addresses are of the same GitLab. Case of the host, a default port, a trailing slash and the
/// API path make no difference.
pub fn is_same_gitlab(one: &str, other: &str) -> bool {
    let plain = |text: &str| {
        let url = Url::parse(text.trim()).ok()?;
        let root = url.path().trim_end_matches('/');
        let root = root.strip_suffix("/api/v4").unwrap_or(root);
        Some((
            url.scheme().to_owned(),
            url.host_str()?.to_owned(),
            url.port_or_known_default(),
            root.trim_end_matches('/').to_owned(),
        ))
    };
    plain(one).is_some_and(|one| Some(one) == plain(other))
}
