//! Packaging of templates, compared with what AWS's own tools make of them.
//!
//! - `packaging/translator-input.zip` has the inputs of the tests of aws/serverless-application-model 1.110.0 (commit
//!   7000d0a), with its licence, Apache-2.0. Nearly all of them refer to S3. The tests make these references local and
//!   package them again.
//! - `packaging/applications.zip` has small applications as `sam build` of the SAM CLI 1.170.0 left them, each with
//!   what `sam package` made of it: the template in `packaged.yaml`, and what it uploaded in `assets.json`.

use std::{
    collections::BTreeMap,
    io::{Cursor, Read as _},
};

use serde_json::Value;
use sluice::domain::{
    archive::{Mode, index, package_files},
    workload::cloud_formation::{Form, LocalPath, Location, Packaging, resolve},
};
use zip::ZipArchive;

const CORPUS: &[u8] = include_bytes!("packaging/translator-input.zip");

/// The applications, each in a folder of its own.
pub const APPLICATIONS: &[u8] = include_bytes!("packaging/applications.zip");

/// The inputs whose text is not the same after that, each with the reason.
const DIFFERENT: [(&str, &str); 11] = [
    (
        "error_function_codeuri_unresolved_token.yaml",
        "a comment refers to S3",
    ),
    (
        "error_function_invalid_event_type.yaml",
        "it has a local path",
    ),
    (
        "error_function_invalid_request_parameters.yaml",
        "a resource is inside of another one",
    ),
    ("error_graphqlapi.yaml", "it has local paths"),
    (
        "error_state_machine_invalid_s3_string.yaml",
        "it has a local path",
    ),
    (
        "function_with_ignore_globals.yaml",
        "images are not packaged",
    ),
    (
        "globals_for_function.yaml",
        "no function uses the path in Globals",
    ),
    (
        "graphqlapi_function_datasource_property.yaml",
        "it has local paths",
    ),
    (
        "graphqlapi_multiple_none_datasource_functions.yaml",
        "it has local paths",
    ),
    (
        "resource_with_invalid_type.yaml",
        "the type of the resource is invalid",
    ),
    (
        "unsupported_resources.yaml",
        "the types of its resources are unknown",
    ),
];

/// The texts of an archive's files, by name.
fn texts(archive: &[u8]) -> BTreeMap<String, String> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut texts = BTreeMap::new();
    for at in 0..archive.len() {
        let mut file = archive.by_index(at).unwrap();
        let name = file.name().unwrap().into_owned();
        let mut text = String::new();
        if file.read_to_string(&mut text).is_ok() {
            texts.insert(name, text);
        }
    }
    texts
}

/// The inputs of the translator's tests.
fn corpus() -> Vec<(String, String)> {
    let inputs = texts(CORPUS).into_iter().filter_map(|(name, text)| {
        let name = name.strip_prefix("input/")?.to_owned();
        Some((name, text))
    });
    inputs.collect()
}

fn without_quotes(text: &str) -> String {
    text.replace(['"', '\''], "")
}

#[test]
fn local_paths_of_all_inputs_are_found_and_nothing_else_changes() {
    let (mut paths, mut different) = (0, Vec::new());
    let all = corpus();
    for (name, text) in &all {
        let packaging = Packaging::read(&text.replace("s3://", "./")).unwrap();
        let locations = packaging.paths().iter().map(|local| {
            let path = local.path.trim_start_matches("./");
            let (bucket, key) = path.split_once('/').unwrap_or((path, "key"));
            Location {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                url: format!("https://{path}"),
            }
        });
        let locations: Vec<Location> = locations.collect();
        paths += locations.len();
        let mut packaged = without_quotes(&packaging.packaged(&locations));
        // Some properties take an object.
        for Location { bucket, key, .. } in &locations {
            let object = format!("{{Bucket: {bucket}, Key: {key}}}");
            packaged = packaged.replace(&object, &format!("s3://{bucket}/{key}"));
        }
        if packaged != without_quotes(text) {
            different.push(name.as_str());
        }
    }
    assert_eq!(different, DIFFERENT.map(|(name, _)| name));
    assert_eq!((all.len(), paths), (831, 751));
}

#[test]
fn inputs_without_local_paths_stay_byte_for_byte() {
    for (name, text) in corpus() {
        let packaging = Packaging::read(&text).unwrap();
        if packaging.paths().is_empty() {
            assert_eq!(packaging.packaged(&[]), text, "{name}");
        }
    }
}

