//! Local paths, and the locations that take their place.

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
