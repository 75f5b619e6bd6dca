//! The probable project path for a `spec.source.project` that GitLab does not have.

/// The path of a project that was written as a URL, with GitLab's host or root as a prefix, or with `.git` at
/// the end; `None` in all other cases. `url` is the connection's.
pub fn meant(project: &str, url: &str) -> Option<String> {
    let (host, root) = host_and_root(url);
    let rest = match project.split_once("://") {
        Some((_, rest)) => after_host(rest),
        // An SSH address of git.
        None => match project.split_once(':') {
            Some((_, path)) => path,
            None if host_of(project).eq_ignore_ascii_case(host) => after_host(project),
            None => project,
        },
    };
    // Pages below a project follow `/-/`.
    let path = rest.split("/-/").next().unwrap_or(rest);
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let path = path.trim_matches('/');
    let path = match path.strip_prefix(root) {
        Some(below) if !root.is_empty() && below.starts_with('/') => below.trim_matches('/'),
        _ => path,
    };
    let path = path.strip_suffix(".git").unwrap_or(path);
    let is_path = path.contains('/') && path != project;
    is_path.then(|| path.to_owned())
}

/// The host (with its port) and relative root of the connection's `url`.
fn host_and_root(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let root = rest.split_once('/').map_or("", |(_, root)| root);
    let root = root.trim_end_matches('/');
    (
        host_of(rest),
        root.strip_suffix("api/v4")
            .unwrap_or(root)
            .trim_end_matches('/'),
    )
}

fn host_of(text: &str) -> &str {
    text.split('/').next().unwrap_or(text)
}

fn after_host(text: &str) -> &str {
    text.split_once('/').map_or("", |(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_url_is_converted_to_its_path() {
        let gitlab = "https://gitlab.example.com";
        for (project, url, expected) in [
            (
                "https://gitlab.example.com/shop/checkout",
                gitlab,
                "shop/checkout",
            ),
            (
                "https://gitlab.example.com/shop/checkout.git",
                gitlab,
                "shop/checkout",
            ),
            (
                "https://gitlab.example.com/shop/checkout/",
                gitlab,
                "shop/checkout",
            ),
            (
                "https://gitlab.example.com/a/shop/checkout/-/pipelines?page=2",
                gitlab,
                "a/shop/checkout",
            ),
            (
                "https://other.example.com/shop/checkout",
                gitlab,
                "shop/checkout",
            ),
            ("gitlab.example.com/shop/checkout", gitlab, "shop/checkout"),
            (
                "git@gitlab.example.com:shop/checkout.git",
                gitlab,
                "shop/checkout",
            ),
            (
                "ssh://git@gitlab.example.com:2222/shop/checkout.git",
                gitlab,
                "shop/checkout",
            ),
            ("/shop/checkout", gitlab, "shop/checkout"),
            ("shop/checkout.git", gitlab, "shop/checkout"),
            (
                "https://example.com/gitlab/shop/checkout",
                "https://example.com/gitlab/",
                "shop/checkout",
            ),
            (
                "gitlab/shop/checkout",
                "https://example.com/gitlab/api/v4",
                "shop/checkout",
            ),
        ] {
            assert_eq!(meant(project, url).as_deref(), Some(expected), "{project}");
        }
    }

    #[test]
    fn project_path_or_id_gets_no_suggestion() {
        for project in ["shop/checkout", "a/b/c", "42", "https://gitlab.example.com"] {
            assert_eq!(
                meant(project, "https://gitlab.example.com"),
                None,
                "{project}"
            );
        }
    }
}
