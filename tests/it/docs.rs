//! The documentation matches the program: the API server accepts its examples, and its links resolve.

mod health;
mod language;
mod metrics;
mod stacks;

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::cluster::{accepted, cluster, create, namespace};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every page, as its path from the root and its text.
fn pages() -> Vec<(String, String)> {
    let mut paths = vec![
        "README.md".to_owned(),
        "CHANGELOG.md".to_owned(),
        "charts/sluice/README.md".to_owned(),
    ];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let path = path.strip_prefix(root()).unwrap();
            paths.push(path.display().to_string());
        }
    }
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(root().join(&path)).unwrap();
            (path, text)
        })
        .collect()
}

/// The texts between ```` ```<language> ```` and ```` ``` ````.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let open = format!("```{language}\n");
    page.split(open.as_str())
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .collect()
}

#[test]
fn examples_are_accepted() {
    namespace("shop");
    let mut tried = 0;
    for (path, page) in pages() {
        for example in blocks(&page, "yaml") {
            // The other blocks are parts of an object.
            if example.starts_with("apiVersion:") {
                println!("{path}:\n{example}");
                accepted(&create(cluster(), &["--dry-run=server"], example));
                tried += 1;
            }
        }
    }
    assert!(tried >= 3, "only {tried} examples were found");
}

#[test]
fn readme_shows_the_manifest_of_the_demo() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let applied = fs::read_to_string(root().join("tests/lab/src/demo/checkout.yaml")).unwrap();
    assert!(
        blocks(&readme, "yaml").contains(&applied.trim_end()),
        "README.md should show tests/lab/src/demo/checkout.yaml as it is"
    );
}

#[test]
fn links_in_the_documentation_resolve() {
    let mut broken = Vec::new();
    let mut tried = 0;
    for (path, page) in pages() {
        // Generated: without links, but with patterns that look like links.
        if path == "docs/reference.md" {
            continue;
        }
        let folder = Path::new(&path).parent().unwrap();
        for rest in page.split("](").skip(1) {
            let target = rest.split(')').next().unwrap();
            let file = target.split('#').next().unwrap();
            if target.contains("://") || file.is_empty() {
                continue;
            }
            tried += 1;
            if !root().join(folder).join(file).exists() {
                broken.push(format!("{path}: {target}"));
            }
        }
    }
    assert!(tried >= 5, "only {tried} links were found");
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}
