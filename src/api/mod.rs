//! The resources users write and read, one module per version.
//!
//! Nothing here does anything: these are shapes with their validation. The rest of the program
//! depends on this module and it depends on nothing of the rest.

pub mod v1alpha1;
