//! The machine against a small AWS that settles, refuses stale revisions, loses replies and sees the
//! controller die; and the transcripts of whole runs.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::{
    api::v1alpha1::{DeletionPolicy, ReleaseRef, SnapshotRef, StoreLocation},
    domain::{
        desired::{DesiredCheck, DesiredFunction},
        digest::Sha256,
        failure::{CallError, CallErrorKind},
        function::{
            Alias, AliasTarget, CodeLocation, Function, FunctionConfiguration, FunctionState,
            LastUpdate,
        },
    },
};

/// What goes wrong with one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The call never arrives.
    Throttled,
    /// The call has its effect, and the reply is lost.
    LostReply,
    /// The controller dies before the call is sent.
    CrashBefore,
    /// The controller dies after the effect.
    CrashAfter,
}

#[derive(Clone, Debug, PartialEq)]
struct Deployed {
    latest: Function,
    versions: BTreeMap<u32, Function>,
    alias: Option<Alias>,
    settles_in: u32,
}

/// AWS, the API server and the controller's memory.
struct World {
    functions: BTreeMap<String, Deployed>,
    packages: Vec<Sha256>,
    snapshots: Vec<Snapshot>,
    status: TargetStatus,
    known: Known,
    now: Timestamp,
    revisions: u32,
    /// Code that fails its check.
    bad: Vec<Sha256>,
    /// Functions that AWS refuses to make.
    refused: Vec<String>,
    faults: Vec<Fault>,
    log: String,
    records: usize,
}

fn owner() -> Owner {
    Owner {
        cluster: "c1".into(),
        namespace: "shop".into(),
        name: "checkout".into(),
    }
}

fn configuration(memory_size: i32) -> FunctionConfiguration {
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

fn code(name: &str) -> Sha256 {
    Sha256::of(name.as_bytes())
}

fn want(component: &str, code_name: &str, memory_size: i32) -> DesiredFunction {
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
        tags: owner().tags(),
        checks: vec![DesiredCheck {
            name: "smoke".into(),
            payload: "{}".into(),
            expect: None,
            timeout: Duration::from_secs(10),
        }],
    }
}

fn reference(revision: i64) -> ReleaseRef {
    ReleaseRef {
        name: format!("checkout-{revision}"),
        uid: format!("uid-{revision}"),
        revision,
    }
}

fn desired(revision: i64, functions: Vec<DesiredFunction>) -> Desired {
    Desired {
        release: reference(revision),
        functions,
        progress_deadline: Duration::from_mins(10),
    }
}

impl World {
    fn new() -> Self {
        Self {
            functions: BTreeMap::new(),
            packages: Vec::new(),
            snapshots: Vec::new(),
            status: TargetStatus::default(),
            known: Known::default(),
            now: Timestamp::UNIX_EPOCH,
            revisions: 0,
            bad: Vec::new(),
            refused: Vec::new(),
            faults: Vec::new(),
            log: String::new(),
            records: 0,
        }
    }

    fn say(&mut self, line: impl AsRef<str>) {
        let _ = writeln!(self.log, "{}", line.as_ref());
    }

    fn revision(&mut self) -> String {
        self.revisions += 1;
        format!("rev-{}", self.revisions)
    }

    /// Delivers, as the shell does, until the run is over.
    fn deliver(&mut self, revision: i64, functions: &[DesiredFunction]) -> Step {
        let order = Order::Deliver(desired(revision, functions.to_vec()));
        let run = Run {
            release: reference(revision),
            attempt: 1,
            goal: Goal::Deliver,
        };
        self.known = Known::default();
        self.finish(&order, &run)
    }

    fn restore(&mut self, revision: i64) -> Step {
        let run = Run {
            release: reference(revision),
            attempt: 1,
            goal: Goal::Restore,
        };
        self.known = Known::default();
        self.finish(
            &Order::Restore("another target of the stage failed".into()),
            &run,
        )
    }

