//! Aliases and their weights.

use std::collections::BTreeSet;

use aws_sdk_lambda::{Client, types::AliasRoutingConfiguration};

use super::{cloud, create, dev_lambda, refusal_code, release};
use sluice_lab::aws::Settle;

fn weights(weights: &[(&str, f64)]) -> AliasRoutingConfiguration {
    let mut routing = AliasRoutingConfiguration::builder();
    for (version, weight) in weights {
        routing = routing.additional_version_weights(*version, *weight);
    }
    routing.build()
}

/// A function with versions 1 and 2, and the alias `live` on 1.
async fn with_alias(lambda: &Client, name: &str) {
    create(cloud().await, lambda, name).await;
    assert_eq!(release(lambda, name, "first").await, "1");
    assert_eq!(release(lambda, name, "second").await, "2");
    let request = lambda
        .create_alias()
        .function_name(name)
        .name("live")
        .function_version("1");
    request.send().await.expect("an alias");
}

#[tokio::test]
async fn an_alias_needs_existing_versions() {
    let lambda = dev_lambda(cloud().await).await;
    let name = "alias-missing";
    with_alias(&lambda, name).await;
    let create = lambda
        .create_alias()
        .function_name(name)
        .name("next")
        .function_version("9");
    assert_eq!(
        refusal_code(create.send().await),
        "ResourceNotFoundException"
    );
    let update = || lambda.update_alias().function_name(name).name("live");
    let main = update().function_version("9");
    assert_eq!(refusal_code(main.send().await), "ResourceNotFoundException");
    let additional = update().routing_config(weights(&[("9", 0.1)]));
    assert_eq!(
        refusal_code(additional.send().await),
        "ResourceNotFoundException"
    );
}

#[tokio::test]
async fn invalid_alias_weights_are_refused() {
    let lambda = dev_lambda(cloud().await).await;
    let name = "alias-weights";
    with_alias(&lambda, name).await;
    let cases: [(&[(&str, f64)], &str); 5] = [
        (&[("2", 1.5)], "ValidationException"),
        (&[("2", -0.1)], "ValidationException"),
        (&[("$LATEST", 0.1)], "InvalidParameterValueException"),
        (&[("1", 0.1)], "InvalidParameterValueException"),
        (&[("2", 0.1), ("3", 0.1)], "InvalidParameterValueException"),
    ];
    for (routing, expected) in cases {
        let update = lambda.update_alias().function_name(name).name("live");
        let refused = update.routing_config(weights(routing)).send().await;
        assert_eq!(refusal_code(refused), expected, "{routing:?}");
    }
    let alias = lambda
        .get_alias()
        .function_name(name)
        .name("live")
        .send()
        .await
        .expect("an alias");
    assert_eq!(alias.routing_config, None);
}

#[tokio::test]
async fn both_versions_of_a_weighted_alias_need_the_same_role() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "alias-roles";
    with_alias(&lambda, name).await;
    let iam = other_execution_role(cloud).await;
    let configure = lambda
        .update_function_configuration()
        .function_name(name)
        .role(iam);
    configure.send().await.expect("configured");
    super::settled(&lambda, name).await;
    assert_eq!(release(&lambda, name, "third").await, "3");
    let update = lambda.update_alias().function_name(name).name("live");
    let refused = update.routing_config(weights(&[("3", 0.1)])).send().await;
    assert_eq!(refusal_code(refused), "InvalidParameterValueException");
}

/// Created as the root user, whose signature is not checked.
async fn other_execution_role(cloud: &sluice_lab::aws::Cloud) -> String {
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
        "Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    let form = [
        ("Action", "CreateRole"),
        ("Version", "2010-05-08"),
        ("RoleName", "alias-other"),
        ("AssumeRolePolicyDocument", trust),
    ];
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let id = &cloud.dev().id;
    let answer = reqwest::Client::new()
        .post(cloud.endpoint())
        .header("content-type", "application/x-www-form-urlencoded")
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={id}/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0"),
        )
        .body(body)
        .send()
        .await
        .expect("an answer");
    assert!(answer.status().is_success(), "{answer:?}");
    format!("arn:aws:iam::{id}:role/alias-other")
}

