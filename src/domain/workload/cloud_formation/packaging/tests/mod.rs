//! Tests of packaging.

mod aliases;
mod places;
mod real;
mod resolve;
mod table;
mod text;

use serde_json::Value;

use super::{Form, LocalPath, Location, Packaging};

/// What the tests package to.
fn location(index: usize) -> Location {
    Location {
        bucket: "artifacts".to_owned(),
        key: format!("packaged/{index}"),
        url: format!("https://artifacts.s3.eu-central-1.amazonaws.com/packaged/{index}"),
    }
}

fn packaged(packaging: &Packaging) -> String {
    let locations: Vec<Location> = (0..packaging.paths().len()).map(location).collect();
    packaging.packaged(&locations)
}

fn read(text: &str) -> Packaging {
    Packaging::read(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refusal(text: &str) -> String {
    match Packaging::read(text) {
        Ok(packaging) => panic!("not refused: {:?}", packaging.paths()),
        Err(error) => error,
    }
}

/// The places, lines and paths, one each line.
fn shown(packaging: &Packaging) -> String {
    let one = |it: &LocalPath| format!("{}:{} {}\n", it.place, it.line, it.path);
    packaging.paths().iter().map(one).collect()
}

fn parsed(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The text with `«path»` for each value that is to be replaced, and with these literals in place of them.
fn marked(text: &str, values: &[&str]) -> (String, String) {
    let mut pieces = text.split(['«', '»']);
    let mut before = String::from(pieces.next().unwrap_or_default());
    let mut after = before.clone();
    let mut values = values.iter();
    while let (Some(value), Some(rest)) = (pieces.next(), pieces.next()) {
        before.push_str(value);
        before.push_str(rest);
        after.push_str(values.next().expect("a value for each mark"));
        after.push_str(rest);
    }
    (before, after)
}

/// Checks that the marked values, and nothing else, become these.
fn assert_packaged(text: &str, values: &[&str]) {
    let (before, after) = marked(text, values);
    assert_eq!(packaged(&read(&before)), after, "{before}");
}

/// A template whose resources are these lines.
fn resources(lines: &str) -> String {
    format!("Resources:\n{lines}")
}

const URI: &str = r#""s3://artifacts/packaged/0""#;
const URI_1: &str = r#""s3://artifacts/packaged/1""#;
const CODE: &str = r#"{"S3Bucket": "artifacts", "S3Key": "packaged/0"}"#;
