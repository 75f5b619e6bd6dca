//! [`Secrets`] over the Kubernetes API. Each call reads from the API server, so that no value outlives its
//! deletion, and no Secret is listed, watched or cached.

use std::fmt;

use async_trait::async_trait;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Secret, ServiceAccount},
};
use kube::{Api, Client, api::PostParams};
use secrecy::SecretString;

use crate::{
    adapters::causes::causes,
    ports::{
        CallError, CallErrorKind,
        secrets::{SecretData, Secrets},
    },
};

/// Seconds; the shortest lifetime that Kubernetes grants. A token is used at once.
const TOKEN_LIFETIME: i64 = 600;

/// Secrets and tokens through the controller's own client.
#[derive(Clone)]
pub struct KubeSecrets {
    client: Client,
    namespace: String,
    service_account: String,
}

impl fmt::Debug for KubeSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeSecrets")
            .field("namespace", &self.namespace)
            .field("service_account", &self.service_account)
            .finish_non_exhaustive()
    }
}

impl KubeSecrets {
    /// `namespace` and `service_account` are the controller's own.
    pub fn new(
        client: Client,
        namespace: impl Into<String>,
        service_account: impl Into<String>,
    ) -> Self {
        Self {
            client,
            namespace: namespace.into(),
            service_account: service_account.into(),
        }
    }

    /// How to allow the controller to read this Secret and no other.
    fn access_hint(&self, namespace: &str, name: &str) -> String {
        let Self {
            namespace: own,
            service_account,
            ..
        } = self;
        format!(
            "the controller may not read it. Allow it in that namespace: kubectl --namespace {namespace} create role \
             sluice-{name} --verb=get --resource=secrets --resource-name={name} && kubectl --namespace {namespace} \
             create rolebinding sluice-{name} --role=sluice-{name} --serviceaccount={own}:{service_account}. Or have \
             the platform team add the namespace to the chart's secretNamespaces"
        )
    }
}

#[async_trait]
impl Secrets for KubeSecrets {
    async fn get(&self, namespace: &str, name: &str) -> Result<SecretData, CallError> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = secrets.get(name).await.map_err(|error| {
            let hint = self.access_hint(namespace, name);
            failed("get Secret", &format!("{namespace}/{name}"), &hint, &error)
        })?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok().map(SecretString::from);
        let values = secret.data.unwrap_or_default();
        Ok(SecretData {
            type_: secret.type_.unwrap_or_default(),
            labels: secret.metadata.labels.unwrap_or_default(),
            values: values
                .into_iter()
                .filter_map(|(key, value)| Some((key, text(value.0)?)))
                .collect(),
        })
    }

    async fn identity_token(&self, audience: &str) -> Result<SecretString, CallError> {
        let resource = format!("ServiceAccount {}/{}", self.namespace, self.service_account);
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![audience.to_owned()],
                expiration_seconds: Some(TOKEN_LIFETIME),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(&self.service_account, &PostParams::default(), &request)
            .await
            .map_err(|error| {
                let hint = "the controller may not request it: grant its ServiceAccount create on \
                    serviceaccounts/token for itself";
                failed("create TokenRequest", &resource, hint, &error)
            })?;
        let status = answer.status.ok_or_else(|| {
            let message = "the response has no token";
            CallError::new(
                "create TokenRequest",
                &resource,
                CallErrorKind::Unavailable,
                message,
            )
        })?;
        Ok(status.token.into())
    }
}

/// `denied` says what to do if the controller lacks the permission.
fn failed(operation: &str, resource: &str, denied: &str, error: &kube::Error) -> CallError {
    let (kind, message) = match error {
        kube::Error::Api(status) => match status.code {
            404 => (
                CallErrorKind::NotFound,
                "it does not exist: create it".to_owned(),
            ),
            403 => (
                CallErrorKind::Denied,
                format!("{}: {denied}", status.message),
            ),
            401 => (CallErrorKind::Unauthenticated, status.message.clone()),
            429 => (
                CallErrorKind::Throttled { retry_after: None },
                status.message.clone(),
            ),
            400..500 => (CallErrorKind::Invalid, status.message.clone()),
            _ => (CallErrorKind::Unavailable, status.message.clone()),
        },
        error => (CallErrorKind::Unavailable, causes(error)),
    };
    CallError::new(operation, resource, kind, message)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn api_server_status_codes_map_to_error_kinds() {
        for (code, expected) in [
            (404, CallErrorKind::NotFound),
            (403, CallErrorKind::Denied),
            (401, CallErrorKind::Unauthenticated),
            (422, CallErrorKind::Invalid),
            (503, CallErrorKind::Unavailable),
        ] {
            let status = Status::failure("it said", "Reason").with_code(code);
            let error = kube::Error::Api(status.boxed());
            let error = failed("get Secret", "sluice/hub", "grant it", &error);
            assert_eq!(error.kind, expected, "{code}");
            assert_eq!(error.message.contains("grant it"), code == 403, "{error}");
        }
    }
}
