//! Who may do what, and what is written down of it.

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_lambda::Client;
use aws_sdk_s3::types::{BucketVersioningStatus, ExpirationStatus};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sluice_lab::aws::{AUDIENCE, REGIONS, SUBJECT};

use super::{REGION, assumed, cloud, create, deployer, dev_lambda, hub_user, refusal_code};

#[tokio::test]
async fn a_call_is_recorded_with_account_region_operation_and_outcome() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let request = lambda
        .get_function()
        .function_name("access-missing")
        .qualifier("live");
    assert_eq!(
        refusal_code(request.send().await),
        "ResourceNotFoundException"
    );

    let calls = cloud.calls().only(|call| call.resource == "access-missing");
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    assert_eq!(call.name(), "lambda:GetFunction");
    assert_eq!(call.account.as_deref(), Some(cloud.dev().id.as_str()));
    assert_eq!(call.region.as_deref(), Some(REGION));
    assert_eq!(call.qualifier.as_deref(), Some("live"));
    assert_eq!(call.status, Some(404));
    assert_eq!(call.error.as_deref(), Some("ResourceNotFoundException"));
    assert!(call.signed && !call.injected && !call.is_write());
}

#[tokio::test]
async fn assuming_a_role_needs_the_external_id() {
    let cloud = cloud().await;
    let sts = aws_sdk_sts::Client::new(&hub_user(cloud));
    for account in cloud.accounts() {
        let assume = || {
            sts.assume_role()
                .role_arn(&account.role_arn)
                .role_session_name("access")
        };
        assert_eq!(refusal_code(assume().send().await), "AccessDenied");
        assert_eq!(
            refusal_code(assume().external_id("other").send().await),
            "AccessDenied"
        );
        let assumed = assume()
            .external_id(&account.external_id)
            .send()
            .await
            .expect("assumed");
        let arn = assumed.assumed_role_user.expect("a user").arn;
        assert!(arn.contains(&account.id), "{arn}");
    }
}

#[tokio::test]
async fn the_deployer_of_an_account_is_that_account() {
    let cloud = cloud().await;
    for account in cloud.accounts() {
        let sts = aws_sdk_sts::Client::new(&deployer(cloud, account).await);
        let identity = sts.get_caller_identity().send().await.expect("an identity");
        assert_eq!(identity.account.as_ref(), Some(&account.id));
    }
}

