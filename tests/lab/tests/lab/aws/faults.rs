//! Faults hit the calls that they match, as often as they say.

use std::time::{Duration, Instant};

use aws_sdk_lambda::error::SdkError;
use serde_json::{Value, json};
use sluice_lab::{
    aws::{Action, Fault, Pattern, Rule},
    lab::{PATIENCE, wait_until},
};

use super::{cloud, configuration, create, deployer, dev_lambda, refusal, refusal_code, settled};

fn on(operation: &str, function: &str) -> Pattern {
    Pattern::operation("lambda", operation).about(function)
}

#[tokio::test]
async fn a_fault_can_skip_calls_and_hit_a_number_of_them() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "faults-respond";
    create(cloud, &lambda, name).await;
    let action = Action::respond(500, "ServiceException", "An error occurred.");
    let rule = Rule {
        on: on("GetAlias", name),
        skip: 1,
        times: Some(2),
        action,
    };
    let fault = cloud.faults().add(rule);
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(refusal_code(
            lambda
                .get_alias()
                .function_name(name)
                .name("live")
                .send()
                .await,
        ));
    }
    let (real, injected) = ("ResourceNotFoundException", "ServiceException");
    assert_eq!(codes, [real, injected, injected, real]);
    assert_eq!(fault.hits(), 2);

    let calls = cloud
        .calls()
        .only(|call| call.resource == name && call.operation == "GetAlias");
    let injected: Vec<bool> = calls.iter().map(|call| call.injected).collect();
    assert_eq!(injected, [false, true, true, false]);
}

/// Waits until the rule has hit a call.
async fn wait_until_hit(fault: &Fault) {
    let hit = wait_until("the rule hits a call", PATIENCE, async || {
        (fault.hits() > 0).then_some(())
    });
    hit.await.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn a_rule_ends_with_its_handle() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "faults-handle";
    let fault = cloud
        .faults()
        .add(Rule::always(on("GetFunction", name), Action::Throttle));
    let get = || lambda.get_function().function_name(name).send();
    assert_eq!(refusal_code(get().await), "TooManyRequestsException");
    fault.remove();
    assert_eq!(refusal_code(get().await), "ResourceNotFoundException");
}

#[tokio::test]
async fn each_service_throttles_with_its_own_error() {
    let cloud = cloud().await;
    let config = deployer(cloud, cloud.dev()).await;
    let s3 = aws_sdk_s3::Client::new(&config);
    let bucket = &cloud.dev().buckets["eu-west-1"];
    let on = Pattern::operation("s3", "PutObject").about("faults-throttle");
    let _fault = cloud.faults().add(Rule::always(on, Action::Throttle));
    let put = s3
        .put_object()
        .bucket(bucket)
        .key("faults-throttle")
        .body(vec![1; 100].into());
    assert_eq!(refusal_code(put.send().await), "SlowDown");
}

#[tokio::test]
async fn a_dropped_request_has_no_effect() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "faults-drop";
    create(cloud, &lambda, name).await;
    let rule = Rule::once(on("UpdateFunctionConfiguration", name), Action::DropRequest);
    let _fault = cloud.faults().add(rule);
    let configure = lambda
        .update_function_configuration()
        .function_name(name)
        .memory_size(256);
    let error = configure.send().await.expect_err("no answer");
    assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
    assert_eq!(
        configuration(&lambda, name, None).await.memory_size,
        Some(128)
    );
}

#[tokio::test]
async fn a_call_with_a_lost_reply_takes_effect() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "faults-lose";
    create(cloud, &lambda, name).await;
    let rule = Rule::once(on("UpdateFunctionConfiguration", name), Action::LoseReply);
    let _fault = cloud.faults().add(rule);
    let configure = lambda
        .update_function_configuration()
        .function_name(name)
        .memory_size(256);
    let error = configure.send().await.expect_err("no answer");
    assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
    assert_eq!(settled(&lambda, name).await.memory_size, Some(256));
    let calls = cloud
        .calls()
        .only(|call| call.resource == name && call.injected);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].status, None);
}

#[tokio::test]
async fn a_held_reply_of_an_effective_call_arrives_when_the_rule_is_removed() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "faults-hold";
    create(cloud, &lambda, name).await;
    let rule = Rule::once(on("UpdateFunctionConfiguration", name), Action::HoldReply);
    let fault = cloud.faults().add(rule);
    let configure = lambda
        .update_function_configuration()
        .function_name(name)
        .memory_size(256);
    let call = tokio::spawn(configure.send());
    let happened = wait_until("the update happened", PATIENCE, async || {
        let size = configuration(&lambda, name, None).await.memory_size;
        (size == Some(256)).then_some(())
    });
    happened.await.unwrap_or_else(|error| panic!("{error}"));
    assert!(!call.is_finished());
    fault.remove();
    let answer = call.await.expect("not aborted").expect("an answer");
    assert_eq!(answer.memory_size, Some(256));
}

#[tokio::test]
async fn a_hanging_call_is_never_answered() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "faults-hang";
    let fault = cloud
        .faults()
        .add(Rule::always(on("GetFunction", name), Action::Hang));
    let call = tokio::spawn(lambda.get_function().function_name(name).send());
    wait_until_hit(&fault).await;
    // Other calls are answered meanwhile.
    let other = lambda
        .get_function()
        .function_name("faults-h4ng")
        .send()
        .await;
    assert_eq!(refusal_code(other), "ResourceNotFoundException");
    assert!(!call.is_finished());
    call.abort();
}

#[tokio::test]
async fn a_delayed_call_takes_at_least_as_long() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "faults-delay";
    let delay = Duration::from_millis(200);
    let _fault = cloud
        .faults()
        .add(Rule::always(on("GetFunction", name), Action::delay(delay)));
    let start = Instant::now();
    let (code, _) = refusal(lambda.get_function().function_name(name).send().await);
    assert_eq!(code, "ResourceNotFoundException");
    assert!(start.elapsed() >= delay);
}

#[tokio::test]
async fn fault_rules_and_calls_are_available_over_http() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "faults-http";
    let http = reqwest::Client::new();
    let faults = format!("{}/_lab/faults", cloud.endpoint());
    let rule = json!({
        "on": { "service": "lambda", "operation": "GetFunction", "resourceContains": name },
        "action": { "respond": { "status": 418, "code": "Teapot", "message": "no coffee" } },
    });
    let added: Value = http
        .post(&faults)
        .json(&rule)
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let get = || lambda.get_function().function_name(name).send();
    assert_eq!(refusal_code(get().await), "Teapot");
    let listed = http
        .get(&faults)
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("text");
    assert!(listed.contains("Teapot"), "{listed}");
    let removed = http
        .delete(format!("{faults}/{}", added["id"]))
        .send()
        .await
        .expect("an answer");
    assert!(removed.status().is_success());
    assert_eq!(refusal_code(get().await), "ResourceNotFoundException");

    let calls = format!("{}/_lab/calls", cloud.endpoint());
    let calls = http
        .get(calls)
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("text");
    assert!(calls.contains(name), "{calls}");
    let nonsense = http
        .post(&faults)
        .json(&json!({ "nonsense": 1 }))
        .send()
        .await
        .expect("an answer");
    assert_eq!(nonsense.status(), 400);
}
