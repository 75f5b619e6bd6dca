//! Calls while AWS or the network fails.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use sluice::ports::{CallErrorKind, cloud::Cloud as _};
use sluice_lab::{
    aws::{Action, Pattern, REGIONS, Rule},
    lab::PATIENCE,
};

use super::{Fixture, REGION, allowed, by_role, settled};

#[tokio::test]
async fn lost_reply_to_a_write_is_an_unknown_outcome() {
    let fixture = Fixture::new().await;
    let functions = fixture.functions("lost-").await;
    let name = "lost-api";
    let function = fixture.function(&*functions, name).await;
    let on = Pattern::operation("lambda", "PublishVersion").about(name);
    for (action, expected) in [
        (Action::LoseReply, CallErrorKind::Unknown),
        (Action::DropRequest, CallErrorKind::Unknown),
        (
            Action::respond(500, "ServiceException", "no"),
            CallErrorKind::Unknown,
        ),
        (
            Action::Throttle,
            CallErrorKind::Throttled { retry_after: None },
        ),
    ] {
        let shown = format!("{action:?}");
        let _fault = fixture.lab.faults().add(Rule::always(on.clone(), action));
        let mark = fixture.lab.mark();
        let result = functions
            .publish(name, &function.code_sha256, &function.revision_id, "")
            .await;
        let kind = match result.expect_err("a fault").kind {
            CallErrorKind::Throttled { .. } => CallErrorKind::Throttled { retry_after: None },
            kind => kind,
        };
        assert_eq!(kind, expected, "{shown}");
        let calls = fixture.lab.calls_since(mark);
        let sent = calls.only(|call| call.resource == name && call.operation == "PublishVersion");
        assert_eq!(sent.len(), 1, "{shown}");
    }
    // The write had taken effect.
    assert_eq!(settled(&*functions, name, Some("1")).await.version, "1");
}

#[tokio::test]
async fn aws_read_survives_two_failures() {
    let fixture = Fixture::new().await;
    let functions = fixture.functions("retried-").await;
    let on = Pattern::operation("lambda", "GetFunction").about("retried-api");
    let action = Action::respond(500, "ServiceException", "no");
    let rule = Rule {
        times: Some(2),
        ..Rule::always(on, action)
    };
    let fault = fixture.lab.faults().add(rule);
    assert_eq!(functions.get("retried-api", None).await, Ok(None));
    assert_eq!(fault.hits(), 2);
}

#[tokio::test]
async fn invocation_is_sent_once_and_times_out() {
    let fixture = Fixture::new().await;
    let functions = fixture.functions("slow-").await;
    let on = Pattern::operation("lambda", "Invoke").about("slow-api");
    let fault = fixture.lab.faults().add(Rule::always(on, Action::Hang));
    // Enough for the call to arrive on a busy machine.
    let patience = Duration::from_secs(5);
    let error = functions
        .invoke("slow-api", "1", b"{}", patience)
        .await
        .expect_err("no answer");
    assert_eq!(error.kind, CallErrorKind::Unknown, "{error}");
    assert_eq!(fault.hits(), 1);
}

#[tokio::test]
async fn expired_session_is_replaced() {
    let fixture = Fixture::new().await;
    let lab = fixture.lab;
    // No other test assumes the hub's role from this region.
    let account = fixture.add("expired", lab.hub(), by_role(lab.hub(), "hub"));
    let permissions = allowed("expired-*");
    let functions = fixture.cloud.functions(&account, REGION, &permissions);
    let functions = functions.await.expect("Lambda");
    let on = Pattern::operation("lambda", "GetAlias").about("expired-api");
    let action = Action::respond(
        403,
        "ExpiredTokenException",
        "The security token is expired",
    );
    let fault = lab.faults().add(Rule::once(on, action));
    let error = functions
        .alias("expired-api", "live")
        .await
        .expect_err("refused");
    assert_eq!(error.kind, CallErrorKind::Unauthenticated, "{error}");
    let mark = lab.mark();
    assert_eq!(functions.alias("expired-api", "live").await, Ok(None));
    let assumed = lab
        .calls_since(mark)
        .only(|call| call.resource == lab.hub().role_arn && call.region.as_deref() == Some(REGION));
    assert_eq!(assumed.names(), ["sts:AssumeRole"]);
    assert_eq!(fault.hits(), 1);
}

#[tokio::test]
async fn head_response_of_an_expired_session_is_explained() {
    let fixture = Fixture::new().await;
    let lab = fixture.lab;
    // No other test uses this region of prod.
    let (region, account) = (REGIONS[1], fixture.account("prod"));
    let store = fixture.cloud.store(&account, region).await;
    let store = store.expect("prod's artifact bucket");
    assert_eq!(store.head("silent/none").await, Ok(None));
    // S3 gives the reason in a body, which an answer to HEAD does not have.
    let on = Pattern::operation("s3", "HeadObject").about("silent/none");
    let ended = || Action::respond(400, "ExpiredToken", "The provided token has expired.");
    let denied = lab.faults().add(Rule::once(on.clone(), ended()));
    let error = store.head("silent/none").await.expect_err("refused");
    assert_eq!(denied.hits(), 1);
    assert_eq!(
        error.kind,
        CallErrorKind::Invalid,
        "STS takes the session: {error}"
    );

    let _denied = lab.faults().add(Rule::once(on, ended()));
    let of_sts = Pattern {
        account: Some(lab.prod().id.clone()),
        region: Some(region.to_owned()),
        ..Pattern::operation("sts", "GetCallerIdentity")
    };
    let ended = Action::respond(403, "ExpiredToken", "The security token is expired");
    let asked = lab.faults().add(Rule::once(of_sts, ended));
    let error = store.head("silent/none").await.expect_err("refused");
    assert_eq!(asked.hits(), 1);
    assert_eq!(error.kind, CallErrorKind::Unauthenticated, "{error}");
    assert_eq!(error.operation, "s3:HeadObject");
    assert!(
        error.message.contains("security token is expired"),
        "{error}"
    );
    // The next call creates a new session.
    assert_eq!(store.head("silent/none").await, Ok(None));
}

#[tokio::test]
async fn no_write_is_sent_once_another_controller_may_lead() {
    let fixture = Fixture::new().await;
    let functions = fixture.functions("led-").await;
    let name = "led-api";
    let function = fixture.function(&*functions, name).await;
    let store = fixture.store().await;
    fixture.fence.close();
    let mark = fixture.lab.mark();
    let writes = [
        functions
            .publish(name, &function.code_sha256, &function.revision_id, "")
            .await
            .map(drop),
        functions
            .invoke(name, "$LATEST", b"{}", PATIENCE)
            .await
            .map(drop),
        store
            .put("led/object", Bytes::new(), &BTreeMap::new())
            .await
            .map(drop),
        store.delete("led/object", "1").await,
    ];
    for written in writes {
        let error = written.expect_err("not sent");
        assert_eq!(error.kind, CallErrorKind::Unavailable, "{error}");
        assert!(
            error
                .message
                .contains("another controller may be the leader"),
            "{error}"
        );
    }
    // Reads still work.
    assert_eq!(settled(&*functions, name, None).await.version, "$LATEST");
    let calls = fixture.lab.calls_since(mark);
    let sent = calls.only(|call| call.is_write() && call.resource.contains("led"));
    assert_eq!(sent.names(), [""; 0]);
}
