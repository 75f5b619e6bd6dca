//! Pages, filters, entity tags and the headers of every response.

use reqwest::Method;
use serde_json::json;
use sluice_lab::gitlab::{JobEnd, JobSpec};

use super::{Lab, builds, reply};

#[tokio::test]
async fn pages_carry_their_position_and_links() {
    let lab = Lab::start().await;
    let mut made: Vec<u64> = (0..5)
        .map(|_| {
            lab.gitlab
                .run_pipeline(lab.project, "main", vec![builds()])
                .0
        })
        .collect();
    made.reverse();
    let middle = lab.get("/pipelines?per_page=2&page=2&ref=main").await;
    assert_eq!(middle.ids(), made[2..4]);
    let headers = [
        "x-page",
        "x-per-page",
        "x-next-page",
        "x-prev-page",
        "x-total",
        "x-total-pages",
    ];
    assert_eq!(
        headers.map(|name| middle.header(name).unwrap()),
        ["2", "2", "3", "1", "5", "3"]
    );
    let link = middle.header("link").unwrap();
    for rel in ["prev", "next", "first", "last"] {
        assert!(link.contains(&format!("rel=\"{rel}\"")), "{link}");
    }
    assert!(link.contains("ref=main"), "{link}");
    assert!(
        link.starts_with(&format!(
            "<{}/projects/{}/pipelines?",
            lab.gitlab.api_url(),
            lab.project
        )),
        "{link}"
    );

    let last = lab.get("/pipelines?per_page=2&page=3").await;
    assert_eq!(
        (last.header("x-next-page"), last.header("x-prev-page")),
        (Some(""), Some("2"))
    );
    let beyond = lab.get("/pipelines?page=9").await;
    assert_eq!((beyond.status.as_u16(), beyond.json()), (200, json!([])));
    assert_eq!(
        lab.get("/pipelines?per_page=1000")
            .await
            .header("x-per-page"),
        Some("100")
    );
}

#[tokio::test]
async fn a_projects_jobs_have_no_total_and_support_keyset_pagination() {
    let lab = Lab::start().await;
    for _ in 0..3 {
        lab.gitlab.run_pipeline(lab.project, "main", vec![builds()]);
    }
    let page = lab.get("/jobs?per_page=2").await;
    assert_eq!(
        (page.header("x-total"), page.header("x-total-pages")),
        (None, None)
    );
    assert!(!page.header("link").unwrap().contains("rel=\"last\""));

    let first = lab
        .get("/jobs?pagination=keyset&order_by=id&sort=desc&per_page=2")
        .await;
    assert_eq!(first.header("x-page"), None);
    let link = first.header("link").unwrap();
    let next = link.strip_prefix('<').unwrap().split('>').next().unwrap();
    let second = reply(lab.client.get(next).header("PRIVATE-TOKEN", &lab.token)).await;
    assert_eq!(second.header("link"), None);
    let walked = [first.ids(), second.ids()].concat();
    assert_eq!(walked, lab.get("/jobs").await.ids());
    assert_eq!(lab.get("/pipelines?pagination=keyset").await.status, 405);
}

#[tokio::test]
async fn filters_narrow_the_pipelines() {
    let lab = Lab::start().await;
    let failing = JobSpec::new("test", "test").ends(JobEnd::failed());
    let good = lab.gitlab.run_pipeline(lab.project, "main", vec![builds()]);
    let bad = lab.gitlab.run_pipeline(lab.project, "main", vec![failing]);
    let sha = lab.gitlab.push(lab.project, "feature/x", "More");
    let other = lab
        .gitlab
        .run_pipeline(lab.project, "feature/x", vec![JobSpec::new("a", "a")]);
    lab.gitlab.tag(lab.project, "v1", &sha);
    let tagged = lab
        .gitlab
        .run_pipeline_as(lab.project, "v1", "schedule", None, vec![builds()]);
    lab.gitlab.change(|state, _| {
        let changed = "2190-01-01T00:00:00Z".parse().ok();
        state
            .pipeline_mut(tagged)
            .map(|pipeline| pipeline.updated_at = changed)
    });
    let table = [
        ("ref=main", vec![bad, good]),
        ("ref=feature/x", vec![other]),
        ("ref=main&sort=asc", vec![good, bad]),
        ("status=success&ref=main", vec![good]),
        (&format!("sha={sha}"), vec![tagged, other]),
        ("source=schedule", vec![tagged]),
        ("scope=pending", vec![other]),
        ("scope=finished&ref=main", vec![bad, good]),
        ("scope=branches", vec![other, bad]),
        ("scope=tags", vec![tagged]),
        ("updated_after=2180-01-01T00:00:00Z", vec![tagged]),
        (
            "updated_before=2180-01-01T00:00:00Z",
            vec![other, bad, good],
        ),
        ("updated_after=2180-01-01T02:00:00%2B02:00", vec![tagged]),
        ("updated_after=2199-01-01T00:00:00Z", vec![]),
        ("username=unknown", vec![]),
        ("order_by=updated_at&per_page=1", vec![tagged]),
    ];
    for (query, wanted) in table {
        let wanted: Vec<u64> = wanted.into_iter().map(|id| id.0).collect();
        assert_eq!(
            lab.get(&format!("/pipelines?{query}")).await.ids(),
            wanted,
            "{query}"
        );
    }
}

#[tokio::test]
async fn an_unchanged_read_is_answered_304() {
    let lab = Lab::start().await;
    let pipeline = lab
        .gitlab
        .run_pipeline(lab.project, "main", vec![JobSpec::new("a", "a")]);
    let path = format!("/pipelines/{pipeline}/jobs");
    let tag = lab.get(&path).await.header("etag").unwrap().to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let mark = lab.gitlab.mark();
    let ask = || reply(lab.ask(Method::GET, &path).header("If-None-Match", &tag));
    let same = ask().await;
    assert_eq!(
        (
            same.status.as_u16(),
            same.text.as_str(),
            same.header("etag")
        ),
        (304, "", Some(tag.as_str()))
    );
    lab.gitlab.start_job(lab.gitlab.job(pipeline, "a"));
    assert_eq!(ask().await.status, 200);
    let seen: Vec<_> = lab
        .gitlab
        .requests_since(mark)
        .into_iter()
        .map(|r| (r.status, r.conditional, r.token_name))
        .collect();
    let by = Some("ana-1".to_owned());
    assert_eq!(seen, [(Some(304), true, by.clone()), (Some(200), true, by)]);
}

#[tokio::test]
async fn every_response_carries_a_request_id_and_the_rate_limit() {
    let lab = Lab::start().await;
    for path in ["", "/pipelines/1"] {
        let reply = lab.get(path).await;
        for name in [
            "x-request-id",
            "x-gitlab-meta",
            "ratelimit-limit",
            "ratelimit-name",
            "ratelimit-observed",
        ] {
            assert!(reply.header(name).is_some(), "{name} on {path:?}");
        }
        let number = |name: &str| reply.header(name).unwrap().parse::<u64>().unwrap();
        assert_eq!(
            number("ratelimit-limit"),
            number("ratelimit-observed") + number("ratelimit-remaining")
        );
        assert!(number("ratelimit-reset") > number("ratelimit-limit"));
    }
}
