//! Outputs and exports, which other stacks import.

use aws_sdk_cloudformation::types::{ChangeSetType, StackStatus};
use serde_json::{Value, json};

use super::{TestStack, parameter};

fn exporting(value: &str, export: &str) -> Value {
    json!({
        "Resources": { "A": parameter(value) },
        "Outputs": {
            "Value": {
                "Description": "The value",
                "Value": { "Fn::GetAtt": ["A", "Value"] },
                "Export": { "Name": export },
            },
        },
    })
}

impl TestStack {
    async fn deploy_template(&self, kind: ChangeSetType, template: &Value) -> StackStatus {
        let change_set = self.ready(self.request("exports", kind, template)).await;
        self.execute(&change_set).await;
        self.settled().await
    }
}

/// A stack that exports `export`, and one that imports it.
async fn pair(name: &str, export: &str) -> (TestStack, TestStack) {
    let exporter = TestStack::new(name).await;
    let status = exporter
        .deploy_template(ChangeSetType::Create, &exporting("one", export))
        .await;
    assert_eq!(status, StackStatus::CreateComplete);
    let resources = json!({ "B": parameter(json!({ "Fn::ImportValue": export })) });
    let importer = TestStack::created(&format!("{name}-importer"), resources).await;
    assert_eq!(importer.value("B").await, "one");
    (exporter, importer)
}

#[tokio::test]
async fn exports_and_imports_are_listed() {
    let (exporter, importer) = pair("lab-exports-list", "lab-exports-list").await;
    let output = exporter.describe().await.outputs.unwrap().remove(0);
    assert_eq!(output.output_value.as_deref(), Some("one"));
    assert_eq!(output.export_name.as_deref(), Some("lab-exports-list"));
    let exports = exporter
        .root()
        .list_exports()
        .send()
        .await
        .unwrap()
        .exports
        .unwrap();
    let found = exports
        .iter()
        .find(|export| export.name.as_deref() == Some("lab-exports-list"));
    assert_eq!(found.unwrap().value.as_deref(), Some("one"));
    let imports = exporter
        .root()
        .list_imports()
        .export_name("lab-exports-list");
    assert_eq!(
        imports.send().await.unwrap().imports.unwrap(),
        [importer.name]
    );
}

#[tokio::test]
async fn an_export_in_use_cannot_change_or_go() {
    let (exporter, _importer) = pair("lab-exports-use", "lab-exports-use").await;
    let changed = exporting("two", "lab-exports-use");
    let status = exporter
        .deploy_template(ChangeSetType::Update, &changed)
        .await;
    assert_eq!(status, StackStatus::UpdateRollbackComplete);
    let reason = exporter
        .reason(&exporter.name, "UPDATE_ROLLBACK_IN_PROGRESS")
        .await;
    let message =
        "Export lab-exports-use cannot be updated as it is in use by lab-exports-use-importer";
    assert_eq!(reason, message);
    assert_eq!(exporter.value("A").await, "one");

    let status = exporter.update(json!({ "A": parameter("one") })).await;
    assert_eq!(status, StackStatus::UpdateRollbackComplete);
    let reason = exporter
        .reason(&exporter.name, "UPDATE_ROLLBACK_IN_PROGRESS")
        .await;
    let message = "Delete canceled. Cannot delete export lab-exports-use as it is in use by lab-exports-use-importer.";
    assert_eq!(reason, message);
}

#[tokio::test]
async fn a_stack_whose_export_is_in_use_refuses_its_deletion() {
    let (exporter, importer) = pair("lab-exports-delete", "lab-exports-delete").await;
    let delete = || {
        exporter
            .client
            .delete_stack()
            .stack_name(&exporter.name)
            .send()
    };
    delete().await.expect("the request itself succeeds");
    let kept = exporter.describe().await;
    assert_eq!(kept.stack_status, Some(StackStatus::CreateComplete));
    let message = "Delete canceled. Cannot delete export lab-exports-delete as it is in use by \
                   lab-exports-delete-importer.";
    assert_eq!(kept.stack_status_reason.as_deref(), Some(message));

    for stack in [&importer, &exporter] {
        let id = stack.id().await;
        stack
            .client
            .delete_stack()
            .stack_name(&stack.name)
            .send()
            .await
            .unwrap();
        stack
            .until(&id, |status| *status == StackStatus::DeleteComplete)
            .await;
    }
}

#[tokio::test]
async fn two_stacks_cannot_export_the_same_name() {
    let (_exporter, _importer) = pair("lab-exports-twice", "lab-exports-twice").await;
    let other = TestStack::new("lab-exports-other").await;
    let status = other
        .deploy_template(ChangeSetType::Create, &exporting("x", "lab-exports-twice"))
        .await;
    assert_eq!(status, StackStatus::RollbackComplete);
    let reason = other.reason(&other.name, "ROLLBACK_IN_PROGRESS").await;
    let message =
        "Export with name lab-exports-twice is already exported by stack lab-exports-twice.";
    assert!(reason.starts_with(message), "{reason}");
}
