//! Converts what Sluice asks for to the SDK's types.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types::{Capability, Parameter, Tag};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::domain::workload::cloud_formation::{ParameterValue, Settings, TemplateSource};

/// What stays as it is in a path of a URL.
const PATH: AsciiSet = NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The `TemplateBody` and the `TemplateURL`, one of which is present.
///
/// The URL is that of the object's version, in the form in which AWS's own command line gives it to
/// CloudFormation (`S3Uploader.to_path_style_s3_url`): <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-using-console-create-stack-template.html>.
/// It is the bucket's public name whatever the Account's `spec.endpointUrl` is, because CloudFormation takes no
/// other: it only reads the bucket, key and version from the URL.
pub(super) fn template(source: &TemplateSource, region: &str) -> (Option<String>, Option<String>) {
    match source {
        TemplateSource::Body(text) => (Some(text.clone()), None),
        TemplateSource::Stored {
            bucket,
            key,
            version_id,
        } => {
            let suffix = if region.starts_with("cn-") {
                "amazonaws.com.cn"
            } else {
                "amazonaws.com"
            };
            let key = utf8_percent_encode(key, &PATH);
            let version = utf8_percent_encode(version_id, NON_ALPHANUMERIC);
            let url = format!("https://s3.{region}.{suffix}/{bucket}/{key}?versionId={version}");
            (None, Some(url))
        }
    }
}

/// The parameters; `None` if there are none.
pub(super) fn parameters(settings: &Settings) -> Option<Vec<Parameter>> {
    let parameter = |(name, value): (&String, &ParameterValue)| {
        let parameter = Parameter::builder().parameter_key(name);
        match value {
            ParameterValue::Value(value) => parameter.parameter_value(value),
            ParameterValue::Previous => parameter.use_previous_value(true),
        }
        .build()
    };
    let all: Vec<_> = settings.parameters.iter().map(parameter).collect();
    (!all.is_empty()).then_some(all)
}

/// The tags. An empty list removes all tags of a stack, and no list would keep them.
pub(super) fn tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build();
    tags.iter().map(tag).collect()
}

/// The capabilities; `None` if there are none.
pub(super) fn capabilities(settings: &Settings) -> Option<Vec<Capability>> {
    let all: Vec<_> = settings
        .capabilities
        .iter()
        .map(|name| Capability::from(name.as_str()))
        .collect();
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(key: &str, version_id: &str) -> TemplateSource {
        TemplateSource::Stored {
            bucket: "artifacts.dev".into(),
            key: key.into(),
            version_id: version_id.into(),
        }
    }

    #[test]
    fn template_is_sent_as_text_or_as_the_url_of_its_version() {
        let text = TemplateSource::Body("{}".into());
        assert_eq!(template(&text, "eu-west-1"), (Some("{}".into()), None));
        for (region, host) in [
            ("eu-west-1", "s3.eu-west-1.amazonaws.com"),
            ("us-gov-west-1", "s3.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "s3.cn-north-1.amazonaws.com.cn"),
        ] {
            let expected = format!("https://{host}/artifacts.dev/templates/0a1b?versionId=3HL4kqt");
            let source = stored("templates/0a1b", "3HL4kqt");
            assert_eq!(template(&source, region), (None, Some(expected)));
        }
    }

    #[test]
    fn url_of_a_template_is_encoded() {
        let (_, url) = template(&stored("templates/a b+c?.json", "v.1/_="), "eu-west-1");
        let url = url.expect("a URL");
        let expected = "/templates/a%20b%2Bc%3F.json?versionId=v%2E1%2F%5F%3D";
        assert!(url.ends_with(expected), "{url}");
    }

    #[test]
    fn settings_become_parameters_tags_and_capabilities() {
        let mut settings = Settings::default();
        assert_eq!(parameters(&settings), None);
        assert_eq!(capabilities(&settings), None);
        assert_eq!(tags(&settings.tags), []);
        settings.parameters = BTreeMap::from([
            ("Password".into(), ParameterValue::Previous),
            ("Stage".into(), ParameterValue::Value("dev".into())),
        ]);
        settings.capabilities = ["CAPABILITY_IAM".to_owned(), "CAPABILITY_NEW".to_owned()].into();
        settings.tags = BTreeMap::from([("team".into(), "shop".into())]);
        let all = parameters(&settings).expect("parameters");
        assert_eq!(all[0].parameter_key(), Some("Password"));
        assert_eq!(all[0].use_previous_value(), Some(true));
        assert_eq!(all[0].parameter_value(), None);
        assert_eq!(all[1].parameter_value(), Some("dev"));
        assert_eq!(all[1].use_previous_value(), None);
        let all = capabilities(&settings).expect("capabilities");
        let names: Vec<&str> = all.iter().map(Capability::as_str).collect();
        assert_eq!(names, ["CAPABILITY_IAM", "CAPABILITY_NEW"]);
        let all = tags(&settings.tags);
        assert_eq!((all[0].key(), all[0].value()), (Some("team"), Some("shop")));
    }
}
