//! CloudFormation: stacks and change sets, what their states refuse, and what a session may do.
//!
//! The stacks of the lab run as `cfn-exec`, which may change only what is named `lab-*`.

mod refusals;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use sluice::{
    domain::{
        digest::Sha256,
        grants::{Allowed, Permissions},
        workload::cloud_formation::{
            ChangeSet, NewChangeSet, ParameterValue, Settings, Stack, StackResource,
            TEMPLATES_PREFIX, TemplateSource,
        },
    },
    ports::{CallError, CallErrorKind, cloud::Cloud as _, stacks::Stacks},
};
use sluice_lab::{
    aws::StackPace,
    lab::{PATIENCE, wait_until},
};

use super::{Fixture, REGION};

fn on_stacks(stacks: &str, role: &str) -> Permissions {
    Permissions {
        account: "dev".into(),
        grants: vec![Allowed {
            stacks: vec![stacks.to_owned()],
            stack_roles: vec![role.to_owned()],
            ..Allowed::default()
        }],
        ..Permissions::default()
    }
}

impl Fixture {
    /// CloudFormation in dev, with a grant for stacks that match `pattern`.
    async fn stacks(&self, pattern: &str) -> Arc<dyn Stacks> {
        let dev = self.account("dev");
        let permissions = on_stacks(pattern, "cfn-exec");
        let stacks = self.cloud.stacks(&dev, REGION, &permissions).await;
        stacks.expect("CloudFormation in dev")
    }

    /// A change set of this stack, which creates it.
    fn creation(&self, stack: &str, template: &str) -> NewChangeSet {
        NewChangeSet {
            stack: stack.to_owned(),
            name: "sluice-1".into(),
            creates: true,
            template: TemplateSource::Body(template.to_owned()),
            settings: Settings {
                role: self.lab.dev().stack_role_arn.clone(),
                tags: BTreeMap::from([("team".into(), "shop".into())]),
                ..Settings::default()
            },
            token: "token-1".into(),
            imports_existing: false,
        }
    }

    /// The next change set of this stack.
    fn update(&self, stack: &str, template: &str) -> NewChangeSet {
        NewChangeSet {
            name: "sluice-2".into(),
            creates: false,
            token: "token-2".into(),
            ..self.creation(stack, template)
        }
    }

    /// Stores a template in dev's artifact bucket.
    async fn stored(&self, template: &str) -> TemplateSource {
        let store = self.store().await;
        let key = format!("{TEMPLATES_PREFIX}/{}", Sha256::of(template.as_bytes()));
        let bytes = template.to_owned().into();
        let version_id = store.put(&key, bytes, &BTreeMap::new()).await;
        TemplateSource::Stored {
            bucket: store.bucket().to_owned(),
            key,
            version_id: version_id.expect("stored"),
        }
    }

    /// Creates a stack with this template.
    async fn created(&self, stacks: &dyn Stacks, name: &str, template: &str) -> Stack {
        let new = self.creation(name, template);
        let id = stacks.create_change_set(&new).await.expect("a change set");
        ready(stacks, name, &id).await;
        let executed = stacks.execute(name, &id, "execute-1").await;
        executed.expect("executed");
        reached(stacks, name, "CREATE_COMPLETE").await
    }
}

/// A template with a parameter in Systems Manager that has this value.
fn template(name: &str, value: &str) -> String {
    let parameter = json!({
        "Type": "AWS::SSM::Parameter",
        "Properties": { "Name": format!("lab-{name}"), "Type": "String", "Value": value },
    });
    let template = json!({
        "Resources": { "Setting": parameter },
        "Outputs": { "Name": { "Value": { "Ref": "Setting" } } },
    });
    template.to_string()
}

