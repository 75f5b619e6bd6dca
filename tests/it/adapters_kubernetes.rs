//! Secrets and tokens from a real API server.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kube::config::{KubeConfigOptions, Kubeconfig};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sluice::{
    adapters::kubernetes::KubeSecrets,
    ports::{CallErrorKind, secrets::Secrets as _},
};
use sluice_lab::kube::User;

use crate::cluster::cluster;

const NAMESPACE: &str = "adapters-kubernetes";
const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: adapters-kubernetes}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: controller, namespace: adapters-kubernetes}
---
apiVersion: v1
kind: Secret
metadata: {name: hub-key, namespace: adapters-kubernetes}
stringData: {AWS_ACCESS_KEY_ID: id}
data: {binary: /w==}
";

async fn secrets(user: User) -> KubeSecrets {
    cluster().apply(User::Admin, OBJECTS).unwrap();
    let kubeconfig = Kubeconfig::read_from(cluster().kubeconfig(user)).unwrap();
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let client = kube::Client::try_from(config.unwrap()).unwrap();
    KubeSecrets::new(client, NAMESPACE, "controller")
}

#[tokio::test]
async fn secret_returns_its_text_values() {
    let values = secrets(User::Admin)
        .await
        .get(NAMESPACE, "hub-key")
        .await
        .unwrap();
    let shown: Vec<_> = values
        .values
        .iter()
        .map(|(key, value)| (key.as_str(), value.expose_secret()))
        .collect();
    assert_eq!(shown, [("AWS_ACCESS_KEY_ID", "id")]);
}

#[tokio::test]
async fn missing_secret_and_missing_permission_are_named() {
    let missing = secrets(User::Admin)
        .await
        .get(NAMESPACE, "nothing")
        .await
        .unwrap_err();
    assert_eq!(missing.kind, CallErrorKind::NotFound, "{missing}");
    assert_eq!(missing.resource, "adapters-kubernetes/nothing");
    let denied = secrets(User::Tenant)
        .await
        .get(NAMESPACE, "hub-key")
        .await
        .unwrap_err();
    assert_eq!(denied.kind, CallErrorKind::Denied, "{denied}");
    assert!(
        denied.message.contains("create rolebinding sluice-hub-key"),
        "{denied}"
    );
    let denied = secrets(User::Tenant)
        .await
        .identity_token("aws")
        .await
        .unwrap_err();
    assert_eq!(denied.kind, CallErrorKind::Denied, "{denied}");
    assert!(denied.message.contains("serviceaccounts/token"), "{denied}");
}

#[tokio::test]
async fn token_names_the_service_account_and_the_audience() {
    let token = secrets(User::Admin)
        .await
        .identity_token("sts.amazonaws.com")
        .await
        .unwrap();
    let claims = token.expose_secret().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["aud"], serde_json::json!(["sts.amazonaws.com"]));
    assert_eq!(
        claims["sub"],
        "system:serviceaccount:adapters-kubernetes:controller"
    );
}
