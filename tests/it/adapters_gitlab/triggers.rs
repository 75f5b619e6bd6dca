//! Trigger jobs, child pipelines, and lists of more pipelines than one page.

use sluice::domain::eligibility::JobName;
use sluice_lab::gitlab::Strategy;

use super::*;

fn test() -> JobSpec {
    JobSpec::new("test", "test").ends(JobEnd::success())
}

fn pipeline_id(id: i64) -> PipelineId {
    PipelineId(id.try_into().unwrap())
}

fn taken(pipeline: i64) -> Verdict {
    Verdict::Eligible {
        pipeline,
        note: None,
    }
}

fn message(verdict: Verdict) -> String {
    match verdict {
        Verdict::Waiting { message, .. } | Verdict::Nothing { message } => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn downstream_pipeline_counts_by_the_strategy_of_its_trigger_job() {
    let lab = Lab::start().await;
    let child = || vec![JobSpec::new("integration", "test")];
    let deploy = |strategy| {
        let trigger = JobSpec::new("deploy", "deploy").triggers(strategy, child());
        vec![package(), test(), trigger]
    };
    let ends = async |strategy, end| {
        let pipeline = lab.run(deploy(strategy));
        let before = decide(&lab, Some(pipeline - 1)).await;
        let child = lab.gitlab.downstream(pipeline_id(pipeline), "deploy");
        lab.gitlab
            .finish_job(lab.gitlab.job(child, "integration"), end);
        (pipeline, before, decide(&lab, Some(pipeline - 1)).await)
    };
    let (pipeline, before, after) = ends(Strategy::None, JobEnd::failed()).await;
    assert_eq!([before, after], [taken(pipeline), taken(pipeline)]);
    for strategy in [Strategy::Depend, Strategy::Mirror] {
        let (pipeline, before, after) = ends(strategy, JobEnd::success()).await;
        let before = message(before);
        assert!(before.contains("trigger job deploy ("), "{before}");
        assert_eq!(after, taken(pipeline));
        let (_, _, after) = ends(strategy, JobEnd::failed()).await;
        let after = message(after);
        assert!(
            after.contains("trigger job deploy failed: its downstream"),
            "{after}"
        );
    }
    // A trigger job that was not started, as with plain `when: manual`.
    let trigger = JobSpec::new("deploy", "deploy").manual_optional();
    let pipeline = lab.run(vec![
        package(),
        test(),
        trigger.triggers(Strategy::Depend, child()),
    ]);
    assert_eq!(decide(&lab, Some(pipeline - 1)).await, taken(pipeline));
    let manual = lab.gitlab.job(pipeline_id(pipeline), "deploy");
    lab.gitlab.play(manual, lab.ana);
    let waits = message(decide(&lab, Some(pipeline - 1)).await);
    assert!(waits.contains("trigger job deploy (running)"), "{waits}");
}

#[tokio::test]
async fn jobs_of_child_pipelines_are_found() {
    let lab = Lab::start().await;
    let of_child = |name: &str| JobName {
        pipeline: Some("services".to_owned()),
        name: name.to_owned(),
    };
    let requirements = Requirements {
        git_ref: "main".to_owned(),
        artifact_jobs: [of_child("package")].into(),
        required_jobs: ["services".into(), of_child("test")].into(),
        minimum_tests: None,
    };
    let trigger = |strategy| {
        let services = JobSpec::new("services", "build");
        services.triggers(strategy, vec![package(), JobSpec::new("test", "test")])
    };
    let pipeline = lab.run(vec![trigger(Strategy::None)]);
    let waits = message(decide_by(&requirements, &lab, None).await);
    assert!(
        waits.contains("waits for job test of child pipeline"),
        "{waits}"
    );
    let child = lab.gitlab.downstream(pipeline_id(pipeline), "services");
    let test = lab.gitlab.job(child, "test");
    lab.gitlab.finish_job(test, JobEnd::success());
    assert_eq!(decide_by(&requirements, &lab, None).await, taken(pipeline));

    // A pipeline of the same project on another branch is no child pipeline.
    lab.gitlab.push(lab.project, "feature", "Odd");
    let jobs = vec![package(), self::test()];
    let elsewhere = JobSpec::new("services", "build");
    let elsewhere = elsewhere.triggers_in(lab.project, "feature", Strategy::Depend, jobs);
    let other = lab.run(vec![elsewhere]);
    let refused = message(decide_by(&requirements, &lab, Some(other - 1)).await);
    assert!(
        refused.contains("which is not a child pipeline"),
        "{refused}"
    );
}

#[tokio::test]
async fn finished_pipeline_is_found_behind_many_running_ones() {
    let lab = Lab::start().await;
    let finished = lab.run(vec![package(), test()]);
    for _ in 0..21 {
        lab.run(vec![package(), JobSpec::new("test", "test")]);
    }
    let verdict = decide(&lab, None).await;
    assert!(
        matches!(verdict, Verdict::Eligible { pipeline, .. } if pipeline == finished),
        "{verdict:?}"
    );
    // The search stops at the released pipeline.
    let (verdict, requests) = lab.requests(decide(&lab, Some(finished + 2))).await;
    assert!(matches!(verdict, Verdict::Waiting { .. }), "{verdict:?}");
    let lists = requests.iter().filter(|it| it.path.ends_with("/pipelines"));
    assert_eq!(lists.count(), 1);
}

#[tokio::test]
async fn pipelines_are_listed_page_by_page() {
    let lab = Lab::start().await;
    let client = lab.client().await;
    let ids: BTreeSet<i64> = (0..121).map(|_| lab.run(vec![package()])).collect();
    let mut seen = BTreeSet::new();
    for (page, count, more) in [(0, 20, true), (1, 100, true), (2, 21, false)] {
        let read = client
            .pipelines(lab.project_id(), &main_branch(), page)
            .await;
        let read = read.unwrap();
        assert_eq!((read.pipelines.len(), read.more), (count, more));
        seen.extend(read.pipelines.iter().map(|pipeline| pipeline.id));
    }
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn unchanged_trigger_jobs_take_a_304() {
    let lab = Lab::start().await;
    let client = lab.client().await;
    let trigger = JobSpec::new("deploy", "deploy").triggers(Strategy::None, vec![test()]);
    let pipeline = lab.run(vec![package(), trigger]);
    let first = client.bridges(lab.project_id(), pipeline).await.unwrap();
    let child = first[0].downstream.as_ref().unwrap();
    assert_eq!(child.source, "parent_pipeline");
    assert_eq!(child.project_id, lab.project_id());
    let read = client.bridges(lab.project_id(), pipeline);
    let (second, requests) = lab.requests(read).await;
    assert_eq!(second.unwrap(), first);
    assert_eq!(requests[0].status, Some(304));
    assert!(client.jobs(lab.project_id(), pipeline).await.unwrap().len() == 1);
}
