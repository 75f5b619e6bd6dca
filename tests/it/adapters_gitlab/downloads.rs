//! Downloads of artifacts by every transport of GitLab.

use futures::TryStreamExt as _;
use sluice::ports::{CallError, CallErrorKind};
use sluice_lab::gitlab::{FaultAction, FaultRule, JobEnd, JobSpec, Origin, Transport};

use super::{Lab, archive, package};

/// The bytes and the declared size.
async fn download(
    lab: &Lab,
    job: i64,
    path: Option<&str>,
) -> Result<(Vec<u8>, Option<u64>), CallError> {
    let client = lab.client().await;
    let download = client.artifact(lab.project_id(), job, path).await?;
    let pieces: Vec<_> = download.body.try_collect().await?;
    Ok((pieces.concat(), download.declared_size))
}

#[tokio::test]
async fn archives_arrive_by_every_transport_and_the_token_stays_with_gitlab() {
    let lab = Lab::start().await;
    let pipeline = lab.run(vec![package()]);
    let job = lab.job_id(pipeline, "package");
    for transport in [Transport::Disk, Transport::Redirect, Transport::Proxied] {
        lab.gitlab.set_transport(transport);
        let (got, requests) = lab.requests(download(&lab, job, None)).await;
        let (bytes, declared) = got.unwrap();
        assert_eq!(bytes, archive(), "{transport:?}");
        assert_eq!(declared, Some(bytes.len() as u64), "{transport:?}");
        for request in requests {
            let to_gitlab = request.origin == Origin::GitLab;
            assert_eq!(request.credential, to_gitlab, "{request:?}");
        }
    }
}

#[tokio::test]
async fn single_files_arrive_by_their_path() {
    let lab = Lab::start().await;
    let pipeline = lab.run(vec![package()]);
    let job = lab.job_id(pipeline, "package");
    for (path, content) in [("dist/api.zip", "the function"), ("a b/ä", "odd")] {
        let (bytes, _) = download(&lab, job, Some(path)).await.unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), content);
    }
}

#[tokio::test]
async fn missing_artifacts_are_explained() {
    let lab = Lab::start().await;
    let plain = JobSpec::new("plain", "build").ends(JobEnd::success());
    let pipeline = lab.run(vec![package(), plain]);
    let (package, plain) = (
        lab.job_id(pipeline, "package"),
        lab.job_id(pipeline, "plain"),
    );
    let table = [
        (plain, None, CallErrorKind::NotFound, "Run the job again"),
        (package + 99, None, CallErrorKind::NotFound, "404"),
        (
            package,
            Some("dist/no.zip"),
            CallErrorKind::NotFound,
            "artifacts:paths",
        ),
        (
            package,
            Some("../x"),
            CallErrorKind::Invalid,
            "must be relative",
        ),
    ];
    for (job, path, kind, words) in table {
        let error = download(&lab, job, path).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.resource.contains(&format!("job {job}")), "{error}");
    }
}

#[tokio::test]
async fn truncated_download_is_corrupt() {
    let lab = Lab::start().await;
    let pipeline = lab.run(vec![package()]);
    let job = lab.job_id(pipeline, "package");
    for transport in [Transport::Disk, Transport::Redirect] {
        lab.gitlab.set_transport(transport);
        let rule = match transport {
            Transport::Redirect => FaultRule::on("", FaultAction::Truncate { after: 10 }),
            _ => FaultRule::on("/artifacts", FaultAction::Truncate { after: 10 }),
        };
        let fault = lab.gitlab.faults().add(rule);
        let error = download(&lab, job, None).await.unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Corrupt, "{error}");
        let expected = format!("cut off after 10 of {} bytes", archive().len());
        assert!(error.message.starts_with(&expected), "{error}");
        fault.remove();
    }
}

#[tokio::test]
async fn refusing_storage_is_unavailable_and_its_signed_url_stays_secret() {
    let lab = Lab::start().await;
    let pipeline = lab.run(vec![package()]);
    let job = lab.job_id(pipeline, "package");
    lab.gitlab.set_transport(Transport::Redirect);
    let (_, requests) = lab.requests(download(&lab, job, None)).await;
    let storage = (requests.iter())
        .find(|request| request.origin == Origin::Storage)
        .unwrap();
    let refuse = FaultAction::Respond {
        status: 403,
        content_type: "application/xml".to_owned(),
        body: "<Error><Code>AccessDenied</Code></Error>".to_owned(),
    };
    for action in [refuse, FaultAction::Drop] {
        let fault = lab
            .gitlab
            .faults()
            .add(FaultRule::on(&storage.path, action));
        let error = download(&lab, job, None).await.unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Unavailable, "{error}");
        assert!(!error.to_string().contains(&storage.query), "{error}");
        fault.remove();
    }
}
