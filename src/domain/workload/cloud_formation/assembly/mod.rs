//! Cloud assemblies, which `cdk synth` writes: their stacks and file assets.
//!
//! An assembly is input of a tenant. Of the places that it names, only those of the Target's own bootstrap are used
//! ([`Bootstrap`]), and only files in the assembly are read.

mod bootstrap;
mod file_assets;
mod manifest;
mod path;
mod select;

#[cfg(test)]
mod tests;

pub use self::{
    bootstrap::Bootstrap,
    file_assets::{AssetForm, FileAsset, file_assets},
    manifest::Manifest,
    select::select,
};
