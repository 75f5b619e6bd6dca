//! The URL of a GitLab instance, and the paths of its API.
//!
//! Every request with the token goes to a URL that is built here: the configured scheme, host and port, the
//! configured relative root, and the API below it. Of the URLs that a server returns, only path and query are
//! used.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

/// The characters to encode in a path segment or a query value: all that are not unreserved in URLs.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const API: &str = "/api/v4";

/// An instance with its relative root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    base: Url,
    /// `/gitlab/api/v4`.
    api: String,
}

impl Address {
    /// Parses a connection's `url`; the error is a message for users.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not an http or https address: write it with its scheme, such as \
                 https://gitlab.example.com"
            )
        };
        let base = Url::parse(text.trim()).map_err(|_| wrong())?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(wrong());
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(
                "it must not hold a user or a password: the token is in spec.tokenSecretRef"
                    .to_owned(),
            );
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(format!("{text:?} must not have a query or a fragment"));
        }
        let root = base.path().trim_end_matches('/');
        let root = root.strip_suffix(API).unwrap_or(root);
        let api = format!("{root}{API}");
        Ok(Self { base, api })
    }

    /// Host, non-default port and relative root: `git.example.com:8443/gitlab`.
    pub fn shown(&self) -> String {
        let root = self.api.strip_suffix(API).unwrap_or_default();
        format!("{}{root}", origin(&self.base))
    }

    /// The host alone, in lower case.
    pub fn host(&self) -> String {
        self.base.host_str().unwrap_or_default().to_owned()
    }

    /// The full URL of a path below the API, such as `/projects/7?x=y`, or of a path that
    /// [`Self::own_path`] returned.
    pub fn of(&self, path_and_query: &str) -> Url {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let mut url = self.base.clone();
        // Keeps existing percent-encoding, above all `%2F` in a project's path.
        url.set_path(&format!("{}{path}", self.api));
        url.set_query(query);
        url
    }

    /// The target of a redirect from `from`, as a path below the API; `None` if it leads elsewhere
    /// or back to `from`.
    ///
    /// Scheme, host and port are ignored: they come from the instance's own configuration and may
    /// differ from the connection's.
    pub fn own_path(&self, from: &str, location: &str) -> Option<String> {
        let here = self.of(from);
        let target = here.join(location).ok()?;
        let path = target.path().strip_prefix(&self.api)?;
        if !path.starts_with('/') || target.path() == here.path() && target.query() == here.query()
        {
            return None;
        }
        Some(match target.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        })
    }
}

/// Host and non-default port.
pub fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Encodes a project's id or path, a ref and the like as one path segment or query value: `/` becomes `%2F`.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// Encodes a project's id or path as a path segment, dots included: for a former path with a dot that is not
/// `%2E`, GitLab redirects to a URL that does not exist (python-gitlab's issue 3299).
pub fn project(name: &str) -> String {
    segment(name).replace('.', "%2E")
}

/// Encodes a file's path within an archive and keeps its slashes; the error is a message for users. GitLab
/// answers such a path with a bare 400.
pub fn file_path(path: &str) -> Result<String, String> {
    let parts: Vec<&str> = path.split('/').collect();
    if parts
        .iter()
        .any(|part| part.is_empty() || *part == "." || *part == "..")
    {
        return Err(format!(
            "{path:?} is not the path of a file in an archive: it must be relative, without \
             empty parts, \".\" and \"..\""
        ));
    }
    let encoded: Vec<String> = parts.into_iter().map(segment).collect();
    Ok(encoded.join("/"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed assumption ends the test")]

    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn the_relative_root_is_kept() {
        let table = [
            (
                "https://gitlab.com",
                "gitlab.com",
                "https://gitlab.com/api/v4/version",
            ),
            (
                "https://git.example.com:8443/gitlab/",
                "git.example.com:8443/gitlab",
                "https://git.example.com:8443/gitlab/api/v4/version",
            ),
            (
                "https://git.example.com/api/v4",
                "git.example.com",
                "https://git.example.com/api/v4/version",
            ),
        ];
        for (text, shown, version) in table {
            assert_eq!(address(text).shown(), shown);
            assert_eq!(address(text).of("/version").as_str(), version);
        }
    }

    #[test]
    fn encoded_slashes_stay_encoded() {
        let path = format!(
            "/projects/{}?ref={}",
            segment("shop/Ä b"),
            segment("a&b+c/d")
        );
        assert_eq!(
            address("https://gitlab.com").of(&path).as_str(),
            "https://gitlab.com/api/v4/projects/shop%2F%C3%84%20b?ref=a%26b%2Bc%2Fd"
        );
    }

    #[test]
    fn dots_of_project_paths_are_encoded() {
        assert_eq!(project("jo.doe/check.out"), "jo%2Edoe%2Fcheck%2Eout");
        let address = address("https://gitlab.com");
        for odd in ["..", ".", "a/.."] {
            let url = address.of(&format!("/projects/{}x", project(odd)));
            assert!(url.path().starts_with("/api/v4/projects/"), "{url}");
        }
    }

    #[test]
    fn only_redirects_to_api_paths_are_followed() {
        let address = address("http://inside:8080/gitlab");
        let follow = |location| address.own_path("/projects/a%2Fb", location);
        assert_eq!(
            follow("https://git.example.com/gitlab/api/v4/projects/7?x=1"),
            Some("/projects/7?x=1".to_owned())
        );
        assert_eq!(
            follow("/gitlab/api/v4/projects/7"),
            Some("/projects/7".to_owned())
        );
        for elsewhere in [
            "https://git.example.com/gitlab/users/sign_in",
            "https://git.example.com/api/v4/projects/7",
            "https://git.example.com/gitlab/api/v4x/projects/7",
            "/gitlab/api/v4/../../etc",
            // A proxy redirects to https: following would loop.
            "https://inside/gitlab/api/v4/projects/a%2Fb",
        ] {
            assert_eq!(follow(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn invalid_gitlab_urls_are_refused() {
        for text in [
            "gitlab.com",
            "ftp://gitlab.com",
            "https://user:secret@gitlab.com",
            "https://gitlab.com?x=1",
        ] {
            let error = Address::parse(text).err().unwrap_or_default();
            assert!(!error.is_empty() && !error.contains("secret"), "{text}");
        }
    }

    #[test]
    fn file_paths_keep_their_slashes_and_stay_inside() {
        assert_eq!(file_path("dist/a b.zip").as_deref(), Ok("dist/a%20b.zip"));
        for path in ["", "/a", "a//b", "a/", "../a", "a/./b"] {
            assert!(file_path(path).is_err(), "{path:?}");
        }
    }
}
