//! Local paths in the archive.

use super::super::resolve;

#[test]
fn paths_are_resolved_from_the_folder_of_the_template() {
    for (template, path, expected) in [
        ("template.yaml", "src", "src"),
        ("template.yaml", "./src/", "src"),
        ("template.yaml", ".", ""),
        ("template.yaml", "./", ""),
        ("template.yaml", "a/..", ""),
        ("template.yaml", "a//b/./c", "a/b/c"),
        (
            ".aws-sam/build/template.yaml",
            "HelloFunction",
            ".aws-sam/build/HelloFunction",
        ),
        (".aws-sam/build/template.yaml", "../../src", "src"),
        (".aws-sam/build/template.yaml", "../..", ""),
        ("./a/template.yaml", "../b.zip", "b.zip"),
        ("a/../template.yaml", "b", "b"),
        ("a/template.yaml", "...", "a/..."),
        ("a/template.yaml", "file", "a/file"),
        ("a/template.yaml", "c:d", "a/c:d"),
        ("a/template.yaml", "größe/测 试", "a/größe/测 试"),
        ("a/template.yaml", "ééfile:", "a/ééfile:"),
    ] {
        assert_eq!(
            resolve(template, path).as_deref(),
            Ok(expected),
            "{template} {path}"
        );
    }
}

#[test]
fn paths_that_lead_out_of_the_archive_are_refused() {
    for (template, path, why) in [
        ("template.yaml", "..", "leads out of the artifact"),
        ("template.yaml", "../src", "leads out of the artifact"),
        ("template.yaml", "a/../../src", "leads out of the artifact"),
        (
            ".aws-sam/build/template.yaml",
            "../../../src",
            "leads out of the artifact",
        ),
        ("template.yaml", "/src", "is absolute"),
        ("template.yaml", "//src", "is absolute"),
        ("template.yaml", "file:///src", "is absolute"),
        ("template.yaml", "FILE://src", "is absolute"),
        ("template.yaml", "C:\\src", "is absolute"),
        ("template.yaml", "c:/src", "is absolute"),
        ("template.yaml", "\\\\host\\src", "is absolute"),
    ] {
        let error = resolve(template, path).expect_err(path);
        assert!(
            error.contains(why) && error.contains(&format!("{path:?}")),
            "{error}"
        );
        assert!(
            error.contains("keep the whole folder that sam build writes, such as .aws-sam/build, in the artifact"),
            "{error}"
        );
    }
}

#[test]
fn bytes_that_no_path_has_are_refused() {
    let error = resolve("template.yaml", "a\\b").expect_err("a backslash");
    assert!(error.contains("write / instead"), "{error}");
    let error = resolve("template.yaml", "a\0b").expect_err("a NUL");
    assert!(error.contains("contains a NUL"), "{error}");
}
