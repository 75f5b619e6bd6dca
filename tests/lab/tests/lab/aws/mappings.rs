//! Event source mappings and provisioned concurrency, which Lambda changes asynchronously.

use aws_sdk_lambda::{Client, types::ProvisionedConcurrencyStatusEnum as Status};
use sluice_lab::aws::Settle;

use super::{REGION, cloud, create, dev_lambda, refusal, refusal_code, release};

async fn states(lambda: &Client, name: &str) -> Vec<String> {
    let list = lambda.list_event_source_mappings().function_name(name);
    let list = list.send().await.expect("a list");
    let mappings = list.event_source_mappings.unwrap_or_default();
    mappings.into_iter().filter_map(|it| it.state).collect()
}

#[tokio::test]
async fn event_source_mappings_change_asynchronously() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "mappings-slow";
    create(cloud, &lambda, name).await;
    cloud.set_settle_of(name, Settle::NEVER);
    let queue = format!("arn:aws:sqs:{REGION}:{}:orders", cloud.dev().id);
    let made = lambda.create_event_source_mapping().function_name(name);
    let made = made.event_source_arn(queue).send().await.expect("made");
    let id = made.uuid.expect("an id");
    assert_eq!(made.state.as_deref(), Some("Creating"));
    assert_eq!(states(&lambda, name).await, ["Creating"]);
    let disable = || {
        lambda
            .update_event_source_mapping()
            .uuid(&id)
            .enabled(false)
            .send()
    };
    assert_eq!(refusal_code(disable().await), "ResourceInUseException");

    cloud.settle_now(name);
    assert_eq!(states(&lambda, name).await, ["Enabled"]);
    let disabled = disable().await.expect("disabled");
    assert_eq!(disabled.state.as_deref(), Some("Disabling"));
    cloud.settle_now(name);
    assert_eq!(states(&lambda, name).await, ["Disabled"]);

    let delete = || lambda.delete_event_source_mapping().uuid(&id).send();
    let deleted = delete().await.expect("deleted");
    assert_eq!(deleted.state.as_deref(), Some("Deleting"));
    assert_eq!(states(&lambda, name).await, ["Deleting"]);
    assert_eq!(refusal_code(delete().await), "ResourceInUseException");
    let get = || lambda.get_event_source_mapping().uuid(&id).send();
    assert_eq!(
        get().await.expect("the mapping").state.as_deref(),
        Some("Deleting")
    );
    cloud.settle_now(name);
    assert!(states(&lambda, name).await.is_empty());
    assert_eq!(refusal_code(get().await), "ResourceNotFoundException");
}

#[tokio::test]
async fn provisioned_concurrency_becomes_ready_asynchronously() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "mappings-provisioned";
    create(cloud, &lambda, name).await;
    let version = release(&lambda, name, "first").await;
    cloud.set_settle_of(name, Settle::NEVER);
    let put = |qualifier: &str| {
        let put = lambda
            .put_provisioned_concurrency_config()
            .function_name(name);
        put.qualifier(qualifier)
            .provisioned_concurrent_executions(2)
            .send()
    };
    let (code, message) = refusal(put("$LATEST").await);
    assert_eq!(code, "InvalidParameterValueException");
    assert!(
        message.contains("unpublished function versions"),
        "{message}"
    );

    let answer = put(&version).await.expect("accepted");
    assert_eq!(answer.status, Some(Status::InProgress));
    let get = async || {
        let get = lambda
            .get_provisioned_concurrency_config()
            .function_name(name);
        let config = get
            .qualifier(&version)
            .send()
            .await
            .expect("a configuration");
        let available = config.available_provisioned_concurrent_executions;
        (config.status.expect("a status"), available)
    };
    assert_eq!(get().await, (Status::InProgress, Some(0)));
    cloud.settle_now(name);
    assert_eq!(get().await, (Status::Ready, Some(2)));
}