#[tokio::test]
async fn the_hubs_user_alone_may_not_touch_functions() {
    let cloud = cloud().await;
    let lambda = Client::new(&hub_user(cloud));
    assert_eq!(
        refusal_code(lambda.list_functions().send().await),
        "AccessDeniedException"
    );
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let cloud = cloud().await;
    let key = Credentials::new(
        &cloud.hub_access_key().id,
        "not the secret",
        None,
        None,
        "test",
    );
    let provider = SharedCredentialsProvider::new(key);
    let sts = aws_sdk_sts::Client::new(&cloud.caller_config(provider, REGION));
    let code = refusal_code(sts.get_caller_identity().send().await);
    assert_eq!(code, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn a_key_that_was_handed_out_past_the_proxy_is_known_by_its_account() {
    let cloud = cloud().await;
    let key = cloud.hub_access_key();
    let key = Credentials::new(&key.id, &key.secret, None, None, "hub");
    let root = cloud.sdk_config(&cloud.hub().id, REGION).into_builder();
    let direct = root
        .credentials_provider(SharedCredentialsProvider::new(key))
        .build();
    let role = &cloud.prod().role_arn;
    let assume = aws_sdk_sts::Client::new(&direct)
        .assume_role()
        .role_arn(role);
    let assume = assume
        .role_session_name("access")
        .external_id(&cloud.prod().external_id);
    let session = assume
        .send()
        .await
        .expect("assumed")
        .credentials
        .expect("credentials");
    let session = Credentials::new(
        session.access_key_id,
        session.secret_access_key,
        Some(session.session_token),
        None,
        "test",
    );
    let lambda = cloud.caller_config(SharedCredentialsProvider::new(session), REGION);
    let request = Client::new(&lambda)
        .get_function()
        .function_name("access-past");
    assert_eq!(
        refusal_code(request.send().await),
        "ResourceNotFoundException"
    );
    let calls = cloud.calls().only(|call| call.resource == "access-past");
    assert_eq!(calls[0].account.as_deref(), Some(cloud.prod().id.as_str()));
}

/// As Kubernetes makes it; the emulator does not check signatures.
fn token(audience: &str, subject: &str) -> String {
    let claims = serde_json::json!({
        "iss": "https://kubernetes.default.svc", "aud": [audience], "sub": subject,
        "iat": 1_700_000_000, "exp": 4_000_000_000_u64,
    });
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part(r#"{"alg":"RS256"}"#),
        part(&claims.to_string()),
        part("signature")
    )
}

#[tokio::test]
async fn a_web_identity_is_taken_for_the_controllers_service_account_only() {
    let cloud = cloud().await;
    let sts = aws_sdk_sts::Client::new(&hub_user(cloud));
    let role = cloud
        .dev()
        .web_identity_role_arn
        .clone()
        .expect("dev has such a role");
    let assume = |audience: &str, subject: &str| {
        sts.assume_role_with_web_identity()
            .role_arn(&role)
            .role_session_name("access")
            .web_identity_token(token(audience, subject))
            .send()
    };
    let other_subject = assume(AUDIENCE, "system:serviceaccount:shop:sluice").await;
    assert_eq!(refusal_code(other_subject), "AccessDenied");
    assert_eq!(refusal_code(assume("other", SUBJECT).await), "AccessDenied");
    assume(AUDIENCE, SUBJECT)
        .await
        .expect("the controller's token is taken");

    let calls = cloud.calls();
    let call = calls
        .named("sts", "AssumeRoleWithWebIdentity")
        .next()
        .expect("it is recorded");
    assert_eq!(call.account.as_deref(), Some(cloud.dev().id.as_str()));
    assert!(!call.signed);
}

#[tokio::test]
async fn artifact_buckets_keep_versions_and_abort_incomplete_uploads() {
    let cloud = cloud().await;
    for account in cloud.accounts() {
        for region in REGIONS {
            let bucket = &account.buckets[region];
            let s3 = aws_sdk_s3::Client::new(&cloud.sdk_config(&account.id, region));
            let versioning = s3.get_bucket_versioning().bucket(bucket).send().await;
            let status = versioning.expect("versioning").status;
            assert_eq!(status, Some(BucketVersioningStatus::Enabled), "{bucket}");
            let rules = s3
                .get_bucket_lifecycle_configuration()
                .bucket(bucket)
                .send()
                .await;
            let rules = rules.expect("a lifecycle").rules.unwrap_or_default();
            let aborts = rules.iter().any(|rule| {
                rule.status == ExpirationStatus::Enabled
                    && rule.abort_incomplete_multipart_upload.is_some()
            });
            assert!(aborts, "{bucket}: {rules:?}");
        }
    }
}

#[tokio::test]
async fn a_policy_can_name_the_function_that_is_made_and_whose_alias_is_touched() {
    let cloud = cloud().await;
    let arn = |name: &str| {
        let account = &cloud.dev().id;
        format!("arn:aws:lambda:{REGION}:{account}:function:{name}")
    };
    let policy = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": ["lambda:CreateFunction", "lambda:GetFunction", "lambda:GetAlias"],
            "Resource": [arn("access-named"), arn("access-named:*")],
        }],
    });
    let lambda = Client::new(&assumed(cloud, cloud.dev(), Some(policy.to_string())).await);
    create(cloud, &lambda, "access-named").await;
    let alias = |name: &str| lambda.get_alias().function_name(name).name("live").send();
    assert_eq!(
        refusal_code(alias("access-named").await),
        "ResourceNotFoundException"
    );
    assert_eq!(
        refusal_code(alias("access-other").await),
        "AccessDeniedException"
    );
    let delete = lambda
        .delete_alias()
        .function_name("access-named")
        .name("live");
    assert_eq!(refusal_code(delete.send().await), "AccessDeniedException");
}