    fn finish(&mut self, order: &Order, run: &Run) -> Step {
        for _ in 0..300 {
            let decide = |status: &TargetStatus, seen: &Observation, now| {
                super::decide(order, run, status, &owner(), seen, now)
            };
            self.pass(&decide);
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

    /// One reconcile.
    fn pass(
        &mut self,
        decide: &dyn Fn(&TargetStatus, &Observation, Timestamp) -> Decision,
    ) -> Option<Outcome> {
        let mut seen = Observation {
            known: std::mem::take(&mut self.known),
            ..Observation::default()
        };
        for _ in 0..200 {
            match decide(&self.status, &seen, self.now) {
                Decision::Observe(reads) => {
                    assert!(!reads.is_empty(), "an empty read");
                    for read in reads {
                        self.read(&read, &mut seen);
                    }
                }
                Decision::Record(status) => {
                    self.check_transition(&status);
                    self.status = *status;
                    self.records += 1;
                    let run = self.status.run.as_ref().expect("a recorded run");
                    let line = match &run.message {
                        Some(message) => format!("status: {} ({message})", run.step),
                        None => format!("status: {}", run.step),
                    };
                    for intent in run.intents.clone() {
                        self.say(format!("  intent {} {}", intent.operation, intent.resource));
                    }
                    self.say(line);
                    seen.known.recorded_here = true;
                    seen.known.hold_until = None;
                    if run_step(&self.status) == Some(Step::Restore) {
                        seen.functions.clear();
                        seen.aliases.clear();
                        seen.errors.clear();
                    }
                }
                Decision::Execute(effects) => {
                    for effect in effects {
                        if !self.execute(&effect, &mut seen) {
                            self.say("controller dies");
                            self.known = Known {
                                hold_until: Some(self.now + SignedDuration::from_secs(2)),
                                ..Known::default()
                            };
                            self.tick(Duration::from_secs(3));
                            return None;
                        }
                    }
                }
                Decision::Wait(outcome) => {
                    self.known = seen.known;
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

    fn tick(&mut self, passed: Duration) {
        self.now += SignedDuration::try_from(passed).expect("short");
        let settling: Vec<String> = self.functions.keys().cloned().collect();
        for name in settling {
            let revision = self.revision();
            let Some(deployed) = self.functions.get_mut(&name) else {
                continue;
            };
            if deployed.settles_in > 0 {
                deployed.settles_in -= 1;
                if deployed.settles_in == 0 {
                    deployed.latest.last_update = LastUpdate::Successful;
                    deployed.latest.state = FunctionState::Active;
                    // As AWS does: the revision changes once more.
                    deployed.latest.revision_id = revision;
                }
            }
            for version in deployed.versions.values_mut() {
                version.state = FunctionState::Active;
            }
        }
    }

    /// Snapshot first, intents before effects, and no step out of order.
    fn check_transition(&self, next: &TargetStatus) {
        let before = run_step(&self.status);
        let same_run = self.status.run.as_ref().map(|run| &run.release.uid)
            == next.run.as_ref().map(|run| &run.release.uid);
        let after = run_step(next).expect("a known step");
        let before = if same_run { before } else { None };
        let allowed: &[Step] = match before {
            None | Some(Step::Failed | Step::RolledBack | Step::RollbackFailed) => &[
                Step::Prepare,
                Step::Failed,
                Step::Succeeded,
                Step::Restore,
                Step::RolledBack,
            ],
            Some(Step::Prepare) => &[Step::Promote, Step::Restore],
            Some(Step::Promote) => &[Step::Succeeded, Step::Restore],
            Some(Step::Restore) => &[Step::RolledBack, Step::RollbackFailed],
            Some(Step::Succeeded) => &[Step::Restore],
        };
        assert!(allowed.contains(&after), "{before:?} → {after:?}");
        let run = next.run.as_ref().expect("a run");
        if after == Step::Prepare {
            assert!(run.snapshot.is_some() && !run.intents.is_empty());
        }
    }

    fn read(&mut self, read: &Read, seen: &mut Observation) {
        match read {
            Read::Function { name } => {
                let function = self
                    .functions
                    .get(name)
                    .map(|deployed| deployed.latest.clone());
                seen.functions.insert(name.clone(), function);
            }
            Read::Version { name, version } => {
                let number: u32 = version.parse().expect("a number");
                let function = self
                    .functions
                    .get(name)
                    .and_then(|deployed| deployed.versions.get(&number).cloned());
                seen.versions
                    .insert((name.clone(), version.clone()), function);
            }
            Read::Alias { name, .. } => {
                seen.aliases.insert(
                    name.clone(),
                    self.functions
                        .get(name)
                        .and_then(|deployed| deployed.alias.clone()),
                );
            }
            Read::Snapshot => {
                let reference = self
                    .status
                    .run
                    .as_ref()
                    .and_then(|run| run.snapshot.clone())
                    .expect("a snapshot");
                let index: usize = reference.key.parse().expect("an index");
                seen.known.snapshot = Some((reference, self.snapshots[index].clone()));
            }
        }
    }

    /// Carries an effect out; `false` where the controller died.
    fn execute(&mut self, effect: &Effect, seen: &mut Observation) -> bool {
        assert!(
            matches!(effect.action, Action::StoreSnapshot(_))
                || self
                    .status
                    .run
                    .as_ref()
                    .is_some_and(|run| !run.intents.is_empty()),
            "{} without an intent on record",
            effect.operation()
        );
        let fault = if self.faults.is_empty() {
            Fault::None
        } else {
            self.faults.remove(0)
        };
        let error = |kind, message: &str| {
            CallError::new(effect.operation(), &effect.function, kind, message)
        };
        let throttled = || error(CallErrorKind::Throttled { retry_after: None }, "slow down");
        let reply = |reply| match reply {
            // As AWS does: only GetFunction tells the tags.
            Ok(Reply::Function(mut function)) => {
                function.tags.clear();
                Ok(Reply::Function(function))
            }
            other => other,
        };
        let result = match fault {
            Fault::CrashBefore => return false,
            Fault::Throttled => Err(throttled()),
            Fault::None => reply(self.perform(effect)),
            Fault::LostReply => {
                let _ = self.perform(effect);
                Err(error(CallErrorKind::Unknown, "no answer"))
            }
            Fault::CrashAfter => {
                let _ = self.perform(effect);
                return false;
            }
        };
        self.say(format!(
            "{} {}{}",
            effect.operation(),
            effect.function,
            match &result {
                Ok(_) => String::new(),
                Err(error) => format!(": {}", error.message),
            }
        ));
        self.check_traffic();
        match result {
            Ok(reply) => {
                let verify = run_step(&self.status) == Some(Step::Restore);
                seen.note(effect, reply, verify, self.now);
            }
            Err(error) => {
                seen.functions.remove(&effect.function);
                seen.aliases.remove(&effect.function);
                seen.known.recorded_here = false;
                seen.errors.push((effect.component.clone(), error));
            }
        }
        true
    }

    /// Every version that an alias gives weight to exists and is published code.
    fn check_traffic(&self) {
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
                    "alias points at nothing"
                );
            }
        }
    }

    #[allow(clippy::too_many_lines, reason = "one arm per action of the small AWS")]
    fn perform(&mut self, effect: &Effect) -> Result<Reply, CallError> {
        let name = effect.function.clone();
        let fail = |kind, message: &str| {
            Err(CallError::new(
                effect.operation(),
                &effect.function,
                kind,
                message,
            ))
        };
        let revision = self.revision();
        if let Action::StoreSnapshot(snapshot) = &effect.action {
            let functions = snapshot
                .components
                .iter()
                .filter_map(|component| component.function.as_ref());
            self.packages
                .extend(functions.filter_map(FunctionSnapshot::digest));
            self.snapshots.push((**snapshot).clone());
            let key = (self.snapshots.len() - 1).to_string();
            return Ok(Reply::Stored(SnapshotRef {
                key,
                version_id: "1".into(),
                sha256: "0".into(),
                release: None,
            }));
        }
        let location = |digest: Sha256| CodeLocation {
            bucket: "b".into(),
            key: digest.to_string(),
            version_id: "1".into(),
        };
        match &effect.action {
            Action::CopyPackage(want) => {
                self.packages.push(want.code_sha256);
                return Ok(Reply::Package(location(want.code_sha256)));
            }
            Action::FindPackage(digest) => {
                return if self.packages.contains(digest) {
                    Ok(Reply::Package(location(*digest)))
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
                    tags: want.tags.clone(),
                };
                let deployed = Deployed {
                    latest: latest.clone(),
                    versions: BTreeMap::new(),
                    alias: None,
                    settles_in: 2,
                };
                self.functions.insert(name, deployed);
                return Ok(Reply::Function(Box::new(latest)));
            }
            Action::DeleteFunction => {
                self.functions.remove(&name);
                return Ok(Reply::Done);
            }
            _ => {}
        }
        let bad = self.bad.clone();
        let Some(deployed) = self.functions.get_mut(&name) else {
            return fail(CallErrorKind::NotFound, "gone");
        };
        let busy = deployed.settles_in > 0;
        let current = deployed.latest.revision_id.clone();
        match &effect.action {
            Action::UpdateCode {
                revision_id,
                code,
                architecture,
            } => {
                if busy {
                    return fail(CallErrorKind::Busy, "an update is in progress");
                }
                if *revision_id != current {
                    return fail(CallErrorKind::Stale, "the revision does not match");
                }
                deployed.latest.code_sha256 = Sha256::from_hex(&code.key).expect("a digest");
                deployed.latest.architecture.clone_from(architecture);
                deployed.latest.revision_id = revision;
                deployed.latest.last_update = LastUpdate::InProgress;
                deployed.settles_in = 2;
                Ok(Reply::Function(Box::new(deployed.latest.clone())))
            }
            Action::UpdateConfiguration {
                configuration,
                revision_id,
            } => {
                if busy {
                    return fail(CallErrorKind::Busy, "an update is in progress");
                }
                if *revision_id != current {
                    return fail(CallErrorKind::Stale, "the revision does not match");
                }
                deployed.latest.configuration = (**configuration).clone();
                deployed.latest.revision_id = revision;
                deployed.latest.last_update = LastUpdate::InProgress;
                deployed.settles_in = 2;
                Ok(Reply::Function(Box::new(deployed.latest.clone())))
            }
            Action::SetTags { wanted, .. } => {
                deployed.latest.tags.clone_from(wanted);
                Ok(Reply::Done)
            }
            Action::Publish {
                code_sha256,
                revision_id,
                ..
            } => {
                if busy {
                    return fail(CallErrorKind::Busy, "an update is in progress");
                }
                if *revision_id != current || *code_sha256 != deployed.latest.code_sha256 {
                    return fail(CallErrorKind::Stale, "the revision does not match");
                }
                let last = deployed
                    .versions
                    .last_key_value()
                    .map(|(_, version)| version.clone());
                let version = match last {
                    Some(last)
                        if last.code_sha256 == deployed.latest.code_sha256
                            && last.configuration == deployed.latest.configuration =>
                    {
                        last
                    }
                    _ => {
                        let number = deployed
                            .versions
                            .last_key_value()
                            .map_or(1, |(number, _)| number + 1);
                        let mut version = deployed.latest.clone();
                        version.version = number.to_string();
                        version.state = FunctionState::Pending;
                        deployed.versions.insert(number, version.clone());
                        version
                    }
                };
                Ok(Reply::Function(Box::new(version)))
            }
            Action::CreateAlias { to, .. } if deployed.alias.is_none() => {
                deployed.alias = Some(alias(to, revision));
                Ok(Reply::Alias(alias(to, current_alias(deployed))))
            }
            Action::CreateAlias { .. } => fail(CallErrorKind::AlreadyExists, "exists"),
            Action::UpdateAlias {
                to, revision_id, ..
            } => {
                if current_alias(deployed) != *revision_id {
                    return fail(CallErrorKind::Stale, "the revision does not match");
                }
                deployed.alias = Some(alias(to, revision));
                Ok(Reply::Alias(alias(to, current_alias(deployed))))
            }
            Action::DeleteAlias { .. } => {
                deployed.alias = None;
                Ok(Reply::Done)
            }
            Action::Check { version, .. } => {
                let number: u32 = version.parse().expect("a number");
                let digest = deployed.versions[&number].code_sha256;
                Ok(Reply::Checked(if bad.contains(&digest) {
                    CheckResult::Failed("check smoke failed".into())
                } else {
                    CheckResult::Passed
                }))
            }
            _ => unreachable!("handled above"),
        }
    }
}

fn alias(to: &AliasTarget, revision_id: String) -> Alias {
    Alias {
        version: to.version.clone(),
        weights: to.weights.clone(),
        description: to.description.clone(),
        revision_id,
    }
}

fn current_alias(deployed: &Deployed) -> String {
    deployed
        .alias
        .as_ref()
        .map(|alias| alias.revision_id.clone())
        .unwrap_or_default()
}

fn run_step(status: &TargetStatus) -> Option<Step> {
    status.run.as_ref().and_then(Step::of)
}

type Visible = (
    Sha256,
    FunctionConfiguration,
    BTreeMap<String, String>,
    Option<AliasSnapshot>,
);

/// What users and unqualified callers get, without revisions and old versions.
fn visible(world: &World) -> BTreeMap<String, Visible> {
    let look = |deployed: &Deployed| {
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
    world
        .functions
        .iter()
        .map(|(name, deployed)| (name.clone(), look(deployed)))
        .collect()
}

#[test]
fn a_first_delivery_reads_like_this() {
    let mut world = World::new();
    assert_eq!(world.deliver(1, &[want("api", "v1", 128)]), Step::Succeeded);
    insta::assert_snapshot!(world.log);
}

#[test]
fn a_change_of_code_and_settings_reads_like_this() {
    let mut world = World::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    world.log.clear();
    assert_eq!(world.deliver(2, &[want("api", "v2", 256)]), Step::Succeeded);
    insta::assert_snapshot!(world.log);
}

#[test]
fn a_failed_check_reads_like_this() {
    let mut world = World::new();
    world.deliver(1, &[want("api", "v1", 128), want("worker", "w1", 128)]);
    let before = visible(&world);
    world.log.clear();
    world.bad.push(code("v2"));
    assert_eq!(
        world.deliver(2, &[want("api", "v2", 128), want("worker", "w2", 128)]),
        Step::RolledBack
    );
    assert_eq!(visible(&world), before);
    assert_eq!(
        world.status.live.as_ref().map(|live| live.release.revision),
        Some(1)
    );
    insta::assert_snapshot!(world.log);
}

#[test]
fn a_failed_first_delivery_leaves_nothing() {
    let mut world = World::new();
    world.bad.push(code("v1"));
    assert_eq!(
        world.deliver(1, &[want("api", "v1", 128)]),
        Step::RolledBack
    );
    assert!(world.functions.is_empty());
    assert!(world.status.inventory.is_empty());
    assert_eq!(world.status.live, None);
}

#[test]
fn one_refused_function_leaves_the_other_as_it_was() {
    let mut world = World::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&world);
    world.refused.push("checkout-worker".into());
    assert_eq!(
        world.deliver(2, &[want("api", "v2", 128), want("worker", "w1", 128)]),
        Step::RolledBack
    );
    assert_eq!(visible(&world), before);
}

#[test]
fn nothing_to_change_means_no_write() {
    let mut world = World::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    world.log.clear();
    assert_eq!(world.deliver(2, &[want("api", "v1", 128)]), Step::Succeeded);
    assert_eq!(world.log, "status: Succeeded\n");
    assert_eq!(
        world.status.live.as_ref().map(|live| live.release.revision),
        Some(2)
    );
}

#[test]
fn somebody_elses_function_is_not_touched() {
    let mut world = World::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    let deployed = world.functions.get_mut("checkout-api").expect("delivered");
    deployed.latest.tags.clear();
    let before = visible(&world);
    world.status = TargetStatus::default();
    assert_eq!(world.deliver(2, &[want("api", "v2", 128)]), Step::Failed);
    assert_eq!(visible(&world), before);
    let message = world
        .status
        .run
        .as_ref()
        .and_then(|run| run.message.clone())
        .unwrap_or_default();
    assert!(
        message.contains("checkout-api") && message.contains("not created by Sluice"),
        "{message}"
    );
}

#[test]
fn an_alias_moved_by_hand_during_the_rollout_stops_it() {
    let mut world = World::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    world.deliver(2, &[want("api", "v2", 128)]);
    let order = Order::Deliver(desired(3, vec![want("api", "v3", 128)]));
    let run = Run {
        release: reference(3),
        attempt: 1,
        goal: Goal::Deliver,
    };
    world.known = Known::default();
    while run_step(&world.status) != Some(Step::Prepare) {
        world.pass(&|status, seen, now| super::decide(&order, &run, status, &owner(), seen, now));
    }
    let deployed = world.functions.get_mut("checkout-api").expect("delivered");
    let moved = Alias {
        version: "1".into(),
        weights: BTreeMap::new(),
        description: String::new(),
        revision_id: "by-hand".into(),
    };
    deployed.alias = Some(moved);
    assert_eq!(world.finish(&order, &run), Step::RolledBack);
    let message = world
        .status
        .run
        .as_ref()
        .and_then(|run| run.message.clone())
        .unwrap_or_default();
    assert!(
        message.contains("moved to version 1 by someone else"),
        "{message}"
    );
    let alias = world.functions["checkout-api"]
        .alias
        .clone()
        .expect("an alias");
    assert_eq!(alias.version, "2", "what stood before the run");
}

#[test]
fn a_target_that_succeeded_goes_back_when_its_stage_does() {
    let mut world = World::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&world);
    world.deliver(2, &[want("api", "v2", 256)]);
    assert_eq!(world.restore(2), Step::RolledBack);
    assert_eq!(visible(&world), before);
    assert_eq!(
        world.status.live.as_ref().map(|live| live.release.revision),
        Some(1)
    );
}

#[test]
fn an_unknown_journal_is_never_guessed_at() {
    let mut world = World::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    let run = world.status.run.as_mut().expect("a run");
    run.journal_version = 2;
    run.step = "Prepare".into();
    let order = Order::Deliver(desired(1, vec![want("api", "v1", 128)]));
    let run = Run {
        release: reference(1),
        attempt: 1,
        goal: Goal::Deliver,
    };
    let decision = super::decide(
        &order,
        &run,
        &world.status,
        &owner(),
        &Observation::default(),
        world.now,
    );
    assert!(matches!(
        decision,
        Decision::Wait(Outcome::Stalled {
            reason: "UnknownJournal",
            ..
        })
    ));
}

#[test]
fn removal_deletes_what_was_created_and_nothing_else() {
    let mut world = World::new();
    world.deliver(1, &[want("api", "v1", 128)]);
    world.status.inventory[0].created = false;
    for (created, left) in [(false, 1), (true, 0)] {
        world.status.inventory[0].created = created;
        loop {
            let decide = |status: &TargetStatus, seen: &Observation, now| {
                decide_removal(DeletionPolicy::Delete, status, &owner(), seen, now)
            };
            if let Some(Outcome::Done { .. }) = world.removal_pass(&decide) {
                break;
            }
        }
        assert_eq!(world.functions.len(), left);
    }
}

impl World {
    /// As [`World::pass`], where an intent is not needed: a removal is one by itself.
    fn removal_pass(
        &mut self,
        decide: &dyn Fn(&TargetStatus, &Observation, Timestamp) -> Decision,
    ) -> Option<Outcome> {
        let mut seen = Observation::default();
        loop {
            match decide(&self.status, &seen, self.now) {
                Decision::Observe(reads) => {
                    for read in &reads {
                        self.read(read, &mut seen);
                    }
                }
                Decision::Execute(effects) => {
                    for effect in effects {
                        let reply = self.perform(&effect).expect("no faults here");
                        seen.note(&effect, reply, true, self.now);
                    }
                }
                Decision::Wait(outcome) | Decision::Rest(outcome) => return Some(outcome),
                Decision::Record(_) => panic!("a finished run needs no record"),
            }
        }
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        1 => Just(Fault::Throttled),
        2 => Just(Fault::LostReply),
        2 => Just(Fault::CrashBefore),
        2 => Just(Fault::CrashAfter),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// However calls fail and the controller dies: the run ends, all of it serves or what stood
    /// before does, and no version is published twice.
    #[test]
    fn every_run_ends_in_one_of_two_states(
        delivered_before in any::<bool>(),
        bad in any::<bool>(),
        memory in prop_oneof![Just(128), Just(256)],
        faults in prop::collection::vec(fault(), 0..40),
    ) {
        let mut world = World::new();
        if delivered_before {
            world.deliver(1, &[want("api", "v1", 128), want("worker", "w1", 128)]);
        }
        let before = visible(&world);
        if bad {
            world.bad.push(code("w2"));
        }
        world.faults = faults;
        let wanted = [want("api", "v2", memory), want("worker", "w2", memory)];
        let step = world.deliver(2, &wanted);
        match step {
            Step::Succeeded => {
                prop_assert!(!bad);
                for want in &wanted {
                    let deployed = &world.functions[&want.function_name];
                    let alias = deployed.alias.as_ref().expect("an alias");
                    let version: u32 = alias.version.parse().expect("a number");
                    prop_assert_eq!(deployed.versions[&version].code_sha256, want.code_sha256);
                    prop_assert_eq!(&deployed.versions[&version].configuration, &want.configuration);
                    prop_assert_eq!(deployed.latest.code_sha256, want.code_sha256);
                    prop_assert!(alias.weights.is_empty());
                }
            }
            Step::RolledBack => {
                prop_assert!(bad, "only a bad release goes back:\n{}", world.log);
                prop_assert_eq!(visible(&world), before);
            }
            other => prop_assert!(false, "ended in {:?}:\n{}", other, world.log),
        }
        for deployed in world.functions.values() {
            let same = |digest: Sha256| deployed.versions.values().filter(|version| version.code_sha256 == digest).count();
            for version in deployed.versions.values() {
                prop_assert_eq!(same(version.code_sha256), 1, "published twice:\n{}", world.log);
            }
        }
    }
}
