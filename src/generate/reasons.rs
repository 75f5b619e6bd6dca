//! The tables of reasons in the pages of the documentation: each between the marker that names its section and
//! the end marker. What stands around them is left as it is.

use std::fmt::Write as _;

use crate::domain::reason::{Reason, Section};

const BEGIN: &str = "<!-- reasons: ";
const END: &str = "<!-- end -->";

/// A page whose markers are not as they should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// It names a section that there is not.
    #[error("there is no section {0} of reasons: see src/domain/reason.rs")]
    NoSuchSection(String),
    /// A table does not end.
    #[error("the reasons of section {0} are not followed by {END}")]
    NoEnd(String),
}

/// The page with its tables as the types say, and the sections that it has.
pub fn with_reasons(page: &str) -> Result<(String, Vec<Section>), PageError> {
    let mut parts = page.split(BEGIN);
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut sections = Vec::new();
    for part in parts {
        let (name, rest) = part.split_once(" -->").unwrap_or((part, ""));
        let mut known = Section::ALL.iter().copied();
        let section = known
            .find(|section| section.as_str() == name)
            .ok_or_else(|| PageError::NoSuchSection(name.to_owned()))?;
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

/// The table of a section. Where nothing is to be done about any of its reasons, it does not ask what.
fn table(section: Section) -> String {
    let reasons = || {
        let all = Reason::ALL.iter().copied();
        all.filter(|reason| reason.section() == section)
    };
    let acts = reasons().any(|reason| !reason.remedy().is_empty());
    let mut table = if acts {
        "| reason | meaning | what to do |\n|---|---|---|\n".to_owned()
    } else {
        "| reason | meaning |\n|---|---|\n".to_owned()
    };
    for reason in reasons() {
        let _ = write!(table, "| `{reason}` | {} |", reason.meaning());
        if acts {
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
    fn a_table_is_written_between_its_markers_and_stays() {
        let page = "# A\n\n<!-- reasons: Drift -->\nold\n<!-- end -->\n\nB\n";
        let (written, sections) = with_reasons(page).unwrap();
        assert_eq!(sections, [Section::Drift]);
        assert!(written.starts_with("# A\n\n<!-- reasons: Drift -->\n\n| reason |"));
        assert!(written.ends_with("|\n\n<!-- end -->\n\nB\n"), "{written}");
        assert!(!written.contains("old"));
        assert_eq!(with_reasons(&written).unwrap().0, written);
    }

    #[test]
    fn a_marker_that_is_wrong_is_an_error() {
        let unknown = with_reasons("<!-- reasons: Drifts -->\n<!-- end -->");
        assert_eq!(unknown, Err(PageError::NoSuchSection("Drifts".to_owned())));
        let open = with_reasons("<!-- reasons: Drift -->\n");
        assert_eq!(open, Err(PageError::NoEnd("Drift".to_owned())));
    }
}
