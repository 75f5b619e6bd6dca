//! Web identities: the tokens that STS accepts, and its refusals of others.

use std::sync::OnceLock;

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sluice_lab::aws::{AUDIENCE, Cloud, SUBJECT};

use super::{cloud, hub_user, refusal};

/// The issuer's key.
fn key() -> &'static EcdsaKeyPair {
    static KEY: OnceLock<EcdsaKeyPair> = OnceLock::new();
    KEY.get_or_init(another_key)
}

fn another_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key")
}

/// The claims of the controller's own token.
fn claims() -> Value {
    json!({
        "iss": "https://kubernetes.default.svc", "aud": [AUDIENCE], "sub": SUBJECT,
        "iat": 1_700_000_000, "exp": 4_000_000_000_u64,
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[field] = value;
    claims
}

fn part(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A signed token, as Kubernetes issues it.
fn token(claims: &Value, key: &EcdsaKeyPair) -> String {
    let signed = format!(
        "{}.{}",
        part(r#"{"alg":"ES256","kid":"lab"}"#),
        part(claims.to_string())
    );
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes());
    format!("{signed}.{}", part(signature.expect("a signature")))
}

/// Code and message of STS's refusal; `None` if it returns credentials.
async fn assumed(cloud: &Cloud, token: String) -> Option<(String, String)> {
    let der: PublicKeyX509Der = key().public_key().as_der().expect("a public key");
    cloud.trust(der.as_ref().to_vec());
    let role = cloud.dev().web_identity_role_arn.clone();
    let sts = aws_sdk_sts::Client::new(&hub_user(cloud));
    let answer = sts
        .assume_role_with_web_identity()
        .role_arn(role.expect("dev has such a role"))
        .role_session_name("access")
        .web_identity_token(token)
        .send()
        .await;
    match answer {
        Ok(_) => None,
        refused => Some(refusal(refused)),
    }
}

#[tokio::test]
async fn a_web_identity_role_trusts_only_the_controllers_service_account() {
    let cloud = cloud().await;
    assert_eq!(assumed(cloud, token(&claims(), key())).await, None);
    let other = with("sub", json!("system:serviceaccount:shop:sluice"));
    let (code, _) = assumed(cloud, token(&other, key())).await.expect("refused");
    assert_eq!(code, "AccessDenied");

    let calls = cloud.calls();
    let call = calls
        .named("sts", "AssumeRoleWithWebIdentity")
        .next()
        .expect("the call is recorded");
    assert_eq!(call.account.as_deref(), Some(cloud.dev().id.as_str()));
    assert!(!call.signed);
}

#[tokio::test]
async fn sts_refuses_each_invalid_token_with_its_own_error() {
    let cloud = cloud().await;
    let unsigned = format!(
        "{}.{}.",
        part(r#"{"alg":"none"}"#),
        part(claims().to_string())
    );
    let invalid = "InvalidIdentityToken";
    for (token, code, words) in [
        ("a.b".to_owned(), invalid, "is not a valid JWT"),
        (unsigned, invalid, "Couldn't retrieve verification key"),
        (
            token(&claims(), &another_key()),
            invalid,
            "Couldn't retrieve verification key",
        ),
        (
            token(&with("iss", json!("https://issuer.example.com")), key()),
            invalid,
            "No OpenIDConnect provider found in your account for https://issuer.example.com",
        ),
        (
            token(&with("aud", json!(["other"])), key()),
            invalid,
            "Incorrect token audience",
        ),
        (
            token(&with("exp", json!(1_700_000_600)), key()),
            "ExpiredTokenException",
            "must be before the expiration date/time 1700000600",
        ),
    ] {
        let (found, message) = assumed(cloud, token).await.expect(words);
        assert_eq!(found, code, "{message}");
        assert!(message.contains(words), "{message}");
    }
}
