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
mod resolve;
mod table;

#[cfg(test)]
mod tests;

pub use self::resolve::resolve;
use self::{document::Document, edit::Edit};

/// A template and the local paths in it.
#[derive(Clone, Debug)]
pub struct Packaging {
    text: String,
    paths: Vec<LocalPath>,
    /// How to replace each of `paths`.
    edits: Vec<Edit>,
}

/// A value that refers to a file or a folder next to the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPath {
    /// Where it is in the template, such as `Resources.Api.Properties.DefinitionUri`.
    pub place: String,
    /// The line of the path in the text, from 1.
    pub line: usize,
    /// The path as written, relative to the template's folder.
    pub path: String,
    /// What is uploaded.
    pub form: Form,
}

/// What is uploaded for a local path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// An archive: a folder is zipped, a file that is a zip archive is uploaded as it is, and any other file is zipped
    /// alone. The tools look at the content of a file, so that a .jar or .war counts as an archive, too.
    Zip,
    /// A folder is zipped; a file is uploaded as it is, whatever it is.
    Bundle,
    /// A file, uploaded as it is. A folder makes no sense here: AWS reads a text.
    File,
    /// A template file, which is packaged itself, in relation to its own folder, and then uploaded.
    Template,
}

/// Where the content of a local path was uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The bucket.
    pub bucket: String,
    /// The key of the object.
    pub key: String,
    /// The HTTPS URL of the object, as CloudFormation takes it for a `TemplateURL`.
    pub url: String,
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
