//! The repository's generated files match the types.
//!
//! With `UPDATE_GENERATED` set the tests write the files instead of comparing them: `make generate` does
//! that.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use sluice::{domain::reason::Section, generate};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares `files` with all that is in `dir`, or writes them there.
fn is_current(dir: &Path, files: &[(String, String)]) {
    let path = root().join(dir);
    let update = std::env::var_os("UPDATE_GENERATED").is_some();
    if update {
        fs::create_dir_all(&path).unwrap();
    }
    let expected: BTreeSet<String> = files.iter().map(|(name, _)| name.clone()).collect();
    for entry in fs::read_dir(&path).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if expected.contains(&name) {
            continue;
        }
        assert!(
            update,
            "{}/{name} belongs to no resource: run make generate",
            dir.display()
        );
        fs::remove_file(path.join(name)).unwrap();
    }
    for (name, text) in files {
        if update {
            fs::write(path.join(name), text).unwrap();
        }
        let found = fs::read_to_string(path.join(name)).unwrap_or_default();
        assert!(
            found == *text,
            "{}/{name} does not match the types: run make generate",
            dir.display()
        );
    }
}

#[test]
fn definitions_are_current() {
    is_current(Path::new("crds"), &generate::definitions_yaml().unwrap());
}

#[test]
fn chart_definitions_are_current() {
    is_current(
        Path::new("charts/sluice/files/crds"),
        &generate::chart_definitions_yaml().unwrap(),
    );
}

#[test]
fn reference_is_current() {
    let path = root().join("docs/reference.md");
    let text = generate::reference_markdown();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/reference.md does not match the types: run make generate"
    );
}

#[test]
fn reason_tables_are_current() {
    let mut shown = Vec::new();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let name = path.file_name().unwrap().display();
        let found = fs::read_to_string(&path).unwrap();
        let (text, sections) = generate::with_reasons(&found).unwrap();
        shown.extend(sections);
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(&path, &text).unwrap();
        } else {
            assert!(
                found == text,
                "the reasons in docs/{name} do not match src/domain/reason.rs: run make generate"
            );
        }
    }
    for section in Section::ALL {
        let times = shown.iter().filter(|one| *one == section).count();
        assert_eq!(times, 1, "pages with the reasons of {section:?}");
    }
}
