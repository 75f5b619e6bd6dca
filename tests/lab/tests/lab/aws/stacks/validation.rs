//! What `CreateChangeSet` refuses at once, with AWS's own words.

use aws_sdk_cloudformation::types::{Capability, ChangeSetType, Parameter, Tag};
use serde_json::{Map, Value, json};

use super::{
    super::{refusal, refusal_code},
    TestStack, parameter,
};

impl TestStack {
    /// The message of the refusal of a template.
    async fn refused(&self, body: &str) -> String {
        let request = self.request("release", ChangeSetType::Create, &json!({}));
        let (code, message) = refusal(request.template_body(body).send().await);
        assert_eq!(code, "ValidationError", "{message}");
        message
    }

    async fn refused_resources(&self, resources: Value) -> String {
        self.refused(&json!({ "Resources": resources }).to_string())
            .await
    }
}

#[tokio::test]
async fn a_malformed_template_is_refused() {
    let stack = TestStack::new("lab-validation-format").await;
    for (body, message) in [
        (
            "{",
            "Template format error: JSON not well-formed. (line 1, column 2)",
        ),
        (
            "a: [",
            "Template format error: YAML not well-formed. (line 1, column 5)",
        ),
        ("[]", "Template format error: unsupported structure."),
        (
            "{}",
            "Template format error: At least one Resources member must be defined.",
        ),
        (
            r#"{"Resources":{"A":{}}}"#,
            "Template format error: [/Resources/A] Every Resources object must contain a Type member.",
        ),
        (
            r#"{"Colour":1,"Resources":{"A":{"Type":"AWS::SNS::Topic"}}}"#,
            "Invalid template property or properties [Colour]",
        ),
        (
            r#"{"Resources":{"A":{"Type":"AWS::SNS::Topic","Properties":{"TopicName":null}}}}"#,
            "[/Resources/A/Properties/TopicName] 'null' values are not allowed in templates",
        ),
    ] {
        assert_eq!(stack.refused(body).await, message);
    }
    // A refused request leaves no stack.
    let describe = stack.client.describe_stacks().stack_name(&stack.name);
    assert_eq!(refusal_code(describe.send().await), "ValidationError");
}

#[tokio::test]
async fn unknown_types_and_references_are_refused() {
    let stack = TestStack::new("lab-validation-references").await;
    let unresolved = |name: &str, block: &str| {
        format!(
            "Template format error: Unresolved resource dependencies [{name}] in the {block} block of the template"
        )
    };
    let cases = [
        (
            json!({ "A": { "Type": "AWS::Blue::Thing" } }),
            "Template format error: Unrecognized resource types: [AWS::Blue::Thing]".to_owned(),
        ),
        (
            json!({ "A": parameter(json!({ "Ref": "X" })) }),
            unresolved("X", "Resources"),
        ),
        (
            json!({ "A": parameter(json!({ "Fn::Sub": "${Y}" })) }),
            unresolved("Y", "Resources"),
        ),
        (
            json!({ "A": super::after("Z", parameter("a")) }),
            unresolved("Z", "Resources"),
        ),
        (
            json!({ "A": parameter(json!({ "Fn::GetAtt": ["X", "Arn"] })) }),
            "Template error: instance of Fn::GetAtt references undefined resource X".to_owned(),
        ),
        (
            json!({ "A": super::after("B", parameter("a")), "B": super::after("A", parameter("b")) }),
            "Circular dependency between resources: [A, B]".to_owned(),
        ),
    ];
    for (resources, message) in cases {
        assert_eq!(stack.refused_resources(resources).await, message);
    }
    let outputs = json!({
        "Resources": { "A": parameter("a") }, "Outputs": { "O": { "Value": { "Ref": "Nothing" } } },
    });
    assert_eq!(
        stack.refused(&outputs.to_string()).await,
        unresolved("Nothing", "Outputs")
    );
}

#[tokio::test]
async fn parameters_are_checked() {
    let stack = TestStack::new("lab-validation-parameters").await;
    let template = json!({
        "Parameters": {
            "Stage": { "Type": "String", "Default": "dev", "AllowedValues": ["dev", "prod"] },
            "Size": { "Type": "Number", "Default": 1, "MinValue": 1, "MaxValue": 5 },
            "Name": { "Type": "String", "Default": "abc", "AllowedPattern": "[a-z]+", "MaxLength": 4 },
            "Needed": { "Type": "String" },
        },
        "Resources": { "A": parameter(json!({ "Ref": "Needed" })) },
    });
    let refused = async |given: &[(&str, Option<&str>)]| {
        let mut request = stack.request("release", ChangeSetType::Create, &template);
        for (key, value) in given {
            let parameter = Parameter::builder().parameter_key(*key);
            let parameter = match value {
                Some(value) => parameter.parameter_value(*value),
                None => parameter.use_previous_value(true),
            };
            request = request.parameters(parameter.build());
        }
        refusal(request.send().await).1
    };
    assert_eq!(refused(&[]).await, "Parameters: [Needed] must have values");
    let needed = ("Needed", Some("n"));
    for (given, message) in [
        (
            ("Other", Some("o")),
            "Parameters: [Other] do not exist in the template",
        ),
        (
            ("Stage", Some("test")),
            "Parameter 'Stage' must be one of AllowedValues",
        ),
        (("Size", Some("x")), "Parameter 'Size' must be a number"),
        (
            ("Size", Some("9")),
            "Parameter 'Size' must be a number not greater than 5",
        ),
        (
            ("Name", Some("A1")),
            "Parameter 'Name' must match pattern [a-z]+",
        ),
        (
            ("Name", Some("abcde")),
            "Parameter 'Name' must contain at most 4 characters",
        ),
        (
            ("Stage", None),
            "Invalid input for parameter key Stage. Cannot specify usePreviousValue as true for a parameter key \
             not in the previous template",
        ),
    ] {
        assert_eq!(refused(&[needed, given]).await, message);
    }
}

