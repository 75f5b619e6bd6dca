//! Sessions: the credentials of one Account, kept and renewed.
//!
//! A [`Session`] renews what it holds well before it ends, one caller at a time; as long as what it
//! holds is good, failing to renew it for a passing reason hurts nobody. A [`Verified`] session is
//! the only one that clients get: it hands out no access key that `GetCallerIdentity` has not placed
//! in the Account's own account.

mod chain;
mod source;

use std::{
    error::Error,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, Result as Provided, error::CredentialsError, future},
};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use futures::TryFutureExt as _;
use tokio::sync::Mutex;

pub(super) use self::{
    chain::via,
    source::{Restriction, Source, Sts},
};
use super::{
    caller::{self, Signer},
    errors::{Call, as_credentials_error},
    meter::Meter,
};
use crate::ports::{CallError, CallErrorKind, cloud::Identity};

/// Renewal begins this long before the end of a session, so that AWS may be away for a while.
const RENEWED_BEFORE: Duration = Duration::from_mins(5);

/// What has no end of its own is read again after this long: that is how a rotated key arrives.
const READ_AGAIN: Duration = Duration::from_mins(5);

/// The credentials of one Account, perhaps limited by a session policy.
pub(super) struct Session {
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
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            held: Mutex::default(),
        }
    }

    /// What is held, renewed if it is time.
    pub(super) async fn credentials(&self) -> Result<Credentials, CallError> {
        let mut held = self.held.lock().await;
        #[allow(
            clippy::disallowed_methods,
            reason = "the SDK counts the life of credentials by it"
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
                    tracing::warn!(%error, "could not renew a session that is still good");
                    Ok(held.credentials.clone())
                }
                _ => {
                    *held = None;
                    Err(as_credentials_error(error))
                }
            },
        }
    }

    /// New ones, whatever is held.
    pub(super) async fn renewed(&self) -> Result<Credentials, CallError> {
        self.held.lock().await.take();
        self.credentials().await
    }

    /// Looks at the error of a call made with what is held. Where AWS did not take it, it is let go,
    /// so that the next call starts anew.
    pub(super) fn note(&self, error: &CallError) {
        // Whoever holds the lock is renewing at this moment.
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

/// The error stays whole: [`Call::failed`] finds it again below the SDK's own.
fn provided(result: Result<Credentials, CallError>) -> Provided {
    result.map_err(CredentialsError::provider_error)
}

/// A session whose every access key was placed in the Account's account before its first use.
pub(super) struct Verified {
    session: Arc<Session>,
    account: String,
    account_id: String,
    sts: aws_sdk_sts::Client,
    meter: Meter,
    /// The access key that was placed last.
    placed: Mutex<Option<String>>,
}

impl Verified {
    /// `account` is the Account's name.
    pub(super) fn new(
        session: Arc<Session>,
        account: &str,
        account_id: &str,
        sts: aws_sdk_sts::Client,
        meter: Meter,
    ) -> Self {
        Self {
            session,
            account: account.to_owned(),
            account_id: account_id.to_owned(),
            sts,
            meter,
            placed: Mutex::default(),
        }
    }

    pub(super) async fn credentials(&self) -> Result<Credentials, CallError> {
        let credentials = self.session.credentials().await?;
        let mut placed = self.placed.lock().await;
        if placed.as_deref() == Some(credentials.access_key_id()) {
            return Ok(credentials);
        }
        let identity = match identity(&self.account, &self.sts, &credentials, &self.meter).await {
            Ok(identity) => identity,
            Err(error) => {
                self.session.note(&error);
                return Err(as_credentials_error(error));
            }
        };
        if identity.account_id != self.account_id {
            return Err(self.wrong_account(&identity));
        }
        *placed = Some(credentials.access_key_id().to_owned());
        Ok(credentials)
    }

    /// Makes a call with this session, and looks at how it fails.
    pub(super) fn sent<T, E>(
        self: &Arc<Self>,
        call: &Call,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    ) -> impl Future<Output = Result<T, CallError>> + Send
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        // An answer to HEAD has no body in which S3 could say why.
        let is_silent = matches!(call.operation, "s3:HeadObject" | "s3:HeadBucket");
        let signer: Signer = self.clone();
        let answer = self.meter.sent(call, caller::calls(signer, request));
        answer.or_else(async move |error| {
            let refused = matches!(error.kind, CallErrorKind::Denied | CallErrorKind::Invalid);
            let error = if is_silent && refused {
                self.explained(error).await
            } else {
                error
            };
            self.session.note(&error);
            Err(error)
        })
    }

    /// The reason of a refusal without one, where it is the session: STS names it.
    async fn explained(&self, refusal: CallError) -> CallError {
        let Ok(credentials) = self.session.credentials().await else {
            return refusal;
        };
        match identity(&self.account, &self.sts, &credentials, &self.meter).await {
            Err(error) if error.kind == CallErrorKind::Unauthenticated => CallError {
                kind: error.kind,
                message: error.message,
                ..refusal
            },
            _ => refusal,
        }
    }

    fn wrong_account(&self, identity: &Identity) -> CallError {
        let message = format!(
            "the credentials belong to account {} ({}), but spec.accountId is {}: \
             nothing is done with them; correct one or the other",
            identity.account_id, identity.arn, self.account_id
        );
        asked(&self.account).error(CallErrorKind::WrongAccount, message)
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl ProvideCredentials for Verified {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { provided(self.credentials().await) })
    }
}

fn asked(account: &str) -> Call {
    Call::read("sts:GetCallerIdentity", format!("Account {account}"))
}

/// Who AWS says the holder of these credentials is.
pub(super) async fn identity(
    account: &str,
    sts: &aws_sdk_sts::Client,
    credentials: &Credentials,
    meter: &Meter,
) -> Result<Identity, CallError> {
    let signer: Signer = Arc::new(credentials.clone());
    let call = asked(account);
    let request = caller::calls(signer, sts.get_caller_identity().send());
    let answer = meter.sent(&call, request).await?;
    match (answer.account, answer.arn) {
        (Some(account_id), Some(arn)) => Ok(Identity { account_id, arn }),
        _ => {
            Err(call.unusable("the answer names no account; check the Account's spec.endpointUrl"))
        }
    }
}
