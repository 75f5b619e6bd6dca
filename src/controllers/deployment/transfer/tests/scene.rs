//! Transfers from the fake GitLab into the fake bucket, and Deployments that ask for them.

use std::{io::Write as _, sync::Arc, time::Duration};

use futures::StreamExt as _;
use kube::runtime::reflector::ObjectRef;

use super::{
    super::{
        DEFAULT_LIMIT, DEFAULT_RATE, Limits, TransferJob, TransferKey, TransferState, Transferred,
        Transfers,
    },
    bucket::Bucket,
    source::Source,
};
use crate::{
    api::v1alpha1::Deployment,
    domain::digest::Sha256,
    metrics::Metrics,
    ports::{CallError, CallErrorKind, gitlab::GitLab, store::Store},
};

pub(super) const LONG: Duration = Duration::from_secs(10);

/// Transfers with their dependencies, for one artifact.
pub(super) struct Scene {
    pub(super) transfers: Arc<Transfers>,
    woken: futures::stream::BoxStream<'static, ObjectRef<Deployment>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) source: Arc<Source>,
    pub(super) bucket: Arc<Bucket>,
    pub(super) archive_size: Option<u64>,
    pub(super) limit: u64,
}

pub(super) fn scene(source: Source) -> Scene {
    scene_within(source, Limits::new(2, 2, DEFAULT_RATE))
}

pub(super) fn scene_within(source: Source, limits: Limits) -> Scene {
    let metrics = Arc::<Metrics>::default();
    let (transfers, woken) = Transfers::new(limits, Arc::clone(&metrics));
    Scene {
        metrics,
        transfers,
        woken: woken.boxed(),
        source: Arc::new(source),
        bucket: Arc::default(),
        archive_size: None,
        limit: DEFAULT_LIMIT,
    }
}

impl Scene {
    pub(super) fn ask(&self, who: &str, job_id: i64) -> TransferState {
        self.ask_for(&key(job_id), ObjectRef::new(who).within("shop"))
    }

    pub(super) fn ask_for(&self, key: &TransferKey, who: ObjectRef<Deployment>) -> TransferState {
        let start = || TransferJob {
            gitlab: Arc::clone(&self.source) as Arc<dyn GitLab>,
            store: Arc::clone(&self.bucket) as Arc<dyn Store>,
            archive_size: self.archive_size,
            limit: self.limit,
        };
        self.transfers.ensure(key, who, start)
    }

    pub(super) async fn wake(&mut self) -> String {
        let woken = tokio::time::timeout(LONG, self.woken.next()).await;
        woken.unwrap().unwrap().name
    }

    /// Asks, waits for the end, asks again.
    pub(super) async fn through(&mut self) -> Result<Arc<Transferred>, CallError> {
        assert!(matches!(self.ask("a", 1), TransferState::Running { .. }));
        self.wake().await;
        match self.ask("a", 1) {
            TransferState::Done(transferred) => Ok(transferred),
            TransferState::Failed { error, .. } => Err(error),
            TransferState::Running { .. } => panic!("the transfer has not ended"),
        }
    }

    pub(super) async fn failure(&mut self) -> (CallErrorKind, String) {
        let error = self.through().await.unwrap_err();
        assert!(self.bucket.keys().is_empty(), "no object becomes visible");
        (error.kind, error.message)
    }
}

/// The same job through another connection.
pub(super) fn foreign_key(job_id: i64) -> TransferKey {
    TransferKey {
        connection: Sha256::of(b"another connection"),
        ..key(job_id)
    }
}

pub(super) fn key(job_id: i64) -> TransferKey {
    TransferKey {
        connection: Sha256::of(b"a connection"),
        instance: "gitlab.com".to_owned(),
        project_id: 7,
        job_id,
        path: None,
        account: "hub".to_owned(),
        region: "eu-west-1".to_owned(),
    }
}

pub(super) fn scene_key_of(connection: &str) -> TransferKey {
    TransferKey {
        connection: Sha256::of(connection.as_bytes()),
        ..key(1)
    }
}

pub(super) fn zip() -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    writer.start_file("app.py", options).unwrap();
    writer.write_all(b"print()").unwrap();
    writer.finish().unwrap().into_inner()
}
