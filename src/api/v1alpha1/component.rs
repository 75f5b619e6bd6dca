//! A component to deploy, of one kind of workload.

use kube::{
    KubeSchema,
    core::{Message, Rule},
};
use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::note::Note;
use super::{
    cloud_formation::{CloudFormation, CloudFormationOverride},
    lambda::{Lambda, LambdaOverride},
    s3::S3,
};

/// Declares the union of the kinds: a field for each, of which exactly one is set; the fields that name its
/// resource on AWS; and its settings that a stage may override.
macro_rules! kinds {
    ($(
        $(#[$meta:meta])*
        $field:ident ($json:literal): $Spec:ty = $doc:literal,
        named by [$($name:ident),+]
        $(, overridden by $Override:ty = $override_doc:literal)?;
    )+) => {
        /// One thing to deploy: a function, files in a bucket, or a stack.
        #[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[x_kube(
            validation = Rule::new("!has(self.dependsOn) || !(self.name in self.dependsOn)")
                .message("a component can't depend on itself"),
            validation = exactly_one(&fields()),
            validation = Rule::new("!has(self.adopt) || !self.adopt || has(self.lambda) || has(self.cloudFormation)")
                .message("adopt applies only to functions and stacks: Sluice does not adopt objects in a bucket"),
            validation = Rule::new("!has(self.allowUnqualified) || !self.allowUnqualified || (has(self.adopt) && self.adopt && has(self.lambda))")
                .message("allowUnqualified applies only to an adopted function: set adopt too, or leave it out")
        )]
        #[serde(rename_all = "camelCase")]
        pub struct Component {
            /// Name by which checks and overrides refer to the component.
            #[schemars(regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"), length(max = 63))]
            pub name: String,
            /// Names of components that must serve before this one is prepared. Components that don't
            /// depend on each other move together: all are prepared before any gets traffic.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            #[schemars(length(max = 8), inner(length(min = 1, max = 63)))]
            #[schemars(extend("x-kubernetes-list-type" = "set"))]
            pub depends_on: Vec<String>,
            /// Adopt an existing, unmanaged function or stack, if a grant of the Account has `mayAdopt`. Sluice
            /// never adopts one that is owned by another Deployment.
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            pub adopt: bool,
            /// Adopt the function even if it is invoked without a version or alias: by a permission on the
            /// function itself, a function URL or an event source. Such callers get new code as soon as
            /// `$LATEST` has it, before it is checked.
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            pub allow_unqualified: bool,
            $(
                $(#[$meta])*
                #[doc = $doc]
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$Spec>,
            )+
        }

        /// Settings that replace those of one component in one stage.
        #[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[x_kube(validation = exactly_one(&overridable()))]
        #[serde(rename_all = "camelCase")]
        pub struct Override {
            /// Name of the component.
            #[schemars(length(min = 1, max = 63))]
            pub component: String,
            $($(
                #[doc = $override_doc]
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$Override>,
            )?)+
        }

        /// The kinds, as the rules of the schema refer to them.
        const KINDS: &[KindRules] = &[$(
            $(#[$meta])*
            KindRules {
                field: $json,
                names: &[$(stringify!($name)),+],
                is_overridable: [$(stringify!($Override),)? ""].len() > 1,
            },
        )+];
    };
}

/// A kind, as the rules of the schema refer to it.
struct KindRules {
    /// Its field in a component.
    field: &'static str,
    /// The fields of its spec that name its resource on AWS.
    names: &'static [&'static str],
    /// Whether a stage may override its settings.
    is_overridable: bool,
}

kinds! {
    lambda ("lambda"): Lambda = "A Lambda function.",
        named by [functionName],
        overridden by LambdaOverride = "Settings of a Lambda function.";
    s3 ("s3"): S3 = "Files in an S3 bucket.",
        named by [bucket, prefix];
    cloud_formation ("cloudFormation"): CloudFormation = "A CloudFormation stack.",
        named by [stackName],
        overridden by CloudFormationOverride = "Settings of a CloudFormation stack.";
    #[cfg(test)]
    note ("note"): Note = "A text.",
        named by [title];
}

