//! A component to deploy, of one kind of workload.

use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::note::Note;
use super::{
    lambda::{Lambda, LambdaOverride},
    s3::S3,
};

/// Declares the union of the kinds: a field for each, of which exactly one is set.
macro_rules! kinds {
    ($($(#[$meta:meta])* $field:ident: $Spec:ty = $doc:literal),+ $(,)?) => {
        /// One thing to deploy: a function, or files in a bucket.
        #[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[x_kube(
            validation = Rule::new("!has(self.dependsOn) || !(self.name in self.dependsOn)")
                .message("a component can't depend on itself"),
            validation = exactly_one(),
            validation = Rule::new("!has(self.adopt) || !self.adopt || has(self.lambda)")
                .message("adopt applies only to functions: Sluice never adopts existing objects in a bucket"),
            validation = Rule::new("!has(self.allowUnqualified) || !self.allowUnqualified || (has(self.adopt) && self.adopt)")
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
            /// Adopt an existing, unmanaged function, if a grant of the Account has `mayAdopt`. Sluice
            /// never adopts a function that is owned by another Deployment.
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

        /// The field names of the kinds.
        const KINDS: &[&str] = &[$($(#[$meta])* stringify!($field)),+];
    };
}

kinds! {
    lambda: Lambda = "A Lambda function.",
    s3: S3 = "Files in an S3 bucket.",
    #[cfg(test)]
    note: Note = "A text.",
}

/// Exactly one of the kinds is set.
fn exactly_one() -> Rule {
    let set: Vec<String> = KINDS
        .iter()
        .map(|field| format!("has(self.{field})"))
        .collect();
    let rule = format!("[{}].exists_one(is, is)", set.join(", "));
    let message = format!("exactly one of {} must be set", KINDS.join(" and "));
    Rule::new(rule).message(message.as_str())
}

/// Settings that replace those of one component in one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    /// Name of the component.
    #[schemars(length(min = 1, max = 63))]
    pub component: String,
    /// Settings of a Lambda function.
    pub lambda: LambdaOverride,
}
