mod bridges;
mod lists;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::pipeline::{Bridge, Job, Pipeline, TestSummary};

const ARCHIVE: u64 = 10;

fn job(id: i64, stage: &str, name: &str, status: &str) -> Job {
    Job {
        id,
        name: name.to_owned(),
        stage: stage.to_owned(),
        status: status.to_owned(),
        allow_failure: false,
        archive_size: Some(ARCHIVE),
        archive_kept: true,
        tag: None,
        archive_expires_at: None,
        commit_title: None,
        user: None,
    }
}

fn optional(mut job: Job) -> Job {
    job.allow_failure = true;
    job
}

fn pipeline(id: i64, status: &str) -> Pipeline {
    Pipeline {
        id,
        sha: "0".repeat(40),
        git_ref: Some("main".to_owned()),
        status: status.to_owned(),
        source: "push".to_owned(),
        web_url: None,
    }
}

fn requirements() -> Requirements {
    Requirements {
        git_ref: "main".to_owned(),
        artifact_jobs: ["package".into()].into(),
        required_jobs: ["test".into()].into(),
        minimum_tests: None,
    }
}

/// The verdict if no pipeline has trigger jobs.
fn ask(
    requirements: &Requirements,
    pipelines: &[Pipeline],
    jobs: &BTreeMap<i64, Vec<Job>>,
    released: Option<i64>,
) -> Verdict {
    let known = Known {
        pipelines,
        listed: Listed::All,
        jobs,
        bridges: &no_bridges(jobs),
        tests: &BTreeMap::new(),
    };
    requirements.next(known, released)
}

fn no_bridges(jobs: &BTreeMap<i64, Vec<Job>>) -> BTreeMap<i64, Vec<Bridge>> {
    jobs.keys().map(|id| (*id, Vec::new())).collect()
}

/// The verdict in one line, for tables.
fn say(verdict: Verdict) -> String {
    match verdict {
        Verdict::NeedPipelines => "older pipelines".to_owned(),
        Verdict::NeedJobs(id) => format!("jobs {id}"),
        Verdict::NeedBridges(id) => format!("bridges {id}"),
        Verdict::NeedTests(id) => format!("tests {id}"),
        Verdict::Eligible { pipeline, note } => match note {
            Some(note) => format!("take {pipeline}; {note}"),
            None => format!("take {pipeline}"),
        },
        Verdict::Waiting { message, .. } => format!("wait: {message}"),
        Verdict::Problem { message, .. } => format!("problem: {message}"),
        Verdict::Released { message } => format!("released: {message}"),
        Verdict::Nothing { message } => format!("nothing: {message}"),
    }
}

fn judge_one(status: &str, jobs: Vec<Job>) -> String {
    let jobs = [(7, jobs)].into();
    say(ask(&requirements(), &[pipeline(7, status)], &jobs, None))
}

fn good() -> Vec<Job> {
    vec![
        job(1, "build", "package", "success"),
        job(2, "test", "test", "success"),
    ]
}

fn and(more: impl IntoIterator<Item = Job>) -> Vec<Job> {
    let mut jobs = good();
    jobs.extend(more);
    jobs
}

#[test]
fn a_pipeline_is_judged_by_its_jobs() {
    let table = [
        ("success", good(), "take 7"),
        // The status is `failed` because of an external commit status.
        ("failed", good(), "take 7"),
        (
            "running",
            vec![
                job(1, "build", "package", "running"),
                job(2, "test", "test", "created"),
            ],
            "wait: pipeline 7 waits for job package (running)",
        ),
        (
            "failed",
            vec![
                job(1, "build", "package", "success"),
                job(2, "test", "test", "failed"),
            ],
            "nothing: no new pipeline of main can be released: pipeline 7: job test failed",
        ),
        (
            "success",
            vec![
                job(1, "build", "package", "success"),
                optional(job(2, "test", "test", "failed")),
            ],
            "nothing: no new pipeline of main can be released: pipeline 7: job test failed",
        ),
        (
            "canceled",
            vec![
                job(1, "build", "package", "success"),
                job(2, "test", "test", "canceled"),
            ],
            "nothing: no new pipeline of main can be released: pipeline 7: job test was canceled",
        ),
        (
            "success",
            vec![
                job(1, "build", "package", "skipped"),
                job(2, "test", "test", "success"),
            ],
            "nothing: no new pipeline of main can be released: pipeline 7: job package was skipped",
        ),
        (
            "success",
            vec![job(2, "test", "test", "success")],
            "nothing: no new pipeline of main can be released: pipeline 7 has no job package",
        ),
        (
            "success",
            vec![job(1, "build", "package", "success")],
            "nothing: no new pipeline of main can be released: pipeline 7 has no job test",
        ),
        ("created", vec![], "wait: pipeline 7 is being created"),
        (
            "failed",
            vec![],
            "nothing: no new pipeline of main can be released: pipeline 7 has no jobs",
        ),
    ];
    for (status, jobs, expected) in table {
        assert_eq!(judge_one(status, jobs), expected);
    }
}