/// A value of a template, by its place.
fn value_at<'a>(template: &'a Value, place: &str) -> &'a Value {
    place
        .split('.')
        .fold(template, |value, name| match name.parse::<usize>() {
            Ok(item) if value.is_array() => &value[item],
            _ => &value[name],
        })
}

/// The shape of a location: the names of an object, or the kind of URL.
fn shape(location: &Value) -> String {
    match location {
        Value::Object(object) => {
            let names: Vec<&str> = object.keys().map(String::as_str).collect();
            names.join(",")
        }
        Value::String(text) if text.starts_with("s3://") => "s3".to_owned(),
        Value::String(text) if text.starts_with("http") => "http".to_owned(),
        other => other.to_string(),
    }
}

/// Compares what Sluice makes of a template with what `sam package` made of it.
fn compare(app: &str, template: &str, text: &str, expected: &BTreeMap<String, &Value>) {
    let packaging = Packaging::read(text).unwrap();
    let place = |local: &LocalPath| local.place.replace('[', ".").replace(']', "");
    let places: BTreeMap<String, &LocalPath> =
        packaging.paths().iter().map(|it| (place(it), it)).collect();
    let found: Vec<&String> = places.keys().collect();
    assert_eq!(found, expected.keys().collect::<Vec<_>>(), "{template}");
    let location = Location {
        bucket: "b".into(),
        key: "k".into(),
        url: "https://b/k".into(),
    };
    let locations = vec![location; places.len()];
    let packaged: Value = serde_saphyr::from_str(&packaging.packaged(&locations)).unwrap();
    for (place, asset) in expected {
        let local = places[place];
        assert_eq!(
            Value::from(local.path.as_str()),
            asset["local"],
            "{template} {place}"
        );
        let is_same_shape = shape(value_at(&packaged, place)) == shape(&asset["packaged"]);
        assert!(is_same_shape, "{template} {place}: {asset}");
        let path = resolve(template, &local.path).unwrap();
        let kind = asset["kind"].as_str().unwrap();
        let is_expected = match local.form {
            Form::Zip => kind == "zip" || kind == "file (already a zip)",
            Form::Template => kind == "template",
            Form::File | Form::Bundle => kind == "file",
        };
        assert!(is_expected, "{template} {place}: {kind}");
        if kind == "zip" {
            assert_eq!(files(&path), listed(asset), "{app} {place}");
        }
    }
}

/// The files of a package that Sluice makes of a folder of the applications, each with whether it is executable.
fn files(folder: &str) -> Vec<(String, bool)> {
    let entries = index(APPLICATIONS, APPLICATIONS.len() as u64).unwrap();
    let files = package_files(&entries, folder).unwrap();
    let files = files.into_iter();
    files
        .map(|(path, file)| (path, file.mode == Mode::Executable))
        .collect()
}

/// The files of a package that `sam package` made.
fn listed(asset: &Value) -> Vec<(String, bool)> {
    let listed = asset["files"].as_array().unwrap().iter();
    let mut files: Vec<_> = listed
        .map(|file| {
            let path = file["path"].as_str().unwrap().to_owned();
            (path, file["mode"] == "100755")
        })
        .collect();
    files.sort();
    files
}

#[test]
fn applications_are_packaged_as_by_the_sam_cli() {
    let all = texts(APPLICATIONS);
    let mut compared = 0;
    for (name, assets) in all
        .iter()
        .filter(|(name, _)| name.ends_with("/assets.json"))
    {
        let app = name.trim_end_matches("/assets.json");
        let assets: BTreeMap<String, Value> = serde_json::from_str(assets).unwrap();
        // The key of what a nested template refers to begins with the folder of that template.
        let mut by_template: BTreeMap<String, BTreeMap<String, &Value>> = BTreeMap::new();
        for (key, asset) in &assets {
            let (folder, place) = key
                .rfind("/Resources.")
                .map_or(("", key.as_str()), |at| (&key[..=at], &key[at + 1..]));
            let template = format!("{app}/.aws-sam/build/{folder}template.yaml");
            let places = by_template.entry(template).or_default();
            places.insert(place.to_owned(), asset);
        }
        for (template, expected) in by_template {
            compare(app, &template, &all[&template], &expected);
            compared += expected.len();
        }
    }
    assert_eq!(compared, 36);
}