/// Waits until the change set is computed, or has failed.
async fn ready(stacks: &dyn Stacks, stack: &str, id: &str) -> ChangeSet {
    let is = format!("the change set {id} is computed");
    let found = wait_until(&is, PATIENCE, async || {
        let found = stacks.change_set(stack, id).await.expect("an answer");
        let found = found.expect("the change set");
        match &*found.status {
            "CREATE_COMPLETE" | "FAILED" => Ok(found),
            _ => Err(format!("{found:?}")),
        }
    });
    found.await.unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until the stack is in this state.
async fn reached(stacks: &dyn Stacks, name: &str, status: &str) -> Stack {
    let is = format!("the stack {name} is {status}");
    let found = wait_until(&is, PATIENCE, async || {
        let found = stacks.stack(name).await.expect("an answer");
        match found {
            Some(stack) if stack.status == status => Ok(stack),
            other => Err(format!("{other:?}")),
        }
    });
    found.await.unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until the stack does not exist.
async fn gone(stacks: &dyn Stacks, name: &str) {
    let is = format!("the stack {name} is deleted");
    let found = wait_until(&is, PATIENCE, async || {
        match stacks.stack(name).await.expect("an answer") {
            None => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    found.await.unwrap_or_else(|error| panic!("{error}"));
}

fn kind<T>(result: Result<T, CallError>) -> Option<CallErrorKind> {
    result.err().map(|error| error.kind)
}

#[tokio::test]
async fn stack_is_created_updated_and_deleted_by_change_sets() {
    let fixture = Fixture::new().await;
    let stacks = fixture.stacks("lab-whole").await;
    let name = "lab-whole";
    assert_eq!(stacks.stack(name).await, Ok(None));
    assert_eq!(stacks.change_set(name, "sluice-1").await, Ok(None));
    assert_eq!(stacks.change_sets(name).await, Ok(Vec::new()));

    let one = template("whole", "one");
    let id = stacks
        .create_change_set(&fixture.creation(name, &one))
        .await;
    let id = id.expect("a change set");
    let proposed = ready(&*stacks, name, &id).await;
    assert_eq!(proposed.id, id);
    assert_eq!(proposed.execution, "AVAILABLE");
    let [change] = &proposed.changes[..] else {
        panic!("{proposed:?}");
    };
    assert_eq!((&*change.action, &*change.logical_id), ("Add", "Setting"));
    assert_eq!(change.resource_type, "AWS::SSM::Parameter");
    assert_eq!(change.nested, None);
    let names = stacks.change_sets(name).await;
    assert_eq!(names, Ok(vec!["sluice-1".to_owned()]));
    let review = stacks.stack(name).await.expect("an answer").expect("it");
    assert_eq!(review.status, "REVIEW_IN_PROGRESS");
    assert_eq!(review.id, proposed.stack);
    assert_eq!(
        stacks.change_set(name, "sluice-1").await,
        Ok(Some(proposed))
    );

    stacks
        .execute(name, &id, "execute-1")
        .await
        .expect("executed");
    let stack = reached(&*stacks, name, "CREATE_COMPLETE").await;
    assert_eq!(stack.id, review.id);
    assert_eq!(stack.change_set.as_ref(), Some(&id));
    assert_eq!(stack.outputs["Name"], "lab-whole");
    assert_eq!(stack.tags["team"], "shop");
    assert_eq!(stack.role, Some(fixture.lab.dev().stack_role_arn.clone()));
    assert!(stack.changed_at.is_some() && !stack.is_protected);
    assert_eq!(stacks.template(name).await, Ok(one));
    let created = stacks.events(&stack.id, "execute-1").await.expect("events");
    assert!(created[0].is_of_stack(&stack.id), "{created:?}");
    assert_eq!(created[0].status, "CREATE_COMPLETE");
    let mut setting = StackResource {
        logical_id: "Setting".into(),
        physical_id: Some("lab-whole".into()),
        resource_type: "AWS::SSM::Parameter".into(),
        status: "CREATE_COMPLETE".into(),
    };
    let resources = stacks.resources(&stack.id).await;
    assert_eq!(resources, Ok(vec![setting.clone()]));

    // The second template lies in the artifact bucket, and all tags go.
    let two = template("whole", "two");
    let mut next = fixture.update(name, &two);
    next.template = fixture.stored(&two).await;
    next.settings.tags.clear();
    let id = stacks.create_change_set(&next).await.expect("a change set");
    let proposed = ready(&*stacks, &stack.id, &id).await;
    let change = &proposed.changes[0];
    assert_eq!(change.action, "Modify");
    assert_eq!(change.physical_id.as_deref(), Some("lab-whole"));
    assert_eq!(change.replacement.as_deref(), Some("False"));
    let value = change
        .details
        .iter()
        .find(|it| it.path == "/Properties/Value");
    let value = value.expect("a change of the value");
    assert_eq!(value.before.as_deref(), Some("one"), "{value:?}");
    assert_eq!(value.after.as_deref(), Some("two"), "{value:?}");
    stacks
        .execute(&stack.id, &id, "execute-2")
        .await
        .expect("executed");
    let updated = reached(&*stacks, name, "UPDATE_COMPLETE").await;
    assert_eq!(updated.id, stack.id);
    assert_eq!(updated.tags, BTreeMap::new());
    assert_eq!(stacks.template(&stack.id).await, Ok(two));
    let of = async |token| stacks.events(&stack.id, token).await.expect("events");
    let events = of("execute-2").await;
    assert_eq!(events[0].status, "UPDATE_COMPLETE");
    let begin = events.last().expect("events");
    assert_eq!(begin.status, "UPDATE_IN_PROGRESS", "{events:?}");
    assert_eq!(
        of("execute-1").await,
        created,
        "the later operation is skipped"
    );
    assert_eq!(of("execute-0").await, []);

    let role = fixture.lab.dev().stack_role_arn.clone();
    let deleted = stacks.delete(&stack.id, Some(&role), &[], "delete-1").await;
    deleted.expect("deleted");
    gone(&*stacks, name).await;
    // By its ARN, CloudFormation still describes it.
    assert_eq!(stacks.stack(&stack.id).await, Ok(None));
    setting.status = "DELETE_COMPLETE".into();
    let resources = stacks.resources(&stack.id).await.expect("resources");
    assert_eq!(resources, [setting]);
    assert!(!resources[0].exists());
    let again = stacks.delete(name, None, &[], "delete-2").await;
    assert_eq!(again, Ok(()));
}

#[tokio::test]
async fn template_is_returned_byte_for_byte() {
    let fixture = Fixture::new().await;
    let stacks = fixture.stacks("lab-bytes-*").await;
    let small =
        template("bytes-small", "< & > \\\" 'x'").replace("\"Outputs\"", "\r\n\t \"Outputs\"");
    fixture.created(&*stacks, "lab-bytes-small", &small).await;
    assert_eq!(stacks.template("lab-bytes-small").await, Ok(small));

    // Too large to be sent.
    let large = template("bytes-large", "x").replace(
        "\"Outputs\"",
        &format!(
            "\"Metadata\": {{ \"Filler\": \"{}\" }}, \"Outputs\"",
            "a".repeat(60_000)
        ),
    );
    let mut new = fixture.creation("lab-bytes-large", &large);
    new.template = fixture.stored(&large).await;
    let summary = stacks.summary(&new.stack, &new.template).await;
    let types = summary.expect("a summary").resource_types;
    assert_eq!(types, ["AWS::SSM::Parameter".to_owned()].into());
    let id = stacks.create_change_set(&new).await.expect("a change set");
    ready(&*stacks, &new.stack, &id).await;
    stacks
        .execute(&new.stack, &id, "execute")
        .await
        .expect("executed");
    reached(&*stacks, &new.stack, "CREATE_COMPLETE").await;
    assert_eq!(stacks.template(&new.stack).await, Ok(large));
}

#[tokio::test]
async fn summary_lists_parameters_capabilities_and_types() {
    let fixture = Fixture::new().await;
    let stacks = fixture.stacks("lab-summary").await;
    let text = json!({
        "Parameters": {
            "Stage": { "Type": "String", "Default": "dev" },
            "Password": { "Type": "String", "NoEcho": true },
        },
        "Resources": {
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": { "RoleName": "lab-summary", "AssumeRolePolicyDocument": {} },
            },
        },
    });
    let source = TemplateSource::Body(text.to_string());
    let summary = stacks.summary("lab-summary", &source).await.expect("one");
    let password = &summary.parameters["Password"];
    assert!(
        password.is_secret && password.default.is_none(),
        "{summary:?}"
    );
    assert!(summary.parameters["Stage"].default.is_some(), "{summary:?}");
    assert_eq!(summary.parameters["Stage"].parameter_type, "String");
    assert_eq!(
        summary.capabilities,
        ["CAPABILITY_NAMED_IAM".to_owned()].into()
    );
    assert!(summary.capabilities_reason.is_some(), "{summary:?}");
    assert_eq!(summary.resource_types, ["AWS::IAM::Role".to_owned()].into());
    assert!(summary.transforms.is_empty(), "{summary:?}");

    let source = TemplateSource::Body("not a template".into());
    let error = stacks.summary("lab-summary", &source).await;
    let error = error.expect_err("no template");
    assert_eq!(error.kind, CallErrorKind::Invalid, "{error}");
    assert!(error.resource.starts_with("lab-summary ("), "{error}");
    assert!(error.message.contains("Template format error"), "{error}");
}

#[tokio::test]
async fn parameters_keep_their_values_or_get_new_ones() {
    let fixture = Fixture::new().await;
    let stacks = fixture.stacks("lab-parameters").await;
    let name = "lab-parameters";
    let text = json!({
        "Parameters": {
            "Secret": { "Type": "String", "NoEcho": true },
            "Value": { "Type": "String" },
        },
        "Resources": {
            "Setting": {
                "Type": "AWS::SSM::Parameter",
                "Properties": {
                    "Name": "lab-parameters",
                    "Type": "String",
                    "Value": { "Ref": "Value" },
                    "Description": { "Ref": "Secret" },
                },
            },
        },
    });
    let text = text.to_string();
    let value = |value: &str| ParameterValue::Value(value.to_owned());
    let mut new = fixture.creation(name, &text);
    new.settings.parameters = BTreeMap::from([
        ("Secret".into(), value("hush")),
        ("Value".into(), value("one")),
    ]);
    let id = stacks.create_change_set(&new).await.expect("a change set");
    ready(&*stacks, name, &id).await;
    stacks
        .execute(name, &id, "execute-1")
        .await
        .expect("executed");
    let stack = reached(&*stacks, name, "CREATE_COMPLETE").await;
    assert_eq!(stack.parameters["Secret"], "****");
    assert_eq!(stack.parameters["Value"], "one");

    let mut next = fixture.update(name, &text);
    next.settings.parameters = BTreeMap::from([
        ("Secret".into(), ParameterValue::Previous),
        ("Value".into(), value("two")),
    ]);
    let id = stacks.create_change_set(&next).await.expect("a change set");
    let proposed = ready(&*stacks, name, &id).await;
    let paths: Vec<&str> = proposed.changes[0]
        .details
        .iter()
        .map(|it| &*it.path)
        .collect();
    assert!(
        paths.iter().any(|path| path.contains("Value")),
        "{proposed:?}"
    );
    assert!(
        !paths.iter().any(|path| path.contains("Description")),
        "{proposed:?}"
    );
    // Missing and unknown parameters are the user's mistake.
    let mut missing = fixture.update(name, &text);
    missing.name = "sluice-3".into();
    missing.token = "token-3".into();
    missing.settings.parameters = BTreeMap::from([("Other".into(), value("x"))]);
    let missing = stacks.create_change_set(&missing).await;
    assert_eq!(kind(missing), Some(CallErrorKind::Invalid));
}

#[tokio::test]
async fn long_change_set_is_read_to_its_end() {
    let fixture = Fixture::new().await;
    let stacks = fixture.stacks("lab-long").await;
    let resource = |n: usize| {
        let properties = json!({ "Name": format!("lab-long-{n}"), "Type": "String", "Value": "x" });
        let resource = json!({ "Type": "AWS::SSM::Parameter", "Properties": properties });
        (format!("Setting{n}"), resource)
    };
    let resources: serde_json::Map<_, _> = (0..230).map(resource).collect();
    let text = json!({ "Resources": resources }).to_string();
    let id = stacks
        .create_change_set(&fixture.creation("lab-long", &text))
        .await;
    let proposed = ready(&*stacks, "lab-long", &id.expect("a change set")).await;
    let mut names: Vec<_> = proposed.changes.iter().map(|it| &it.logical_id).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 230);
}

#[tokio::test]
async fn long_list_of_resources_is_read_to_its_end() {
    let fixture = Fixture::new().await;
    let stacks = fixture.stacks("lab-listed").await;
    let resource = |n: usize| {
        let properties =
            json!({ "Name": format!("lab-listed-{n}"), "Type": "String", "Value": "x" });
        let resource = json!({ "Type": "AWS::SSM::Parameter", "Properties": properties });
        (format!("Setting{n}"), resource)
    };
    let resources: serde_json::Map<_, _> = (0..5).map(resource).collect();
    let text = json!({ "Resources": resources }).to_string();
    let stack = fixture.created(&*stacks, "lab-listed", &text).await;
    let pace = StackPace {
        page_size: Some(2),
        ..StackPace::default()
    };
    let paced = fixture.lab.set_stack_pace("lab-listed", &pace).await;
    paced.expect("the lab answers");
    let resources = stacks.resources(&stack.id).await.expect("resources");
    let names: Vec<_> = resources.iter().map(|it| &*it.logical_id).collect();
    assert_eq!(
        names,
        ["Setting0", "Setting1", "Setting2", "Setting3", "Setting4"]
    );
}

#[tokio::test]
async fn change_set_without_changes_is_empty() {
    let fixture = Fixture::new().await;
    let stacks = fixture.stacks("lab-empty").await;
    let text = template("empty", "one");
    fixture.created(&*stacks, "lab-empty", &text).await;
    let id = stacks
        .create_change_set(&fixture.update("lab-empty", &text))
        .await;
    let id = id.expect("a change set");
    let proposed = ready(&*stacks, "lab-empty", &id).await;
    assert!(proposed.is_empty(), "{proposed:?}");
    assert_eq!(proposed.changes, []);
    let executed = stacks.execute("lab-empty", &id, "execute-2").await;
    assert_eq!(kind(executed), Some(CallErrorKind::Stale));
    for _ in 0..2 {
        assert_eq!(stacks.delete_change_set("lab-empty", &id).await, Ok(()));
    }
    assert_eq!(stacks.change_set("lab-empty", &id).await, Ok(None));
}

#[tokio::test]
async fn nested_change_sets_can_be_read() {
    let fixture = Fixture::new().await;
    // A pattern without a star: nested stacks need none.
    let stacks = fixture.stacks("lab-nesting").await;
    let nested = fixture.stored(&template("nesting", "one")).await;
    let TemplateSource::Stored { bucket, key, .. } = &nested else {
        panic!("stored");
    };
    let url = format!("https://s3.{REGION}.amazonaws.com/{bucket}/{key}");
    let text = json!({
        "Resources": {
            "Inner": { "Type": "AWS::CloudFormation::Stack", "Properties": { "TemplateURL": url } },
        },
    });
    let new = fixture.creation("lab-nesting", &text.to_string());
    let id = stacks.create_change_set(&new).await.expect("a change set");
    let proposed = ready(&*stacks, "lab-nesting", &id).await;
    let [change] = &proposed.changes[..] else {
        panic!("{proposed:?}");
    };
    let inner = change.nested.as_ref().expect("a nested change set");
    let inner_stack = change.physical_id.as_deref().unwrap_or_default();
    let found = stacks.change_set(inner_stack, inner).await;
    let found = found.expect("an answer").expect("a change set");
    assert_eq!(found.changes[0].logical_id, "Setting");
    assert!(
        found.stack.contains(":stack/lab-nesting-Inner-"),
        "{found:?}"
    );
}
