//! What CloudFormation refuses: states, names, roles, and calls that fail on their way.

use std::time::Duration;

use sluice::{domain::grants::Permissions, ports::CallErrorKind as Kind};
use sluice_lab::aws::{Action, During, Pattern, Rule, StackHold};

use super::*;

/// Waits until an operation of the stack waits at the hold.
async fn held(hold: &StackHold) {
    let reached = wait_until("the stack is held", PATIENCE, async || {
        let reached = hold.is_reached().await.expect("the lab answers");
        if reached { Ok(()) } else { Err(String::new()) }
    });
    reached.await.unwrap_or_else(|error| panic!("{error}"));
}

/// Begins an update of a stack, which stops at its resource.
async fn begun(fixture: &Fixture, stacks: &dyn Stacks, name: &str) -> (String, StackHold) {
    let stack = fixture.created(stacks, name, &template(name, "one")).await;
    let next = fixture.update(name, &template(name, "two"));
    let id = stacks.create_change_set(&next).await.expect("a change set");
    ready(stacks, name, &id).await;
    let hold = fixture
        .lab
        .hold_stack(name, "Setting", During::Update)
        .await;
    let hold = hold.expect("the lab answers");
    stacks
        .execute(name, &id, "execute-2")
        .await
        .expect("executed");
    held(&hold).await;
    (stack.id, hold)
}

#[tokio::test]
async fn equal_token_creates_one_change_set_and_another_token_is_refused() {
    let fixture = Fixture::new().await;
    let stacks = fixture.stacks("lab-token").await;
    let new = fixture.creation("lab-token", &template("token", "one"));
    let id = stacks.create_change_set(&new).await.expect("a change set");
    assert_eq!(stacks.create_change_set(&new).await, Ok(id.clone()));
    let mut other = new.clone();
    other.token = "token-other".into();
    let refused = stacks.create_change_set(&other).await;
    assert_eq!(kind(refused), Some(Kind::AlreadyExists));
    ready(&*stacks, "lab-token", &id).await;
    for _ in 0..2 {
        let executed = stacks.execute("lab-token", &id, "execute-1").await;
        assert_eq!(executed, Ok(()), "the token is the same");
    }
    reached(&*stacks, "lab-token", "CREATE_COMPLETE").await;
    let late = stacks.execute("lab-token", &id, "execute-other").await;
    assert_eq!(kind(late), Some(Kind::Stale));
}

#[tokio::test]
async fn stack_must_exist_for_an_update_and_must_not_for_a_creation() {
    let fixture = Fixture::new().await;
    let stacks = fixture.stacks("lab-exists-*").await;
    let text = template("exists", "one");
    let missing = stacks
        .create_change_set(&fixture.update("lab-exists-no", &text))
        .await;
    assert_eq!(kind(missing), Some(Kind::NotFound));
    let missing = stacks.template("lab-exists-no").await;
    assert_eq!(kind(missing), Some(Kind::NotFound));
    let missing = stacks.events("lab-exists-no", "execute").await;
    assert_eq!(kind(missing), Some(Kind::NotFound));
    let missing = stacks.resources("lab-exists-no").await;
    assert_eq!(kind(missing), Some(Kind::NotFound));
    let missing = stacks.delete_change_set("lab-exists-no", "sluice-1").await;
    assert_eq!(missing, Ok(()));
    let missing = stacks.execute("lab-exists-no", "sluice-1", "execute").await;
    assert_eq!(kind(missing), Some(Kind::Stale));

    fixture.created(&*stacks, "lab-exists-yes", &text).await;
    let mut again = fixture.creation("lab-exists-yes", &text);
    again.name = "sluice-again".into();
    again.token = "token-again".into();
    let again = stacks.create_change_set(&again).await;
    assert_eq!(kind(again), Some(Kind::Stale));
    // Nothing is in progress.
    let idle = stacks.cancel_update("lab-exists-yes", "cancel").await;
    assert_eq!(kind(idle), Some(Kind::Stale));
    let role = &fixture.lab.dev().stack_role_arn;
    let idle = stacks.continue_rollback("lab-exists-yes", role, &[], "continue");
    assert_eq!(kind(idle.await), Some(Kind::Stale));
    let retained = ["Setting".to_owned()];
    let retained = stacks.delete("lab-exists-yes", Some(role), &retained, "delete");
    assert_eq!(kind(retained.await), Some(Kind::Stale));
}

