//! Trigger jobs and child pipelines.

use super::*;
use crate::domain::pipeline::{Bridge, Downstream};

const SHA: &str = "0000000000000000000000000000000000000000";

/// A trigger job; `downstream` are id and status of the child pipeline that it started.
fn bridge(
    id: i64,
    stage: &str,
    name: &str,
    status: &str,
    downstream: Option<(i64, &str)>,
) -> Bridge {
    Bridge {
        id,
        name: name.to_owned(),
        stage: stage.to_owned(),
        status: status.to_owned(),
        allow_failure: false,
        downstream: downstream.map(|(id, status)| Downstream {
            id,
            project_id: 1,
            sha: SHA.to_owned(),
            status: status.to_owned(),
            source: "parent_pipeline".to_owned(),
        }),
    }
}

/// The verdict on pipeline 7 with its jobs, its trigger jobs, and the jobs of child pipeline 8.
fn judge(
    requirements: &Requirements,
    jobs: Vec<Job>,
    bridges: Option<Vec<Bridge>>,
    child: Option<Vec<Job>>,
) -> String {
    let mut all: BTreeMap<_, _> = [(7, jobs)].into();
    all.extend(child.map(|jobs| (8, jobs)));
    let bridges = bridges.map(|bridges| (7, bridges)).into_iter().collect();
    let known = Known {
        pipelines: &[pipeline(7, "running")],
        listed: Listed::All,
        jobs: &all,
        bridges: &bridges,
        tests: &BTreeMap::new(),
    };
    say(requirements.next(known, None))
}

fn with(bridge: Bridge) -> String {
    judge(&requirements(), good(), Some(vec![bridge]), None)
}

#[test]
fn trigger_jobs_count_like_jobs() {
    let nothing = "nothing: no new pipeline of main can be released: pipeline 7: ";
    let table = [
        (("success", Some((8, "running"))), "take 7".to_owned()),
        (("success", Some((8, "failed"))), "take 7".to_owned()),
        (("skipped", None), "take 7".to_owned()),
        (("manual", None), "take 7".to_owned()),
        (
            ("running", Some((8, "running"))),
            "wait: pipeline 7 waits for trigger job deploy (running): its downstream pipeline 8 is \
             running"
                .to_owned(),
        ),
        (
            ("pending", None),
            "wait: pipeline 7 waits for trigger job deploy (pending)".to_owned(),
        ),
        (
            ("failed", Some((8, "failed"))),
            format!("{nothing}trigger job deploy failed: its downstream pipeline 8 is failed"),
        ),
        (
            ("canceled", None),
            format!("{nothing}trigger job deploy was canceled"),
        ),
        // With `strategy: depend`, and with `mirror`.
        (
            ("running", Some((8, "manual"))),
            "wait: pipeline 7 waits for trigger job deploy (running): its downstream pipeline 8 \
             waits for a manual job: start that job in GitLab"
                .to_owned(),
        ),
        (
            ("manual", Some((8, "manual"))),
            "wait: pipeline 7 waits for trigger job deploy (manual): its downstream pipeline 8 \
             waits for a manual job: start that job in GitLab"
                .to_owned(),
        ),
    ];
    for ((status, downstream), expected) in table {
        assert_eq!(
            with(bridge(9, "deploy", "deploy", status, downstream)),
            expected
        );
    }
    let mut optional = bridge(9, "deploy", "deploy", "failed", Some((8, "failed")));
    optional.allow_failure = true;
    assert_eq!(with(optional), "take 7");
}

