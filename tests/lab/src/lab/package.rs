//! What a pipeline builds: packages of functions, as Lambda takes them.

use serde_json::{Value, json};

use crate::gitlab::zip;

/// The file of the job's archive that the lab's pipelines put the package in.
const PATH: &str = "dist/api.zip";

/// A package whose handler (`app.handler`, Python) answers `{"statusCode": 200, "version": …}`.
pub fn package(version: &str) -> Vec<u8> {
    package_answering(&json!({"statusCode": 200, "version": version}))
}

/// A package whose handler gives `answer`.
pub fn package_answering(answer: &Value) -> Vec<u8> {
    // A JSON text within a JSON text is a Python literal too.
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
