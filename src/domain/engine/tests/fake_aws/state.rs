//! What AWS, the API server and the memory of the controller contain.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use jiff::Timestamp;

use super::{super::fake_stacks::FakeStacks, deployed::Deployed, fault::Fault};
use crate::{
    api::v1alpha1::{PlannedChange, TargetStatus},
    domain::{
        check::Verdict,
        digest::Sha256,
        engine::{Known, Read},
        failure::CallErrorKind,
        workload::{
            s3::site::{SiteContent, tests::bucket},
            snapshot::Snapshot,
        },
    },
};

/// AWS, the API server and the controller's memory.
#[derive(Clone, Debug)]
pub struct FakeAws {
    pub functions: BTreeMap<String, Deployed>,
    /// Texts by name, for the workload kind that only tests have.
    pub notes: BTreeMap<String, String>,
    pub stacks: FakeStacks,
    pub bucket: bucket::FakeBucket,
    /// The contents of archives, by digest.
    pub contents: BTreeMap<Sha256, SiteContent>,
    pub packages: Vec<Sha256>,
    pub snapshots: Vec<Snapshot>,
    /// Plans that were too long for the status.
    pub plans: Vec<Vec<PlannedChange>>,
    pub discarded: Vec<String>,
    pub status: TargetStatus,
    pub known: Known,
    pub now: Timestamp,
    pub revisions: u32,
    /// Code that fails its check.
    pub bad: Vec<Sha256>,
    /// Whether the check fails only through the alias.
    pub bad_once_served: bool,
    /// Code whose check is inconclusive.
    pub inconclusive: Vec<Sha256>,
    /// Code whose check runs until it is removed from this list.
    pub slow: Vec<Sha256>,
    /// Functions whose updates all fail, and whether the new values show nevertheless.
    pub broken: BTreeMap<String, bool>,
    /// The verdict of the stage's checks.
    pub watched: Verdict,
    /// Functions that AWS refuses to create.
    pub refused: Vec<String>,
    /// The error of every read of a function, if they fail.
    pub read_error: Option<CallErrorKind>,
    /// Functions whose versions stay inactive when they are woken.
    pub inactive_functions: Vec<String>,
    /// Reads that find nothing, once each, even if the resource exists.
    pub stale_reads: Vec<Read>,
    /// Provisioned concurrency of aliases. After each move the alias keeps a weight for the former version
    /// until the new one has its concurrency.
    pub provisioned: BTreeMap<String, i32>,
    /// Versions that never get their concurrency.
    pub out_of_concurrency: Vec<String>,
    /// Whether Lambda reports nevertheless that the allocation is complete.
    pub reports_ready: bool,
    /// The callers that invoke functions without a version or alias.
    pub unqualified: BTreeMap<String, Vec<String>>,
    /// How many calls a pass may make before the remaining ones are cancelled.
    pub calls_per_pass: Option<usize>,
    /// How long the calls of each wave wait for budget.
    pub wait_for_budget: Duration,
    /// Reads whose reply is lost, once each.
    pub lost_reads: Vec<Read>,
    /// How often aliases were read.
    pub alias_read_count: usize,
    pub faults: Vec<Fault>,
    pub log: String,
    pub records: usize,
}

impl FakeAws {
    pub fn new() -> Self {
        Self {
            functions: BTreeMap::new(),
            notes: BTreeMap::new(),
            stacks: FakeStacks::default(),
            bucket: bucket::FakeBucket::default(),
            contents: BTreeMap::new(),
            packages: Vec::new(),
            snapshots: Vec::new(),
            plans: Vec::new(),
            discarded: Vec::new(),
            status: TargetStatus::default(),
            known: Known::default(),
            now: Timestamp::UNIX_EPOCH,
            revisions: 0,
            bad: Vec::new(),
            bad_once_served: false,
            inconclusive: Vec::new(),
            slow: Vec::new(),
            broken: BTreeMap::new(),
            watched: Verdict::Passed,
            refused: Vec::new(),
            read_error: None,
            inactive_functions: Vec::new(),
            stale_reads: Vec::new(),
            provisioned: BTreeMap::new(),
            out_of_concurrency: Vec::new(),
            reports_ready: false,
            unqualified: BTreeMap::new(),
            calls_per_pass: None,
            wait_for_budget: Duration::ZERO,
            lost_reads: Vec::new(),
            alias_read_count: 0,
            faults: Vec::new(),
            log: String::new(),
            records: 0,
        }
    }

    pub(super) fn say(&mut self, line: impl AsRef<str>) {
        let _ = writeln!(self.log, "{}", line.as_ref());
    }

    pub fn revision(&mut self) -> String {
        self.revisions += 1;
        format!("rev-{}", self.revisions)
    }
}