#[test]
fn other_jobs_count_as_in_gitlab() {
    let lint = |status: &str| job(3, "test", "lint", status);
    let waits = |status: &str| format!("wait: pipeline 7 waits for job lint ({status})");
    let table = [
        (lint("success"), "take 7".to_owned()),
        (lint("skipped"), "take 7".to_owned()),
        (optional(lint("failed")), "take 7".to_owned()),
        (optional(lint("canceled")), "take 7".to_owned()),
        (optional(lint("manual")), "take 7".to_owned()),
        (lint("manual"), "take 7".to_owned()),
        (
            lint("failed"),
            "nothing: no new pipeline of main can be released: pipeline 7: job lint failed"
                .to_owned(),
        ),
        (lint("created"), waits("created")),
        (lint("waiting_for_resource"), waits("waiting_for_resource")),
        (lint("preparing"), waits("preparing")),
        (lint("waiting_for_callback"), waits("waiting_for_callback")),
        (lint("pending"), waits("pending")),
        (lint("running"), waits("running")),
        (lint("canceling"), waits("canceling")),
        (lint("scheduled"), waits("scheduled")),
        (optional(lint("running")), waits("running")),
        (lint("a_word_of_the_future"), waits("a_word_of_the_future")),
    ];
    for (lint, expected) in table {
        assert_eq!(judge_one("running", and([lint])), expected);
    }
}

#[test]
fn jobs_after_a_manual_gate_are_not_waited_for() {
    let gate = job(10, "approve", "approve-prod", "manual");
    let after = job(11, "deploy", "deploy-prod", "created");
    assert_eq!(judge_one("manual", and([gate.clone(), after])), "take 7");
    let skipped = job(11, "deploy", "deploy-prod", "skipped");
    assert_eq!(judge_one("manual", and([gate.clone(), skipped])), "take 7");
    // In the gate's own stage, `needs` may order a job after it.
    let beside = job(12, "approve", "tell", "created");
    assert_eq!(judge_one("manual", and([gate.clone(), beside])), "take 7");
    // A gate without `needs` is manual at once: earlier jobs still have to run.
    let before = job(3, "test", "lint", "created");
    assert_eq!(
        judge_one("manual", and([gate.clone(), before])),
        "wait: pipeline 7 waits for job lint (created)"
    );
    let running = job(11, "deploy", "deploy-dev", "running");
    assert_eq!(
        judge_one("manual", and([gate, running])),
        "wait: pipeline 7 waits for job deploy-dev (running)"
    );
    // An optional manual job is not a gate.
    let button = optional(job(10, "approve", "approve-prod", "manual"));
    let after = job(11, "deploy", "deploy-prod", "created");
    assert_eq!(
        judge_one("running", and([button, after])),
        "wait: pipeline 7 waits for job deploy-prod (created)"
    );
}

#[test]
fn required_job_has_to_run_even_after_a_gate() {
    let jobs = vec![
        job(1, "test", "test", "success"),
        job(2, "approve", "approve", "manual"),
        job(3, "build", "package", "created"),
    ];
    assert_eq!(
        judge_one("manual", jobs),
        "wait: pipeline 7 waits for job package (created), which comes after the manual job \
         approve: start that job in GitLab"
    );
    let jobs = vec![
        job(1, "test", "test", "success"),
        optional(job(3, "build", "package", "manual")),
    ];
    assert_eq!(
        judge_one("success", jobs),
        "wait: pipeline 7 waits for job package (manual): start it in GitLab"
    );
}

#[test]
fn newest_eligible_pipeline_is_chosen_and_newer_ones_are_named() {
    let failed = vec![
        job(1, "build", "package", "failed"),
        job(2, "test", "test", "skipped"),
    ];
    let running = vec![
        job(1, "build", "package", "running"),
        job(2, "test", "test", "created"),
    ];
    let pipelines = [
        pipeline(9, "running"),
        pipeline(7, "failed"),
        pipeline(5, "success"),
        pipeline(3, "success"),
    ];
    let mut jobs = BTreeMap::new();
    let table = [
        (9, running, None, "jobs 9"),
        (7, failed, None, "jobs 7"),
        (5, good(), None, "jobs 5"),
    ];
    for (id, of_it, released, expected) in table {
        assert_eq!(
            say(ask(&requirements(), &pipelines, &jobs, released)),
            expected
        );
        jobs.insert(id, of_it);
    }
    let table = [
        (
            None,
            "take 5; pipeline 9 waits for job package (running); pipeline 7: job package failed",
        ),
        (
            Some(5),
            "wait: pipeline 9 waits for job package (running); pipeline 7: job package failed",
        ),
        (Some(8), "wait: pipeline 9 waits for job package (running)"),
        (
            Some(9),
            "released: pipeline 9 is the newest of main; up to 9 everything is released",
        ),
        // The released pipeline was deleted: an older one is not chosen.
        (
            Some(12),
            "released: pipeline 9 is the newest of main; up to 12 everything is released",
        ),
    ];
    for (released, expected) in table {
        assert_eq!(
            say(ask(&requirements(), &pipelines, &jobs, released)),
            expected
        );
    }
}

