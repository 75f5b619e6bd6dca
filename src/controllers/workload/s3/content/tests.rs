#![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

use std::{
    io::{Cursor, Write as _},
    ops::Range,
    sync::Mutex,
};

use async_trait::async_trait;
use futures::TryStreamExt as _;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::{
    controllers::workload::archive::FIRST,
    ports::{
        CallErrorKind,
        store::{Store, StoredObject},
    },
};

/// A bucket in memory that records which ranges are read.
#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, Bytes>>,
    ranges: Mutex<Vec<Range<u64>>>,
    is_full: bool,
}

impl Bucket {
    fn ranges(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut *self.ranges.lock().unwrap())
    }
}

#[async_trait]
impl Store for Bucket {
    fn bucket(&self) -> &'static str {
        "hub"
    }
    async fn head(&self, _: &str) -> Result<Option<StoredObject>, CallError> {
        unimplemented!()
    }
    async fn get(&self, key: &str, _: Option<&str>, _: u64) -> Result<Option<Bytes>, CallError> {
        Ok(self.objects.lock().unwrap().get(key).cloned())
    }
    async fn open(&self, _: &str, _: &str) -> Result<(u64, ByteStream), CallError> {
        unimplemented!()
    }
    async fn open_range(
        &self,
        key: &str,
        _: &str,
        range: Range<u64>,
    ) -> Result<ByteStream, CallError> {
        self.ranges.lock().unwrap().push(range.clone());
        let at = |at: u64| usize::try_from(at).unwrap();
        let bytes = self.objects.lock().unwrap()[key].slice(at(range.start)..at(range.end));
        let pieces: Vec<_> = bytes
            .chunks(1000)
            .map(Bytes::copy_from_slice)
            .map(Ok)
            .collect();
        Ok(stream::iter(pieces).boxed())
    }
    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        _: &BTreeMap<String, String>,
    ) -> Result<String, CallError> {
        if self.is_full {
            return Err(CallError::new(
                "s3:PutObject",
                key,
                CallErrorKind::Denied,
                "no",
            ));
        }
        self.objects.lock().unwrap().insert(key.to_owned(), bytes);
        Ok("v1".to_owned())
    }
    async fn create(&self, _: &str, _: Bytes) -> Result<String, CallError> {
        unimplemented!()
    }
    async fn upload(
        &self,
        _: &str,
        _: ByteStream,
        _: &BTreeMap<String, String>,
    ) -> Result<String, CallError> {
        unimplemented!()
    }
    async fn delete(&self, _: &str, _: &str) -> Result<(), CallError> {
        unimplemented!()
    }
    async fn problems(&self, _: &str, _: &str) -> Result<Vec<String>, CallError> {
        unimplemented!()
    }
}

fn archive(files: &[(&str, &[u8])]) -> Bytes {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer
            .start_file(*name, SimpleFileOptions::default())
            .unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner().into()
}

fn source(bucket: Bucket, archive: Bytes, tree: &str) -> (Arc<Bucket>, Source) {
    let (size, sha256) = (archive.len() as u64, Sha256::of(&archive));
    let bucket = Arc::new(bucket);
    let key = "artifacts/site.zip".to_owned();
    bucket.objects.lock().unwrap().insert(key.clone(), archive);
    let source = Source {
        archive: Archive {
            store: bucket.clone(),
            key,
            version_id: "v1".to_owned(),
            size,
            origin: "artifact site of job build for spec.components[site].s3".to_owned(),
        },
        sha256,
        tree: tree.to_owned(),
        types: Vec::new(),
    };
    (bucket, source)
}

