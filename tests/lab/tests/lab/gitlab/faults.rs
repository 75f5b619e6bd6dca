//! Faults, and the control of the lab over HTTP.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sluice_lab::{
    gitlab::{FaultAction, FaultRule, Status},
    lab::{PATIENCE, wait_until},
};

use super::{Lab, builds, reply};

#[tokio::test]
async fn a_fault_rule_applies_as_often_as_it_says_and_ends_with_its_handle() {
    let lab = Lab::start().await;
    let body = "{\"message\":\"500 Internal Server Error\"}".to_owned();
    let action = FaultAction::Respond {
        status: 500,
        content_type: "application/json".to_owned(),
        body,
    };
    let once = lab
        .gitlab
        .faults()
        .add(FaultRule::on("/pipelines", action).method("GET").times(1));
    assert_eq!(lab.get("").await.status, 200, "another path");
    assert_eq!(lab.get("/pipelines").await.status, 500);
    assert_eq!(lab.get("/pipelines").await.status, 200);
    drop(once);
    assert!(lab.gitlab.faults().list().is_empty());

    let always = lab
        .gitlab
        .faults()
        .add(FaultRule::on("", FaultAction::BadGateway));
    let page = lab.get("").await;
    assert_eq!(
        (page.status.as_u16(), page.header("content-type")),
        (502, Some("text/html"))
    );
    always.remove();
    assert_eq!(lab.get("").await.status, 200);
}

#[tokio::test]
async fn both_kinds_of_429_have_a_retry_after_header() {
    let lab = Lab::start().await;
    lab.gitlab
        .faults()
        .add(FaultRule::on("", FaultAction::Throttled { retry_after: 7 }).times(1))
        .keep();
    let plain = lab.get("").await;
    assert_eq!(
        (plain.status.as_u16(), plain.text.as_str()),
        (429, "Retry later\n")
    );
    assert_eq!(
        (
            plain.header("retry-after"),
            plain.header("ratelimit-remaining")
        ),
        (Some("7"), Some("0"))
    );
    lab.gitlab
        .faults()
        .add(FaultRule::on("", FaultAction::ApplicationLimit { retry_after: 9 }).times(1))
        .keep();
    let limited = lab.get("").await;
    assert_eq!(
        (limited.status.as_u16(), limited.header("retry-after")),
        (429, Some("9"))
    );
    assert!(
        limited.json()["message"]["error"]
            .as_str()
            .unwrap()
            .contains("too many times")
    );
}

#[tokio::test]
async fn a_truncated_body_has_its_full_length_announced() {
    let lab = Lab::start().await;
    let pipeline = lab.gitlab.run_pipeline(lab.project, "main", vec![builds()]);
    let archive = format!("/jobs/{}/artifacts", lab.gitlab.job(pipeline, "package"));
    let whole = super::archive();
    for path in [
        archive.clone(),
        format!("{archive}/dist/api.zip"),
        "/pipelines".to_owned(),
    ] {
        let rule = lab
            .gitlab
            .faults()
            .add(FaultRule::on("", FaultAction::Truncate { after: 5 }));
        let mut response = lab.ask(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status(), 200);
        if path == archive {
            assert_eq!(response.content_length(), Some(whole.len() as u64));
        }
        let mut read = Vec::new();
        let error = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => read.extend(chunk),
                Ok(None) => panic!("{path} ended as if it were whole"),
                Err(error) => break error,
            }
        };
        assert!(error.is_body() || error.is_decode(), "{error:?}");
        assert_eq!(read.len(), 5, "{path}");
        rule.remove();
    }
}

