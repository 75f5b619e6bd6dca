//! What change sets say about each resource.

use aws_sdk_cloudformation::types::{
    AttributeChangeType, ChangeAction, ChangeSetType, ChangeSource, EvaluationType, Parameter,
    PolicyAction, Replacement, RequiresRecreation, ResourceAttribute,
};
use serde_json::{Value, json};

use super::{TestStack, change_of, changes, parameter};

const UNKNOWN: &str = "{{changeSet:KNOWN_AFTER_APPLY}}";

fn queue(name: &str) -> Value {
    json!({ "Type": "AWS::SQS::Queue", "Properties": { "QueueName": name } })
}

#[tokio::test]
async fn resources_are_added_modified_and_removed() {
    let stack = TestStack::created(
        "lab-changes-actions",
        json!({ "Kept": parameter("a"), "Gone": parameter("b"), "Same": parameter("c") }),
    )
    .await;
    let resources =
        json!({ "Kept": parameter("z"), "New": parameter("n"), "Same": parameter("c") });
    let found = stack.propose(ChangeSetType::Update, resources).await;
    assert_eq!(changes(&found).len(), 3);

    let kept = change_of(&found, "Kept");
    assert_eq!(kept.action, Some(ChangeAction::Modify));
    assert_eq!(kept.replacement, Some(Replacement::False));
    assert_eq!(
        kept.physical_resource_id.as_deref(),
        Some("/lab-changes-actions/Kept")
    );
    assert_eq!(
        kept.scope.as_deref(),
        Some(&[ResourceAttribute::Properties][..])
    );
    let detail = &kept.details()[0];
    assert_eq!(detail.evaluation, Some(EvaluationType::Static));
    assert_eq!(detail.change_source, Some(ChangeSource::DirectModification));
    let target = detail.target.as_ref().unwrap();
    assert_eq!(target.path.as_deref(), Some("/Properties/Value"));
    assert_eq!(target.requires_recreation, Some(RequiresRecreation::Never));
    assert_eq!(target.before_value.as_deref(), Some("a"));
    assert_eq!(target.after_value.as_deref(), Some("z"));
    assert_eq!(
        target.attribute_change_type,
        Some(AttributeChangeType::Modify)
    );
    let before: Value = serde_json::from_str(kept.before_context.as_deref().unwrap()).unwrap();
    assert_eq!(
        before,
        json!({ "Properties": { "Type": "String", "Value": "a" } })
    );

    let gone = change_of(&found, "Gone");
    assert_eq!(gone.action, Some(ChangeAction::Remove));
    assert_eq!(gone.policy_action, Some(PolicyAction::Delete));
    assert_eq!(gone.after_context, None);
    let new = change_of(&found, "New");
    assert_eq!(new.action, Some(ChangeAction::Add));
    assert_eq!(new.before_context, None);
    assert!(new.after_context.unwrap().contains("\"n\""));
}

#[tokio::test]
async fn values_are_shown_only_on_request() {
    let stack = TestStack::created("lab-changes-plain", json!({ "A": parameter("a") })).await;
    let found = stack
        .propose(ChangeSetType::Update, json!({ "A": parameter("b") }))
        .await;
    let request = stack.client.describe_change_set().stack_name(&stack.name);
    let id = found.change_set_id.as_deref().unwrap();
    let plain = request.change_set_name(id).send().await.unwrap();
    let change = change_of(&plain, "A");
    assert_eq!((change.before_context, change.after_context), (None, None));
    let target = change.details.unwrap().remove(0).target.unwrap();
    assert_eq!((target.path, target.before_value), (None, None));
    assert_eq!(target.name.as_deref(), Some("Value"));
    assert!(change_of(&found, "A").before_context.is_some());
}

#[tokio::test]
async fn a_new_name_replaces_a_resource_and_changes_what_refers_to_it() {
    let references = |name: &str| {
        json!({
            "Queue": queue(name),
            "Arn": parameter(json!({ "Fn::GetAtt": ["Queue", "Arn"] })),
            "Url": parameter(json!({ "Ref": "Queue" })),
        })
    };
    let stack = TestStack::created("lab-changes-replace", references("lab-changes-one")).await;
    let found = stack
        .propose(ChangeSetType::Update, references("lab-changes-two"))
        .await;
    let queue = change_of(&found, "Queue");
    assert_eq!(queue.replacement, Some(Replacement::True));
    assert_eq!(queue.policy_action, Some(PolicyAction::ReplaceAndDelete));
    let target = queue.details()[0].target.as_ref().unwrap();
    assert_eq!(target.requires_recreation, Some(RequiresRecreation::Always));
    for (name, source, entity) in [
        ("Arn", ChangeSource::ResourceAttribute, "Queue.Arn"),
        ("Url", ChangeSource::ResourceReference, "Queue"),
    ] {
        let change = change_of(&found, name);
        let detail = &change.details()[0];
        assert_eq!(detail.change_source, Some(source));
        assert_eq!(detail.causing_entity.as_deref(), Some(entity));
        assert_eq!(
            detail.target.as_ref().unwrap().after_value.as_deref(),
            Some(UNKNOWN)
        );
    }
}

