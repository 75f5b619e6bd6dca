//! Invalid fields of a spec.

/// An invalid field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    /// Path in the Deployment's spec.
    pub field: String,
    /// The problem and its remedy.
    pub message: String,
}

impl Invalid {
    /// A problem of this field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// All problems of a spec, in its order.
#[derive(Debug, Default)]
pub struct Problems(Vec<Invalid>);

impl Problems {
    /// Adds a problem.
    pub fn push(&mut self, problem: Invalid) {
        self.0.push(problem);
    }

    /// Returns the value of `result`, or adds its problem.
    pub fn keep<T>(&mut self, result: Result<T, Invalid>) -> Option<T> {
        result.map_err(|problem| self.push(problem)).ok()
    }

    /// The number of problems.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The problems.
    pub fn into_inner(self) -> Vec<Invalid> {
        self.0
    }
}

impl Extend<Invalid> for Problems {
    fn extend<T: IntoIterator<Item = Invalid>>(&mut self, problems: T) {
        self.0.extend(problems);
    }
}
