//! A function's package in S3 or image, and its execution role, must exist.
//!
//! (The wording of the errors about images as client libraries' issues quote it, such as
//! <https://github.com/hashicorp/terraform/issues/27963>.)

use axum::http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Exchange, Step, invalid, text};
use crate::{
    aws::{call::decoded, keys::element},
    error::LabError,
};

const CANNOT_ASSUME: &str = "The role defined for the function cannot be assumed by Lambda.";

/// Refuses code that names a missing object.
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
        // The emulator answers anything else, such as a bucket in another region, as AWS does.
        _ => return Ok(Step::Pass),
    };
    Ok(invalid(&format!(
        "Error occurred while GetObject. S3 Error Code: {error}. S3 Error Message: {message}"
    )))
}

/// Refuses an image that is not in a registry of the function's own region.
pub(super) async fn refuse_missing_image(exchange: &mut Exchange) -> Result<Step, LabError> {
    let request = exchange.json();
    let code = if exchange.operation == "CreateFunction" {
        &request["Code"]
    } else {
        &request
    };
    let Some(uri) = text(code, "ImageUri") else {
        return Ok(Step::Pass);
    };
    let Some((account, repository, image)) = image_of(uri, &exchange.function.region) else {
        return Ok(invalid(&format!(
            "Source image {uri} is not valid. Provide a valid source image."
        )));
    };
    let registry = (account, exchange.function.region.as_str());
    let target = "AmazonEC2ContainerRegistry_V20150921.DescribeImages";
    let asked = json!({"repositoryName": repository, "imageIds": [image]});
    let reply = exchange
        .backend
        .ask_target(registry, "ecr", target, &asked)
        .await?;
    let found = reply.value().unwrap_or_default();
    if found["imageDetails"]
        .as_array()
        .is_some_and(|all| !all.is_empty())
    {
        return Ok(Step::Pass);
    }
    Ok(invalid(&format!(
        "Source image {uri} does not exist. Provide a valid source image."
    )))
}

/// The account, repository and id of an image in the region's registry.
fn image_of<'a>(uri: &'a str, region: &str) -> Option<(&'a str, &'a str, Value)> {
    let (host, path) = uri.split_once('/')?;
    let (account, rest) = host.split_once(".dkr.ecr.")?;
    if rest != format!("{region}.amazonaws.com") {
        return None;
    }
    let (repository, image) = if let Some((repository, digest)) = path.split_once('@') {
        (repository, json!({"imageDigest": digest}))
    } else {
        let (repository, tag) = path.split_once(':')?;
        (repository, json!({"imageTag": tag}))
    };
    Some((account, repository, image))
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

/// Refuses a role that Lambda cannot assume.
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
