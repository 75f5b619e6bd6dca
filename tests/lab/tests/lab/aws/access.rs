//! Permissions, and the record of calls.

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_lambda::Client;
use aws_sdk_s3::types::{BucketVersioningStatus, ExpirationStatus};
use sluice_lab::aws::{REGIONS, Settle};

use super::{
    REGION, assumed, cloud, create, deployer, dev_lambda, hub_user, limited, refusal, refusal_code,
    update,
};

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
async fn an_accounts_deployer_role_belongs_to_that_account() {
    let cloud = cloud().await;
    for account in cloud.accounts() {
        let sts = aws_sdk_sts::Client::new(&deployer(cloud, account).await);
        let identity = sts.get_caller_identity().send().await.expect("an identity");
        assert_eq!(identity.account.as_ref(), Some(&account.id));
    }
}

#[tokio::test]
async fn the_hubs_user_cannot_access_functions_without_a_role() {
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
async fn a_key_issued_past_the_proxy_is_attributed_to_its_account() {
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
async fn a_policy_can_name_single_functions_for_creation_and_aliases() {
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

#[tokio::test]
async fn a_denial_names_caller_action_resource_and_policy() {
    let cloud = cloud().await;
    let account = &cloud.dev().id;
    let arn = format!("arn:aws:lambda:{REGION}:{account}:function:access-denied");
    let caller = format!("arn:aws:sts::{account}:assumed-role/sluice-deployer/test");
    let denied = async |policy: serde_json::Value| {
        let lambda = Client::new(&assumed(cloud, cloud.dev(), Some(policy.to_string())).await);
        let request = lambda.get_function().function_name("access-denied");
        let (code, message) = refusal(request.send().await);
        assert_eq!(code, "AccessDeniedException");
        message
    };
    let allow =
        |action: &str| serde_json::json!({"Effect": "Allow", "Action": action, "Resource": "*"});
    let begin = format!(
        "User: {caller} is not authorized to perform: lambda:GetFunction on resource: {arn} "
    );
    let not_allowed =
        serde_json::json!({"Version": "2012-10-17", "Statement": [allow("lambda:List*")]});
    assert_eq!(
        denied(not_allowed).await,
        format!("{begin}because no session policy allows the lambda:GetFunction action")
    );
    let deny =
        serde_json::json!({"Effect": "Deny", "Action": "lambda:GetFunction", "Resource": arn});
    let forbidden =
        serde_json::json!({"Version": "2012-10-17", "Statement": [allow("lambda:*"), deny]});
    assert_eq!(
        denied(forbidden).await,
        format!("{begin}with an explicit deny in a session policy")
    );

    let (_, message) = refusal(Client::new(&hub_user(cloud)).list_functions().send().await);
    assert!(
        message
            .ends_with("because no identity-based policy allows the lambda:ListFunctions action"),
        "{message}"
    );
}

#[tokio::test]
async fn permission_is_checked_before_any_state() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "access-first";
    create(cloud, &lambda, name).await;
    cloud.set_settle_of(name, Settle::NEVER);
    update(&lambda, name, "two").await;
    let reader = Client::new(&limited(cloud, "lambda:Get*").await);
    for (client, expected) in [
        (&lambda, "ResourceConflictException"),
        (&reader, "AccessDeniedException"),
    ] {
        let request = client.update_function_configuration().function_name(name);
        assert_eq!(
            refusal_code(request.memory_size(256).send().await),
            expected
        );
        let publish = client.publish_version().function_name(name);
        assert_eq!(refusal_code(publish.send().await), expected);
    }
    let create = reader.create_function().function_name("access-first-made");
    let create = create.role("arn:aws:iam::222222222222:role/not-there");
    let create = create.code(super::code("one")).send().await;
    assert_eq!(refusal_code(create), "AccessDeniedException");
    cloud.settle_now(name);
}
