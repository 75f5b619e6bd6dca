//! The known data about the pipelines of a ref.

use std::collections::BTreeMap;

use crate::domain::pipeline::{Bridge, Job, Pipeline, TestSummary};

/// How far the list of pipelines goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// To the oldest.
    All,
    /// GitLab has older pipelines.
    More,
    /// GitLab has older pipelines, but after this many no more are read.
    Enough(usize),
}

/// The known data about the pipelines.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The pipelines of the ref, in any order.
    pub pipelines: &'a [Pipeline],
    /// Whether these are all pipelines.
    pub listed: Listed,
    /// Jobs by pipeline or child pipeline, without retried ones.
    pub jobs: &'a BTreeMap<i64, Vec<Job>>,
    /// Trigger jobs by pipeline, without retried ones.
    pub bridges: &'a BTreeMap<i64, Vec<Bridge>>,
    /// Test reports by pipeline.
    pub tests: &'a BTreeMap<i64, TestSummary>,
}
