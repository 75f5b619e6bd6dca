//! A field of a spec that can't be carried out.

/// A field that can't be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    /// Path in the Deployment's spec.
    pub field: String,
    /// What is wrong and the way out.
    pub message: String,
}

impl Invalid {
    /// Of this field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// All that is wrong with a spec, in its order.
#[derive(Debug, Default)]
pub struct Problems(Vec<Invalid>);

impl Problems {
    /// Adds one.
    pub fn push(&mut self, problem: Invalid) {
        self.0.push(problem);
    }

    /// The value; what is wrong with it is added.
    pub fn keep<T>(&mut self, result: Result<T, Invalid>) -> Option<T> {
        result.map_err(|problem| self.push(problem)).ok()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// All of them.
    pub fn into_inner(self) -> Vec<Invalid> {
        self.0
    }
}

impl Extend<Invalid> for Problems {
    fn extend<T: IntoIterator<Item = Invalid>>(&mut self, problems: T) {
        self.0.extend(problems);
    }
}
