//! A fake AWS that settles, refuses stale revisions and loses replies, and a controller that crashes.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{super::*, fake_stacks::FakeStacks};
use crate::domain::reason::Reason;
pub use crate::{
    api::v1alpha1::{
        DeletionPolicy, Goal, InventoryItem, OnFailure, PlannedChange, ReleaseRef, Run, RunStatus,
        SnapshotRef, StoreLocation, StoredRef, TargetStatus,
    },
    domain::{
        check::{CheckKey, CheckPhase, Verdict},
        desired::Desired,
        digest::Sha256,
        failure::{CallError, CallErrorKind},
        outcome::Outcome,
        ownership::{Adoption, Owner},
        traffic::Traffic,
        workload::{
            cloud_formation,
            component::DesiredComponent,
            kinds::{self, Workload, WorkloadSnapshot},
            lambda::{
                self, Alias, AliasSnapshot, AliasTarget, CodeLocation, DesiredCheck,
                DesiredFunction, Function, FunctionConfiguration, FunctionState, LastUpdate,
                LatestSnapshot, ProvisionedConcurrency,
            },
            note::{self, DesiredNote},
            s3::{
                self, DesiredSite,
                site::{self, SiteArchive, SiteContent, tests::bucket},
            },
            snapshot::Snapshot,
        },
    },
};

/// The fault of one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The call never arrives.
    Throttled,
    /// The call has its effect, and the reply is lost.
    LostReply,
    /// The controller crashes before it sends the call.
    CrashBefore,
    /// The controller crashes after the effect.
    CrashAfter,
}

impl Fault {
    /// Every fault that there is.
    pub const ALL: [Self; 4] = [
        Self::Throttled,
        Self::LostReply,
        Self::CrashBefore,
        Self::CrashAfter,
    ];
}

#[derive(Clone, Debug, PartialEq)]
pub struct Deployed {
    pub latest: Function,
    pub versions: BTreeMap<u32, Function>,
    pub alias: Option<Alias>,
    /// The version behind an alias that Sluice does not manage.
    pub other: Option<String>,
    /// The number that the next version gets.
    pub next_version: u32,
    pub settles_in: u32,
}

impl Deployed {
    /// An update begins, which Lambda finishes in its own time.
    fn begin_update(&mut self, revision_id: String) -> lambda::Reply {
        self.latest.revision_id = revision_id;
        self.latest.last_update = LastUpdate::InProgress;
        self.settles_in = 2;
        lambda::Reply::Updated(Box::new(without_tags(&self.latest)))
    }
}

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

pub fn owner() -> Owner {
    Owner {
        cluster: "c1".into(),
        namespace: "shop".into(),
        name: "checkout".into(),
    }
}

pub fn configuration(memory_size: i32) -> FunctionConfiguration {
    FunctionConfiguration {
        runtime: "python3.13".into(),
        handler: "app.handler".into(),
        role: "arn:aws:iam::222222222222:role/lambda-exec".into(),
        memory_size,
        timeout: 3,
        environment: BTreeMap::new(),
        description: String::new(),
    }
}

pub fn code(name: &str) -> Sha256 {
    Sha256::of(name.as_bytes())
}

pub fn want(component: &str, code_name: &str, memory_size: i32) -> DesiredFunction {
    DesiredFunction {
        component: component.into(),
        function_name: format!("checkout-{component}"),
        alias: "live".into(),
        architecture: "x86_64".into(),
        code_sha256: code(code_name),
        package: StoreLocation {
            account: "hub".into(),
            region: "eu-west-1".into(),
            bucket: "hub".into(),
            key: "k".into(),
            version_id: "1".into(),
        },
        configuration: configuration(memory_size),
        deferred: BTreeMap::new(),
        tags: owner().tags(),
        adoption: Adoption::NotAsked,
        checks: vec![DesiredCheck {
            name: "smoke".into(),
            payload: "{}".into(),
            expect: None,
            timeout: Duration::from_secs(10),
            repeats: 1,
        }],
    }
}

pub fn reference(revision: i64) -> ReleaseRef {
    ReleaseRef {
        name: format!("checkout-{revision}"),
        uid: format!("uid-{revision}"),
        revision,
    }
}

pub fn desired(revision: i64, functions: Vec<DesiredFunction>) -> Desired {
    let component = |function: DesiredFunction| DesiredComponent {
        name: function.component.clone(),
        level: 0,
        workload: Workload::Lambda(Box::new(function)),
    };
    Desired {
        release: reference(revision),
        components: functions.into_iter().map(component).collect(),
        checks: Vec::new(),
        traffic: Traffic::all_at_once(Duration::ZERO),
        on_failure: OnFailure::Automatic,
        deletion_policy: DeletionPolicy::Retain,
        progress_deadline: Duration::from_mins(10),
    }
}