#[tokio::test]
async fn stack_in_progress_is_busy_until_its_update_is_cancelled() {
    let fixture = Fixture::new().await;
    let stacks = fixture.stacks("lab-busy").await;
    let (id, hold) = begun(&fixture, &*stacks, "lab-busy").await;
    let stack = stacks.stack(&id).await.expect("an answer").expect("it");
    assert_eq!(stack.status, "UPDATE_IN_PROGRESS");
    let mut third = fixture.update("lab-busy", &template("lab-busy", "three"));
    third.name = "sluice-3".into();
    third.token = "token-3".into();
    let error = stacks.create_change_set(&third).await.expect_err("busy");
    assert_eq!(error.kind, Kind::Busy, "{error}");
    assert!(error.message.contains("UPDATE_IN_PROGRESS"), "{error}");
    let deleted = stacks.delete(&id, None, &[], "delete").await;
    assert_eq!(kind(deleted), Some(Kind::Busy));

    stacks
        .cancel_update(&id, "cancel")
        .await
        .expect("cancelled");
    let back = reached(&*stacks, "lab-busy", "UPDATE_ROLLBACK_COMPLETE").await;
    assert_eq!(back.id, id);
    let text = template("lab-busy", "one");
    assert_eq!(stacks.template(&id).await, Ok(text));
    let events = stacks.events(&id, "cancel").await.expect("events");
    let statuses: Vec<&str> = events.iter().map(|it| it.status.as_str()).collect();
    assert!(
        statuses.contains(&"UPDATE_ROLLBACK_IN_PROGRESS"),
        "{events:?}"
    );
    drop(hold);
}

#[tokio::test]
async fn session_is_limited_to_granted_stacks_and_roles() {
    let fixture = Fixture::new().await;
    let ours = fixture.stacks("lab-fenced").await;
    let text = template("fenced", "one");
    let stack = fixture.created(&*ours, "lab-fenced", &text).await;
    let theirs = fixture.stacks("lab-other-*").await;
    let role = fixture.lab.dev().stack_role_arn.clone();
    for name in ["lab-fenced", &stack.id] {
        let denied = [
            kind(theirs.stack(name).await),
            kind(theirs.template(name).await),
            kind(theirs.events(name, "execute").await),
            kind(theirs.resources(name).await),
            kind(theirs.change_set(name, "sluice-1").await),
            kind(theirs.change_sets(name).await),
            kind(theirs.execute(name, "sluice-1", "execute").await),
            kind(theirs.delete_change_set(name, "sluice-1").await),
            kind(theirs.cancel_update(name, "cancel").await),
            kind(theirs.continue_rollback(name, &role, &[], "continue").await),
            kind(theirs.delete(name, None, &[], "delete").await),
        ];
        for (nth, kind) in denied.into_iter().enumerate() {
            assert_eq!(kind, Some(Kind::Denied), "call {nth} on {name}");
        }
    }
    let error = theirs.stack("lab-fenced").await.expect_err("denied");
    assert_eq!(error.operation, "cloudformation:DescribeStacks");
    assert!(error.resource.starts_with("lab-fenced ("), "{error}");
    assert!(error.message.contains("grants"), "{error}");

    // Neither without a service role, nor with one that no grant names.
    let execution = fixture.lab.dev().execution_role_arn.clone();
    for other in ["", &execution] {
        let mut new = fixture.update("lab-fenced", &template("fenced", "two"));
        new.settings.role = other.to_owned();
        let error = ours.create_change_set(&new).await.expect_err("denied");
        assert_eq!(error.kind, Kind::Denied, "{other:?}: {error}");
    }
    let continued = ours.continue_rollback("lab-fenced", &execution, &[], "continue");
    assert_eq!(kind(continued.await), Some(Kind::Denied));
    let found = ours.stack("lab-fenced").await.expect("an answer");
    assert_eq!(found.expect("it").status, "CREATE_COMPLETE");

    // Without a grant of stacks, the session may nothing.
    let dev = fixture.account("dev");
    let none = Permissions::default();
    let none = fixture.cloud.stacks(&dev, REGION, &none).await.expect("it");
    assert_eq!(kind(none.stack("lab-fenced").await), Some(Kind::Denied));
}

