//! The API names of requests, derived from method, path, query and, where necessary, the body.

use axum::http::{Method, request::Parts};
use serde_json::Value;
use url::form_urlencoded;

use super::{
    call::{decoded, query},
    cbor,
};

/// An operation and its resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) name: String,
    pub(super) resource: String,
    pub(super) qualifier: Option<String>,
}

/// Sub-resources of `/functions/{name}/`: name, then the operations of GET, POST, PUT and DELETE.
const FUNCTION_PARTS: [(&str, [&str; 4]); 14] = [
    ("", ["GetFunction", "", "", "DeleteFunction"]),
    (
        "configuration",
        [
            "GetFunctionConfiguration",
            "",
            "UpdateFunctionConfiguration",
            "",
        ],
    ),
    ("code", ["", "", "UpdateFunctionCode", ""]),
    (
        "versions",
        ["ListVersionsByFunction", "PublishVersion", "", ""],
    ),
    ("aliases", ["ListAliases", "CreateAlias", "", ""]),
    ("invocations", ["", "Invoke", "", ""]),
    (
        "response-streaming-invocations",
        ["", "InvokeWithResponseStream", "", ""],
    ),
    ("policy", ["GetPolicy", "AddPermission", "", ""]),
    (
        "concurrency",
        [
            "GetFunctionConcurrency",
            "",
            "PutFunctionConcurrency",
            "DeleteFunctionConcurrency",
        ],
    ),
    (
        "provisioned-concurrency",
        [
            "GetProvisionedConcurrencyConfig",
            "",
            "PutProvisionedConcurrencyConfig",
            "DeleteProvisionedConcurrencyConfig",
        ],
    ),
    (
        "url",
        [
            "GetFunctionUrlConfig",
            "CreateFunctionUrlConfig",
            "UpdateFunctionUrlConfig",
            "DeleteFunctionUrlConfig",
        ],
    ),
    ("urls", ["ListFunctionUrlConfigs", "", "", ""]),
    (
        "event-invoke-config",
        [
            "GetFunctionEventInvokeConfig",
            "UpdateFunctionEventInvokeConfig",
            "PutFunctionEventInvokeConfig",
            "DeleteFunctionEventInvokeConfig",
        ],
    ),
    (
        "recursion-config",
        [
            "GetFunctionRecursionConfig",
            "",
            "PutFunctionRecursionConfig",
            "",
        ],
    ),
];

/// Sub-resources of buckets: query parameter, then the operation's name without Get, Put or Delete.
const BUCKET_PARTS: [(&str, &str); 14] = [
    ("versioning", "BucketVersioning"),
    ("lifecycle", "BucketLifecycleConfiguration"),
    ("location", "BucketLocation"),
    ("policy", "BucketPolicy"),
    ("encryption", "BucketEncryption"),
    ("tagging", "BucketTagging"),
    ("acl", "BucketAcl"),
    ("cors", "BucketCors"),
    ("publicAccessBlock", "PublicAccessBlock"),
    ("ownershipControls", "BucketOwnershipControls"),
    ("website", "BucketWebsite"),
    ("logging", "BucketLogging"),
    ("notification", "BucketNotificationConfiguration"),
    ("replication", "BucketReplication"),
];

fn unnamed(parts: &Parts) -> String {
    format!("{} {}", parts.method, parts.uri.path())
}

fn column(method: &Method) -> Option<usize> {
    [Method::GET, Method::POST, Method::PUT, Method::DELETE]
        .iter()
        .position(|known| known == method)
}

