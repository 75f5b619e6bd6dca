//! The machine against a small AWS, and the transcripts of whole runs.

mod delivery;
mod faults;
mod plan;
mod sites;
mod traffic;
mod world;
