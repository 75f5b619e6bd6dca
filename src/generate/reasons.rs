//! The tables of reasons in the documentation. Each is between the marker that names its section and the end
//! marker; the rest of the page stays as it is.

use std::fmt::Write as _;

use crate::domain::reason::{Reason, Section};

const BEGIN: &str = "<!-- reasons: ";
const END: &str = "<!-- end -->";

/// A page with invalid markers.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// A marker names an unknown section.
    #[error("unknown section {0} of reasons: see src/domain/reason.rs")]
    UnknownSection(String),
    /// A table has no end marker.
    #[error("the reasons of section {0} are not followed by {END}")]
    NoEnd(String),
}

/// The page with its tables generated from the types, and its sections.
pub fn with_reasons(page: &str) -> Result<(String, Vec<Section>), PageError> {
    let mut parts = page.split(BEGIN);
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut sections = Vec::new();
    for part in parts {
        let (name, rest) = part.split_once(" -->").unwrap_or((part, ""));
        let mut known = Section::ALL.iter().copied();
        let section = known
            .find(|section| section.as_str() == name)
            .ok_or_else(|| PageError::UnknownSection(name.to_owned()))?;
        let (_, after) = rest
            .split_once(END)
            .ok_or_else(|| PageError::NoEnd(name.to_owned()))?;
        let _ = write!(
            text,
            "{BEGIN}{name} -->\n\n{}\n{END}{after}",
            table(section)
        );
        sections.push(section);
    }
    Ok((text, sections))
}

/// The table of a section. It has no column "what to do" if none of its reasons needs any action.
fn table(section: Section) -> String {
    let reasons = || {
        let all = Reason::ALL.iter().copied();
        all.filter(|reason| reason.section() == section)
    };
    let has_remedies = reasons().any(|reason| !reason.remedy().is_empty());
    let mut table = if has_remedies {
        "| reason | meaning | what to do |\n|---|---|---|\n".to_owned()
    } else {
        "| reason | meaning |\n|---|---|\n".to_owned()
    };
    for reason in reasons() {
        let _ = write!(table, "| `{reason}` | {} |", reason.meaning());
        if has_remedies {
            let _ = write!(table, " {} |", reason.remedy());
        }
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_table_is_written_between_its_markers_and_is_stable() {
        let page = "# A\n\n<!-- reasons: Drift -->\nold\n<!-- end -->\n\nB\n";
        let (written, sections) = with_reasons(page).unwrap();
        assert_eq!(sections, [Section::Drift]);
        assert!(written.starts_with("# A\n\n<!-- reasons: Drift -->\n\n| reason |"));
        assert!(written.ends_with("|\n\n<!-- end -->\n\nB\n"), "{written}");
        assert!(!written.contains("old"));
        assert_eq!(with_reasons(&written).unwrap().0, written);
    }

    #[test]
    fn invalid_reason_marker_is_an_error() {
        let unknown = with_reasons("<!-- reasons: Drifts -->\n<!-- end -->");
        assert_eq!(unknown, Err(PageError::UnknownSection("Drifts".to_owned())));
        let open = with_reasons("<!-- reasons: Drift -->\n");
        assert_eq!(open, Err(PageError::NoEnd("Drift".to_owned())));
    }
}