/// Lambda's REST API.
pub(super) fn lambda(parts: &Parts, body: &[u8]) -> Operation {
    let path = parts.uri.path();
    if let Some(code) = path.strip_prefix("/_ministack/lambda-code/") {
        let reference = code.rsplit('/').next().map(decoded).unwrap_or_default();
        let (resource, qualifier) = function_and_qualifier(&reference);
        return Operation {
            name: "DownloadCode".into(),
            resource,
            qualifier,
        };
    }
    let segments: Vec<String> = path.split('/').skip(2).map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let get = parts.method == Method::GET;
    let (name, reference) = match segments.as_slice() {
        ["functions" | "functions/", ..] if segments.get(1).is_none_or(|s| s.is_empty()) => {
            if get {
                ("ListFunctions", String::new())
            } else {
                ("CreateFunction", body_field(body, "FunctionName"))
            }
        }
        ["functions", function, "aliases", _] => {
            let name = match parts.method {
                Method::GET => "GetAlias",
                Method::PUT => "UpdateAlias",
                _ => "DeleteAlias",
            };
            (name, (*function).to_owned())
        }
        ["functions", function, "policy", _] => ("RemovePermission", (*function).to_owned()),
        ["functions", function, rest @ ..] => {
            let part = rest.first().copied().unwrap_or_default();
            let name = FUNCTION_PARTS
                .iter()
                .find(|(known, _)| *known == part)
                .zip(column(&parts.method))
                .map_or("", |((_, names), column)| names[column]);
            (name, (*function).to_owned())
        }
        ["tags", arn @ ..] => {
            let name = match parts.method {
                Method::GET => "ListTags",
                Method::POST => "TagResource",
                _ => "UntagResource",
            };
            (name, arn.join("/"))
        }
        ["event-source-mappings" | "event-source-mappings/"] | ["event-source-mappings", ""] => {
            if get {
                let function = query(parts)
                    .into_iter()
                    .find(|(name, _)| name == "FunctionName");
                let function = function.map(|(_, value)| value);
                ("ListEventSourceMappings", function.unwrap_or_default())
            } else {
                let function = body_field(body, "FunctionName");
                ("CreateEventSourceMapping", function)
            }
        }
        ["event-source-mappings", id] => {
            let name = match parts.method {
                Method::GET => "GetEventSourceMapping",
                Method::PUT => "UpdateEventSourceMapping",
                _ => "DeleteEventSourceMapping",
            };
            (name, (*id).to_owned())
        }
        ["account-settings", ..] => ("GetAccountSettings", String::new()),
        _ => ("", String::new()),
    };
    let (resource, inline) = function_and_qualifier(&reference);
    let qualifier = inline
        .or_else(|| {
            query(parts)
                .into_iter()
                .find(|(name, _)| name == "Qualifier")
                .map(|(_, v)| v)
        })
        .or_else(|| alias_of(&segments, name, body));
    let name = if name.is_empty() {
        unnamed(parts)
    } else {
        name.to_owned()
    };
    Operation {
        name,
        resource,
        qualifier,
    }
}

fn alias_of(segments: &[&str], name: &str, body: &[u8]) -> Option<String> {
    match segments {
        [_, _, "aliases", alias] => Some((*alias).to_owned()),
        _ if name == "CreateAlias" => Some(body_field(body, "Name")),
        _ => None,
    }
}

fn body_field(body: &[u8], field: &str) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    value[field].as_str().unwrap_or_default().to_owned()
}

/// Splits a name, partial ARN or ARN of a function, each with or without a qualifier.
pub(super) fn function_and_qualifier(reference: &str) -> (String, Option<String>) {
    let fields: Vec<&str> = reference.split(':').collect();
    let (name, qualifier) = match fields.as_slice() {
        ["arn", _, "lambda", _, _, "function", name, rest @ ..]
        | [_, "function", name, rest @ ..]
        | [name, rest @ ..] => (*name, rest.first()),
        [] => ("", None),
    };
    (
        name.to_owned(),
        qualifier.map(|qualifier| (*qualifier).to_owned()),
    )
}

/// S3's REST API with the bucket in the path.
pub(super) fn s3(parts: &Parts) -> Operation {
    let query = query(parts);
    let value = |name: &str| {
        query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, v)| v.clone())
    };
    let path = parts.uri.path().trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let has = |name: &str| value(name).is_some();
    let name = match (bucket, key) {
        ("", _) => Some("ListBuckets".to_owned()),
        (_, "") => bucket_operation(&parts.method, &has),
        _ => object_operation(parts, &has).map(str::to_owned),
    };
    Operation {
        name: name.unwrap_or_else(|| unnamed(parts)),
        resource: decoded(path.trim_end_matches('/')),
        qualifier: value("versionId"),
    }
}

fn object_operation(parts: &Parts, has: &dyn Fn(&str) -> bool) -> Option<&'static str> {
    let copies = parts.headers.contains_key("x-amz-copy-source");
    Some(match parts.method {
        Method::PUT if has("partNumber") && copies => "UploadPartCopy",
        Method::PUT if has("partNumber") => "UploadPart",
        Method::PUT if has("tagging") => "PutObjectTagging",
        Method::PUT if copies => "CopyObject",
        Method::PUT => "PutObject",
        Method::POST if has("uploads") => "CreateMultipartUpload",
        Method::POST if has("uploadId") => "CompleteMultipartUpload",
        Method::DELETE if has("uploadId") => "AbortMultipartUpload",
        Method::DELETE if has("tagging") => "DeleteObjectTagging",
        Method::DELETE => "DeleteObject",
        Method::GET if has("uploadId") => "ListParts",
        Method::GET if has("tagging") => "GetObjectTagging",
        Method::GET if has("attributes") => "GetObjectAttributes",
        Method::GET => "GetObject",
        Method::HEAD => "HeadObject",
        _ => return None,
    })
}

fn bucket_operation(method: &Method, has: &dyn Fn(&str) -> bool) -> Option<String> {
    let (verb, plain) = match *method {
        Method::GET => ("Get", "ListObjects"),
        Method::PUT => ("Put", "CreateBucket"),
        Method::DELETE => ("Delete", "DeleteBucket"),
        Method::HEAD => return Some("HeadBucket".into()),
        Method::POST if has("delete") => return Some("DeleteObjects".into()),
        _ => return None,
    };
    if let Some((_, part)) = BUCKET_PARTS.iter().find(|(query, _)| has(query)) {
        return Some(format!("{verb}{part}"));
    }
    let listing = [
        ("list-type", "ListObjectsV2"),
        ("uploads", "ListMultipartUploads"),
        ("versions", "ListObjectVersions"),
    ];
    let listed = listing
        .iter()
        .find(|(query, _)| *method == Method::GET && has(query));
    Some(listed.map_or(plain, |(_, name)| name).to_owned())
}

