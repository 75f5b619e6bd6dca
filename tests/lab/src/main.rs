//! `sluice-lab`: starts the lab and tells the demo's story.
fn main() {}