#[tokio::test]
async fn an_invocation_by_alias_follows_the_weights() {
    let lambda = dev_lambda(cloud().await).await;
    let name = "alias-invoke";
    with_alias(&lambda, name).await;
    let invoked = |count: usize| {
        let lambda = lambda.clone();
        async move {
            let mut seen = BTreeSet::new();
            for _ in 0..count {
                let answer = lambda
                    .invoke()
                    .function_name(name)
                    .qualifier("live")
                    .send()
                    .await;
                let answer = answer.expect("invoked");
                let version = answer.executed_version.expect("an executed version");
                let payload = answer.payload.expect("a payload").into_inner();
                let expected = if version == "1" {
                    r#""first""#
                } else {
                    r#""second""#
                };
                assert_eq!(payload, expected.as_bytes());
                seen.insert(version);
            }
            seen.into_iter().collect::<Vec<_>>()
        }
    };
    let shift = |routing: AliasRoutingConfiguration| {
        lambda
            .update_alias()
            .function_name(name)
            .name("live")
            .routing_config(routing)
            .send()
    };
    assert_eq!(invoked(4).await, ["1"]);
    shift(weights(&[("2", 0.5)])).await.expect("shifted");
    // The chance that one of them is missing is one in 2^39.
    assert_eq!(invoked(40).await, ["1", "2"]);
    shift(weights(&[("2", 1.0)])).await.expect("shifted");
    assert_eq!(invoked(4).await, ["2"]);
    shift(weights(&[])).await.expect("shifted");
    assert_eq!(invoked(4).await, ["1"]);
}

#[tokio::test]
async fn the_former_version_serves_a_provisioned_alias_until_the_new_one_is_ready() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "alias-provisioned";
    with_alias(&lambda, name).await;
    let provision = lambda
        .put_provisioned_concurrency_config()
        .function_name(name)
        .qualifier("live")
        .provisioned_concurrent_executions(2);
    provision.send().await.expect("provisioned");
    let update = || lambda.update_alias().function_name(name).name("live");
    let split = update().routing_config(weights(&[("2", 0.1)]));
    assert_eq!(
        refusal_code(split.send().await),
        "InvalidParameterValueException"
    );

    cloud.set_settle_of(name, Settle::NEVER);
    let moved = update().function_version("2").routing_config(weights(&[]));
    moved.send().await.expect("moved");
    let seen = async || {
        let alias = lambda.get_alias().function_name(name).name("live");
        let alias = alias.send().await.expect("an alias");
        let invoked = lambda.invoke().function_name(name).qualifier("live");
        let invoked = invoked.send().await.expect("invoked");
        let routing = alias
            .routing_config
            .and_then(|it| it.additional_version_weights);
        (
            alias.function_version.expect("a version"),
            routing.unwrap_or_default().into_iter().collect::<Vec<_>>(),
            invoked.executed_version.expect("a version"),
        )
    };
    let both = vec![("1".to_owned(), 1.0)];
    assert_eq!(seen().await, ("2".to_owned(), both, "1".to_owned()));
    cloud.settle_now(name);
    assert_eq!(seen().await, ("2".to_owned(), vec![], "2".to_owned()));
}

#[tokio::test]
async fn a_version_that_an_alias_references_cannot_be_deleted() {
    let lambda = dev_lambda(cloud().await).await;
    let name = "alias-keeps";
    with_alias(&lambda, name).await;
    let delete = |version: &str| {
        lambda
            .delete_function()
            .function_name(name)
            .qualifier(version)
    };
    let refused = delete("1").send().await;
    assert_eq!(refusal_code(refused), "ResourceConflictException");
    delete("2")
        .send()
        .await
        .expect("no alias references version 2");
}
