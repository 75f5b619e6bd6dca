//! Measures how long one decision of the engine takes for a Release of fifty functions, step by step.
//!
//! `make bench` prints the times and asserts nothing. The engine is pure, so this is the time of a Target's
//! pass without its calls.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use sluice::{
    api::v1alpha1::{
        DeletionPolicy, Goal, OnFailure, ReleaseRef, Run, SnapshotRef, StoreLocation, TargetStatus,
    },
    domain::{
        desired::Desired,
        digest::Sha256,
        engine::{Action, Decision, Found, Observation, Read, Reply, Task, decide},
        ownership::{Adoption, Owner},
        traffic::Traffic,
        workload::{
            component::DesiredComponent,
            kinds::{self, Workload},
            lambda::{self, CodeLocation, DesiredFunction, FunctionConfiguration},
        },
    },
};

const COMPONENTS: usize = 50;
const ITERATIONS: u32 = 200;

fn main() {
    let desired = desired();
    let run = Run::new(desired.release.clone(), 1, Goal::Deliver, 1);
    let order = Task::Deliver(desired);
    let mut status = TargetStatus::default();
    let mut observed = Observation::default();
    let now = Timestamp::now();
    println!("decide: one decision for {COMPONENTS} functions, average of {ITERATIONS}");
    loop {
        let decide_once = || decide(&order, &run, &status, &owner(), &observed, now);
        let begun = Instant::now();
        for _ in 0..ITERATIONS {
            std::hint::black_box(decide_once());
        }
        let took = begun.elapsed() / ITERATIONS;
        match decide_once() {
            Decision::Observe(reads) => {
                print_time("the reads to make", took);
                for read in reads {
                    if let Read::Component(kinds::Read::Lambda(lambda::Read::Function { name })) =
                        read
                    {
                        let found = lambda::Found::Function(name, None);
                        observed.found(Found::Component(kinds::Found::Lambda(found)));
                    }
                }
            }
            Decision::Execute(effects) => {
                let first = effects
                    .first()
                    .map_or("nothing", |effect| effect.operation());
                print_time(&format!("{} × {first}", effects.len()), took);
                if first == "CreateFunction" {
                    return;
                }
                for effect in effects {
                    let reply = match &effect.action {
                        Action::StoreSnapshot(taken) => {
                            Reply::SnapshotStored(snapshot(), taken.clone())
                        }
                        Action::Component(kinds::Action::Lambda(lambda::Action::CopyPackage(
                            want,
                        ))) => {
                            let copied = lambda::Reply::Package(want.code_sha256, package());
                            Reply::Component(kinds::Reply::Lambda(copied))
                        }
                        other => unreachable!("{other:?} comes after CreateFunction"),
                    };
                    observed.note(&effect, reply, false, now);
                }
            }
            Decision::Record(next) => {
                print_time("the plan, snapshot and intents to record", took);
                status = *next;
                observed.known.recorded_here = true;
            }
            Decision::Wait(_) | Decision::Rest(_) => unreachable!("the run has only begun"),
        }
    }
}

fn print_time(what: &str, took: Duration) {
    println!("  {:8.3} ms  {what}", took.as_secs_f64() * 1_000.0);
}

fn owner() -> Owner {
    Owner {
        cluster: "c1".into(),
        namespace: "shop".into(),
        name: "checkout".into(),
    }
}

fn snapshot() -> SnapshotRef {
    SnapshotRef {
        key: "snapshots/shop/checkout".into(),
        version_id: "1".into(),
        sha256: Sha256::of(b"snapshot").to_string(),
        release: None,
    }
}

fn package() -> CodeLocation {
    CodeLocation {
        bucket: "artifacts".into(),
        key: "package".into(),
        version_id: "1".into(),
    }
}

fn desired() -> Desired {
    let component = |number: usize| {
        let environment: BTreeMap<_, _> = (0..32)
            .map(|at| (format!("SETTING_{at}"), format!("value {at} of {number}")))
            .collect();
        let function = DesiredFunction {
            component: format!("function-{number}"),
            adoption: Adoption::default(),
            function_name: format!("shop-function-{number}"),
            alias: "live".into(),
            architecture: "arm64".into(),
            code_sha256: Sha256::of(format!("code of {number}").as_bytes()),
            package: StoreLocation {
                account: "hub".into(),
                region: "eu-west-1".into(),
                bucket: "artifacts".into(),
                key: "package".into(),
                version_id: "1".into(),
            },
            configuration: FunctionConfiguration {
                runtime: "python3.13".into(),
                handler: "app.handler".into(),
                role: "arn:aws:iam::222222222222:role/lambda-exec".into(),
                memory_size: 512,
                timeout: 30,
                environment,
                description: String::new(),
            },
            deferred: BTreeMap::new(),
            tags: owner().tags(),
            checks: Vec::new(),
        };
        DesiredComponent {
            name: function.component.clone(),
            level: 0,
            workload: Workload::Lambda(Box::new(function)),
        }
    };
    Desired {
        release: ReleaseRef {
            name: "checkout-1".into(),
            uid: "uid-1".into(),
            revision: 1,
        },
        components: (0..COMPONENTS).map(component).collect(),
        checks: Vec::new(),
        traffic: Traffic::all_at_once(Duration::ZERO),
        on_failure: OnFailure::Automatic,
        deletion_policy: DeletionPolicy::Retain,
        progress_deadline: Duration::from_mins(10),
    }
}
