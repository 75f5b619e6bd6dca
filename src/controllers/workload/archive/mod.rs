//! Zips in artifact buckets, read in parts.

mod package;
mod reader;
mod unpack;

pub use self::{
    package::package,
    reader::{Archive, FIRST, whole_body},
    unpack::{Tape, Unpacking},
};
