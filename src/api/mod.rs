//! The resources that users write and read, one module per version.
//!
//! This module has types and their validation, but no logic. The rest of the program depends on it;
//! it depends on no other module.

pub mod v1alpha1;