#[test]
fn trigger_jobs_are_read_only_if_they_can_change_the_verdict() {
    let ask = |jobs| judge(&requirements(), jobs, None, None);
    assert_eq!(ask(good()), "bridges 7");
    let running = and([job(3, "test", "lint", "running")]);
    assert!(ask(running).starts_with("wait: "));
    let failed = and([job(3, "test", "lint", "failed")]);
    assert!(ask(failed).starts_with("nothing: "));
    let without = vec![job(2, "test", "test", "success")];
    assert!(ask(without).starts_with("nothing: "));
    // The job may wait for a trigger job.
    let behind = and([job(12, "deploy", "deploy", "created")]);
    assert_eq!(ask(behind.clone()), "bridges 7");
    let gate = bridge(11, "approve", "approve", "manual", None);
    assert_eq!(
        judge(&requirements(), behind.clone(), Some(vec![gate]), None),
        "take 7"
    );
    assert_eq!(
        judge(&requirements(), behind, Some(Vec::new()), None),
        "wait: pipeline 7 waits for job deploy (created)"
    );
    // A trigger job may be a required job.
    let package = vec![job(1, "build", "package", "success")];
    assert_eq!(ask(package.clone()), "bridges 7");
    let test = |status| bridge(2, "test", "test", status, None);
    let judge = |test| judge(&requirements(), package.clone(), Some(vec![test]), None);
    assert_eq!(judge(test("success")), "take 7");
    assert!(judge(test("skipped")).contains("trigger job test was skipped"));
    assert!(judge(test("manual")).contains("trigger job test (manual): start it"));
}

/// The package and a test are jobs of the child pipeline of trigger job `build`.
fn of_child() -> Requirements {
    let of_child = |name: &str| JobName {
        pipeline: Some("build".to_owned()),
        name: name.to_owned(),
    };
    Requirements {
        git_ref: "main".to_owned(),
        artifact_jobs: [of_child("package")].into(),
        required_jobs: [of_child("test")].into(),
        minimum_tests: None,
    }
}

#[test]
fn jobs_of_a_child_pipeline_are_found_by_its_trigger_job() {
    let started = || {
        Some(vec![bridge(
            3,
            "build",
            "build",
            "success",
            Some((8, "running")),
        )])
    };
    let ask = |bridges, child| judge(&of_child(), Vec::new(), bridges, child);
    assert_eq!(ask(None, None), "bridges 7");
    assert_eq!(ask(started(), None), "jobs 8");
    assert_eq!(ask(started(), Some(good())), "take 7");
    // Without a strategy, the rest of the child does not count.
    let lint = and([job(3, "test", "lint", "failed")]);
    assert_eq!(ask(started(), Some(lint)), "take 7");

    let mut test_runs = good();
    test_runs[1].status = "running".to_owned();
    let nothing = "nothing: no new pipeline of main can be released: pipeline ";
    let mut no_archive = good();
    no_archive[0].archive_kept = false;
    no_archive[0].archive_size = None;
    let table = [
        (
            Vec::new(),
            "wait: pipeline 7: child pipeline 8 has no jobs yet".to_owned(),
        ),
        (
            test_runs,
            "wait: pipeline 7 waits for job test of child pipeline 8 (running)".to_owned(),
        ),
        (
            vec![
                job(1, "build", "package", "failed"),
                job(2, "test", "test", "success"),
            ],
            format!("{nothing}7: job package of child pipeline 8 failed"),
        ),
        (
            vec![job(1, "build", "Package", "success")],
            format!(
                "{nothing}8 has no job package, but Package: the name has to be exactly as GitLab \
                 shows it"
            ),
        ),
        (
            no_archive,
            "problem: pipeline 8: job package has no artifacts, or they were erased. Run the job \
             again (Retry on its page, or a new pipeline); if it never had any, give it \
             artifacts:paths in .gitlab-ci.yml"
                .to_owned(),
        ),
    ];
    for (child, expected) in table {
        assert_eq!(ask(started(), Some(child)), expected);
    }
}

