//! Large objects stream through the proxy.

use std::io::{Seek, SeekFrom, Write};

use aws_sdk_s3::{
    Client,
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};

use super::{cloud, deployer, refusal_code};

const MIB: usize = 1024 * 1024;
const LARGE: usize = 64 * MIB;

/// The peak memory of this process (tests, proxy and all), in bytes.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("a peak");
    let kib: usize = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number");
    kib * 1024
}

#[tokio::test]
async fn a_large_object_streams_both_ways_in_little_memory() {
    let cloud = cloud().await;
    let s3 = Client::new(&deployer(cloud, cloud.dev()).await);
    let bucket = &cloud.dev().buckets["eu-west-1"];
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(LARGE as u64).expect("a large file");
    file.seek(SeekFrom::End(-3)).expect("its end");
    file.write_all(b"end").expect("its last bytes");

    let before = peak_memory();
    let body = ByteStream::from_path(file.path()).await.expect("a body");
    let put = s3
        .put_object()
        .bucket(bucket)
        .key("transfer/large")
        .body(body)
        .send()
        .await;
    assert!(put.expect("stored").version_id.is_some());
    let mut got = s3
        .get_object()
        .bucket(bucket)
        .key("transfer/large")
        .send()
        .await
        .expect("an object");
    let (mut length, mut last) = (0, [0_u8; 3]);
    while let Some(chunk) = got.body.try_next().await.expect("a chunk") {
        length += chunk.len();
        let tail = chunk.len().min(3);
        last.rotate_left(tail);
        last[3 - tail..].copy_from_slice(&chunk[chunk.len() - tail..]);
    }
    assert_eq!((length, &last), (LARGE, b"end"));
    let grown = peak_memory() - before;
    assert!(grown < LARGE / 2, "memory grew by {} MiB", grown / MIB);
}

#[tokio::test]
async fn heads_parts_and_conditions_pass_unchanged() {
    let cloud = cloud().await;
    let s3 = Client::new(&deployer(cloud, cloud.dev()).await);
    let bucket = &cloud.dev().buckets["eu-west-1"];
    let key = "transfer/a key with +odd (characters)/ü.zip";
    let upload = s3
        .create_multipart_upload()
        .bucket(bucket)
        .key(key)
        .send()
        .await
        .expect("started");
    let id = upload.upload_id.expect("an id");
    let mut parts = CompletedMultipartUpload::builder();
    for (number, size) in [(1, 5 * MIB), (2, 7)] {
        let part = s3
            .upload_part()
            .bucket(bucket)
            .key(key)
            .upload_id(&id)
            .part_number(number)
            .body(vec![b'x'; size].into())
            .send()
            .await
            .expect("a part");
        parts = parts.parts(
            CompletedPart::builder()
                .part_number(number)
                .set_e_tag(part.e_tag)
                .build(),
        );
    }
    let complete = s3
        .complete_multipart_upload()
        .bucket(bucket)
        .key(key)
        .upload_id(&id);
    let done = complete
        .multipart_upload(parts.build())
        .send()
        .await
        .expect("completed");
    let head = s3
        .head_object()
        .bucket(bucket)
        .key(key)
        .send()
        .await
        .expect("a head");
    assert_eq!(head.content_length, Some(5 * 1024 * 1024 + 7));
    assert_eq!(head.version_id, done.version_id);
    let again = s3
        .put_object()
        .bucket(bucket)
        .key(key)
        .if_none_match("*")
        .body(vec![1].into());
    assert_eq!(refusal_code(again.send().await), "PreconditionFailed");

    let calls = cloud
        .calls()
        .only(|call| call.resource == format!("{bucket}/{key}"));
    let expected = [
        "CreateMultipartUpload",
        "UploadPart",
        "UploadPart",
        "CompleteMultipartUpload",
        "HeadObject",
        "PutObject",
    ];
    let names: Vec<&str> = calls.iter().map(|call| call.operation.as_str()).collect();
    assert_eq!(names, expected);
    assert_eq!(calls[5].error.as_deref(), Some("PreconditionFailed"));
}
