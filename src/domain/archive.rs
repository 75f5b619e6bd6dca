//! stub
use crate::api::v1alpha1::PinnedArtifact;
/// stub
pub fn lambda_problem(_: &PinnedArtifact) -> Option<String> {
    None
}
