//! S3's checks as on AWS: a bucket's owner, conditions of a copy, ranges of a version.

use aws_sdk_s3::Client;

use super::{REGION, cloud, deployer, refusal_code};

#[tokio::test]
async fn an_unexpected_bucket_owner_is_refused() {
    let cloud = cloud().await;
    let s3 = Client::new(&deployer(cloud, cloud.dev()).await);
    let bucket = &cloud.dev().buckets[REGION];
    let put = |owner: &str| {
        let put = s3.put_object().bucket(bucket).key("owners/a");
        put.expected_bucket_owner(owner).send()
    };
    put(&cloud.dev().id).await.expect("dev owns the bucket");
    assert_eq!(refusal_code(put(&cloud.prod().id).await), "AccessDenied");
    let copy = |owner: &str| {
        let copy = s3.copy_object().copy_source(format!("{bucket}/owners/a"));
        let copy = copy.expected_source_bucket_owner(owner);
        copy.bucket(bucket).key("owners/b").send()
    };
    assert_eq!(refusal_code(copy(&cloud.prod().id).await), "AccessDenied");
    copy(&cloud.dev().id).await.expect("dev owns the bucket");
}

#[tokio::test]
async fn a_conditional_copy_checks_its_destination() {
    let cloud = cloud().await;
    let s3 = Client::new(&deployer(cloud, cloud.dev()).await);
    let bucket = &cloud.dev().buckets[REGION];
    let put = |key: &str, bytes: &'static [u8]| {
        let put = s3.put_object().bucket(bucket).key(key);
        put.body(bytes.to_vec().into()).send()
    };
    let one = put("copied/one", b"1").await.expect("put");
    put("copied/two", b"2").await.expect("put");
    let copy = || {
        let copy = s3.copy_object().copy_source(format!("{bucket}/copied/two"));
        copy.bucket(bucket).key("copied/one")
    };
    let taken = copy().if_none_match("*").send().await;
    assert_eq!(refusal_code(taken), "PreconditionFailed");
    let changed = copy().if_match("\"0\"").send().await;
    assert_eq!(refusal_code(changed), "PreconditionFailed");
    let etag = one.e_tag.expect("an ETag");
    copy().if_match(etag).send().await.expect("copied");
}

#[tokio::test]
async fn a_range_of_an_object_version_returns_only_that_range() {
    let cloud = cloud().await;
    let s3 = Client::new(&deployer(cloud, cloud.dev()).await);
    let bucket = &cloud.dev().buckets[REGION];
    let put = s3.put_object().bucket(bucket).key("ranges/a");
    let put = put.body((*b"0123456789").to_vec().into()).send().await;
    let version = put.expect("put").version_id.expect("a version");
    let get = |range: &str| {
        let get = s3.get_object().bucket(bucket).key("ranges/a");
        get.version_id(&version).range(range).send()
    };
    let part = get("bytes=3-5").await.expect("a part");
    assert_eq!(part.content_range(), Some("bytes 3-5/10"));
    let bytes = part.body.collect().await.expect("whole").into_bytes();
    assert_eq!(bytes.as_ref(), b"345");
    assert_eq!(refusal_code(get("bytes=10-11").await), "InvalidRange");
}
