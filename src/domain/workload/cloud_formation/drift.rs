//! Drift of a stack: its differences from what the last run left, as far as CloudFormation shows them without a
//! drift detection of the resources.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    begin::{self, differing, live_reads},
    desired::DesiredStack,
    observed::Read,
    state::{State, existing, state},
    view::View,
};
use crate::{api::v1alpha1::Difference, domain::workload::change::difference};

/// The reads of a drift check: at most two.
pub fn drift_reads(want: &DesiredStack, view: View<'_>) -> Vec<Read> {
    live_reads(&want.stack_name, view.observed)
}

/// The differences. The template is compared with the one that the last run left, if that is known.
pub fn drift(want: &DesiredStack, view: View<'_>) -> Vec<Difference> {
    let (name, observed) = (&want.stack_name, view.observed);
    let of = |field: Option<&str>, values| difference(&want.component, name, field, values);
    let Some(found) = observed.stack(name) else {
        return Vec::new();
    };
    let Some(stack) = existing(found) else {
        let values = (Some("there".to_owned()), Some("gone".to_owned()));
        return vec![of(None, values)];
    };
    // What another operation is about to leave is not known yet.
    if state(&stack.status) == State::Working {
        return Vec::new();
    }
    let settings = differing(&want.settings_on(Some(stack)), stack).into_iter();
    let mut found: Vec<Difference> = settings
        .map(|(field, values)| of(Some(&field), values))
        .collect();
    let left = begin::left(want, view).and_then(|left| left.code_sha256.clone());
    let now = observed.template(name).map(|it| it.returned.to_string());
    if let (Some(left), Some(now)) = (left, now)
        && left != now
    {
        let short = |digest: String| Some(digest.chars().take(8).collect());
        found.push(of(Some("template"), (short(left), short(now))));
    }
    for difference in &mut found {
        difference.changed_at = stack.changed_at.map(Time);
    }
    found
}