fn fields() -> Vec<&'static str> {
    KINDS.iter().map(|kind| kind.field).collect()
}

fn overridable() -> Vec<&'static str> {
    let kinds = KINDS.iter().filter(|kind| kind.is_overridable);
    kinds.map(|kind| kind.field).collect()
}

/// Exactly one of the fields is set.
fn exactly_one(fields: &[&str]) -> Rule {
    let set: Vec<String> = fields
        .iter()
        .map(|field| format!("has(self.{field})"))
        .collect();
    let rule = format!("[{}].exists_one(is, is)", set.join(", "));
    let message = match fields {
        [field] => format!("{field} must be set"),
        [others @ .., last] => format!(
            "exactly one of {} and {last} must be set",
            others.join(", ")
        ),
        [] => String::new(),
    };
    Rule::new(rule).message(message.as_str())
}

/// A CEL expression that is `of(kind)` for the kind of the component `c`.
fn by_kind(of: impl Fn(&KindRules) -> String) -> String {
    let (last, others) = KINDS.split_last().expect("there are kinds");
    let others = others
        .iter()
        .map(|kind| format!("has(c.{}) ? {} : ", kind.field, of(kind)));
    others.chain([of(last)]).collect()
}

/// Deployment: the artifact of each component exists.
pub(super) fn artifacts_exist() -> Rule {
    let artifact = by_kind(|kind| format!("c.{}.artifact", kind.field));
    let missing = by_kind(|kind| {
        format!(
            "'the artifact of each of components[] must be the name of one of artifacts[]; there is no ' + \
             c.{}.artifact + ' (component ' + c.name + ')'",
            kind.field
        )
    });
    let exists = format!("self.artifacts.exists(a, a.name == ({artifact}))");
    let message = format!("self.components.map(c, !{exists}, {missing})[0]");
    Rule::new(format!("self.components.all(c, {exists})")).message(Message::Expression(message))
}

/// Deployment: each override is of a component of its kind.
pub(super) fn overrides_match() -> Rule {
    let of_kind: Vec<String> = overridable()
        .iter()
        .map(|field| format!("has(o.{field}) && has(c.{field})"))
        .collect();
    let matches = format!(
        "self.components.exists(c, c.name == o.component && ({}))",
        of_kind.join(" || ")
    );
    let message = format!(
        "self.stages.map(s, has(s.overrides) && s.overrides.exists(o, !{matches}), \
         'stages[].overrides[].component must be the name of a component of the same kind; see stage ' + s.name)[0]"
    );
    let rule = format!("self.stages.all(s, !has(s.overrides) || s.overrides.all(o, {matches}))");
    Rule::new(rule).message(Message::Expression(message))
}

/// Deployment: no two stages name the same resource in the same account and region.
pub(super) fn stages_differ() -> Rule {
    let is_fixed = by_kind(|kind| {
        let fixed = kind.names.iter().map(|name| {
            let path = format!("c.{}.{name}", kind.field);
            format!("(!has({path}) || !{path}.contains('$('))")
        });
        fixed.collect::<Vec<_>>().join(" && ")
    });
    let names: Vec<&str> = KINDS.iter().flat_map(|kind| kind.names).copied().collect();
    let (last, others) = names.split_last().expect("there are names");
    let message = format!(
        "two stages with the same account and region would change the same function, files or stack: make {} or {last} \
         differ, such as by $(stage.name)",
        others.join(", ")
    );
    let rule = format!(
        "!self.components.exists(c, {is_fixed}) || self.stages.all(s, s.targets.all(t, self.stages.all(o, \
         o.name == s.name || !(t in o.targets))))"
    );
    Rule::new(rule).message(message.as_str())
}