/// A site in the fake bucket, with the files of an archive of this name.
pub fn site(aws: &mut FakeAws, archive: &str, files: &[(&str, &str)]) -> DesiredComponent {
    let sha256 = code(archive);
    aws.contents.insert(sha256, bucket::content(files));
    let archive = SiteArchive {
        location: want("site", archive, 128).package,
        sha256,
        size: 1,
        tree: String::new(),
        types: Vec::new(),
        origin: "artifact site".into(),
    };
    DesiredComponent {
        name: "site".into(),
        level: 0,
        workload: Workload::S3(Box::new(DesiredSite {
            component: "site".into(),
            location: bucket::want().location,
            archive,
        })),
    }
}

/// A note with this text.
pub fn noted(text: &str, level: usize) -> DesiredComponent {
    DesiredComponent {
        name: "motto".into(),
        level,
        workload: Workload::Note(Box::new(DesiredNote {
            component: "motto".into(),
            title: "checkout-motto".into(),
            text: text.into(),
            is_drafted: false,
        })),
    }
}

/// A run, as the Deployment assigns it.
pub fn run(revision: i64, attempt: i64, goal: Goal) -> Run {
    Run::new(reference(revision), attempt, goal, 1)
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

    pub fn say(&mut self, line: impl AsRef<str>) {
        let _ = writeln!(self.log, "{}", line.as_ref());
    }

    pub fn revision(&mut self) -> String {
        self.revisions += 1;
        format!("rev-{}", self.revisions)
    }

    /// Delivers, as the shell does, until the run is over.
    pub fn deliver(&mut self, revision: i64, functions: &[DesiredFunction]) -> Step {
        self.deliver_as(desired(revision, functions.to_vec()))
    }

    /// The same, with all of `Desired`.
    pub fn deliver_as(&mut self, desired: Desired) -> Step {
        let run = run(desired.release.revision, 1, Goal::Deliver);
        self.known = Known::default();
        self.finish(&Task::Deliver(desired), &run)
    }

    pub fn restore(&mut self, revision: i64) -> Step {
        let run = run(revision, 1, Goal::Restore);
        self.known = Known::default();
        self.finish(
            &Task::Restore("another target of the stage failed".into()),
            &run,
        )
    }

    pub fn finish(&mut self, task: &Task, run: &Run) -> Step {
        for _ in 0..1_000 {
            let ask = |status: &TargetStatus, observed: &Observation, now| {
                decide(task, run, status, &owner(), observed, now)
            };
            self.pass(&ask);
            if settled(run, &self.status) {
                return self
                    .status
                    .run
                    .as_ref()
                    .and_then(Step::of)
                    .expect("a run has a step");
            }
        }
        panic!("the run does not end:\n{}", self.log);
    }

    /// Plans, as the shell does, until the plan is recorded or can't be made.
    pub fn plan(&mut self, desired: &Desired) -> Outcome {
        let task = Task::Plan(desired.clone());
        let run = run(desired.release.revision, 1, Goal::Deliver);
        self.known = Known::default();
        for _ in 0..50 {
            let ask = |status: &TargetStatus, observed: &Observation, now| {
                decide(&task, &run, status, &owner(), observed, now)
            };
            match self.pass(&ask) {
                Some(Outcome::Waiting { .. } | Outcome::Transient { .. }) | None => {}
                Some(outcome) => return outcome,
            }
        }
        panic!("the plan is not made:\n{}", self.log);
    }

    /// Collects the garbage, as the shell does.
    pub fn collect(&mut self, needed: &Needed) -> Option<Outcome> {
        self.known = Known::default();
        self.pass(&|status: &TargetStatus, observed: &Observation, _| {
            decide_garbage_collection(status, needed, &owner(), observed)
        })
    }

    /// Runs one reconcile.
    pub fn pass(
        &mut self,
        decide: &dyn Fn(&TargetStatus, &Observation, Timestamp) -> Decision,
    ) -> Option<Outcome> {
        let mut observed = Observation::of(std::mem::take(&mut self.known), self.now);
        let mut calls_left = self.calls_per_pass.unwrap_or(usize::MAX);
        for _ in 0..200 {
            match decide(&self.status, &observed, self.now) {
                Decision::Observe(reads) => {
                    assert!(!reads.is_empty(), "an empty read");
                    self.wait_for_budget(&mut observed);
                    let waiting = reads.len() > calls_left;
                    for read in reads.into_iter().take(calls_left) {
                        calls_left -= 1;
                        self.read(&read, &mut observed);
                    }
                    if waiting {
                        return Some(self.cancel(observed));
                    }
                }
                Decision::Record(status) => {
                    self.check_snapshot(&status);
                    let before = std::mem::replace(&mut self.status, *status);
                    self.records += 1;
                    let Some(run) = self.status.run.as_ref() else {
                        self.say("status");
                        observed.recorded(&before, &self.status);
                        continue;
                    };
                    let mut line = format!("status: {}", run.step);
                    if run.level > 0 {
                        let _ = write!(line, " level {}", run.level);
                    }
                    if let Some(traffic) = &run.traffic
                        && (traffic.weight < 100 || traffic.evaluations > 0)
                    {
                        let _ = write!(line, " {} %", traffic.weight);
                        if traffic.evaluations > 0 {
                            let _ = write!(line, ", watched {}s", traffic.baked_seconds);
                        }
                    }
                    if let Some(message) = &run.message {
                        let _ = write!(line, " ({message})");
                    }
                    let watched = run
                        .traffic
                        .as_ref()
                        .is_some_and(|traffic| traffic.evaluations > 0);
                    let run = if watched {
                        &RunStatus {
                            intents: Vec::new(),
                            ..run.clone()
                        }
                    } else {
                        run
                    };
                    for intent in run.intents.clone() {
                        self.say(format!("  intent {} {}", intent.operation, intent.resource));
                    }
                    self.say(line);
                    observed.recorded(&before, &self.status);
                }
                Decision::Execute(effects) => {
                    self.wait_for_budget(&mut observed);
                    let waiting = effects.len() > calls_left;
                    for effect in effects.into_iter().take(calls_left) {
                        calls_left -= 1;
                        if !self.execute(&effect, &mut observed) {
                            self.say("controller dies");
                            self.known = holding(self.now + SignedDuration::from_secs(2));
                            self.tick(Duration::from_secs(3));
                            return None;
                        }
                    }
                    if waiting {
                        return Some(self.cancel(observed));
                    }
                }
                Decision::Wait(outcome) => {
                    self.known = observed.into_known();
                    let after = match &outcome {
                        Outcome::Waiting { after, .. } => *after,
                        _ => Duration::from_secs(1),
                    };
                    self.tick(after);
                    return Some(outcome);
                }
                Decision::Rest(outcome) => return Some(outcome),
            }
        }
        panic!("a reconcile does not end:\n{}", self.log);
    }

    /// Waits for budget, as the shell does before each wave of calls.
    fn wait_for_budget(&mut self, observed: &mut Observation) {
        let waited = self.wait_for_budget;
        self.now += SignedDuration::try_from(waited).expect("a short duration");
        observed.at(self.now);
        observed.known.clocks.exclude_budget_wait(waited, self.now);
    }

    /// Cancels the calls that still wait for budget, and ends the pass.
    fn cancel(&mut self, observed: Observation) -> Outcome {
        self.known = observed.into_known_interrupted();
        self.tick(Duration::from_secs(1));
        Outcome::Waiting {
            reason: Reason::WaitingForBudget,
            message: String::new(),
            after: Duration::from_secs(1),
        }
    }

    /// Completes everything that AWS has in progress.
    pub fn settle(&mut self) {
        while self.stacks.is_busy() || self.functions.values().any(|it| it.settles_in > 0) {
            self.tick(Duration::ZERO);
        }
        self.tick(Duration::ZERO);
    }

    pub fn tick(&mut self, passed: Duration) {
        self.now += SignedDuration::try_from(passed).expect("a short duration");
        self.stacks.tick(self.now);
        let settling: Vec<String> = self.functions.keys().cloned().collect();
        for name in settling {
            let revision = self.revision();
            let Some(deployed) = self.functions.get_mut(&name) else {
                continue;
            };
            if deployed.settles_in > 0 {
                deployed.settles_in -= 1;
                if deployed.settles_in == 0 {
                    deployed.latest.last_update = if self.broken.contains_key(&name) {
                        LastUpdate::Failed("no addresses are left in the subnet".into())
                    } else {
                        LastUpdate::Successful
                    };
                    deployed.latest.state = FunctionState::Active;
                    // Like AWS: the revision changes once more.
                    deployed.latest.revision_id = revision;
                }
            }
            let versions = deployed.versions.values_mut();
            for version in versions.filter(|version| version.state == FunctionState::Pending) {
                version.state = FunctionState::Active;
            }
            if let Some(alias) = &mut deployed.alias
                && self.provisioned.contains_key(&name)
                && !self.out_of_concurrency.contains(&alias.version)
                && !alias.weights.is_empty()
            {
                alias.weights.clear();
                alias.revision_id = format!("{}-allocated", alias.revision_id);
            }
        }
    }

    /// Asserts that the snapshot comes before the first change.
    fn check_snapshot(&self, next: &TargetStatus) {
        let uid = |status: &TargetStatus| status.run.as_ref().map(|run| run.release.uid.clone());
        let is_new = uid(&self.status) != uid(next);
        if is_new && run_step(next) == Some(Step::Prepare) {
            // Where only traffic or files change, nothing is prepared.
            assert!(next.run.as_ref().is_some_and(|run| run.snapshot.is_some()));
        }
    }

    pub fn read(&mut self, read: &Read, observed: &mut Observation) {
        if let Some(kind) = &self.read_error
            && *read != Read::Snapshot
        {
            let error = CallError::new("lambda:GetFunction", "checkout-api", kind.clone(), "no");
            observed.errors.push(("api".into(), error));
            return;
        }
        let stale = self.stale_reads.iter().position(|stale| stale == read);
        if let Some(stale) = stale {
            self.stale_reads.remove(stale);
        }
        let is_alias = matches!(
            read,
            Read::Component(kinds::Read::Lambda(lambda::Read::Alias { .. }))
        );
        self.alias_read_count += usize::from(is_alias);
        if let Some(lost) = self.lost_reads.iter().position(|lost| lost == read) {
            self.lost_reads.remove(lost);
            let (kind, why) = (CallErrorKind::Unavailable, "the connection broke");
            let error = CallError::new("lambda:GetAlias", "checkout-api:live", kind, why);
            return observed.errors.push(("api".into(), error));
        }
        match read {
            Read::Snapshot => {
                let reference = self
                    .status
                    .run
                    .as_ref()
                    .and_then(|run| run.snapshot.clone())
                    .expect("a snapshot");
                assert!(!self.discarded.contains(&reference.key), "it was deleted");
                let index: usize = reference.key.parse().expect("a snapshot index");
                let snapshot = self.snapshots[index].clone();
                observed.found(Found::Snapshot(reference, Box::new(snapshot)));
            }
            Read::Component(kinds::Read::Lambda(read)) => {
                let found = self.read_function(read, stale.is_some());
                observed.found(Found::Component(kinds::Found::Lambda(found)));
            }
            Read::Component(kinds::Read::Note(note::Read(title))) => {
                let text = self.notes.get(title).cloned();
                let found = note::Found(title.clone(), text);
                observed.found(Found::Component(kinds::Found::Note(found)));
            }
            Read::Component(kinds::Read::CloudFormation(read)) => {
                let found = self.stacks.read(read, stale.is_some());
                observed.found(Found::Component(kinds::Found::CloudFormation(found)));
            }
            Read::Component(kinds::Read::S3(s3::Read { task, read })) => {
                let content = task.archive.as_ref();
                let content = content.map(|archive| self.contents[&archive.sha256].clone());
                let content = content.unwrap_or_else(|| bucket::content(&[]));
                let location = task.location.to_string();
                let known = observed.components.s3.0.get(&location);
                let mut site = known.cloned().unwrap_or_default();
                self.bucket.read(&content, read.clone(), &mut site);
                let site = Box::new(site);
                observed.found(Found::Component(kinds::Found::S3(s3::Found {
                    location,
                    observed: site,
                })));
            }
        }
    }

    /// `is_stale` is whether AWS replies with a state from before the resource existed.
    fn read_function(&self, read: &lambda::Read, is_stale: bool) -> lambda::Found {
        let deployed = self.functions.get(read.function()).filter(|_| !is_stale);
        match read {
            lambda::Read::Function { name } => {
                let latest = deployed.map(|deployed| Box::new(deployed.latest.clone()));
                lambda::Found::Function(name.clone(), latest)
            }
            lambda::Read::Version { name, version } => {
                let number: u32 = version.parse().expect("a number");
                let found = deployed.and_then(|deployed| deployed.versions.get(&number));
                let found = found.cloned().map(Box::new);
                lambda::Found::Version(name.clone(), version.clone(), found)
            }
            lambda::Read::Alias { name, alias } => {
                let found = deployed.and_then(|deployed| deployed.alias.clone());
                lambda::Found::Alias(name.clone(), alias.clone(), found)
            }
            lambda::Read::Provisioned { name, .. } => {
                let alias = deployed.and_then(|it| it.alias.as_ref());
                let is_out = alias.is_some_and(|it| self.out_of_concurrency.contains(&it.version));
                let failure = (is_out && !self.reports_ready).then(|| "no more is left".into());
                let is_allocating = failure.is_none() && !self.reports_ready;
                let found = self
                    .provisioned
                    .get(name)
                    .map(|requested| ProvisionedConcurrency {
                        requested: *requested,
                        is_allocating,
                        failure,
                    });
                lambda::Found::Provisioned(name.clone(), found)
            }
            lambda::Read::Unqualified { name } => {
                let callers = self.unqualified.get(name).cloned().unwrap_or_default();
                lambda::Found::Unqualified(name.clone(), callers)
            }
        }
    }

    /// Executes an effect; `false` if the controller crashed.
    pub fn execute(&mut self, effect: &Effect, observed: &mut Observation) -> bool {
        assert!(
            needs_no_intent(&effect.action)
                || self
                    .status
                    .run
                    .as_ref()
                    .is_some_and(|run| !run.intents.is_empty())
                || self.status.inventory.iter().any(InventoryItem::needs_prune),
            "{} without an intent on record",
            effect.operation()
        );
        let fault = if self.faults.is_empty() {
            Fault::None
        } else {
            self.faults.remove(0)
        };
        let error = |kind, message: &str| {
            CallError::new(effect.operation(), &effect.resource, kind, message)
        };
        let throttled = || error(CallErrorKind::Throttled { retry_after: None }, "slow down");
        let result = match fault {
            Fault::CrashBefore => return false,
            Fault::Throttled => Err(throttled()),
            Fault::None => self.perform(effect, observed),
            Fault::LostReply => {
                let _ = self.perform(effect, observed);
                Err(error(CallErrorKind::Unknown, "no answer"))
            }
            Fault::CrashAfter => {
                let _ = self.perform(effect, observed);
                return false;
            }
        };
        self.say(format!(
            "{} {}{}",
            effect.operation(),
            effect.resource,
            match &result {
                Ok(_) => String::new(),
                Err(error) => format!(": {}", error.message),
            }
        ));
        self.check_traffic();
        match result {
            Ok(reply) => {
                let verify = run_step(&self.status) == Some(Step::Restore);
                observed.note(effect, reply, verify, self.now);
            }
            Err(error) => observed.failed(effect.clone(), error),
        }
        true
    }

    /// Asserts that every version to which an alias gives weight is published and exists.
    pub fn check_traffic(&self) {
        for deployed in self.functions.values() {
            let Some(alias) = &deployed.alias else {
                continue;
            };
            for version in std::iter::once(&alias.version).chain(alias.weights.keys()) {
                let number: u32 = version
                    .parse()
                    .expect("aliases point at published versions");
                assert!(
                    deployed.versions.contains_key(&number),
                    "an alias points at a missing version"
                );
            }
        }
    }

    pub fn perform(&mut self, effect: &Effect, observed: &Observation) -> Result<Reply, CallError> {
        let name = effect.resource.clone();
        match &effect.action {
            Action::Watch { key, .. } => Ok(Reply::Checked(key.clone(), self.watched.clone())),
            Action::StoreSnapshot(snapshot) => {
                let components = snapshot.components.iter();
                for then in components {
                    match &then.workload {
                        WorkloadSnapshot::Lambda(function) => {
                            let latest = function.latest.as_ref();
                            self.packages
                                .extend(latest.and_then(LatestSnapshot::digest));
                        }
                        WorkloadSnapshot::CloudFormation(stack) => {
                            let found = self.stacks.stacks.get(&stack.stack_name);
                            let text = found.map(|it| it.text.clone());
                            self.stacks.kept.extend(text);
                        }
                        WorkloadSnapshot::S3(_) | WorkloadSnapshot::Note(_) => {}
                    }
                }
                self.snapshots.push((**snapshot).clone());
                let key = (self.snapshots.len() - 1).to_string();
                let stored = SnapshotRef {
                    version_id: key.clone(),
                    key,
                    sha256: "0".into(),
                    release: None,
                };
                Ok(Reply::SnapshotStored(stored, snapshot.clone()))
            }
            Action::StorePlan { digest, changes } => {
                self.plans.push(changes.clone());
                let stored = StoredRef {
                    key: format!("plans/{}", self.plans.len()),
                    version_id: "1".into(),
                    sha256: digest.clone(),
                };
                Ok(Reply::PlanStored(digest.clone(), stored))
            }
            Action::DeleteSnapshot(it) => {
                self.discarded.push(it.key.clone());
                Ok(Reply::SnapshotDeleted(it.clone()))
            }
            Action::Component(kinds::Action::S3(s3::Action { act, .. })) => {
                let mut site = observed.components.s3.0[&name].clone();
                let reply = self.bucket.act(act, &site).expect("no crash here");
                site.note(act, reply);
                Ok(Reply::Component(kinds::Reply::S3(s3::Reply {
                    observed: Box::new(site),
                    failed: Vec::new(),
                })))
            }
            Action::Component(kinds::Action::CloudFormation(action)) => {
                let reply = self.stacks.perform(&name, action, &self.status)?;
                Ok(Reply::Component(kinds::Reply::CloudFormation(reply)))
            }
            Action::Component(kinds::Action::Note(action)) => {
                self.check_proposal(action);
                let texts = action.effect(&name, &self.notes);
                for (name, text) in &texts {
                    match text {
                        Some(text) => self.notes.insert(name.clone(), text.clone()),
                        None => self.notes.remove(name),
                    };
                }
                Ok(Reply::Component(kinds::Reply::Note(note::Reply(texts))))
            }
            Action::Component(kinds::Action::Lambda(lambda::Action::Check {
                version,
                key,
                ..
            })) => self.check(effect, version, key),
            Action::Component(kinds::Action::Lambda(action)) => self
                .change(effect, action)
                .map(|reply| Reply::Component(kinds::Reply::Lambda(reply))),
        }
    }

    /// Asserts that a draft is on record before it is created, and with its changes before they are made.
    fn check_proposal(&self, action: &note::Action) {
        let on_record = |name: &String| self.status.proposals.iter().find(|it| it.name == *name);
        match action {
            note::Action::Draft(name, _) => assert!(on_record(name).is_some(), "{name}"),
            note::Action::Publish(name) => {
                let planned = on_record(name).and_then(|it| it.planned.as_ref());
                assert!(planned.is_some(), "{name}");
            }
            note::Action::Write(_) | note::Action::Erase | note::Action::Discard(_) => {}
        }
    }

    fn check(&self, effect: &Effect, version: &str, key: &CheckKey) -> Result<Reply, CallError> {
        let Some(deployed) = self.functions.get(&effect.resource) else {
            return Err(refused(effect, CallErrorKind::NotFound, "gone"));
        };
        let number: u32 = version.parse().expect("a number");
        let digest = deployed.versions[&number].code_sha256;
        if self.slow.contains(&digest) {
            return Ok(Reply::Running(key.clone()));
        }
        let shows = !self.bad_once_served || key.moment.phase == CheckPhase::AfterTraffic;
        let verdict = if self.bad.contains(&digest) && shows {
            Verdict::Failed("check smoke failed".into())
        } else if self.inconclusive.contains(&digest) {
            Verdict::Inconclusive("check smoke: no answer".into())
        } else {
            Verdict::Passed
        };
        Ok(Reply::Checked(key.clone(), verdict))
    }

    #[allow(clippy::too_many_lines, reason = "one arm per action of the fake AWS")]
    fn change(
        &mut self,
        effect: &Effect,
        action: &lambda::Action,
    ) -> Result<lambda::Reply, CallError> {
        use lambda::{Action, Reply};
        let name = effect.resource.clone();
        let fail = |kind, message: &str| Err(refused(effect, kind, message));
        let revision = self.revision();
        let location = |digest: Sha256| CodeLocation {
            bucket: "b".into(),
            key: digest.to_string(),
            version_id: "1".into(),
        };
        match action {
            Action::CopyPackage(want) => {
                self.packages.push(want.code_sha256);
                return Ok(Reply::Package(want.code_sha256, location(want.code_sha256)));
            }
            Action::FindPackage(digest) => {
                return if self.packages.contains(digest) {
                    Ok(Reply::Package(*digest, location(*digest)))
                } else {
                    fail(CallErrorKind::NotFound, "no such package")
                };
            }
            Action::Create(want, code) => {
                if self.refused.contains(&name) {
                    return fail(CallErrorKind::Invalid, "the runtime is not supported");
                }
                if self.functions.contains_key(&name) {
                    return fail(CallErrorKind::AlreadyExists, "exists");
                }
                let latest = Function {
                    arn: format!("arn:aws:lambda:eu-west-1:222222222222:function:{name}"),
                    version: "$LATEST".into(),
                    code_sha256: Sha256::from_hex(&code.key).expect("a digest"),
                    code_size: 1,
                    architecture: want.architecture.clone(),
                    configuration: want.configuration.clone(),
                    revision_id: revision,
                    state: FunctionState::Pending,
                    last_update: LastUpdate::Successful,
                    dead_letter_queue: None,
                    tags: want.tags.clone(),
                    last_modified: None,
                };
                let deployed = Deployed {
                    latest: latest.clone(),
                    versions: BTreeMap::new(),
                    alias: None,
                    other: None,
                    next_version: 1,
                    settles_in: 2,
                };
                self.functions.insert(name, deployed);
                return Ok(Reply::Created(Box::new(latest)));
            }
            Action::DeleteFunction => {
                self.functions.remove(&name);
                return Ok(Reply::FunctionDeleted);
            }
            _ => {}
        }
        let sleeps = self.inactive_functions.contains(&name);
        let shows = self.broken.get(&name) != Some(&false);
        let provisioned = self.provisioned.contains_key(&name);
        let Some(deployed) = self.functions.get_mut(&name) else {
            return fail(CallErrorKind::NotFound, "gone");
        };
        let busy = deployed.settles_in > 0;
        let current = deployed.latest.revision_id.clone();
        let refusal = |revision_id: &str| {
            if busy {
                Some((CallErrorKind::Busy, "an update is in progress"))
            } else if revision_id == current {
                None
            } else {
                Some((CallErrorKind::Stale, "the revision does not match"))
            }
        };
        match action {
            Action::UpdateCode {
                revision_id,
                code,
                architecture,
            } => {
                if let Some((kind, why)) = refusal(revision_id) {
                    return fail(kind, why);
                }
                if shows {
                    deployed.latest.code_sha256 = Sha256::from_hex(&code.key).expect("a digest");
                    deployed.latest.architecture.clone_from(architecture);
                }
                Ok(deployed.begin_update(revision))
            }
            Action::UpdateConfiguration {
                configuration,
                revision_id,
            } => {
                if let Some((kind, why)) = refusal(revision_id) {
                    return fail(kind, why);
                }
                if shows {
                    deployed.latest.configuration = (**configuration).clone();
                }
                Ok(deployed.begin_update(revision))
            }
            Action::SetTags { wanted, .. } => {
                deployed.latest.tags.clone_from(wanted);
                Ok(Reply::TagsSet)
            }
            Action::Publish {
                code_sha256,
                revision_id,
                description,
            } => {
                if let Some((kind, why)) = refusal(revision_id) {
                    return fail(kind, why);
                }
                if *code_sha256 != deployed.latest.code_sha256 {
                    return fail(CallErrorKind::Stale, "the revision does not match");
                }
                let last = deployed
                    .versions
                    .last_key_value()
                    .map(|(_, version)| version.clone());
                // A version has a description of its own.
                let mut settings = deployed.latest.configuration.clone();
                settings.description.clone_from(description);
                let version = match last {
                    Some(last)
                        if last.code_sha256 == deployed.latest.code_sha256
                            && FunctionConfiguration {
                                description: description.clone(),
                                ..last.configuration.clone()
                            } == settings =>
                    {
                        last
                    }
                    _ => {
                        // Like AWS: no number is used twice.
                        let number = deployed.next_version;
                        deployed.next_version += 1;
                        let mut version = deployed.latest.clone();
                        version.version = number.to_string();
                        version.configuration = settings;
                        version.state = FunctionState::Pending;
                        deployed.versions.insert(number, version.clone());
                        version
                    }
                };
                Ok(Reply::Published(Box::new(without_tags(&version))))
            }
            Action::CreateAlias { to, alias: name } if deployed.alias.is_none() => {
                deployed.alias = Some(alias(to, revision));
                Ok(Reply::Routed {
                    alias: name.clone(),
                    now: alias(to, current_alias(deployed)),
                })
            }
            Action::CreateAlias { .. } => fail(CallErrorKind::AlreadyExists, "exists"),
            Action::UpdateAlias {
                to,
                revision_id,
                alias: name,
            } => {
                if current_alias(deployed) != *revision_id {
                    return fail(CallErrorKind::Stale, "the revision does not match");
                }
                let mut now = alias(to, revision);
                let before = deployed.alias.as_ref().map(|alias| alias.version.clone());
                if let Some(before) = before.filter(|before| provisioned && *before != to.version) {
                    now.weights = [(before, 1.0)].into();
                }
                deployed.alias = Some(now.clone());
                Ok(Reply::Routed {
                    alias: name.clone(),
                    now,
                })
            }
            Action::DeleteAlias { alias } => {
                deployed.alias = None;
                Ok(Reply::AliasDeleted {
                    alias: alias.clone(),
                })
            }
            Action::DeleteVersion { version } => {
                let used = |alias: &Alias| {
                    alias.version == *version || alias.weights.contains_key(version)
                };
                if deployed.alias.as_ref().is_some_and(used)
                    || deployed.other == Some(version.clone())
                {
                    return fail(CallErrorKind::Busy, "an alias references it");
                }
                let number: u32 = version.parse().expect("a number");
                deployed.versions.remove(&number);
                Ok(Reply::VersionDeleted {
                    version: version.clone(),
                })
            }
            Action::Wake { version, .. } => {
                let number: u32 = version.parse().expect("a number");
                let woken = deployed.versions.get_mut(&number).expect("a version");
                if !sleeps {
                    woken.state = FunctionState::Pending;
                }
                Ok(Reply::Woken {
                    version: version.clone(),
                })
            }
            _ => unreachable!("handled above"),
        }
    }
}

