//! A fake GitLab with one artifact.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tokio::sync::Semaphore;

use crate::{
    domain::pipeline::{
        Bridge, FreezePeriod, Job, JobUser, PipelinePage, PipelineQuery, Project, RefState,
        Standing, TestSummary,
    },
    ports::{
        CallError,
        gitlab::{Download, GitLab},
        validators::Validators,
    },
};

/// Serves one artifact, piece by piece, each after a permit.
pub(super) struct Source {
    pieces: Vec<Bytes>,
    pub(super) declared: Option<u64>,
    pub(super) failure: Mutex<Option<CallError>>,
    pub(super) permits: Arc<Semaphore>,
    asked: AtomicU64,
}

impl Source {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            pieces: bytes.chunks(7).map(Bytes::copy_from_slice).collect(),
            declared: Some(bytes.len() as u64),
            failure: Mutex::default(),
            permits: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            asked: AtomicU64::default(),
        }
    }

    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl GitLab for Source {
    async fn are_unchanged(&self, _: &Validators) -> Result<bool, CallError> {
        unimplemented!()
    }
    async fn standing(&self) -> Result<Standing, CallError> {
        unimplemented!()
    }
    async fn project(&self, _: &str) -> Result<Project, CallError> {
        unimplemented!()
    }
    async fn git_ref(
        &self,
        _: i64,
        _: crate::api::v1alpha1::RefType,
        _: &str,
    ) -> Result<Option<RefState>, CallError> {
        unimplemented!()
    }
    async fn bridges(&self, _: i64, _: i64) -> Result<Vec<Bridge>, CallError> {
        unimplemented!()
    }
    async fn pipelines(
        &self,
        _: i64,
        _: &PipelineQuery,
        _: usize,
    ) -> Result<PipelinePage, CallError> {
        unimplemented!()
    }
    async fn pipeline_user(&self, _: i64, _: i64) -> Result<Option<String>, CallError> {
        unimplemented!()
    }
    async fn jobs(&self, _: i64, _: i64) -> Result<Vec<Job>, CallError> {
        unimplemented!()
    }
    async fn test_summary(&self, _: i64, _: i64) -> Result<TestSummary, CallError> {
        unimplemented!()
    }
    async fn freeze_periods(&self, _: i64) -> Result<Vec<FreezePeriod>, CallError> {
        unimplemented!()
    }
    async fn user(&self, _: i64) -> Result<JobUser, CallError> {
        unimplemented!()
    }

    async fn artifact(&self, _: i64, _: i64, _: Option<&str>) -> Result<Download, CallError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if let Some(error) = self.failure.lock().unwrap().take() {
            return Err(error);
        }
        let permits = Arc::clone(&self.permits);
        let body = stream::iter(self.pieces.clone()).then(move |piece| {
            let permits = Arc::clone(&permits);
            async move {
                permits.acquire().await.unwrap().forget();
                Ok(piece)
            }
        });
        Ok(Download {
            declared_size: self.declared,
            body: body.boxed(),
        })
    }
}
