//! Content types of files, and their effect on the order of changes.

use super::{
    super::{ObservedSite, Served},
    bucket::{End, FakeBucket, content, content_with, want},
    deliver,
};
use crate::api::v1alpha1::ContentType;

fn puts(log: &[String]) -> Vec<&str> {
    log.iter()
        .filter_map(|line| line.strip_prefix("put "))
        .collect()
}

#[test]
fn html_of_every_extension_is_uploaded_last() {
    let mut bucket = FakeBucket::default();
    let names = ["about.htm", "app.js", "index.html", "legal.xhtml"];
    deliver(&mut bucket, &names.map(|name| (name, "1")));
    assert_eq!(puts(&bucket.log)[0], "app.js");
    bucket.log.clear();
    deliver(&mut bucket, &names.map(|name| (name, "2")));
    assert_eq!(puts(&bucket.log)[0], "app.js");
    assert_eq!(puts(&bucket.log).len(), 4);
}

fn html(pattern: &str) -> [ContentType; 1] {
    [ContentType {
        pattern: pattern.into(),
        value: "text/html; charset=utf-8".into(),
    }]
}

#[test]
fn page_is_recognised_by_its_content_type() {
    let mut bucket = FakeBucket::default();
    let release = |version| content_with(&[("about", version), ("z.js", version)], &html("about"));
    let mut observed = ObservedSite::default();
    assert_eq!(bucket.deliver(&release("1"), &mut observed), End::Ready);
    assert_eq!(puts(&bucket.log), ["z.js", "about"]);
    bucket.log.clear();
    let mut observed = ObservedSite::default();
    assert_eq!(bucket.deliver(&release("2"), &mut observed), End::Ready);
    assert_eq!(puts(&bucket.log), ["z.js", "about"]);
    bucket.log.clear();
    assert_eq!(bucket.restore(&mut observed), End::Ready);
    let back: Vec<&String> = (bucket.log.iter())
        .filter(|it| it.starts_with("copy"))
        .collect();
    assert_eq!(back, ["copy back about", "copy back z.js"]);
}

#[test]
fn file_is_uploaded_again_if_the_spec_changes_its_content_type() {
    let mut bucket = FakeBucket::default();
    deliver(&mut bucket, &[("about", "1"), ("logo.svgz", "s")]);
    let key = |path| want().location.key(path);
    assert_eq!(
        bucket.objects[&key("about")].served,
        Served::of("about", &[])
    );
    let encoding = |bucket: &FakeBucket| {
        let served = &bucket.objects[&key("logo.svgz")].served;
        served.content_encoding.clone()
    };
    assert_eq!(encoding(&bucket).as_deref(), Some("gzip"));
    let plain = content(&[("about", "1"), ("logo.svgz", "s")]);
    let wanted = content_with(&[("about", "1"), ("logo.svgz", "s")], &html("about"));
    assert_ne!(plain.digest(), wanted.digest(), "another plan to approve");
    bucket.log.clear();
    let mut observed = ObservedSite::default();
    assert_eq!(bucket.deliver(&wanted, &mut observed), End::Ready);
    assert_eq!(puts(&bucket.log), ["about"]);
    assert!(bucket.objects[&key("about")].served.is_document());
}

#[test]
fn upload_by_an_earlier_sluice_version_belongs_to_the_run() {
    let mut bucket = FakeBucket::default();
    deliver(&mut bucket, &[("a.css", "1")]);
    // The process crashes after the upload, and the next version of Sluice sets another content type.
    let next = content(&[("a.css", "2")]);
    let mut observed = ObservedSite::default();
    assert_eq!(bucket.begin(&next, &mut observed), End::Ready);
    bucket.crashes = vec![1];
    assert_eq!(bucket.go_on(&next, &mut observed), End::Crashed);
    let object = bucket.objects.get_mut(&want().location.key("a.css"));
    let object = object.expect("object in the bucket");
    assert_eq!(object.bytes, "2");
    object.served.content_type = "text/css".into();
    let mut observed = ObservedSite::default();
    assert_eq!(bucket.go_on(&next, &mut observed), End::Ready);
}
