//! The URLs by which CloudFormation reads objects.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in a path of a URL.
const PATH: AsciiSet = NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The URL of an object, or of a version of it, in the form in which AWS's own command line gives it to
/// CloudFormation (`S3Uploader.to_path_style_s3_url`): <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-using-console-create-stack-template.html>.
/// It is the bucket's public name whatever the Account's `spec.endpointUrl` is, because CloudFormation takes no
/// other: it only reads the bucket, key and version from the URL.
pub fn object_url(region: &str, bucket: &str, key: &str, version_id: Option<&str>) -> String {
    let suffix = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    let key = utf8_percent_encode(key, &PATH);
    let url = format!("https://s3.{region}.{suffix}/{bucket}/{key}");
    match version_id {
        Some(id) => format!(
            "{url}?versionId={}",
            utf8_percent_encode(id, NON_ALPHANUMERIC)
        ),
        None => url,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_has_the_host_of_the_region() {
        for (region, host) in [
            ("eu-west-1", "s3.eu-west-1.amazonaws.com"),
            ("us-gov-west-1", "s3.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "s3.cn-north-1.amazonaws.com.cn"),
        ] {
            let url = object_url(region, "artifacts.dev", "templates/0a1b", Some("3HL4kqt"));
            let expected = format!("https://{host}/artifacts.dev/templates/0a1b?versionId=3HL4kqt");
            assert_eq!(url, expected);
        }
    }

    #[test]
    fn url_is_encoded() {
        let url = |version| object_url("eu-west-1", "b", "templates/a b+c?.json", version);
        let expected = "https://s3.eu-west-1.amazonaws.com/b/templates/a%20b%2Bc%3F.json";
        assert_eq!(url(None), expected);
        assert_eq!(
            url(Some("v.1/_=")),
            format!("{expected}?versionId=v%2E1%2F%5F%3D")
        );
    }
}