/// Whether the action changes nothing for users, or stays in the status until it is done.
fn needs_no_intent(action: &Action) -> bool {
    match action {
        Action::StoreSnapshot(_)
        | Action::StorePlan { .. }
        | Action::Watch { .. }
        | Action::DeleteSnapshot(_) => true,
        Action::Component(kinds::Action::Lambda(action)) => matches!(
            action,
            lambda::Action::Check { .. } | lambda::Action::DeleteVersion { .. }
        ),
        Action::Component(kinds::Action::S3(action)) => {
            matches!(action.act, site::Act::Keep(_) | site::Act::StoreSnapshot(_))
        }
        Action::Component(kinds::Action::CloudFormation(action)) => matches!(
            action,
            cloud_formation::Action::CreateChangeSet(_)
                | cloud_formation::Action::DeleteChangeSet { .. }
                | cloud_formation::Action::ContinueRollback { .. }
                | cloud_formation::Action::Delete { .. }
        ),
        Action::Component(kinds::Action::Note(action)) => {
            matches!(
                action,
                note::Action::Draft(..) | note::Action::Discard(_) | note::Action::Erase
            )
        }
    }
}

fn refused(effect: &Effect, kind: CallErrorKind, message: &str) -> CallError {
    CallError::new(effect.operation(), &effect.resource, kind, message)
}

