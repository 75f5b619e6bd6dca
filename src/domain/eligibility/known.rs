//! What is known about the pipelines of a ref so far.

use std::collections::BTreeMap;

use crate::domain::pipeline::{Bridge, Job, Pipeline, TestSummary};

/// How far the list of pipelines goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// To the oldest.
    All,
    /// There are older ones to be had.
    More,
    /// There are older ones, and no more of them are asked for after so many.
    Enough(usize),
}

/// What is known about the pipelines so far.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Of the ref, in any order.
    pub pipelines: &'a [Pipeline],
    /// Whether these are all.
    pub listed: Listed,
    /// Jobs by pipeline or child pipeline, without retried ones.
    pub jobs: &'a BTreeMap<i64, Vec<Job>>,
    /// Trigger jobs by pipeline, without retried ones.
    pub bridges: &'a BTreeMap<i64, Vec<Bridge>>,
    /// Test reports by pipeline.
    pub tests: &'a BTreeMap<i64, TestSummary>,
}