#[tokio::test]
async fn files_are_hashed_once_and_read_one_by_one() {
    let files: [(&str, &[u8]); 4] = [
        ("README", b"not of the site"),
        ("public/index.html", b"<html>"),
        ("public/a/app.js", &[b'x'; 5000]),
        ("public/", b""),
    ];
    let (bucket, source) = source(Bucket::default(), archive(&files), "public/");
    let first = content(&source).await.unwrap();
    let paths: Vec<_> = first.files.keys().map(String::as_str).collect();
    assert_eq!(paths, ["a/app.js", "index.html"]);
    let page = &first.files["index.html"];
    assert_eq!(page.sha256, Sha256::of(b"<html>"));
    // The directory, and one run over both files.
    assert_eq!(bucket.ranges().len(), 2);

    assert_eq!(content(&source).await.unwrap(), first);
    assert_eq!(bucket.ranges(), []);

    let body = source.file("index.html", page);
    assert_eq!(
        bucket.ranges(),
        [],
        "nothing is read before the stream is polled"
    );
    let bytes: Vec<Bytes> = body.try_collect().await.unwrap();
    assert_eq!(bytes.concat(), b"<html>");
    let ranges = bucket.ranges();
    assert_eq!(ranges.len(), 1);
    assert_eq!(ranges[0], page.packed.start..page.packed.end);
}

#[tokio::test]
async fn kept_list_of_another_archive_is_ignored() {
    let (bucket, mut source) = source(Bucket::default(), archive(&[("a", b"1")]), "");
    content(&source).await.unwrap();
    let kept = source.kept_at();
    assert!(bucket.objects.lock().unwrap().contains_key(&kept));
    bucket.ranges();
    // Another archive under the same key, and an unreadable list.
    source.sha256 = Sha256::of(b"another");
    content(&source).await.unwrap();
    assert_eq!(bucket.ranges().len(), 2);
    let garbage = Bytes::from_static(b"{}");
    bucket.objects.lock().unwrap().insert(kept, garbage);
    content(&source).await.unwrap();
    assert_eq!(bucket.ranges().len(), 2);
}

#[tokio::test]
async fn failure_to_keep_the_file_list_is_not_an_error() {
    let full = Bucket {
        is_full: true,
        ..Bucket::default()
    };
    let (_, source) = source(full, archive(&[("a", b"1")]), "");
    assert_eq!(content(&source).await.unwrap().files.len(), 1);
}

#[tokio::test]
async fn a_large_directory_takes_one_more_read() {
    let names: Vec<String> = (0..2000).map(|n| format!("file-with-a-name-{n}")).collect();
    let files: Vec<(&str, &[u8])> = names
        .iter()
        .map(|name| (name.as_str(), &b"x"[..]))
        .collect();
    let (bucket, source) = source(Bucket::default(), archive(&files), "");
    let content = content(&source).await.unwrap();
    assert_eq!(content.files.len(), 2000);
    let ranges = bucket.ranges();
    assert_eq!(ranges[0].end - ranges[0].start, FIRST);
    assert!(ranges[1].start < ranges[0].start, "{ranges:?}");
    assert_eq!(ranges.len(), 3);
}

#[tokio::test]
async fn unusable_archive_says_why() {
    for (bytes, tree, why) in [
        (
            archive(&[("a", b"1")]),
            "public",
            "no file below \"public\"",
        ),
        (archive(&[("a\\b", b"1")]), "", "backslash"),
        (Bytes::from_static(b"no zip"), "", "not a zip archive"),
    ] {
        let (_, source) = source(Bucket::default(), bytes, tree);
        let error = content(&source).await.expect_err("refused");
        assert_eq!(error.kind, CallErrorKind::Invalid);
        assert!(error.message.contains(why), "{error}");
        assert!(error.to_string().contains("s3://hub/artifacts/site.zip"));
    }
}

#[tokio::test]
async fn bytes_that_differ_from_the_hashed_ones_are_an_error() {
    let (_, source) = source(Bucket::default(), archive(&[("a", b"1")]), "");
    let content = content(&source).await.unwrap();
    let mut file = content.files["a"].clone();
    file.sha256 = Sha256::of(b"2");
    let result: Result<Vec<Bytes>, _> = source.file("a", &file).try_collect().await;
    assert_eq!(result.expect_err("refused").kind, CallErrorKind::Corrupt);
}
