//! Change sets: their states, their names, and what repeated requests do.

use aws_sdk_cloudformation::types::{
    ChangeSetStatus, ChangeSetType, ExecutionStatus, StackStatus, Tag,
};
use serde_json::json;
use sluice_lab::aws::{During, StackPace};

use super::{
    super::{refusal, refusal_code},
    TestStack, changes, parameter,
};

const NO_CHANGES: &str = "The submitted information didn't contain changes. Submit different information to \
                          create a change set.";

#[tokio::test]
async fn a_change_set_becomes_available_in_the_background() {
    let stack = TestStack::new("lab-sets-states").await;
    let hold = stack
        .cloud
        .hold_stack(&stack.name, "release", During::ChangeSet);
    let hold = hold.await.unwrap();
    let template = json!({ "Resources": { "A": parameter("a") } });
    let request = stack.request("release", ChangeSetType::Create, &template);
    let created = request.send().await.unwrap();
    let id = created.id.unwrap();
    assert!(id.contains(":changeSet/release/"), "{id}");
    let pending = stack.change_set(&id).await;
    assert_eq!(pending.status, Some(ChangeSetStatus::CreatePending));
    assert_eq!(pending.execution_status, Some(ExecutionStatus::Unavailable));
    assert_eq!(pending.stack_id, created.stack_id);
    let execute = stack.client.execute_change_set().stack_name(&stack.name);
    let refused = refusal(execute.change_set_name("release").send().await);
    let message =
        format!("ChangeSet [{id}] cannot be executed in its current status of [CREATE_PENDING]");
    assert_eq!(refused, ("InvalidChangeSetStatus".to_owned(), message));
    let delete = stack.client.delete_change_set().stack_name(&stack.name);
    let refused = refusal_code(delete.change_set_name("release").send().await);
    assert_eq!(refused, "InvalidChangeSetStatus");

    hold.release().await.unwrap();
    let ready = stack.until_ready(&id).await;
    assert_eq!(ready.status, Some(ChangeSetStatus::CreateComplete));
    assert_eq!(ready.execution_status, Some(ExecutionStatus::Available));
    let review = stack.describe().await;
    assert_eq!(review.stack_status, Some(StackStatus::ReviewInProgress));
    assert_eq!(
        review.stack_status_reason.as_deref(),
        Some("User Initiated")
    );
    assert_eq!(review.last_updated_time, None);
}

#[tokio::test]
async fn a_change_set_without_changes_fails_and_stays_until_deleted() {
    let stack = TestStack::created("lab-sets-same", json!({ "A": parameter("a") })).await;
    let template = json!({ "Resources": { "A": parameter("a") } });
    let failed = stack
        .ready(stack.request("same", ChangeSetType::Update, &template))
        .await;
    assert_eq!(failed.status, Some(ChangeSetStatus::Failed));
    assert_eq!(failed.execution_status, Some(ExecutionStatus::Unavailable));
    assert_eq!(failed.status_reason.as_deref(), Some(NO_CHANGES));
    assert!(changes(&failed).is_empty());
    let execute = stack.client.execute_change_set().stack_name(&stack.name);
    let (code, message) = refusal(execute.change_set_name("same").send().await);
    assert_eq!(code, "InvalidChangeSetStatus");
    assert!(
        message.ends_with("cannot be executed in its current status of [FAILED]"),
        "{message}"
    );

    let listed = || async {
        let list = stack.client.list_change_sets().stack_name(&stack.name);
        list.send().await.unwrap().summaries.unwrap().len()
    };
    assert_eq!(listed().await, 1);
    let delete = stack.client.delete_change_set().stack_name(&stack.name);
    delete.change_set_name("same").send().await.unwrap();
    assert_eq!(listed().await, 0);
    let describe = stack.client.describe_change_set().stack_name(&stack.name);
    let (code, message) = refusal(describe.change_set_name("same").send().await);
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("ChangeSetNotFound", "ChangeSet [same] does not exist")
    );
}