#[tokio::test]
async fn iam_resources_need_a_capability() {
    let stack = TestStack::new("lab-validation-capabilities").await;
    let role = |properties: Value| json!({ "Role": { "Type": "AWS::IAM::Role", "Properties": properties } });
    let trust = json!({ "Version": "2012-10-17", "Statement": [] });
    let unnamed = role(json!({ "AssumeRolePolicyDocument": trust }));
    let named = role(json!({ "AssumeRolePolicyDocument": trust, "RoleName": "lab-validation" }));
    for (resources, capability, needed) in [
        (unnamed.clone(), None, "CAPABILITY_IAM"),
        (
            named,
            Some(Capability::CapabilityIam),
            "CAPABILITY_NAMED_IAM",
        ),
    ] {
        let template = json!({ "Resources": resources });
        let request = stack.request("release", ChangeSetType::Create, &template);
        let request = request.set_capabilities(capability.map(|one| vec![one]));
        let message = format!("Requires capabilities : [{needed}]");
        let expected = ("InsufficientCapabilitiesException".to_owned(), message);
        assert_eq!(refusal(request.send().await), expected);
    }
    let template = json!({ "Resources": unnamed });
    let request = stack.request("release", ChangeSetType::Create, &template);
    request
        .capabilities(Capability::CapabilityNamedIam)
        .send()
        .await
        .expect("acknowledged");
}

#[tokio::test]
async fn quotas_are_those_of_aws() {
    let stack = TestStack::new("lab-validation-quotas").await;
    let topics: Map<String, Value> = (0..501)
        .map(|n| (format!("T{n}"), json!({ "Type": "AWS::SNS::Topic" })))
        .collect();
    let message =
        "Template format error: Number of resources, 501, is greater than maximum allowed, 500";
    assert_eq!(stack.refused_resources(topics.into()).await, message);
    let parameters: Map<String, Value> = (0..201)
        .map(|n| (format!("P{n}"), json!({ "Type": "String", "Default": "p" })))
        .collect();
    let template = json!({ "Parameters": parameters, "Resources": { "A": parameter("a") } });
    let message =
        "Template format error: Number of parameters, 201, is greater than maximum allowed, 200";
    assert_eq!(stack.refused(&template.to_string()).await, message);
    let long = json!({ "Description": "d", "Resources": { "A": parameter("x".repeat(51_200)) } });
    let message = stack.refused(&long.to_string()).await;
    let end = "at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to 51200";
    assert!(
        message.ends_with(end),
        "{}",
        &message[message.len() - 120..]
    );
}

#[tokio::test]
async fn names_and_tags_are_checked() {
    let stack = TestStack::new("lab-validation-names").await;
    let template = json!({ "Resources": { "A": parameter("a") } });
    let request = || {
        stack
            .root()
            .create_change_set()
            .template_body(template.to_string())
    };
    let create = || request().change_set_type(ChangeSetType::Create);
    let pattern = "failed to satisfy constraint: Member must satisfy regular expression pattern: \
                   [a-zA-Z][-a-zA-Z0-9]*";
    let named = create().stack_name("lab_stack").change_set_name("release");
    let message =
        format!("1 validation error detected: Value 'lab_stack' at 'stackName' {pattern}");
    assert_eq!(
        refusal(named.send().await),
        ("ValidationError".to_owned(), message)
    );
    let named = create().stack_name(&stack.name).change_set_name("v1.2");
    let message = format!("1 validation error detected: Value 'v1.2' at 'changeSetName' {pattern}");
    assert_eq!(
        refusal(named.send().await),
        ("ValidationError".to_owned(), message)
    );
    let tag = Tag::builder().key("aws:mine").value("x").build();
    let tagged = create()
        .stack_name(&stack.name)
        .change_set_name("release")
        .tags(tag);
    let (code, message) = refusal(tagged.send().await);
    assert_eq!(code, "ValidationError");
    assert!(message.contains("aws: prefix"), "{message}");
}
