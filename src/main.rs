//! The controller's entry point.
fn main() {}
