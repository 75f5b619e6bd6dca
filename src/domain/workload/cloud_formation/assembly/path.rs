//! Paths in assemblies.

use crate::domain::archive::inside;

/// The path in the archive of what a manifest in `folder` names. Fails if it is not in the assembly, whose folder is
/// `assembly`: nested assemblies share the assets of the outer one, as `../asset.…`.
pub fn in_assembly(assembly: &str, folder: &str, path: &str) -> Result<String, String> {
    let refused = |why: &str| {
        Err(format!(
            "the manifest names {path:?}, which {why}: an assembly has everything that it needs in its own folder, so run \
             cdk synth again"
        ))
    };
    if path.is_empty() || path.starts_with('/') || path.contains(['\\', '\0', ':']) {
        return refused("is not a relative path");
    }
    let mut names: Vec<&str> = Vec::new();
    for name in folder.split('/').chain(path.split('/')) {
        match name {
            "" | "." => {}
            ".." => {
                if names.pop().is_none() {
                    return refused("leads out of the assembly");
                }
            }
            name => names.push(name),
        }
    }
    let found = names.join("/");
    let is_inside = assembly.is_empty() || inside(found.as_bytes(), assembly.as_bytes()).is_some();
    if found.is_empty() || !is_inside {
        return refused("leads out of the assembly");
    }
    Ok(found)
}
