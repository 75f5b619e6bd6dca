//! A fake artifact bucket.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;

use crate::ports::{
    CallError,
    store::{ByteStream, Store, StoredObject},
};

/// A bucket in memory. Versions count up.
#[derive(Default)]
pub(super) struct Bucket {
    pub(super) objects: Mutex<BTreeMap<String, (String, Bytes)>>,
    versions: AtomicU64,
}

impl Bucket {
    pub(super) fn keep(&self, key: &str, bytes: Bytes) -> String {
        let version = format!("v{}", self.versions.fetch_add(1, Ordering::SeqCst) + 1);
        let object = (version.clone(), bytes);
        self.objects.lock().unwrap().insert(key.to_owned(), object);
        version
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }
}

#[async_trait]
impl Store for Bucket {
    fn bucket(&self) -> &'static str {
        "bucket"
    }
    async fn head(&self, key: &str) -> Result<Option<StoredObject>, CallError> {
        let objects = self.objects.lock().unwrap();
        Ok(objects.get(key).map(|(version_id, bytes)| StoredObject {
            version_id: version_id.clone(),
            size: bytes.len() as u64,
            metadata: BTreeMap::new(),
        }))
    }
    async fn get(&self, key: &str, _: Option<&str>, _: u64) -> Result<Option<Bytes>, CallError> {
        let objects = self.objects.lock().unwrap();
        Ok(objects.get(key).map(|(_, bytes)| bytes.clone()))
    }
    async fn open(&self, _: &str, _: &str) -> Result<(u64, ByteStream), CallError> {
        unimplemented!()
    }
    async fn open_range(&self, _: &str, _: &str, _: Range<u64>) -> Result<ByteStream, CallError> {
        unimplemented!()
    }
    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        _: &BTreeMap<String, String>,
    ) -> Result<String, CallError> {
        Ok(self.keep(key, bytes))
    }
    async fn create(&self, _: &str, _: Bytes) -> Result<String, CallError> {
        unimplemented!()
    }
    async fn upload(
        &self,
        key: &str,
        body: ByteStream,
        _: &BTreeMap<String, String>,
    ) -> Result<String, CallError> {
        let pieces: Vec<Bytes> = body.try_collect().await?;
        Ok(self.keep(key, pieces.concat().into()))
    }
    async fn delete(&self, _: &str, _: &str) -> Result<(), CallError> {
        unimplemented!()
    }
    async fn problems(&self, _: &str, _: &str) -> Result<Vec<String>, CallError> {
        unimplemented!()
    }
}
