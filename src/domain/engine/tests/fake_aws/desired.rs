//! The Releases that tests deliver: their components, and their runs.

use std::{collections::BTreeMap, time::Duration};

use super::state::FakeAws;
use crate::{
    api::v1alpha1::{DeletionPolicy, Goal, OnFailure, ReleaseRef, Run, StoreLocation},
    domain::{
        desired::Desired,
        digest::Sha256,
        ownership::{Adoption, Owner},
        traffic::Traffic,
        workload::{
            component::DesiredComponent,
            kinds::Workload,
            lambda::{DesiredCheck, DesiredFunction, FunctionConfiguration},
            note::DesiredNote,
            s3::{
                DesiredSite,
                site::{SiteArchive, tests::bucket},
            },
        },
    },
};

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
