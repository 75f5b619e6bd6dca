//! What went wrong in the lab.
/// A lab part that could not start or answer; the message says which and what to look at.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LabError(pub String);
impl LabError {
    /// With a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
impl From<std::io::Error> for LabError {
    fn from(e: std::io::Error) -> Self {
        Self(e.to_string())
    }
}
