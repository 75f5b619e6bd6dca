//! Answers of CloudFormation, as its API Reference describes them.

use aws_sdk_cloudformation::{
    primitives::DateTime,
    types::{
        ChangeAction, ChangeSetStatus, ExecutionStatus, Output, Parameter, PolicyAction,
        Replacement, RequiresRecreation, ResourceAttribute, ResourceStatus,
        ResourceTargetDefinition, StackStatus, Tag,
    },
};
use jiff::Timestamp;

use super::*;
use crate::ports::CallErrorKind;

const ID: &str = "arn:aws:cloudformation:eu-west-1:222222222222:stack/shop/0c5b6a20";

fn call() -> Call {
    Call::read("cloudformation:DescribeStacks", "shop")
}

fn at(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(second).ok()
}

#[test]
fn stack_keeps_what_aws_reports() {
    let parameter = |name: &str| Parameter::builder().parameter_key(name);
    let answer = SdkStack::builder()
        .stack_id(ID)
        .stack_name("shop")
        .stack_status(StackStatus::UpdateRollbackComplete)
        .stack_status_reason("The following resource(s) failed to update: [Db].")
        .creation_time(DateTime::from_secs(10))
        .last_updated_time(DateTime::from_secs(20))
        .change_set_id("arn:aws:cloudformation:eu-west-1:222222222222:changeSet/s/1")
        .parameters(parameter("Secret").parameter_value("****").build())
        .parameters(
            parameter("Image")
                .parameter_value("/aws/service/ami")
                .resolved_value("ami-1")
                .build(),
        )
        .tags(Tag::builder().key("team").value("shop").build())
        .outputs(
            Output::builder()
                .output_key("Url")
                .output_value("https://shop")
                .build(),
        )
        .capabilities(Capability::CapabilityIam)
        .role_arn("arn:aws:iam::222222222222:role/cfn-exec")
        .notification_arns("arn:aws:sns:eu-west-1:222222222222:stacks")
        .enable_termination_protection(true)
        .parent_id("arn:aws:cloudformation:eu-west-1:222222222222:stack/root/1")
        .build();
    let found = stack(&call(), answer).expect("usable").expect("a stack");
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
        pairs.iter().map(owned).collect()
    };
    let expected = Stack {
        id: ID.into(),
        status: "UPDATE_ROLLBACK_COMPLETE".into(),
        reason: Some("The following resource(s) failed to update: [Db].".into()),
        changed_at: at(20),
        change_set: Some("arn:aws:cloudformation:eu-west-1:222222222222:changeSet/s/1".into()),
        parameters: map(&[("Secret", "****"), ("Image", "/aws/service/ami")]),
        resolved: map(&[("Image", "ami-1")]),
        tags: map(&[("team", "shop")]),
        outputs: map(&[("Url", "https://shop")]),
        capabilities: ["CAPABILITY_IAM".to_owned()].into(),
        role: Some("arn:aws:iam::222222222222:role/cfn-exec".into()),
        notifications: ["arn:aws:sns:eu-west-1:222222222222:stacks".to_owned()].into(),
        is_protected: true,
        parent: Some("arn:aws:cloudformation:eu-west-1:222222222222:stack/root/1".into()),
        pending: Vec::new(),
        record: None,
    };
    assert_eq!(found, expected);
}

#[test]
fn stack_that_was_never_updated_has_its_time_of_creation() {
    let answer = SdkStack::builder()
        .stack_id(ID)
        .stack_status(StackStatus::ReviewInProgress)
        .stack_status_reason("")
        .creation_time(DateTime::from_secs(10))
        .build();
    let found = stack(&call(), answer).expect("usable").expect("a stack");
    let expected = Stack {
        id: ID.into(),
        status: "REVIEW_IN_PROGRESS".into(),
        changed_at: at(10),
        ..Stack::default()
    };
    assert_eq!(found, expected);
}

#[test]
fn unknown_state_keeps_its_name_and_no_state_is_an_error() {
    let answer = |status: Option<&str>| {
        let answer = SdkStack::builder().stack_id(ID);
        let answer = answer
            .set_stack_status(status.map(StackStatus::from))
            .build();
        stack(&call(), answer)
    };
    let found = answer(Some("HIBERNATING"))
        .expect("usable")
        .expect("a stack");
    assert_eq!(found.status, "HIBERNATING");
    assert_eq!(answer(Some("DELETE_COMPLETE")), Ok(None));
    let error = answer(None).expect_err("unusable");
    assert_eq!(error.kind, CallErrorKind::Unavailable);
    assert!(error.message.contains("StackStatus"), "{error}");
}

fn target(path: Option<&str>, name: Option<&str>) -> ResourceTargetDefinition {
    ResourceTargetDefinition::builder()
        .attribute(ResourceAttribute::Properties)
        .set_path(path.map(str::to_owned))
        .set_name(name.map(str::to_owned))
        .requires_recreation(RequiresRecreation::Always)
        .before_value("eu")
        .build()
}

fn page(change: SdkChange) -> DescribeChangeSetOutput {
    let hook = Change::builder().hook_invocation_count(1).build();
    DescribeChangeSetOutput::builder()
        .change_set_id("arn:aws:cloudformation:eu-west-1:222222222222:changeSet/s/1")
        .stack_id(ID)
        .status(ChangeSetStatus::CreateComplete)
        .execution_status(ExecutionStatus::Available)
        .changes(hook)
        .changes(Change::builder().resource_change(change).build())
        .build()
}

