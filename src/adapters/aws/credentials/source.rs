//! Gets new credentials from an Account's source.

use std::time::SystemTime;

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider},
};
use aws_sdk_sts::types::Tag;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    super::{
        caller::{self, Signer},
        errors::{Call, causes},
    },
    session::{Restriction, SESSION_NAME, Source, Sts},
};
use crate::{
    api::v1alpha1::{AssumeRole, WebIdentity},
    ports::{CallError, CallErrorKind, secrets::Secrets},
};

/// Keys of an access key's Secret.
const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";

impl Source {
    /// Gets new credentials.
    pub(super) async fn load(&self) -> Result<Credentials, CallError> {
        match self {
            Self::Ambient { account, provider } => ambient(account, provider.as_ref()).await,
            Self::AccessKey {
                account,
                secrets,
                namespace,
                name,
            } => access_key(account, secrets.as_ref(), namespace, name).await,
            Self::WebIdentity {
                account,
                role,
                restriction,
                secrets,
                sts,
            } => {
                let token = secrets.identity_token(&role.audience).await?;
                web_identity(account, role, restriction, &token, sts).await
            }
            Self::AssumeRole {
                account,
                role,
                restriction,
                sts,
                from,
            } => {
                let signer: Signer = from.clone();
                let assumed = assume_role(account, role, restriction, sts, signer).await;
                assumed.inspect_err(|error| from.note(error))
            }
        }
    }
}

async fn ambient(
    account: &str,
    provider: Option<&SharedCredentialsProvider>,
) -> Result<Credentials, CallError> {
    let refused = |why: String| {
        CallError::new(
            "find the pod's credentials",
            format!("Account {account}"),
            CallErrorKind::Unauthenticated,
            format!(
                "{why}: give the controller's ServiceAccount a role (IRSA or EKS Pod Identity), or \
                 choose other credentials in the Account"
            ),
        )
    };
    let Some(provider) = provider else {
        return Err(refused("the pod has none".to_owned()));
    };
    provider
        .provide_credentials()
        .await
        .map_err(|error| refused(causes(&error)))
}

async fn access_key(
    account: &str,
    secrets: &dyn Secrets,
    namespace: &str,
    name: &str,
) -> Result<Credentials, CallError> {
    let secret = secrets.get(namespace, name).await.map_err(|error| match error.kind {
        CallErrorKind::NotFound => CallError {
            message: format!(
                "the Secret does not exist: create it with the keys {KEY_ID} and {SECRET_KEY}, or \
                 choose other credentials in Account {account}"
            ),
            ..error
        },
        _ => error,
    })?;
    let value = |key: &str| {
        let value = secret
            .values
            .get(key)
            .map(|value| value.expose_secret().trim());
        value.filter(|value| !value.is_empty()).ok_or_else(|| {
            CallError::new(
                "get Secret",
                format!("{namespace}/{name}"),
                CallErrorKind::Unauthenticated,
                format!("it has no key {key}, which Account {account} needs: add it"),
            )
        })
    };
    Ok(Credentials::new(
        value(KEY_ID)?,
        value(SECRET_KEY)?,
        None,
        None,
        SESSION_NAME,
    ))
}

async fn web_identity(
    account: &str,
    role: &WebIdentity,
    restriction: &Restriction,
    token: &SecretString,
    sts: &Sts,
) -> Result<Credentials, CallError> {
    let call = role_call("sts:AssumeRoleWithWebIdentity", account, &role.role_arn);
    let request = sts
        .client
        .assume_role_with_web_identity()
        .role_arn(&role.role_arn)
        .role_session_name(restriction.name())
        .web_identity_token(token.expose_secret())
        .set_policy(restriction.policy.clone())
        .send();
    let answer = sts.meter.sent(&call, request).await.map_err(|error| {
        let hint = format!(
            "the role's trust policy has to name the cluster's OIDC issuer, the audience {} and \
                 the controller's ServiceAccount",
            role.audience
        );
        let kinds = [CallErrorKind::Denied, CallErrorKind::Unauthenticated];
        hinted(error, &kinds, &hint)
    })?;
    credentials(&call, answer.credentials)
}

async fn assume_role(
    account: &str,
    role: &AssumeRole,
    restriction: &Restriction,
    sts: &Sts,
    signer: Signer,
) -> Result<Credentials, CallError> {
    let call = role_call("sts:AssumeRole", account, &role.role_arn);
    let tags = role
        .session_tags
        .iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| call.error(CallErrorKind::Invalid, causes(&error)))?;
    let request = sts
        .client
        .assume_role()
        .role_arn(&role.role_arn)
        .role_session_name(restriction.name())
        .set_external_id(role.external_id.clone())
        .set_policy(restriction.policy.clone())
        .set_tags((!tags.is_empty()).then_some(tags))
        .send();
    let answer = sts
        .meter
        .sent(&call, caller::signed_by(signer, request))
        .await
        .map_err(|error| hinted(error, &[CallErrorKind::Denied], &trust_hint(role)))?;
    credentials(&call, answer.credentials)
}

fn role_call(operation: &'static str, account: &str, role_arn: &str) -> Call {
    Call::read(operation, format!("{role_arn} (Account {account})"))
}

/// What to check if a role can't be assumed. The external id itself is not repeated: it is in the Account,
/// which fewer people may read than messages.
fn trust_hint(role: &AssumeRole) -> String {
    let external_id = match role.external_id {
        Some(_) => "expect the external id that the Account states",
        None => "expect no external id, because the Account has none",
    };
    let tags = if role.session_tags.is_empty() {
        ""
    } else {
        ", and it has to allow sts:TagSession in addition to sts:AssumeRole"
    };
    format!("the role's trust policy has to name that user or role and {external_id}{tags}")
}

fn hinted(error: CallError, on: &[CallErrorKind], hint: &str) -> CallError {
    if !on.contains(&error.kind) {
        return error;
    }
    CallError {
        message: format!("{}: {hint}", error.message),
        ..error
    }
}

fn credentials(
    call: &Call,
    answer: Option<aws_sdk_sts::types::Credentials>,
) -> Result<Credentials, CallError> {
    let answer = answer.ok_or_else(|| call.unusable("the answer carries no credentials"))?;
    let expiry =
        SystemTime::try_from(answer.expiration).map_err(|error| call.unusable(causes(&error)))?;
    Ok(Credentials::new(
        answer.access_key_id,
        answer.secret_access_key,
        Some(answer.session_token),
        Some(expiry),
        SESSION_NAME,
    ))
}
