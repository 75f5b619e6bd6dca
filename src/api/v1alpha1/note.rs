//! A kind of workload that exists only in tests.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A text with a title.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// The title.
    pub title: String,
    /// Name of the artifact.
    pub artifact: String,
    /// The text.
    pub text: String,
    /// Whether a plan writes a draft of the text first, which the run publishes.
    #[serde(default)]
    pub is_drafted: bool,
}
