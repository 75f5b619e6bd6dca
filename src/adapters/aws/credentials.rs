//! Sessions: the credentials of one Account, kept and renewed.
//!
//! A [`Session`] renews its credentials well before they expire, one caller at a time. As long as they are
//! valid, a transient failure to renew them does no harm. Clients get only [`Verified`] sessions, which hand
//! out no access key that `GetCallerIdentity` has not placed in the Account's own account.

mod chain;
mod session;
mod source;

use std::{error::Error, fmt, sync::Arc};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, future},
};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use futures::TryFutureExt as _;
use tokio::sync::Mutex;

use self::session::provided;
pub(super) use self::{
    chain::via,
    session::{Restriction, Session, Source, Sts},
};
use super::{
    caller::{self, Signer},
    errors::{Call, as_credentials_error},
    meter::Meter,
};
use crate::ports::{CallError, CallErrorKind, cloud::Identity};

/// A session whose every access key is checked to be in the Account's account before its first use.
pub(super) struct Verified {
    session: Arc<Session>,
    account: String,
    account_id: String,
    sts: aws_sdk_sts::Client,
    meter: Meter,
    /// The access key that was checked last.
    checked: Mutex<Option<String>>,
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
            checked: Mutex::default(),
        }
    }

    pub(super) async fn credentials(&self) -> Result<Credentials, CallError> {
        let credentials = self.session.credentials().await?;
        let mut checked = self.checked.lock().await;
        if checked.as_deref() == Some(credentials.access_key_id()) {
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
        *checked = Some(credentials.access_key_id().to_owned());
        Ok(credentials)
    }

    /// Makes a call with this session, and drops credentials that AWS does not accept.
    pub(super) fn sent<T, E>(
        self: &Arc<Self>,
        call: &Call,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    ) -> impl Future<Output = Result<T, CallError>> + Send
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        // A response to HEAD has no body with S3's reason.
        let is_silent = matches!(call.operation, "s3:HeadObject" | "s3:HeadBucket");
        let signer: Signer = self.clone();
        let answer = self.meter.sent(call, caller::signed_by(signer, request));
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

    /// Asks STS whether the session is the reason of a refusal that has none.
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
             Sluice does not use them; correct one or the other",
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

/// The identity of these credentials, as AWS reports it.
pub(super) async fn identity(
    account: &str,
    sts: &aws_sdk_sts::Client,
    credentials: &Credentials,
    meter: &Meter,
) -> Result<Identity, CallError> {
    let signer: Signer = Arc::new(credentials.clone());
    let call = asked(account);
    let request = caller::signed_by(signer, sts.get_caller_identity().send());
    let answer = meter.sent(&call, request).await?;
    match (answer.account, answer.arn) {
        (Some(account_id), Some(arn)) => Ok(Identity { account_id, arn }),
        _ => {
            Err(call
                .unusable("the response names no account; check the Account's spec.endpointUrl"))
        }
    }
}