#[tokio::test]
async fn an_attribute_of_a_changed_resource_changes_dynamically() {
    let resources = |value: &str| json!({ "A": parameter(value), "B": parameter(json!({ "Fn::GetAtt": ["A", "Value"] })) });
    let stack = TestStack::created("lab-changes-dynamic", resources("a")).await;
    let found = stack.propose(ChangeSetType::Update, resources("b")).await;
    let change = change_of(&found, "B");
    let detail = &change.details()[0];
    assert_eq!(detail.evaluation, Some(EvaluationType::Dynamic));
    assert_eq!(detail.causing_entity.as_deref(), Some("A.Value"));
    let target = detail.target.as_ref().unwrap();
    assert_eq!(target.before_value.as_deref(), Some("a"));
    assert_eq!(target.after_value.as_deref(), Some(UNKNOWN));
}

#[tokio::test]
async fn a_reference_to_another_resource_is_a_change() {
    let resources = |from: &str| {
        json!({
            "One": parameter("one"),
            "Two": parameter("two"),
            "Both": parameter(json!({ "Fn::GetAtt": [from, "Value"] })),
        })
    };
    let stack = TestStack::created("lab-changes-reference", resources("One")).await;
    let found = stack.propose(ChangeSetType::Update, resources("Two")).await;
    assert_eq!(changes(&found).len(), 1);
    let change = change_of(&found, "Both");
    let target = change.details()[0].target.as_ref().unwrap();
    assert_eq!(target.after_value.as_deref(), Some("two"));
}

#[tokio::test]
async fn a_parameter_is_named_as_cause_and_noecho_values_stay_hidden() {
    let stack = TestStack::new("lab-changes-parameters").await;
    let template = json!({
        "Parameters": {
            "Open": { "Type": "String", "Default": "open-1" },
            "Secret": { "Type": "String", "NoEcho": true, "Default": "secret-1" },
        },
        "Resources": {
            "A": parameter(json!({ "Ref": "Open" })),
            "B": parameter(json!({ "Fn::Sub": "x-${Secret}" })),
        },
    });
    let ready = stack
        .ready(stack.request("first", ChangeSetType::Create, &template))
        .await;
    stack.execute(&ready).await;
    stack.settled().await;
    let value = |key: &str, value: &str| {
        Parameter::builder()
            .parameter_key(key)
            .parameter_value(value)
            .build()
    };
    let request = stack.request("second", ChangeSetType::Update, &template);
    let request = request
        .parameters(value("Open", "open-2"))
        .parameters(value("Secret", "secret-2"));
    let found = stack.ready(request).await;
    let change = change_of(&found, "A");
    let by_parameter = change
        .details()
        .iter()
        .find(|detail| detail.change_source == Some(ChangeSource::ParameterReference));
    assert_eq!(
        by_parameter.unwrap().causing_entity.as_deref(),
        Some("Open")
    );
    assert!(
        change_of(&found, "B")
            .after_context
            .unwrap()
            .contains("****")
    );
    assert!(!format!("{found:?}").contains("secret-"));
    stack.execute(&found).await;
    stack.settled().await;
    let stack_view = format!("{:?}", stack.describe().await);
    assert!(
        stack_view.contains("****") && !stack_view.contains("secret-"),
        "{stack_view}"
    );
    assert_eq!(stack.value("B").await, "x-secret-2");
}

#[tokio::test]
async fn each_differing_value_has_a_path() {
    let resource = |settings: Value| json!({ "F": { "Type": "Custom::LabFailure", "Properties": { "Settings": [settings] } } });
    let old = json!({ "Mode": "a", "Rate": "1", "Role": "r" });
    let new = json!({ "Mode": "a", "Rate": "2", "Failure": "f" });
    let stack = TestStack::created("lab-changes-paths", resource(old)).await;
    let found = stack.propose(ChangeSetType::Update, resource(new)).await;
    let change = change_of(&found, "F");
    let mut paths: Vec<(String, AttributeChangeType)> = change
        .details()
        .iter()
        .map(|detail| detail.target.clone().unwrap())
        .map(|target| (target.path.unwrap(), target.attribute_change_type.unwrap()))
        .collect();
    paths.sort_by(|a, b| a.0.cmp(&b.0));
    let at = |name: &str| format!("/Properties/Settings/0/{name}");
    let expected = [
        (at("Failure"), AttributeChangeType::Add),
        (at("Rate"), AttributeChangeType::Modify),
        (at("Role"), AttributeChangeType::Remove),
    ];
    assert_eq!(paths, expected);
}

#[tokio::test]
async fn a_retained_resource_is_not_deleted() {
    let mut kept = parameter("a");
    kept["DeletionPolicy"] = json!("Retain");
    let stack = TestStack::created(
        "lab-changes-retain",
        json!({ "A": kept, "B": parameter("b") }),
    )
    .await;
    let found = stack
        .propose(ChangeSetType::Update, json!({ "B": parameter("b") }))
        .await;
    assert_eq!(
        change_of(&found, "A").policy_action,
        Some(PolicyAction::Retain)
    );
    stack.execute(&found).await;
    stack.settled().await;
    assert_eq!(stack.value("A").await, "a");
    assert!(
        stack
            .last_events(2)
            .await
            .contains(&"A DELETE_SKIPPED".to_owned())
    );
}
