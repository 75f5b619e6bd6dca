//! Published versions.

use aws_sdk_lambda::types::{Environment, State};
use sluice_lab::aws::Settle;

use super::{
    active, cloud, configuration, create, dev_lambda, refusal, refusal_code, release, settled,
    update,
};

#[tokio::test]
async fn publishing_checks_code_and_revision() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "publish-checks";
    create(cloud, &lambda, name).await;
    let latest = configuration(&lambda, name, None).await;
    let publish = || lambda.publish_version().function_name(name);

    let (error, message) = refusal(publish().code_sha256("b3RoZXI=").send().await);
    assert_eq!(error, "InvalidParameterValueException");
    assert!(message.contains("b3RoZXI="), "{message}");
    let other = publish().revision_id("11111111-2222-3333-4444-555555555555");
    assert_eq!(
        refusal_code(other.send().await),
        "PreconditionFailedException"
    );

    let version = publish()
        .set_code_sha256(latest.code_sha256)
        .set_revision_id(latest.revision_id)
        .send()
        .await
        .expect("published");
    assert_eq!(version.version.as_deref(), Some("1"));
}

#[tokio::test]
async fn publishing_unchanged_content_returns_the_existing_version() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "publish-again";
    create(cloud, &lambda, name).await;
    let publish = |description: &str| {
        lambda
            .publish_version()
            .function_name(name)
            .description(description)
            .send()
    };
    let first = publish("first").await.expect("published");
    // The same bytes again: a new revision and no other change.
    update(&lambda, name, "one").await;
    settled(&lambda, name).await;
    let again = publish("second").await.expect("published");
    assert_eq!(again.version, first.version);
    assert_eq!(again.description.as_deref(), Some("first"));

    let variables = Environment::builder().variables("LEVEL", "debug").build();
    let configure = lambda.update_function_configuration().function_name(name);
    configure
        .environment(variables)
        .send()
        .await
        .expect("configured");
    settled(&lambda, name).await;
    assert_eq!(
        publish("third")
            .await
            .expect("published")
            .version
            .as_deref(),
        Some("2")
    );
}

#[tokio::test]
async fn a_new_version_is_pending_and_cannot_be_invoked_for_a_time_of_its_own() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "publish-pending";
    create(cloud, &lambda, name).await;
    cloud.set_settle_of(name, Settle::NEVER);
    let version = lambda
        .publish_version()
        .function_name(name)
        .send()
        .await
        .expect("published");
    assert_eq!(version.state, Some(State::Pending));
    assert_eq!(
        version
            .state_reason_code
            .map(|code| code.to_string())
            .as_deref(),
        Some("Creating")
    );
    let (error, message) = refusal(
        lambda
            .invoke()
            .function_name(name)
            .qualifier("1")
            .send()
            .await,
    );
    assert_eq!(error, "ResourceConflictException");
    assert!(
        message.contains("currently in the following state: Pending"),
        "{message}"
    );

    cloud.settle_now(name);
    let settled = active(&lambda, name, "1").await;
    assert_ne!(settled.revision_id, version.revision_id);
    assert_eq!(settled.code_sha256, version.code_sha256);
    let answer = lambda
        .invoke()
        .function_name(name)
        .qualifier("1")
        .send()
        .await
        .expect("invoked");
    assert_eq!(answer.executed_version.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_code_update_can_also_publish_a_version() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "publish-along";
    create(cloud, &lambda, name).await;
    assert_eq!(release(&lambda, name, "two").await, "1");
    let request = lambda
        .update_function_code()
        .function_name(name)
        .publish(true);
    let updated = request
        .zip_file(super::package("three"))
        .send()
        .await
        .expect("updated");
    assert_eq!(updated.version.as_deref(), Some("2"));
    let config = active(&lambda, name, "2").await;
    assert!(
        config
            .function_arn
            .expect("an ARN")
            .ends_with(":publish-along:2")
    );
}
