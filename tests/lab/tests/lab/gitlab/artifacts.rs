//! Archives in their three transports, single files, expiry and size.

use bytes::Bytes;
use reqwest::Method;
use serde_json::json;
use sluice_lab::gitlab::{ArtifactSource, JobEnd, JobId, JobSpec, Origin, Transport};

use super::{Lab, archive, builds, reply};

fn built(lab: &Lab) -> JobId {
    let pipeline = lab.gitlab.run_pipeline(lab.project, "main", vec![builds()]);
    lab.gitlab.job(pipeline, "package")
}

async fn bytes(request: reqwest::RequestBuilder) -> (u16, Option<u64>, Bytes) {
    let response = request.send().await.unwrap();
    let (status, length) = (response.status().as_u16(), response.content_length());
    (status, length, response.bytes().await.unwrap())
}

#[tokio::test]
async fn an_archive_is_the_same_in_every_transport() {
    let lab = Lab::start().await;
    let path = format!("/jobs/{}/artifacts", built(&lab));
    let whole = (200, Some(archive().len() as u64), Bytes::from(archive()));
    for transport in [Transport::Disk, Transport::Proxied] {
        lab.gitlab.set_transport(transport);
        assert_eq!(bytes(lab.ask(Method::GET, &path)).await, whole);
        let part = bytes(lab.ask(Method::GET, &path).header("Range", "bytes=2-5")).await;
        assert_eq!(part, (206, Some(4), whole.2.slice(2..6)));
        assert_eq!(
            bytes(lab.ask(Method::GET, &path).header("Range", "bytes=99999-"))
                .await
                .0,
            416
        );
    }

    lab.gitlab.set_transport(Transport::Redirect);
    let redirect = lab.get(&path).await;
    assert_eq!(redirect.status, 302);
    let to = redirect.header("location").unwrap();
    assert!(to.starts_with(lab.gitlab.storage_url()) && !to.starts_with(&lab.gitlab.url()));
    assert_eq!(bytes(lab.client.get(to)).await, whole);
}

#[tokio::test]
async fn the_storage_rejects_requests_with_a_credential() {
    let lab = Lab::start().await;
    let path = format!("/jobs/{}/artifacts", built(&lab));
    lab.gitlab.set_transport(Transport::Redirect);
    let redirect = lab.get(&path).await;
    let to = redirect.header("location").unwrap();
    let mark = lab.gitlab.mark();
    for name in ["PRIVATE-TOKEN", "Authorization", "JOB-TOKEN"] {
        assert_eq!(
            reply(lab.client.get(to).header(name, "x")).await.status,
            400,
            "{name}"
        );
    }
    assert_eq!(reply(lab.client.get(format!("{to}0"))).await.status, 403);
    let seen = lab.gitlab.requests_since(mark);
    assert!(seen.iter().all(|request| request.origin == Origin::Storage));
    assert_eq!(
        seen.iter()
            .map(|request| request.credential)
            .collect::<Vec<_>>(),
        [true, true, true, false]
    );
}

#[tokio::test]
async fn a_single_file_comes_without_a_length() {
    let lab = Lab::start().await;
    let path = format!("/jobs/{}/artifacts", built(&lab));
    let file = bytes(lab.ask(Method::GET, &format!("{path}/dist/api.zip"))).await;
    assert_eq!(file, (200, None, Bytes::from_static(b"the function")));
    assert_eq!(
        bytes(lab.ask(Method::GET, &format!("{path}/public%2Findex.html")))
            .await
            .0,
        200
    );
    for absent in ["dist/none", "dist", "public"] {
        assert_eq!(
            bytes(lab.ask(Method::GET, &format!("{path}/{absent}")))
                .await
                .0,
            404,
            "{absent}"
        );
    }
}

#[tokio::test]
async fn expired_archives_disappear_in_gitlabs_order() {
    let lab = Lab::start().await;
    let job = built(&lab);
    let path = format!("/jobs/{job}");
    let archive = format!("{path}/artifacts");
    let file = format!("{archive}/dist/api.zip");
    let shown = lab.get(&path).await.json();
    assert!(shown["artifacts_expire_at"].is_string());
    assert_eq!(shown["artifacts_file"]["filename"], "artifacts.zip");

    lab.gitlab.expire_artifacts(job);
    assert!(lab.get(&path).await.json().get("artifacts_file").is_none());
    assert_eq!(
        lab.get(&file).await.status,
        200,
        "the newest success of its ref keeps its artifacts"
    );
    lab.gitlab.set_keep_latest_artifacts(lab.project, false);
    let gone = lab.get(&file).await;
    assert_eq!(
        (gone.status.as_u16(), gone.json()),
        (404, json!({"message": "404 Not Found"}))
    );
    assert_eq!(
        bytes(lab.ask(Method::GET, &archive)).await.0,
        200,
        "the archive is not cleaned up yet"
    );
    lab.gitlab.clean_artifacts(job);
    assert_eq!(
        lab.get(&archive).await.json(),
        json!({"message": "404 Not Found"})
    );
}

#[tokio::test]
async fn an_erased_job_has_no_artifacts() {
    let lab = Lab::start().await;
    let job = built(&lab);
    lab.gitlab.erase_artifacts(job);
    let shown = lab.get(&format!("/jobs/{job}")).await.json();
    assert!(shown["erased_at"].is_string());
    assert_eq!(shown["artifacts"], json!([]));
    assert_eq!(lab.get(&format!("/jobs/{job}/artifacts")).await.status, 404);
}

#[tokio::test]
async fn a_large_archive_is_generated_while_it_is_sent() {
    let lab = Lab::start().await;
    let source = ArtifactSource::generated("dist/big.bin", 1 << 30, 3);
    let size = source.size();
    let pipeline = lab.gitlab.run_pipeline(
        lab.project,
        "main",
        vec![JobSpec::new("package", "build").ends(JobEnd::uploads(source.clone()))],
    );
    let path = format!("/jobs/{}/artifacts", lab.gitlab.job(pipeline, "package"));
    let head = reply(lab.ask(Method::HEAD, &path)).await;
    assert_eq!(
        head.header("content-length"),
        Some(size.to_string().as_str())
    );
    let from = size - 100_000;
    let end = bytes(
        lab.ask(Method::GET, &path)
            .header("Range", format!("bytes={from}-")),
    )
    .await;
    let wanted: Vec<u8> = source.whole().part(from, 100_000).flatten().collect();
    assert_eq!(end, (206, Some(100_000), Bytes::from(wanted)));
}

#[tokio::test]
async fn a_job_can_declare_a_wrong_artifact_size() {
    let lab = Lab::start().await;
    let job = built(&lab);
    lab.gitlab.declare_artifact_size(job, Some(10));
    let shown = lab.get(&format!("/jobs/{job}")).await.json();
    assert_eq!(
        (
            &shown["artifacts_file"]["size"],
            &shown["artifacts"][0]["size"]
        ),
        (&json!(10), &json!(10))
    );
    let (_, length, _) = bytes(lab.ask(Method::GET, &format!("/jobs/{job}/artifacts"))).await;
    assert_eq!(length, Some(archive().len() as u64));
}
