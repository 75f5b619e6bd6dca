//! Converts what Sluice asks for to the SDK's types.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types::{Capability, Parameter, Tag};

use crate::domain::workload::cloud_formation::{
    ParameterValue, Settings, TemplateSource, object_url,
};

/// The `TemplateBody` and the `TemplateURL`, one of which is present.
pub(super) fn template(source: &TemplateSource, region: &str) -> (Option<String>, Option<String>) {
    match source {
        TemplateSource::Body(text) => (Some(text.clone()), None),
        TemplateSource::Stored {
            bucket,
            key,
            version_id,
        } => (
            None,
            Some(object_url(region, bucket, key, Some(version_id))),
        ),
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

    #[test]
    fn template_is_sent_as_text_or_as_the_url_of_its_version() {
        let text = TemplateSource::Body("{}".into());
        assert_eq!(template(&text, "eu-west-1"), (Some("{}".into()), None));
        let stored = TemplateSource::Stored {
            bucket: "artifacts.dev".into(),
            key: "templates/0a1b".into(),
            version_id: "3HL4kqt".into(),
        };
        let url =
            "https://s3.eu-west-1.amazonaws.com/artifacts.dev/templates/0a1b?versionId=3HL4kqt";
        assert_eq!(template(&stored, "eu-west-1"), (None, Some(url.into())));
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
