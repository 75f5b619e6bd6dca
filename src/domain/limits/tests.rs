use kube::CustomResourceExt as _;
use serde_json::Value;

use super::*;
use crate::api::v1alpha1::Deployment;

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    entries.iter().map(owned).collect()
}

#[test]
fn a_function_name_has_at_most_64_characters() {
    assert_eq!(function_name(&"a".repeat(64)), None);
    let long = function_name(&"a".repeat(66)).unwrap_or_default();
    assert!(long.contains("this has 66 characters"), "{long}");
    for name in [
        "",
        "a b",
        "a.b",
        "arn:aws:lambda:eu-west-1:1:function:a",
        "ä",
    ] {
        assert!(function_name(name).is_some(), "{name}");
    }
}

#[test]
fn an_environment_is_measured_as_json() {
    // {"AB":"…"} has nine bytes besides the value.
    let exact = "x".repeat(ENVIRONMENT - 9);
    assert!(environment(&map(&[("AB", &exact)])).is_empty());
    let over = format!("{exact}x");
    let problems = environment(&map(&[("AB", &over), ("AWS_REGION", "x"), ("TZ", "UTC")]));
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].contains("sets AWS_REGION itself"),
        "{problems:?}"
    );
    assert!(problems[1].contains("at most 4096"), "{problems:?}");
    // A quotation mark takes two bytes in JSON.
    let quotes = "\"".repeat(ENVIRONMENT / 2);
    assert!(!environment(&map(&[("AB", &quotes)])).is_empty());
}

#[test]
fn tags_follow_the_limits_of_aws() {
    let fine = map(&[
        ("Owner", "Team Größe 1 _.:/=+-@"),
        ("sp ace", ""),
        (&"k".repeat(128), &"v".repeat(256)),
    ]);
    assert!(tags(&fine, 3).is_empty());
    for (key, value, why) in [
        ("Owner", "a,b;c*#", "',' is not allowed"),
        ("a*", "b", "'*' is not allowed"),
        ("AWS:x", "b", "reserved by AWS"),
        ("a", "aws:b", "reserved by AWS"),
        ("a", "b\nc", "is not allowed"),
        ("", "b", "needs a key"),
        (&"k".repeat(129), "b", "at most 128"),
        ("a", &"v".repeat(257), "at most 256"),
    ] {
        let problems = tags(&map(&[(key, value)]), 3);
        assert!(problems.concat().contains(why), "{key:?}: {problems:?}");
    }
    let many: BTreeMap<String, String> = (0..48).map(|n| (n.to_string(), String::new())).collect();
    assert!(tags(&many, 2).is_empty());
    assert!(tags(&many, 3).concat().contains("51 tags"));
}

#[test]
fn a_role_has_a_name_and_may_have_a_path() {
    for name in ["lambda-exec", "team/shop/exec", "a+=,.@_-"] {
        assert_eq!(role(name), None, "{name}");
    }
    assert_eq!(role(&"r".repeat(64)), None);
    for name in ["", "a/", "a b", "a*", "p th/a", "/a", &"r".repeat(65)] {
        assert!(role(name).is_some(), "{name}");
    }
}

#[test]
fn bucket_name_follows_the_rules_of_s3() {
    for name in ["abc", "shop-site.example", "1a2", &"b".repeat(63)] {
        assert_eq!(bucket(name), None, "{name}");
    }
    for name in [
        "ab",
        "Shop",
        "-shop",
        "shop-",
        "shop_site",
        "a..b",
        "192.168.5.4",
        "xn--shop",
        "shop--x-s3",
        "shop-s3alias",
        &"b".repeat(64),
    ] {
        assert!(bucket(name).is_some(), "{name}");
    }
}

/// The schema of a field, by the path of property names; `[]` stands for the items of a list.
fn schema(path: &[&str]) -> Value {
    let crd = serde_json::to_value(Deployment::crd()).expect("it is JSON");
    let mut at = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    for name in path {
        at = match *name {
            "[]" => at["items"].clone(),
            name => at["properties"][name].clone(),
        };
        assert!(!at.is_null(), "no {name} in {path:?}");
    }
    at
}

fn rules(schema: &Value) -> String {
    schema["x-kubernetes-validations"].to_string()
}

#[test]
fn crd_rules_match_the_table_of_limits() {
    let lambda = |field: &str| schema(&["spec", "components", "[]", "lambda", field]);
    let over = |field: &str| schema(&["spec", "stages", "[]", "overrides", "[]", "lambda", field]);
    assert_eq!(lambda("alias")["maxLength"], ALIAS);
    assert_eq!(lambda("description")["maxLength"], DESCRIPTION);
    let name = rules(&lambda("functionName"));
    assert!(name.contains(&format!("{{1,{FUNCTION_NAME}}}")), "{name}");
    for environment in [lambda("environment"), over("environment")] {
        let rules = rules(&environment);
        let possible = |name: &&&str| name.starts_with(|c: char| c.is_ascii_alphabetic());
        for reserved in RESERVED_VARIABLES.iter().filter(possible) {
            assert!(rules.contains(&format!("'{reserved}'")), "{reserved}");
        }
        assert_eq!(
            environment["additionalProperties"]["maxLength"],
            ENVIRONMENT
        );
    }
    for tags in [lambda("tags"), over("tags")] {
        let rules = rules(&tags);
        assert!(rules.contains(&format!("size() <= {TAG_KEY}")), "{rules}");
        // Sluice adds its own tags.
        assert!(
            tags["maxProperties"]
                .as_u64()
                .is_some_and(|most| most <= TAGS as u64 - 4)
        );
    }
    let bucket = rules(&schema(&["spec", "components", "[]", "s3", "bucket"]));
    assert!(bucket.contains("{1,61}"), "{bucket}");
}
