//! How far the list of pipelines is read, and how many pipelines are judged.

use super::*;

fn running() -> Vec<Job> {
    vec![
        job(1, "build", "package", "running"),
        job(2, "test", "test", "created"),
    ]
}

/// The verdict on pipelines that all run, except the oldest.
fn ask_of(ids: std::ops::RangeInclusive<i64>, listed: Listed, released: Option<i64>) -> Verdict {
    let oldest = *ids.start();
    let pipelines: Vec<_> = ids.map(|id| pipeline(id, "running")).collect();
    let jobs = (pipelines.iter())
        .map(|pipeline| {
            let is_oldest = pipeline.id == oldest;
            (pipeline.id, if is_oldest { good() } else { running() })
        })
        .collect();
    let known = Known {
        pipelines: &pipelines,
        listed,
        jobs: &jobs,
        bridges: &no_bridges(&jobs),
        tests: &BTreeMap::new(),
    };
    requirements().next(known, released)
}

#[test]
fn older_pipelines_are_read_down_to_the_released_one() {
    let waits = |verdict: &Verdict| matches!(verdict, Verdict::Waiting { pipeline: 40, .. });
    let all_run = |listed, released| {
        let pipelines: Vec<_> = (20..=40).map(|id| pipeline(id, "running")).collect();
        let jobs = pipelines.iter().map(|it| (it.id, running())).collect();
        let known = Known {
            pipelines: &pipelines,
            listed,
            jobs: &jobs,
            bridges: &BTreeMap::new(),
            tests: &BTreeMap::new(),
        };
        requirements().next(known, released)
    };
    assert_eq!(all_run(Listed::More, Some(10)), Verdict::NeedPipelines);
    assert_eq!(all_run(Listed::More, None), Verdict::NeedPipelines);
    assert!(waits(&all_run(Listed::More, Some(20))));
    assert!(waits(&all_run(Listed::More, Some(25))));
    assert!(waits(&all_run(Listed::All, None)));
    assert!(waits(&all_run(Listed::Enough(21), None)));
    // The first eligible one is the verdict.
    assert!(matches!(
        ask_of(19..=40, Listed::More, None),
        Verdict::Eligible { pipeline: 19, .. }
    ));
}

#[test]
fn message_says_how_many_pipelines_were_read() {
    let known = |pipelines: &'static [Pipeline], jobs: &'static BTreeMap<i64, Vec<Job>>| Known {
        pipelines,
        listed: Listed::Enough(2000),
        jobs,
        bridges: Box::leak(Box::new(no_bridges(jobs))),
        tests: Box::leak(Box::default()),
    };
    let none = Box::leak(Box::default());
    assert_eq!(
        say(requirements().next(known(&[], none), None)),
        "nothing: there is no pipeline of main among the newest 2000 yet"
    );
}

#[test]
fn number_of_judged_pipelines_is_limited() {
    let count = i64::try_from(JUDGED).unwrap();
    let taken = ask_of(1..=count, Listed::All, None);
    assert!(matches!(taken, Verdict::Eligible { pipeline: 1, .. }));
    let beyond = ask_of(1..=count + 1, Listed::More, None);
    assert!(matches!(beyond, Verdict::Waiting { .. }), "{beyond:?}");
}

#[test]
fn missing_job_is_reported_with_similar_names() {
    let jobs = |name: &str| {
        vec![
            job(1, "build", name, "success"),
            job(2, "test", "test", "success"),
        ]
    };
    let nothing = "nothing: no new pipeline of main can be released: pipeline 7 has no job package";
    let table = [
        (
            "package: [eu]",
            ", but package: [eu]: the name has to be exactly as GitLab shows it",
        ),
        (
            "package 1/3",
            ", but package 1/3: the name has to be exactly as GitLab shows it",
        ),
        (
            "Package",
            ", but Package: the name has to be exactly as GitLab shows it",
        ),
        (
            "package:policy-77-0",
            ", but package:policy-77-0: the name has to be exactly as GitLab shows it",
        ),
        ("lint", ""),
    ];
    for (name, near) in table {
        assert_eq!(judge_one("success", jobs(name)), format!("{nothing}{near}"));
    }
}
