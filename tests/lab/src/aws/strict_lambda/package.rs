//! What a function is made from: its package in S3 and its execution role must be there.

use axum::http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{Exchange, Step, invalid, text};
use crate::{
    aws::{call::decoded, keys::element},
    error::LabError,
};

const CANNOT_ASSUME: &str = "The role defined for the function cannot be assumed by Lambda.";

/// Code that names an object which is not there.
pub(super) async fn refuse_missing_object(exchange: &mut Exchange) -> Result<Step, LabError> {
    let request = exchange.json();
    let code = if exchange.operation == "CreateFunction" {
        &request["Code"]
    } else {
        &request
    };
    let Some(path) = object_path(code) else {
        return Ok(Step::Pass);
    };
    let function = &exchange.function;
    let reply = exchange
        .backend
        .peek(&function.account, &function.region, &path)
        .await?;
    let (error, message) = match reply.error_code().as_deref() {
        Some("NoSuchKey") => ("NoSuchKey", "The specified key does not exist."),
        Some("NoSuchBucket") => ("NoSuchBucket", "The specified bucket does not exist"),
        Some("NoSuchVersion") => ("NoSuchVersion", "The specified version does not exist."),
        // Anything else, such as a bucket in another region, the emulator answers as AWS does.
        _ => return Ok(Step::Pass),
    };
    Ok(invalid(&format!(
        "Error occurred while GetObject. S3 Error Code: {error}. S3 Error Message: {message}"
    )))
}

/// The whole object that `code` names.
pub(super) async fn object(exchange: &Exchange, code: &Value) -> Result<Option<Vec<u8>>, LabError> {
    let Some(path) = object_path(code) else {
        return Ok(None);
    };
    let function = &exchange.function;
    let reply = exchange
        .backend
        .ask(&function.account, &function.region, "s3", &path)
        .await?;
    Ok((reply.status == StatusCode::OK).then(|| reply.body.to_vec()))
}

fn object_path(code: &Value) -> Option<String> {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (bucket, key) = text(code, "S3Bucket").zip(text(code, "S3Key"))?;
    let key: Vec<String> = key.split('/').map(encode).collect();
    let path = format!("/{bucket}/{}", key.join("/"));
    let version = text(code, "S3ObjectVersion").map(encode);
    Some(version.map_or_else(
        || path.clone(),
        |version| format!("{path}?versionId={version}"),
    ))
}

/// A role that Lambda could not take.
pub(super) async fn refuse_unusable_role(exchange: &mut Exchange) -> Result<Step, LabError> {
    let request = exchange.json();
    let Some(role) = text(&request, "Role") else {
        return Ok(Step::Pass);
    };
    let account = &exchange.function.account;
    let Some(name) = role.strip_prefix(&format!("arn:aws:iam::{account}:role/")) else {
        return Ok(invalid(CANNOT_ASSUME));
    };
    let name = name.rsplit('/').next().unwrap_or(name);
    let form = [
        ("Action", "GetRole"),
        ("Version", "2010-05-08"),
        ("RoleName", name),
    ];
    let reply = exchange.backend.ask_form(account, "iam", &form).await?;
    let xml = String::from_utf8_lossy(&reply.body);
    let trust = element(&xml, "AssumeRolePolicyDocument")
        .map(decoded)
        .unwrap_or_default();
    if reply.status.is_success() && trust.contains("lambda.amazonaws.com") {
        return Ok(Step::Pass);
    }
    Ok(invalid(CANNOT_ASSUME))
}