#[tokio::test]
async fn stacks_have_a_session_of_their_own() {
    let fixture = Fixture::new().await;
    let lab = fixture.lab;
    let dev = fixture.account("dev");
    let mut permissions = on_stacks("lab-session", "cfn-exec");
    permissions.grants[0].functions = vec!["lab-session".into()];
    permissions.holder.namespace = "shop".into();
    permissions.holder.deployment = "stack-session".into();
    let mark = lab.mark();
    let functions = fixture.cloud.functions(&dev, REGION, &permissions).await;
    functions.expect("Lambda");
    let count = || {
        let calls = lab.calls_since(mark);
        let named = |call: &&sluice_lab::aws::Call| {
            call.qualifier.as_deref() == Some("sluice.shop.stack-session")
        };
        calls.named("sts", "AssumeRole").filter(named).count()
    };
    assert_eq!(count(), 1);
    for _ in 0..2 {
        let stacks = fixture.cloud.stacks(&dev, REGION, &permissions).await;
        assert_eq!(stacks.expect("it").stack("lab-session").await, Ok(None));
        assert_eq!(count(), 2);
    }
}

#[tokio::test]
async fn lost_reply_to_a_write_is_an_unknown_outcome() {
    let fixture = Fixture::new().await;
    let stacks = fixture.stacks("lab-lost").await;
    let new = fixture.creation("lab-lost", &template("lost", "one"));
    let on = Pattern::operation("cloudformation", "CreateChangeSet").about("lab-lost");
    let throttled = Kind::Throttled { retry_after: None };
    for (action, expected) in [
        (Action::Throttle, throttled),
        (Action::DropRequest, Kind::Unknown),
        (Action::respond(500, "InternalFailure", "no"), Kind::Unknown),
        (Action::LoseReply, Kind::Unknown),
    ] {
        let shown = format!("{action:?}");
        let _fault = fixture.lab.faults().add(Rule::always(on.clone(), action));
        let mark = fixture.lab.mark();
        let error = stacks.create_change_set(&new).await.expect_err("a fault");
        let kind = match error.kind {
            Kind::Throttled { .. } => Kind::Throttled { retry_after: None },
            kind => kind,
        };
        assert_eq!(kind, expected, "{shown}");
        let calls = fixture.lab.calls_since(mark);
        let sent =
            calls.only(|call| call.resource == "lab-lost" && call.operation == "CreateChangeSet");
        assert_eq!(sent.len(), 1, "{shown}");
    }
    // The last one had taken effect, and its token finds it again.
    let found = stacks.change_set("lab-lost", "sluice-1").await;
    let found = found.expect("an answer").expect("the change set");
    assert_eq!(stacks.create_change_set(&new).await, Ok(found.id));
}

#[tokio::test]
async fn read_survives_two_failures() {
    let fixture = Fixture::new().await;
    let stacks = fixture.stacks("lab-retried").await;
    let on = Pattern::operation("cloudformation", "DescribeStacks").about("lab-retried");
    let rule = Rule {
        times: Some(2),
        ..Rule::always(on, Action::respond(500, "InternalFailure", "no"))
    };
    let fault = fixture.lab.faults().add(rule);
    assert_eq!(stacks.stack("lab-retried").await, Ok(None));
    assert_eq!(fault.hits(), 2);
}

#[tokio::test]
async fn no_write_to_a_stack_is_sent_once_another_controller_may_lead() {
    let fixture = Fixture::new().await;
    let stacks = fixture.stacks("lab-led").await;
    fixture.fence.close();
    let mark = fixture.lab.mark();
    let role = &fixture.lab.dev().stack_role_arn;
    let new = fixture.creation("lab-led", &template("led", "one"));
    for written in [
        stacks.create_change_set(&new).await.map(drop),
        stacks.execute("lab-led", "sluice-1", "t").await,
        stacks.delete_change_set("lab-led", "sluice-1").await,
        stacks.cancel_update("lab-led", "t").await,
        stacks.continue_rollback("lab-led", role, &[], "t").await,
        stacks.delete("lab-led", None, &[], "t").await,
    ] {
        let error = written.expect_err("not sent");
        assert_eq!(error.kind, Kind::Unavailable, "{error}");
    }
    assert_eq!(stacks.stack("lab-led").await, Ok(None));
    let calls = fixture.lab.calls_since(mark);
    let sent = calls.only(|call| call.is_write() && call.resource.contains("lab-led"));
    assert_eq!(sent.names(), [""; 0]);
}

#[tokio::test]
async fn calls_to_stacks_wait_for_their_turn() {
    let fixture = Fixture::new().await;
    let stacks = fixture.stacks("lab-paced").await;
    // More than the budget of a second, which begins with half of it.
    let reads = (0..9).map(|_| stacks.stack("lab-paced"));
    let begun = std::time::Instant::now();
    let read = futures::future::try_join_all(reads).await;
    assert_eq!(read.map(|all| all.len()), Ok(9));
    assert!(begun.elapsed() > Duration::from_secs(1));
}
