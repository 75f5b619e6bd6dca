//! The machine against a small AWS, and the transcripts of whole runs.

mod delivery;
mod faults;
mod leaders;
mod plan;
mod sites;
mod traffic;
mod world;
