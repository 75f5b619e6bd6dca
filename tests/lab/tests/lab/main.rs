//! Tests of the lab itself.
mod gitlab;