#[tokio::test]
async fn a_change_of_an_output_alone_is_a_change() {
    let stack = TestStack::created("lab-sets-output", json!({ "A": parameter("a") })).await;
    let template = json!({
        "Resources": { "A": parameter("a") },
        "Outputs": { "Greeting": { "Value": "hello" } },
    });
    let ready = stack
        .ready(stack.request("output", ChangeSetType::Update, &template))
        .await;
    assert_eq!(ready.execution_status, Some(ExecutionStatus::Available));
    assert!(changes(&ready).is_empty());
    stack.execute(&ready).await;
    assert_eq!(stack.settled().await, StackStatus::UpdateComplete);
    let output = stack.describe().await.outputs.unwrap().remove(0);
    assert_eq!(output.output_value.as_deref(), Some("hello"));
}

#[tokio::test]
async fn an_equal_request_with_the_same_token_returns_the_same_change_set() {
    let stack = TestStack::new("lab-sets-token").await;
    let template = json!({ "Resources": { "A": parameter("a") } });
    let other = json!({ "Resources": { "A": parameter("b") } });
    let request = |template, token: &str| {
        stack
            .request("release", ChangeSetType::Create, template)
            .client_token(token)
    };
    let first = request(&template, "one").send().await.unwrap();
    let second = request(&template, "one").send().await.unwrap();
    assert_eq!((first.id, first.stack_id), (second.id, second.stack_id));
    let mismatch = |attribute| {
        let message = format!(
            "ChangeSet release cannot be created due to a mismatch with existing attribute {attribute}"
        );
        ("AlreadyExistsException".to_owned(), message)
    };
    assert_eq!(
        refusal(request(&template, "two").send().await),
        mismatch("ClientToken")
    );
    assert_eq!(
        refusal(request(&other, "one").send().await),
        mismatch("Template")
    );
}

#[tokio::test]
async fn the_type_must_fit_the_stack() {
    let stack = TestStack::created("lab-sets-type", json!({ "A": parameter("a") })).await;
    let template = json!({ "Resources": { "A": parameter("b") } });
    let create = stack.request("again", ChangeSetType::Create, &template);
    let message = "Stack [lab-sets-type] already exists and cannot be created again with the changeSet [again].";
    let expected = ("ValidationError".to_owned(), message.to_owned());
    assert_eq!(refusal(create.send().await), expected);
    let missing = stack.request("none", ChangeSetType::Update, &template);
    let (code, message) = refusal(missing.stack_name("lab-sets-none").send().await);
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("ValidationError", "Stack [lab-sets-none] does not exist")
    );
}

