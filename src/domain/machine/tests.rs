//! The machine against a small AWS, and the transcripts of whole runs.

mod adoption;
mod collect;
mod delivery;
mod drift;
mod faults;
mod plan;
mod sites;
mod traffic;
mod world;
