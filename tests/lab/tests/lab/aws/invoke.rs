//! Responses to failing invocations, and the end of the log.

use std::io::Write as _;

use aws_sdk_lambda::{
    Client,
    operation::invoke::InvokeOutput,
    primitives::Blob,
    types::{FunctionCode, LogType, Runtime},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{cloud, dev_lambda, settled};

/// A handler that does what its event says.
const CODE: &str = r#"
import os

class OutOfStock(Exception):
    pass

def handler(event, context):
    what = event["do"]
    if what == "fail":
        raise OutOfStock("no more")
    if what == "exit":
        os._exit(1)
    if what == "log":
        print("x" * 6000)
    return what
"#;

async fn created(lambda: &Client, name: &str, code: &str, handler: &str) {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stamp = zip::write::SimpleFileOptions::default();
    zip.start_file("app.py", stamp).expect("a file");
    zip.write_all(code.as_bytes()).expect("the code");
    let package = zip.finish().expect("a package").into_inner();
    lambda
        .create_function()
        .function_name(name)
        .runtime(Runtime::Python313)
        .handler(handler)
        .role(&cloud().await.dev().execution_role_arn)
        .code(FunctionCode::builder().zip_file(Blob::new(package)).build())
        .send()
        .await
        .expect("created");
    settled(lambda, name).await;
}

async fn invoked(lambda: &Client, name: &str, what: &str) -> (InvokeOutput, Value) {
    let event = serde_json::json!({"do": what}).to_string();
    let request = lambda.invoke().function_name(name).log_type(LogType::Tail);
    let answer = request.payload(Blob::new(event)).send().await;
    let mut answer = answer.expect("an answer");
    let payload = answer.payload.take().expect("a payload").into_inner();
    let payload = serde_json::from_slice(&payload).expect("JSON");
    (answer, payload)
}

fn log(answer: &InvokeOutput) -> String {
    let encoded = answer.log_result.as_deref().expect("a log");
    String::from_utf8(STANDARD.decode(encoded).expect("Base64")).expect("text")
}

#[tokio::test]
async fn a_function_error_has_its_type_and_stack_trace() {
    let lambda = dev_lambda(cloud().await).await;
    let name = "invoke-errors";
    Box::pin(created(&lambda, name, CODE, "app.handler")).await;
    let (answer, payload) = invoked(&lambda, name, "fail").await;
    assert_eq!(answer.status_code, 200);
    assert_eq!(answer.function_error.as_deref(), Some("Unhandled"));
    assert_eq!(payload["errorType"], "OutOfStock");
    assert_eq!(payload["errorMessage"], "no more");
    assert!(payload["requestId"].is_string(), "{payload}");
    let stack = payload["stackTrace"][0].as_str().expect("a stack");
    assert!(
        stack.contains("/var/task/app.py\", line 10, in handler"),
        "{payload}"
    );
    assert!(
        payload["stackTrace"].as_array().expect("a list").len() == 1,
        "{payload}"
    );

    let (answer, payload) = invoked(&lambda, name, "exit").await;
    assert_eq!(answer.function_error.as_deref(), Some("Unhandled"));
    assert_eq!(payload["errorType"], "Runtime.ExitError");
    let (answer, payload) = invoked(&lambda, name, "answer").await;
    assert_eq!(answer.function_error, None);
    assert_eq!(payload, "answer");
}

#[tokio::test]
async fn a_function_that_cannot_start_reports_the_missing_module_or_handler() {
    let lambda = dev_lambda(cloud().await).await;
    for (name, code, handler, kind, words) in [
        (
            "invoke-no-module",
            "import nothing_like_it\n",
            "app.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'app': No module named 'nothing_like_it'",
        ),
        (
            "invoke-no-handler",
            CODE,
            "app.other",
            "Runtime.HandlerNotFound",
            "Handler 'other' missing on module 'app'",
        ),
    ] {
        Box::pin(created(&lambda, name, code, handler)).await;
        let (answer, payload) = invoked(&lambda, name, "answer").await;
        assert_eq!(answer.function_error.as_deref(), Some("Unhandled"));
        assert_eq!(payload["errorType"], kind, "{payload}");
        assert_eq!(payload["errorMessage"], words, "{payload}");
    }
}

#[tokio::test]
async fn an_invocation_returns_the_end_of_its_log() {
    let lambda = dev_lambda(cloud().await).await;
    let name = "invoke-log";
    Box::pin(created(&lambda, name, CODE, "app.handler")).await;
    let (answer, _) = invoked(&lambda, name, "answer").await;
    let short = log(&answer);
    assert!(short.starts_with("START RequestId: "), "{short}");
    assert!(short.contains("REPORT RequestId: "), "{short}");
    let (answer, _) = invoked(&lambda, name, "log").await;
    let long = log(&answer);
    assert_eq!(long.len(), 4096);
    assert!(
        long.starts_with('x') && long.contains("END RequestId: "),
        "{long}"
    );
}
