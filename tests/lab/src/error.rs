//! The error type of the lab.
/// A part of the lab did not start or answer; the message names the part and where to look.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LabError(pub String);
impl LabError {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
impl From<std::io::Error> for LabError {
    fn from(e: std::io::Error) -> Self {
        Self(e.to_string())
    }
}