#[test]
fn pipelines_of_external_statuses_do_not_count() {
    let mut external = pipeline(9, "success");
    external.source = "external".to_owned();
    let none = BTreeMap::new();
    assert_eq!(
        say(ask(&requirements(), &[external], &none, None)),
        "nothing: there is no pipeline of main yet"
    );
}

#[test]
fn missing_artifacts_are_reported_with_the_remedy() {
    let mut package = job(1, "build", "package", "success");
    package.archive_size = None;
    package.archive_kept = false;
    package.archive_expires_at = "2026-01-02T03:04:05Z".parse().ok();
    let jobs = vec![package.clone(), job(2, "test", "test", "success")];
    assert_eq!(
        judge_one("success", jobs.clone()),
        "problem: pipeline 7: the artifacts of job package expired on 2026-01-02T03:04:05Z or were \
         erased. Run the job again (Retry on its page, or a new pipeline); if it never had any, \
         give it artifacts:paths in .gitlab-ci.yml"
    );
    // A newer running pipeline makes that irrelevant.
    let running = vec![
        job(1, "build", "package", "running"),
        job(2, "test", "test", "created"),
    ];
    let pipelines = [pipeline(9, "running"), pipeline(7, "success")];
    let verdict = ask(
        &requirements(),
        &pipelines,
        &[(7, jobs), (9, running)].into(),
        None,
    );
    assert!(matches!(verdict, Verdict::Waiting { pipeline: 9, .. }));
    // Expired, but still listed: GitLab serves it.
    package.archive_size = Some(ARCHIVE);
    assert_eq!(
        judge_one("success", vec![package, job(2, "test", "test", "success")]),
        "take 7"
    );
}

#[test]
fn the_test_report_must_have_enough_tests_and_no_failure() {
    let mut requirements = requirements();
    requirements.minimum_tests = Some(2);
    let jobs = [(7, good())].into();
    let table = [
        (None, "tests 7"),
        (Some((2, 0)), "take 7"),
        (
            Some((1, 0)),
            "nothing: no new pipeline of main can be released: pipeline 7: its report has 1 tests, \
             at least 2 are required",
        ),
        (
            Some((5, 1)),
            "nothing: no new pipeline of main can be released: pipeline 7: 1 of 5 tests failed",
        ),
    ];
    for (report, expected) in table {
        let tests: BTreeMap<_, _> = report
            .map(|(total, failed)| (7, TestSummary { total, failed }))
            .into_iter()
            .collect();
        let known = Known {
            pipelines: &[pipeline(7, "success")],
            listed: Listed::All,
            jobs: &jobs,
            bridges: &no_bridges(&jobs),
            tests: &tests,
        };
        assert_eq!(say(requirements.next(known, None)), expected);
    }
}

fn any_job() -> impl Strategy<Value = Job> {
    let status = prop::sample::select(vec![
        "success",
        "failed",
        "canceled",
        "skipped",
        "manual",
        "created",
        "running",
        "scheduled",
        "new_word",
    ]);
    let name = prop::sample::select(vec!["package", "test", "lint", "gate"]);
    (1..50_i64, name, status, any::<bool>(), any::<bool>()).prop_map(
        |(id, name, status, allow_failure, kept)| Job {
            allow_failure,
            archive_kept: kept,
            tag: None,
            archive_size: kept.then_some(ARCHIVE),
            ..job(id, name, name, status)
        },
    )
}

proptest! {
    #[test]
    fn pipeline_at_or_below_the_released_one_is_never_chosen(
        ids in prop::collection::vec((1..30_i64, prop::collection::vec(any_job(), 0..6)), 0..8),
        released in prop::option::of(1..30_i64),
    ) {
        let pipelines: Vec<_> = ids.iter().map(|(id, _)| pipeline(*id, "success")).collect();
        let mut jobs = BTreeMap::new();
        // Every verdict either ends the loop or needs the jobs of one more pipeline above the released one.
        for _ in 0..=ids.len() {
            match ask(&requirements(), &pipelines, &jobs, released) {
                Verdict::NeedJobs(id) => {
                    prop_assert!(released.is_none_or(|released| id > released));
                    let of_it = ids.iter().find(|(other, _)| *other == id);
                    prop_assert!(of_it.is_some());
                    let asked_before = jobs.insert(id, of_it.map(|(_, jobs)| jobs.clone()).unwrap_or_default());
                    prop_assert!(asked_before.is_none());
                }
                Verdict::Eligible { pipeline, .. } => {
                    prop_assert!(released.is_none_or(|released| pipeline > released));
                    for name in ["package", "test"] {
                        let newest = newest_job(&jobs[&pipeline], name);
                        prop_assert!(newest.is_some_and(|job| job.status == "success"));
                    }
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
        prop_assert!(false, "the loop does not end");
    }
}
