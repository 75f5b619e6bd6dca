//! Deployment packages of Lambda functions, as a pipeline builds them.

use serde_json::{Value, json};

use crate::gitlab::zip;

/// The path of the package in the job's archive.
const PATH: &str = "dist/api.zip";

/// A package whose handler (`app.handler`, Python) answers `{"statusCode": 200, "version": …}`.
pub fn package(version: &str) -> Vec<u8> {
    package_answering(&json!({"statusCode": 200, "version": version}))
}

/// A package whose handler returns `answer`.
pub fn package_answering(answer: &Value) -> Vec<u8> {
    // A JSON string is a Python literal, too.
    let literal = Value::String(answer.to_string());
    package_of(&format!(
        "import json\n\n\ndef handler(event, context):\n    return json.loads({literal})\n"
    ))
}

/// A package with `source` as its only module, `app.py`.
pub fn package_of(source: &str) -> Vec<u8> {
    zip(&[("app.py", source.as_bytes())])
}

/// A job's archive with `package` as `dist/api.zip`.
pub fn archive(package: &[u8]) -> Vec<u8> {
    zip(&[(PATH, package)])
}
