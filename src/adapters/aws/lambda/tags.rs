//! A function's tags: one operation sets them, another one removes them.

use std::collections::BTreeMap;

use super::functions::LambdaFunctions;
use crate::ports::{CallError, CallErrorKind};

impl LambdaFunctions {
    /// Makes no call for tags that are already as wanted.
    pub(super) async fn tag(
        &self,
        arn: &str,
        current: &BTreeMap<String, String>,
        wanted: &BTreeMap<String, String>,
    ) -> Result<(), CallError> {
        let set: Vec<_> = wanted
            .iter()
            .filter(|(key, value)| current.get(*key) != Some(*value))
            .collect();
        if !set.is_empty() {
            let call = self.write("lambda:TagResource", arn);
            self.budget.control.turn(&call).await?;
            let tags = set
                .into_iter()
                .map(|(key, value)| (key.clone(), value.clone()));
            let request = self
                .clients
                .writes
                .tag_resource()
                .resource(arn)
                .set_tags(Some(tags.collect()))
                .send();
            self.verified.sent(&call, request).await?;
        }
        let removed: Vec<_> = current
            .keys()
            .filter(|key| !wanted.contains_key(*key))
            .cloned()
            .collect();
        if !removed.is_empty() {
            let call = self.write("lambda:UntagResource", arn);
            // The tags may have been set by now.
            let begun = |error: CallError| CallError {
                kind: CallErrorKind::Unknown,
                ..error
            };
            self.budget.control.turn(&call).await.map_err(begun)?;
            let request = self
                .clients
                .writes
                .untag_resource()
                .resource(arn)
                .set_tag_keys(Some(removed))
                .send();
            self.verified.sent(&call, request).await?;
        }
        Ok(())
    }
}