/// Like AWS: only `GetFunction` returns the tags.
fn without_tags(function: &Function) -> Function {
    Function {
        tags: BTreeMap::new(),
        ..function.clone()
    }
}

/// A read of a function.
pub fn function_read(read: lambda::Read) -> Read {
    Read::Component(kinds::Read::Lambda(read))
}

/// The memory of a new leader, which may change nothing before `until`.
pub fn holding(until: Timestamp) -> Known {
    Known {
        clocks: Clocks {
            hold_until: Some(until),
            ..Clocks::default()
        },
        ..Known::default()
    }
}

pub fn alias(to: &AliasTarget, revision_id: String) -> Alias {
    Alias {
        version: to.version.clone(),
        weights: to.weights.clone(),
        description: to.description.clone(),
        revision_id,
    }
}

pub fn current_alias(deployed: &Deployed) -> String {
    deployed
        .alias
        .as_ref()
        .map(|alias| alias.revision_id.clone())
        .unwrap_or_default()
}

pub fn run_step(status: &TargetStatus) -> Option<Step> {
    status.run.as_ref().and_then(Step::of)
}

pub type Visible = (
    Sha256,
    FunctionConfiguration,
    BTreeMap<String, String>,
    Option<AliasSnapshot>,
);

/// What aliases and unqualified callers serve, without revisions and old versions.
pub fn visible(aws: &FakeAws) -> BTreeMap<String, Visible> {
    let view = |deployed: &Deployed| {
        let alias = deployed.alias.as_ref().map(|alias| AliasSnapshot {
            version: alias.version.clone(),
            weights: alias.weights.clone(),
            description: alias.description.clone(),
        });
        let latest = &deployed.latest;
        (
            latest.code_sha256,
            latest.configuration.clone(),
            latest.tags.clone(),
            alias,
        )
    };
    aws.functions
        .iter()
        .map(|(name, deployed)| (name.clone(), view(deployed)))
        .collect()
}
