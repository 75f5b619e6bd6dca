//! How traffic moves from the live versions to the new ones.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How traffic moves: exactly one of `allAtOnce`, `canary` and `linear`.
///
/// Weights are those of Lambda's aliases. A function that is new to a target has no earlier version and
/// gets all traffic at once. Files in S3 change with the last step.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("[has(self.allAtOnce), has(self.canary), has(self.linear)].filter(x, x).size() == 1")
    .message("exactly one of allAtOnce, canary and linear must be set"))]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// All traffic moves in one step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_at_once: Option<AllAtOnce>,
    /// A part of the traffic moves first, in steps that you define.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// Traffic moves in equal steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear: Option<Linear>,
    /// How long Sluice watches the checks after all traffic has moved, before the stage succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m|s))+$') && duration(self) <= duration('24h')")
        .message("must be a duration of at most 24h, such as 10m"))]
    pub final_bake: Option<String>,
}

/// No settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AllAtOnce {}

/// A part of the traffic moves first.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// The steps, each with more weight than the one before. The rest of the traffic moves after the
    /// last one.
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(
        validation = Rule::new("self.all(s, self.filter(t, t.weight == s.weight).size() == 1)")
            .message("no two steps may have the same weight"),
        validation = Rule::new("self.map(s, s.weight).isSorted()")
            .message("each step must have more weight than the one before")
    )]
    pub steps: Vec<CanaryStep>,
}

/// A part of the traffic, and how long Sluice watches it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStep {
    /// Percent of the requests that the new version gets.
    #[schemars(range(min = 1, max = 99))]
    pub weight: i32,
    /// How long Sluice watches the checks before the next step.
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m|s))+$') && duration(self) <= duration('24h')")
        .message("must be a duration of at most 24h, such as 10m"))]
    pub bake: String,
}

/// Traffic moves in equal steps.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Linear {
    /// Percent of the requests that each step adds.
    #[schemars(range(min = 1, max = 50))]
    pub increment: i32,
    /// How long Sluice watches the checks before the next step.
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m|s))+$') && duration(self) <= duration('24h')")
        .message("must be a duration of at most 24h, such as 10m"))]
    pub interval: String,
}