#[tokio::test]
async fn a_stack_in_review_takes_further_change_sets_and_outlives_them() {
    let stack = TestStack::new("lab-sets-review").await;
    let first = stack
        .propose(ChangeSetType::Create, json!({ "A": parameter("a") }))
        .await;
    let template = json!({ "Resources": { "B": parameter("b") } });
    let second = stack
        .ready(stack.request("second", ChangeSetType::Create, &template))
        .await;
    assert_eq!(first.stack_id, second.stack_id);
    let update = stack.request("update", ChangeSetType::Update, &template);
    assert_eq!(refusal_code(update.send().await), "ValidationError");
    for change_set in [&first, &second] {
        let id = change_set.change_set_id.as_deref().unwrap();
        let delete = stack.client.delete_change_set().stack_name(&stack.name);
        delete.change_set_name(id).send().await.unwrap();
    }
    assert_eq!(stack.status().await, StackStatus::ReviewInProgress);
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

#[tokio::test]
async fn an_execution_makes_other_change_sets_obsolete() {
    let stack = TestStack::created("lab-sets-obsolete", json!({ "A": parameter("a") })).await;
    let one = stack
        .propose(ChangeSetType::Update, json!({ "A": parameter("one") }))
        .await;
    let template = json!({ "Resources": { "A": parameter("two") } });
    let two = stack
        .ready(stack.request("two", ChangeSetType::Update, &template))
        .await;
    stack.execute(&one).await;
    let id = two.change_set_id.unwrap();
    let obsolete = stack.change_set(&id).await;
    assert_eq!(obsolete.execution_status, Some(ExecutionStatus::Obsolete));
    let execute = stack
        .client
        .execute_change_set()
        .change_set_name(&id)
        .stack_name(&stack.name);
    let message = format!(
        "ChangeSet [{id}] cannot be executed in its current execution status of [OBSOLETE]"
    );
    assert_eq!(
        refusal(execute.send().await),
        ("InvalidChangeSetStatus".to_owned(), message)
    );
    let by_name = stack
        .client
        .describe_change_set()
        .change_set_name("two")
        .stack_name(&stack.name);
    assert_eq!(refusal_code(by_name.send().await), "ChangeSetNotFound");
    assert_eq!(stack.settled().await, StackStatus::UpdateComplete);
}

#[tokio::test]
async fn an_executed_change_set_is_described_by_arn_only() {
    let stack = TestStack::created("lab-sets-executed", json!({ "A": parameter("a") })).await;
    let executed = stack
        .describe()
        .await
        .change_set_id
        .expect("the executed change set");
    let found = stack.change_set(&executed).await;
    assert_eq!(found.status, Some(ChangeSetStatus::CreateComplete));
    assert_eq!(
        found.execution_status,
        Some(ExecutionStatus::ExecuteComplete)
    );
    let name = found.change_set_name.expect("its name");
    let by_name = stack
        .client
        .describe_change_set()
        .change_set_name(name)
        .stack_name(&stack.name);
    assert_eq!(refusal_code(by_name.send().await), "ChangeSetNotFound");
    let list = stack
        .client
        .list_change_sets()
        .stack_name(&stack.name)
        .send()
        .await
        .unwrap();
    assert!(list.summaries.unwrap_or_default().is_empty());
}

#[tokio::test]
async fn changes_come_in_pages() {
    let stack = TestStack::new("lab-sets-pages").await;
    let pace = StackPace {
        page_size: Some(4),
        ..StackPace::default()
    };
    stack
        .cloud
        .set_stack_pace(&stack.name, &pace)
        .await
        .unwrap();
    let resources: serde_json::Map<String, serde_json::Value> =
        (0..10).map(|n| (format!("P{n}"), parameter("p"))).collect();
    let ready = stack.propose(ChangeSetType::Create, resources.into()).await;
    let mut found = changes(&ready).len();
    let id = ready.change_set_id.as_deref().unwrap();
    let mut token = ready.next_token.clone();
    assert_eq!(found, 4);
    while let Some(next) = token {
        let request = stack.client.describe_change_set().change_set_name(id);
        let next_page = request
            .stack_name(&stack.name)
            .next_token(next)
            .send()
            .await
            .unwrap();
        found += changes(&next_page).len();
        token = next_page.next_token;
    }
    assert_eq!(found, 10);
}

#[tokio::test]
async fn a_change_set_carries_tags_and_description() {
    let stack = TestStack::new("lab-sets-tags").await;
    let template = json!({ "Resources": { "A": parameter("a") } });
    let tag = Tag::builder().key("team").value("shop").build();
    let request = stack.request("release", ChangeSetType::Create, &template);
    let ready = stack
        .ready(request.tags(tag).description("Release r7"))
        .await;
    assert_eq!(ready.description.as_deref(), Some("Release r7"));
    stack.execute(&ready).await;
    assert_eq!(stack.settled().await, StackStatus::CreateComplete);
    let tag = stack.describe().await.tags.unwrap().remove(0);
    assert_eq!(
        (tag.key.as_deref(), tag.value.as_deref()),
        (Some("team"), Some("shop"))
    );
}
