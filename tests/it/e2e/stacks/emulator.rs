//! The lab's AWS past Sluice: the resources of a stack, for which the tests have no SDK, and holds of its operations.

use serde_json::{Value, json};
use sluice_lab::{
    aws::{During, StackHold},
    lab::{HUB_REGION, wait_for},
};

use super::fixture::{client, name};
use crate::e2e::{LIMIT, run, scene::Scene};

/// Calls an operation of a JSON protocol, such as `AmazonSSM.GetParameter`, as the root user of the account, straight to
/// the emulator; `None` if it is refused.
fn call(scene: &Scene<'_>, account: &str, target: &str, request: &Value) -> Option<Value> {
    let (service, version) = match target.split_once('.') {
        Some(("AmazonSSM", _)) => ("ssm", "1.1"),
        _ => ("sqs", "1.0"),
    };
    let lab = &scene.environment.lab;
    let id = lab.account_id(account).unwrap();
    let config = lab.aws.sdk_config(id, HUB_REGION);
    let endpoint = config.endpoint_url().expect("an endpoint");
    let signature = format!(
        "AWS4-HMAC-SHA256 Credential={id}/20260101/{HUB_REGION}/{service}/aws4_request, \
         SignedHeaders=host, Signature=0"
    );
    run(async {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http
            .post(endpoint)
            .header("authorization", signature)
            .header("content-type", format!("application/x-amz-json-{version}"))
            .header("x-amz-target", target)
            .body(request.to_string());
        let answer = request.send().await.unwrap();
        if !answer.status().is_success() {
            return None;
        }
        answer.json().await.ok()
    })
}

/// The value of the Systems Manager parameter `Setting` of the stack; `None` if it does not exist.
pub fn setting(scene: &Scene<'_>, account: &str) -> Option<String> {
    parameter(scene, account, "setting")
}

/// The value of the Systems Manager parameter `<stack>-<end>`; `None` if it does not exist.
pub fn parameter(scene: &Scene<'_>, account: &str, end: &str) -> Option<String> {
    let request = json!({"Name": format!("{}-{end}", name(scene))});
    let found = call(scene, account, "AmazonSSM.GetParameter", &request)?;
    found["Parameter"]["Value"].as_str().map(str::to_owned)
}

/// The delay of the stack's queue, in seconds; `None` if the queue does not exist.
pub fn queue_delay(scene: &Scene<'_>, account: &str) -> Option<String> {
    let request = json!({"QueueUrl": queue(scene, account)?, "AttributeNames": ["All"]});
    let found = call(scene, account, "AmazonSQS.GetQueueAttributes", &request)?;
    let delay = found["Attributes"]["DelaySeconds"].as_str();
    delay.map(str::to_owned)
}

/// The URL of the stack's queue, by the stack's resources.
pub fn queue(scene: &Scene<'_>, account: &str) -> Option<String> {
    let describe = client(scene, account).describe_stack_resource();
    let describe = describe
        .stack_name(name(scene))
        .logical_resource_id("Queue");
    let found = run(describe.send()).ok()?.stack_resource_detail?;
    found.physical_resource_id
}

/// Holds operations of the team's stack at that resource until the result is dropped.
pub fn hold(scene: &Scene<'_>, resource: &str, during: During) -> StackHold {
    let aws = &scene.environment.lab.aws;
    run(aws.hold_stack(&name(scene), resource, during)).unwrap()
}

/// Waits until an operation waits at the hold.
#[track_caller]
pub fn wait_reached(scene: &Scene<'_>, hold: &StackHold) {
    let reached = wait_for("the operation waits", LIMIT, || {
        let is_reached = run(hold.is_reached()).map_err(|e| e.to_string())?;
        is_reached
            .then_some(())
            .ok_or_else(|| "it does not".to_owned())
    });
    reached.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
}

/// Lets the resource `Broken` of the team's stack fail no longer.
pub fn repair(scene: &Scene<'_>) {
    let aws = &scene.environment.lab.aws;
    run(aws.repair_resource(&name(scene), "Broken")).unwrap();
}