/// CloudWatch, whose SDKs put the operation into the path and the parameters into a CBOR body.
pub(super) fn monitoring(parts: &Parts, body: &[u8]) -> Operation {
    let Some((_, name)) = parts.uri.path().split_once("/operation/") else {
        return other(parts, body);
    };
    let resource = ["AlarmName", "AlarmNames", "MetricName"]
        .into_iter()
        .map(|key| cbor::texts_under(body, key).join(","))
        .find(|names| !names.is_empty());
    Operation {
        name: name.to_owned(),
        resource: resource.unwrap_or_default(),
        qualifier: None,
    }
}

/// The query protocol (`Action=`) and the JSON protocols (`X-Amz-Target`).
pub(super) fn other(parts: &Parts, body: &[u8]) -> Operation {
    let form: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    let value = |name: &str| {
        form.iter()
            .find(|(key, _)| key == name)
            .map(|(_, v)| v.clone())
    };
    let target = parts
        .headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok());
    let name = value("Action")
        .or_else(|| {
            target
                .and_then(|target| target.rsplit('.').next())
                .map(str::to_owned)
        })
        .unwrap_or_else(|| unnamed(parts));
    let resource = ["RoleArn", "RoleName", "StackName", "UserName"]
        .iter()
        .find_map(|name| value(name))
        .unwrap_or_default();
    Operation {
        name,
        resource,
        qualifier: value("RoleSessionName"),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(method: &str, uri: &str) -> Parts {
        Request::builder()
            .method(method)
            .uri(uri)
            .body(())
            .expect("a request")
            .into_parts()
            .0
    }

    fn named(operation: &Operation) -> (&str, &str, Option<&str>) {
        (
            &operation.name,
            &operation.resource,
            operation.qualifier.as_deref(),
        )
    }

    #[test]
    fn lambda_requests_are_named_with_function_and_qualifier() {
        let cases = [
            (
                "GET",
                "/2015-03-31/functions/api?Qualifier=live",
                "",
                ("GetFunction", "api", Some("live")),
            ),
            (
                "PUT",
                "/2015-03-31/functions/api/code",
                "",
                ("UpdateFunctionCode", "api", None),
            ),
            (
                "PUT",
                "/2015-03-31/functions/api/aliases/live",
                "",
                ("UpdateAlias", "api", Some("live")),
            ),
            (
                "POST",
                "/2015-03-31/functions",
                r#"{"FunctionName":"api"}"#,
                ("CreateFunction", "api", None),
            ),
            (
                "POST",
                "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A222222222222%3Afunction%3Aapi%3A7/invocations",
                "",
                ("Invoke", "api", Some("7")),
            ),
            (
                "GET",
                "/2015-03-31/functions/",
                "",
                ("ListFunctions", "", None),
            ),
        ];
        for (method, uri, body, expected) in cases {
            assert_eq!(
                named(&lambda(&parts(method, uri), body.as_bytes())),
                expected,
                "{method} {uri}"
            );
        }
    }

    #[test]
    fn cloudwatch_requests_are_named_with_alarm_or_metric() {
        let path = "/service/GraniteServiceVersion20100801/operation/DescribeAlarmHistory";
        let body = cbor::map(&[("AlarmName", "errors"), ("ScanBy", "TimestampAscending")]);
        let operation = monitoring(&parts("POST", path), &body);
        let expected = ("DescribeAlarmHistory", "errors", None);
        assert_eq!(named(&operation), expected);
        let form = monitoring(&parts("POST", "/"), b"Action=DescribeAlarms");
        assert_eq!(named(&form), ("DescribeAlarms", "", None));
    }

    #[test]
    fn s3_requests_are_named_with_bucket_and_key() {
        let cases = [
            (
                "PUT",
                "/b/a/k.zip?x-id=PutObject",
                ("PutObject", "b/a/k.zip", None),
            ),
            (
                "PUT",
                "/b/k?partNumber=2&uploadId=u",
                ("UploadPart", "b/k", None),
            ),
            (
                "POST",
                "/b/k?uploads",
                ("CreateMultipartUpload", "b/k", None),
            ),
            ("GET", "/b/k?versionId=v1", ("GetObject", "b/k", Some("v1"))),
            ("GET", "/b?versioning", ("GetBucketVersioning", "b", None)),
            ("GET", "/b/?list-type=2", ("ListObjectsV2", "b", None)),
            ("HEAD", "/b", ("HeadBucket", "b", None)),
        ];
        for (method, uri, expected) in cases {
            assert_eq!(named(&s3(&parts(method, uri))), expected, "{method} {uri}");
        }
    }
}
