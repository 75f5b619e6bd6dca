//! The engine against a fake AWS in memory, and transcripts of whole runs.

mod adoption;
mod budget;
mod delivery;
mod drift;
mod fake_aws;
mod fake_stacks;
mod faults;
mod garbage;
mod kinds;
mod leaders;
mod outputs;
mod plan;
mod proposals;
mod restore_report;
mod sites;
mod stacks;
mod tags;
mod traffic;
mod updates;
mod waiting;
