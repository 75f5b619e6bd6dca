//! Digests of templates.

use serde::{Deserialize, Serialize};

use crate::domain::digest::Sha256;

/// The digests of a template's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateDigests {
    /// The digest of the text.
    pub exact: Sha256,
    /// The digest of the text as CloudFormation returns it, which replaces characters outside of ASCII.
    pub returned: Sha256,
}

impl TemplateDigests {
    /// The digests of this text. `GetTemplate` returns `?` for a character outside of ASCII; runs of them count as
    /// one, so that it does not matter how many AWS makes of a character.
    pub fn of(text: &str) -> Self {
        let mut returned = String::with_capacity(text.len());
        for c in text.chars() {
            let c = if c.is_ascii() { c } else { '?' };
            if c != '?' || !returned.ends_with('?') {
                returned.push(c);
            }
        }
        Self {
            exact: Sha256::of(text.as_bytes()),
            returned: Sha256::of(returned.trim_end().as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_aws_returns_has_the_digest_of_the_text_that_it_got() {
        let given = TemplateDigests::of("# Zürich\nResources: {}\n");
        for returned in ["# Z?rich\nResources: {}\n", "# Z??rich\nResources: {}"] {
            let returned = TemplateDigests::of(returned);
            assert_eq!(returned.returned, given.returned);
            assert_ne!(returned.exact, given.exact);
        }
        let other = TemplateDigests::of("# Zurich\nResources: {}\n");
        assert_ne!(other.returned, given.returned);
    }
}
