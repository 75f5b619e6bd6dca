//! A kind that only tests have.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A text that is kept under a name.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// The name.
    pub title: String,
    /// Name of the artifact.
    pub artifact: String,
    /// The text.
    pub text: String,
}
