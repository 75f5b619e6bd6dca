//! Local paths in the archive of an artifact.

/// The path in the archive of what the template at `template` calls `path`: normal, without `./` before and `/` behind
/// it, and empty for the whole archive. Fails if that is not in the archive.
pub fn resolve(template: &str, path: &str) -> Result<String, String> {
    if path.contains('\0') {
        return Err(format!("the path {path:?} contains a NUL: remove it"));
    }
    if is_absolute(path) {
        return Err(refused(path, "is absolute"));
    }
    if path.contains('\\') {
        return Err(format!(
            "the path {path:?} contains a backslash, and the paths in an archive have none: write / instead"
        ));
    }
    let folder = template.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut names: Vec<&str> = Vec::new();
    for name in folder.split('/').chain(path.split('/')) {
        match name {
            "" | "." => {}
            ".." => {
                names
                    .pop()
                    .ok_or_else(|| refused(path, "leads out of the artifact"))?;
            }
            name => names.push(name),
        }
    }
    Ok(names.join("/"))
}

fn is_absolute(path: &str) -> bool {
    let is_url = path
        .get(..5)
        .is_some_and(|start| start.eq_ignore_ascii_case("file:"));
    let is_drive =
        matches!(path.as_bytes(), [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic());
    is_url || is_drive || path.starts_with(['/', '\\'])
}

fn refused(path: &str, why: &str) -> String {
    format!(
        "the path {path:?} {why}, and only files in the artifact can be packaged: keep the whole folder that sam build \
         writes, such as .aws-sam/build, in the artifact, with its template"
    )
}
