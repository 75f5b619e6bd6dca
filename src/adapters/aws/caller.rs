//! Signs each call with the session that makes it. All sessions of an account and region share one client: a
//! fleet has a session for each Deployment, and with three hundred Deployments, half a dozen clients for each
//! took a fifth of the memory.
//!
//! # Guarantees
//! - A call outside [`signed_by`] is not signed, and so not sent.
//! - A client keeps nothing of a session: the SDK's cache of identities is off, and the signer belongs to the
//!   task that makes the call.

use std::{fmt, sync::Arc};

use aws_config::{SdkConfig, identity::IdentityCache};
use aws_credential_types::provider::{
    ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future,
};

/// Credentials that sign calls.
pub(super) type Signer = Arc<dyn ProvideCredentials>;

tokio::task_local! {
    static CALLER: Signer;
}

/// Makes the call of `request`, signed by `signer`.
pub(super) fn signed_by<F: Future>(signer: Signer, request: F) -> impl Future<Output = F::Output> {
    CALLER.scope(signer, request)
}

/// Settings for clients that sessions share.
pub(super) fn shared(sdk: &SdkConfig) -> SdkConfig {
    sdk.to_builder()
        .credentials_provider(SharedCredentialsProvider::new(Caller))
        .identity_cache(IdentityCache::no_cache())
        .build()
}

/// Provides the credentials of the session that makes the call.
struct Caller;

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Caller")
    }
}

impl ProvideCredentials for Caller {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let signer = CALLER.try_with(Arc::clone);
            let signer =
                signer.map_err(|_| CredentialsError::not_loaded("no session makes this call"))?;
            signer.provide_credentials().await
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;

    use super::*;

    fn signer(key: &str) -> Signer {
        Arc::new(Credentials::new(key, "secret", None, None, "test"))
    }

    async fn key() -> Option<String> {
        let provided = Caller.provide_credentials().await;
        provided.ok().map(|it| it.access_key_id().to_owned())
    }

    #[tokio::test]
    async fn each_call_is_signed_by_the_session_that_makes_it() {
        let (one, other) = tokio::join!(
            signed_by(signer("one"), key()),
            signed_by(signer("other"), key())
        );
        assert_eq!(
            (one.as_deref(), other.as_deref()),
            (Some("one"), Some("other"))
        );
        let inner = signed_by(signer("one"), async {
            (key().await, signed_by(signer("other"), key()).await)
        });
        let (outer, inner) = inner.await;
        assert_eq!(
            (outer.as_deref(), inner.as_deref()),
            (Some("one"), Some("other"))
        );
        assert_eq!(key().await, None);
    }
}