#[test]
fn change_set_keeps_the_changes_of_resources_and_their_properties() {
    let detail = ResourceChangeDetail::builder()
        .target(target(Some("/Properties/Name"), Some("Name")))
        .evaluation(EvaluationType::Dynamic)
        .causing_entity("Db.Endpoint")
        .build();
    let named = ResourceChangeDetail::builder()
        .target(target(None, Some("Name")))
        .evaluation(EvaluationType::Static)
        .build();
    let change = SdkChange::builder()
        .action(ChangeAction::Modify)
        .logical_resource_id("Site")
        .physical_resource_id("site-1")
        .resource_type("AWS::S3::Bucket")
        .replacement(Replacement::True)
        .policy_action(PolicyAction::ReplaceAndDelete)
        .change_set_id("arn:aws:cloudformation:eu-west-1:222222222222:changeSet/nested/2")
        .details(detail)
        .details(named)
        .details(ResourceChangeDetail::builder().build())
        .build();
    let found = change_set(&call(), page(change))
        .expect("usable")
        .expect("one");
    assert_eq!(found.stack, ID);
    assert_eq!(
        (&*found.status, &*found.execution),
        ("CREATE_COMPLETE", "AVAILABLE")
    );
    let property = PropertyChange {
        attribute: "Properties".into(),
        path: "/Properties/Name".into(),
        recreation: "Always".into(),
        before: Some("eu".into()),
        after: None,
        cause: Some("Db.Endpoint".into()),
        is_dynamic: true,
    };
    let named = PropertyChange {
        path: "Name".into(),
        cause: None,
        is_dynamic: false,
        ..property.clone()
    };
    let expected = ResourceChange {
        action: "Modify".into(),
        logical_id: "Site".into(),
        physical_id: Some("site-1".into()),
        resource_type: "AWS::S3::Bucket".into(),
        replacement: Some("True".into()),
        policy: Some("ReplaceAndDelete".into()),
        details: vec![property, named, PropertyChange::default()],
        nested: Some("arn:aws:cloudformation:eu-west-1:222222222222:changeSet/nested/2".into()),
    };
    assert_eq!(found.changes, [expected]);
}

#[test]
fn change_without_an_action_is_an_error_and_a_deleted_change_set_is_none() {
    let change = || SdkChange::builder().logical_resource_id("Site").build();
    let error = change_set(&call(), page(change())).expect_err("unusable");
    assert!(error.message.contains("Action"), "{error}");
    let mut deleted = page(change());
    deleted.status = Some(ChangeSetStatus::DeleteComplete);
    assert_eq!(change_set(&call(), deleted), Ok(None));
}

#[test]
fn event_keeps_its_state_reason_and_token() {
    let answer = SdkEvent::builder()
        .event_id("Db-CREATE_FAILED-1")
        .stack_id(ID)
        .stack_name("shop")
        .timestamp(DateTime::from_secs(30))
        .logical_resource_id("Db")
        .physical_resource_id("")
        .resource_type("AWS::RDS::DBInstance")
        .resource_status(ResourceStatus::CreateFailed)
        .resource_status_reason("Quota exceeded")
        .client_request_token("t-1")
        .build();
    let expected = StackEvent {
        id: "Db-CREATE_FAILED-1".into(),
        at: at(30),
        logical_id: "Db".into(),
        physical_id: None,
        resource_type: "AWS::RDS::DBInstance".into(),
        status: "CREATE_FAILED".into(),
        reason: Some("Quota exceeded".into()),
        token: Some("t-1".into()),
    };
    assert_eq!(event(&call(), answer), Ok(expected));
}

#[test]
fn resource_without_a_physical_id_was_never_created() {
    let resource = |physical_id: &str| {
        let answer = StackResourceSummary::builder()
            .logical_resource_id("Db")
            .physical_resource_id(physical_id)
            .resource_type("AWS::RDS::DBInstance")
            .resource_status(ResourceStatus::CreateFailed)
            .last_updated_timestamp(DateTime::from_secs(30))
            .build();
        stack_resource(&call(), answer).expect("usable")
    };
    let expected = StackResource {
        logical_id: "Db".into(),
        physical_id: None,
        resource_type: "AWS::RDS::DBInstance".into(),
        status: "CREATE_FAILED".into(),
    };
    assert!(!expected.exists() && resource("db-1").exists());
    assert_eq!(resource(""), expected);
}

#[test]
fn summary_keeps_declared_parameters_and_needs() {
    let declared = |name: &str| ParameterDeclaration::builder().parameter_key(name);
    let answer = GetTemplateSummaryOutput::builder()
        .parameters(
            declared("Stage")
                .parameter_type("String")
                .default_value("")
                .build(),
        )
        .parameters(
            declared("Password")
                .parameter_type("String")
                .no_echo(true)
                .build(),
        )
        .capabilities(Capability::CapabilityNamedIam)
        .capabilities_reason("The following resource(s) require capabilities: [AWS::IAM::Role]")
        .declared_transforms("AWS::Serverless-2016-10-31")
        .resource_types("AWS::S3::Bucket")
        .resource_types("AWS::IAM::Role")
        .build();
    let parameter = |default: Option<&str>, is_secret| DeclaredParameter {
        parameter_type: "String".into(),
        default: default.map(str::to_owned),
        is_secret,
    };
    let expected = TemplateSummary {
        parameters: BTreeMap::from([
            ("Password".into(), parameter(None, true)),
            ("Stage".into(), parameter(Some(""), false)),
        ]),
        capabilities: ["CAPABILITY_NAMED_IAM".to_owned()].into(),
        capabilities_reason: Some(
            "The following resource(s) require capabilities: [AWS::IAM::Role]".into(),
        ),
        transforms: vec!["AWS::Serverless-2016-10-31".into()],
        resource_types: ["AWS::IAM::Role".to_owned(), "AWS::S3::Bucket".to_owned()].into(),
    };
    assert_eq!(summary(answer), expected);
}