#[test]
fn trigger_job_without_a_child_pipeline_is_reported() {
    let ask = |bridge: Bridge| judge(&of_child(), good(), Some(vec![bridge]), Some(good()));
    let nothing = "nothing: no new pipeline of main can be released: pipeline 7";
    let no_child = format!(
        "{nothing}: trigger job build started pipeline 8, which is not a child pipeline: jobs are only \
         taken from those that `trigger: include` starts, in the same project on the same commit"
    );
    let started = bridge(3, "build", "build", "success", Some((8, "success")));
    let elsewhere = |change: fn(&mut Downstream)| {
        let mut bridge = started.clone();
        change(bridge.downstream.as_mut().unwrap());
        bridge
    };
    let table = [
        (
            bridge(3, "build", "builds", "success", Some((8, "success"))),
            format!(
                "{nothing} has no trigger job build, but builds: the name has to be exactly as \
                 GitLab shows it"
            ),
        ),
        (
            bridge(3, "build", "build", "created", None),
            "wait: pipeline 7 waits for trigger job build (created)".to_owned(),
        ),
        (
            bridge(3, "build", "build", "manual", None),
            "wait: pipeline 7 waits for trigger job build (manual): start it in \
             GitLab"
                .to_owned(),
        ),
        (
            bridge(3, "build", "build", "skipped", None),
            format!("{nothing}: trigger job build was skipped"),
        ),
        (
            bridge(3, "build", "build", "success", None),
            format!(
                "{nothing}: the pipeline that trigger job build started was deleted, or the token \
                 can't see it"
            ),
        ),
        (
            elsewhere(|it| it.source = "pipeline".to_owned()),
            no_child.clone(),
        ),
        (elsewhere(|it| it.sha = "1".repeat(40)), no_child),
        (started.clone(), "take 7".to_owned()),
    ];
    for (bridge, expected) in table {
        assert_eq!(ask(bridge), expected);
    }
}

#[test]
fn retried_jobs_of_the_released_pipeline_are_fetched_again() {
    let ask = |requirements: &Requirements,
               jobs: &[(i64, Vec<Job>)],
               bridges: &[(i64, Vec<Bridge>)],
               seen: &[i64]| {
        let known = Known {
            pipelines: &[pipeline(7, "success")],
            listed: Listed::All,
            jobs: &jobs.iter().cloned().collect(),
            bridges: &bridges.iter().cloned().collect(),
            tests: &BTreeMap::new(),
        };
        let seen = seen.iter().copied().collect();
        requirements.again(known, 7, &seen).map(say)
    };
    let own = requirements();
    let take = Some("take 7".to_owned());
    assert_eq!(ask(&own, &[], &[], &[]), Some("jobs 7".to_owned()));
    // The same job as before: the rest of the pipeline does not matter.
    let mut changed = good();
    changed[1].status = "failed".to_owned();
    assert_eq!(ask(&own, &[(7, changed.clone())], &[], &[1]), take);
    // Another job: the pipeline is judged like a new one.
    changed[0].id = 5;
    assert_eq!(ask(&own, &[(7, changed)], &[], &[1]), None);
    let mut again = good();
    again[0].id = 5;
    let again = [(7, again)];
    assert_eq!(ask(&own, &again, &[], &[1]), Some("bridges 7".to_owned()));
    assert_eq!(ask(&own, &again, &[(7, Vec::new())], &[1]), take);
    // Missing artifacts are only noted.
    let mut gone = good();
    gone[0].archive_kept = false;
    gone[0].archive_size = None;
    for seen in [&[1][..], &[]] {
        let verdict = ask(&own, &[(7, gone.clone())], &[(7, Vec::new())], seen).unwrap();
        assert!(verdict.starts_with("take 7; pipeline 7: job package has no artifacts"));
    }
    // Jobs of a child pipeline.
    let of_child = of_child();
    let started = [(
        7,
        vec![bridge(3, "build", "build", "success", Some((8, "success")))],
    )];
    assert_eq!(
        ask(&of_child, &[(7, Vec::new())], &started, &[1]),
        Some("jobs 8".to_owned())
    );
    let jobs = [(7, Vec::new()), (8, good())];
    assert_eq!(ask(&of_child, &jobs, &started, &[1]), take);
    // The pipeline is no longer in the list.
    let none = requirements();
    let known = Known {
        pipelines: &[],
        listed: Listed::All,
        jobs: &BTreeMap::new(),
        bridges: &BTreeMap::new(),
        tests: &BTreeMap::new(),
    };
    assert_eq!(none.again(known, 7, &BTreeSet::new()), None);
}