#[tokio::test]
async fn dropped_and_hanging_requests_are_recorded_without_a_status() {
    let lab = Lab::start().await;
    let mark = lab.gitlab.mark();
    let dropping = lab
        .gitlab
        .faults()
        .add(FaultRule::on("", FaultAction::Drop));
    assert!(lab.ask(Method::GET, "").send().await.is_err());
    dropping.remove();
    for silent in [
        FaultAction::Hang,
        FaultAction::delay(Duration::from_hours(1)),
    ] {
        let rule = FaultRule::on("", silent.clone()).times(1);
        let rule = lab.gitlab.faults().add(rule);
        let patient = tokio::spawn(lab.ask(Method::GET, "").send());
        let arrived = wait_until("the request arrives", PATIENCE, async || {
            (lab.gitlab.faults().list()[&rule.id()].times == Some(0)).then_some(())
        });
        arrived.await.unwrap();
        // Other requests are answered meanwhile.
        assert_eq!(lab.get("").await.status, 200);
        assert!(!patient.is_finished(), "{silent:?}");
        patient.abort();
        rule.remove();
    }
    let seen = lab.gitlab.requests_since(mark);
    let unanswered = seen.iter().filter(|request| request.status.is_none());
    assert!(unanswered.count() >= 3, "{seen:?}");
    let short = FaultAction::delay(Duration::from_millis(1));
    let late = lab.gitlab.faults().add(FaultRule::on("", short));
    assert_eq!(lab.get("").await.status, 200, "the response is late");
    late.remove();
}

#[tokio::test]
async fn the_lab_can_be_driven_over_http() {
    let lab = Lab::start().await;
    let post = async |path: &str, body: Value| {
        let reply = reply(
            lab.client
                .post(format!("{}/_lab/{path}", lab.gitlab.url()))
                .json(&body),
        )
        .await;
        assert_eq!(reply.status, 201, "{path}: {}", reply.text);
        reply.json()
    };
    let id = post("projects", json!({"path": "shop/site"})).await["id"].clone();
    let token =
        post("tokens", json!({"username": "eve", "scopes": ["read_api"]})).await["token"].clone();
    let sha = post(
        "push",
        json!({"project": "shop/site", "branch": "main", "message": "Go"}),
    )
    .await["sha"]
        .clone();
    post(
        "tags",
        json!({"project": id.to_string(), "tag": "v1", "sha": sha}),
    )
    .await;
    let jobs = json!([
        {"name": "package", "stage": "build"},
        {"name": "approve", "stage": "gate", "kind": "manualBlocking", "ends": "success"},
    ]);
    let made = post(
        "pipelines",
        json!({"project": "shop/site", "ref": "v1", "username": "eve", "jobs": jobs}),
    )
    .await;
    let job = |at: usize| made["jobs"][at]["id"].as_u64().unwrap();
    post(&format!("jobs/{}/start", job(0)), json!(null)).await;
    let finish = format!(
        "{}/_lab/jobs/{}/finish?path=dist/api.zip",
        lab.gitlab.url(),
        job(0)
    );
    assert_eq!(
        reply(lab.client.post(finish).body("code")).await.status,
        201
    );
    post(&format!("jobs/{}/play", job(1)), json!({"username": "bob"})).await;
    let pipeline = sluice_lab::gitlab::PipelineId(made["id"].as_u64().unwrap());
    assert_eq!(lab.gitlab.status(pipeline), Status::Success);

    let file = format!("projects/{id}/jobs/{}/artifacts/dist/api.zip", job(0));
    let read = async || {
        reply(
            lab.bare(Method::GET, &file)
                .header("PRIVATE-TOKEN", token.as_str().unwrap()),
        )
        .await
    };
    assert_eq!(read().await.text, "code");
    let fault = post(
        "faults",
        json!({"path": "/artifacts/", "times": 2, "action": "badGateway"}),
    )
    .await["id"]
        .clone();
    assert_eq!(read().await.status, 502);
    let remove = lab
        .client
        .delete(format!("{}/_lab/faults/{fault}", lab.gitlab.url()));
    assert_eq!(reply(remove).await.status, 204);
    assert_eq!(read().await.status, 200);
    let record = reply(
        lab.client
            .get(format!("{}/_lab/requests", lab.gitlab.url())),
    )
    .await
    .json();
    assert_eq!(record.as_array().unwrap().len(), 3);
    assert_eq!(record[1]["status"], 502);

    let unknown = lab.client.post(format!("{}/_lab/push", lab.gitlab.url()));
    let refused =
        reply(unknown.json(&json!({"project": "no/ne", "branch": "b", "message": "m"}))).await;
    assert_eq!(refused.status, 404);
}
