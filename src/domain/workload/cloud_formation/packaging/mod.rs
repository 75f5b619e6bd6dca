//! Packaging: the local paths in a template, and the template with locations in S3 in their place.
//!
//! This is what `sam package` and `aws cloudformation package` do to the text of a template. Nothing here reads files
//! or uploads them.
//!
//! # Guarantees
//! - Only the found values change; all other bytes of the text stay, comments, line ends and a byte-order mark
//!   included. The results are in the order of the text.
//! - A text that can't be read as one YAML or JSON document, or that nests deeper than 100 levels, has no local
//!   paths: CloudFormation judges it.
//! - Aliases are never expanded. What is read through aliases and merges costs at most a few steps for each node of
//!   the text; a text that needs more has no local paths.
//!
//! # Anchors, aliases and merges
//! CloudFormation refuses aliases itself ("YAML aliases are not allowed"), so these rules are about being right and
//! simple:
//! - An alias as the value (`CodeUri: *code`) is replaced itself; its anchored node stays.
//! - An anchored scalar that is the value (`CodeUri: &code ./src`) is replaced and keeps the anchor. Each alias of it
//!   that is not a place to package gets the former value as a literal, so that it means what it meant.
//! - A value in an anchored mapping that several resources use, by an alias or by a merge, is one [`LocalPath`] and is
//!   edited where it is written. If the resources need it in different forms, that is an error.
//!
//! # Language extensions
//! The fragments of `Fn::ForEach` are searched. A path that contains the variable of the loop is refused: `sam build`
//! replaces such paths by look-ups in generated mappings (`SAMCodeUriServices`), whose paths are found and replaced.
//!
//! # What differs from the tools
//! - A property that is missing stays missing: the tools zip the folder of the template for some of them.
//! - The tools zip a folder wherever they find one; [`Form::File`] says that AWS reads a text there.
//! - Container images (`PackageType: Image`), and dynamic references (`{{resolve:…}}`) stay as they are.
//! - `Globals.Function.CodeUri`, and `Globals.Api.DefinitionUri`, are replaced where they are written, and only if a
//!   resource takes its value from there. The tools copy the former to each function, and leave the latter.

mod document;
mod edit;
mod find;
mod local_path;
mod resolve;
mod table;

#[cfg(test)]
mod tests;

use self::{document::Document, edit::Edit};
pub use self::{
    local_path::{Form, LocalPath, Location},
    resolve::resolve,
};

/// A template and the local paths in it.
#[derive(Clone, Debug)]
pub struct Packaging {
    text: String,
    paths: Vec<LocalPath>,
    /// How to replace each of `paths`.
    edits: Vec<Edit>,
}

impl Packaging {
    /// Finds the local paths of a template. Fails if the template contradicts itself in what to package.
    pub fn read(text: &str) -> Result<Self, String> {
        let (mut paths, mut edits) = (Vec::new(), Vec::new());
        if let Some(document) = Document::parse(text) {
            let found = find::find(&document)?;
            edits = Edit::all(&document, text, &found);
            paths = found.into_iter().map(|found| found.path).collect();
        }
        Ok(Self {
            text: text.to_owned(),
            paths,
            edits,
        })
    }

    /// The local paths, in the order of the text.
    pub fn paths(&self) -> &[LocalPath] {
        &self.paths
    }

    /// The text with these locations in place of [`Self::paths`], in the same order.
    pub fn packaged(&self, locations: &[Location]) -> String {
        edit::apply(&self.text, self.edits.iter().zip(locations))
    }
}
