//! Sessions, kept and renewed, and the sources of their credentials, one of which is another session.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{
        ProvideCredentials, Result as Provided, SharedCredentialsProvider, error::CredentialsError,
        future,
    },
};
use tokio::sync::Mutex;

use crate::{
    adapters::aws::{errors::as_credentials_error, meter::Meter},
    api::v1alpha1::{AssumeRole, WebIdentity},
    ports::{CallError, CallErrorKind, secrets::Secrets},
};

/// Renewal begins this long before a session expires, so that AWS may be unavailable for a while.
const RENEWED_BEFORE: Duration = Duration::from_mins(5);

/// Credentials that do not expire are read again after this long, so that a rotated key is noticed.
const READ_AGAIN: Duration = Duration::from_mins(5);

/// The credentials of one Account, perhaps limited by a session policy.
pub struct Session {
    source: Source,
    held: Mutex<Option<Held>>,
}

struct Held {
    credentials: Credentials,
    renew_at: SystemTime,
}

impl Held {
    fn new(credentials: Credentials, now: SystemTime) -> Self {
        let renew_at = match credentials.expiry() {
            Some(end) => end.checked_sub(RENEWED_BEFORE).unwrap_or(now),
            None => now + READ_AGAIN,
        };
        Self {
            credentials,
            renew_at,
        }
    }

    fn is_good(&self, now: SystemTime) -> bool {
        self.credentials.expiry().is_none_or(|end| now < end)
    }
}

impl Session {
    pub fn new(source: Source) -> Self {
        Self {
            source,
            held: Mutex::default(),
        }
    }

    /// The credentials, renewed if it is time.
    pub async fn credentials(&self) -> Result<Credentials, CallError> {
        let mut held = self.held.lock().await;
        #[allow(
            clippy::disallowed_methods,
            reason = "the SDK states when credentials expire as a SystemTime"
        )]
        let now = SystemTime::now();
        if let Some(held) = held.as_ref().filter(|held| now < held.renew_at) {
            return Ok(held.credentials.clone());
        }
        match self.source.load().await {
            Ok(credentials) => {
                *held = Some(Held::new(credentials.clone(), now));
                Ok(credentials)
            }
            Err(error) => match held.as_ref().filter(|held| held.is_good(now)) {
                Some(held) if error.is_transient() => {
                    tracing::warn!(%error, "could not renew a session that is still valid");
                    Ok(held.credentials.clone())
                }
                _ => {
                    *held = None;
                    Err(as_credentials_error(error))
                }
            },
        }
    }

    /// New credentials, whatever is held.
    pub async fn renewed(&self) -> Result<Credentials, CallError> {
        self.held.lock().await.take();
        self.credentials().await
    }

    /// Drops the credentials if the error of a call says that AWS does not accept them, so that the
    /// next call gets new ones.
    pub fn note(&self, error: &CallError) {
        // The holder of the lock is renewing the credentials.
        if error.kind == CallErrorKind::Unauthenticated
            && let Ok(mut held) = self.held.try_lock()
        {
            *held = None;
        }
    }
}

/// Credentials stay out of logs.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.source).finish()
    }
}

impl ProvideCredentials for Session {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { provided(self.credentials().await) })
    }
}

/// Keeps the error whole: [`crate::adapters::aws::errors::Call::failed`] finds it again below the SDK's own.
pub(super) fn provided(result: Result<Credentials, CallError>) -> Provided {
    result.map_err(CredentialsError::provider_error)
}

/// The name that `CloudTrail` shows for sessions without one of their own, and the name under which the SDK
/// keeps all credentials.
pub(super) const SESSION_NAME: &str = "sluice";

/// The limits and the name of a role's session.
#[derive(Default)]
pub struct Restriction {
    /// The session policy.
    pub policy: Option<String>,
    /// The name that `CloudTrail` shows; [`SESSION_NAME`] without one.
    pub name: Option<String>,
}

impl Restriction {
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(SESSION_NAME)
    }
}

/// The source of an Account's credentials.
///
/// Roles are assumed for one hour, the most that AWS allows when one role assumes another.
pub enum Source {
    /// The pod's own credentials.
    Ambient {
        account: String,
        provider: Option<SharedCredentialsProvider>,
    },
    /// An access key in a Secret.
    AccessKey {
        account: String,
        secrets: Arc<dyn Secrets>,
        namespace: String,
        name: String,
    },
    /// A role that trusts the cluster's tokens.
    WebIdentity {
        account: String,
        role: WebIdentity,
        restriction: Restriction,
        secrets: Arc<dyn Secrets>,
        sts: Sts,
    },
    /// A role that trusts another session.
    AssumeRole {
        account: String,
        role: AssumeRole,
        restriction: Restriction,
        sts: Sts,
        /// The session that assumes the role.
        from: Arc<Session>,
    },
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, account) = match self {
            Self::Ambient { account, .. } => ("Ambient", account),
            Self::AccessKey { account, .. } => ("AccessKey", account),
            Self::WebIdentity { account, .. } => ("WebIdentity", account),
            Self::AssumeRole { account, .. } => ("AssumeRole", account),
        };
        f.debug_tuple(kind).field(account).finish()
    }
}

/// A client of STS, and the meter of its calls.
pub struct Sts {
    pub client: aws_sdk_sts::Client,
    pub meter: Meter,
}
