//! The engine against a small AWS, and the transcripts of whole runs.

mod adoption;
mod back;
mod budget;
mod collect;
mod delivery;
mod drift;
mod faults;
mod kinds;
mod leaders;
mod outputs;
mod plan;
mod sites;
mod tags;
mod traffic;
mod updates;
mod waiting;
mod world;
