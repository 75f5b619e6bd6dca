//! The retry command, as far as it is for artifacts: whether it asks for failed transfers again, or for a Release.

/// The value of the retry annotation that the source has seen last, and what it asked for.
///
/// A retry is for the latest failure. If artifacts could not be fetched, that failure is later than any
/// Release; otherwise, the retry is for a Release, and failed transfers of other pipelines are tried again as
/// well.
#[derive(Clone, Default)]
pub struct ArtifactRetry {
    token: Option<String>,
    is_for_artifacts: bool,
    is_due: bool,
}

impl ArtifactRetry {
    /// A retry that the status answered before this process began.
    pub fn answered(token: Option<String>) -> Self {
        Self {
            token,
            ..Self::default()
        }
    }

    /// Takes the value of the annotation. Returns whether it is another than before.
    pub fn observe(&mut self, token: Option<String>, artifacts_failed: bool) -> bool {
        if self.token == token {
            return false;
        }
        self.is_for_artifacts = token.is_some() && artifacts_failed;
        self.is_due = token.is_some();
        self.token = token;
        true
    }

    /// Whether this value of the annotation was for artifacts, and so not for a Release.
    pub fn was_for_artifacts(&self, token: Option<&String>) -> bool {
        self.is_for_artifacts && self.token.as_ref() == token
    }

    /// Whether failed transfers are to be tried again. True once per retry.
    pub fn take_due(&mut self) -> bool {
        std::mem::take(&mut self.is_due)
    }
}
