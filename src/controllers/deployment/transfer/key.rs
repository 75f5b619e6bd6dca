//! The identity of a transfer, and the keys of its objects.

use kube::ResourceExt as _;
use url::Url;

use crate::{
    api::v1alpha1::GitLabConnection,
    domain::digest::Sha256,
    ports::{CallError, CallErrorKind},
};

/// The characters that S3 accepts in a key without escaping, besides letters and digits.
const SAFE: &str = "-_.";
const LONGEST_NAME: usize = 128;

/// The identity of a transfer: which bytes go where.
///
/// It includes the connection, so that no namespace gets what only the token of another one may read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransferKey {
    /// The digest of the `GitLabConnection`, from [`connection_digest`].
    pub connection: Sha256,
    /// The name of the GitLab in messages, from [`instance_name`].
    pub instance: String,
    /// GitLab's id of the project.
    pub project_id: i64,
    /// GitLab's id of the job.
    pub job_id: i64,
    /// One file of the artifacts of the job; `None` for the whole archive.
    pub path: Option<String>,
    /// The Account of the bucket.
    pub account: String,
    /// The region of the bucket.
    pub region: String,
}

impl TransferKey {
    /// `artifacts/<connection>/<project>/<job>/<digest of the path>/<file name>`, both digests with all
    /// their 64 digits.
    pub fn object_key(&self) -> String {
        let path = self.path.as_deref().unwrap_or_default();
        let name = match path.rsplit('/').next() {
            Some(name) if !name.is_empty() => safe(name),
            _ => "artifacts.zip".to_owned(),
        };
        format!(
            "artifacts/{}/{}/{}/{}/{name}",
            self.connection,
            self.project_id,
            self.job_id,
            Sha256::of(path.as_bytes()),
        )
    }

    /// The key of the marker that the object is complete. No object of another artifact can have this key:
    /// its path would have another digest.
    pub fn marker_key(&self) -> String {
        format!("{}.json", self.object_key())
    }

    /// The name of the transfer in messages.
    pub fn resource(&self) -> String {
        let Self {
            instance,
            project_id,
            job_id,
            ..
        } = self;
        match &self.path {
            Some(path) => {
                format!("file {path} of job {job_id} of project {project_id} on {instance}")
            }
            None => format!("artifacts of job {job_id} of project {project_id} on {instance}"),
        }
    }

    /// The error of a transfer that no Deployment needs any more.
    pub fn unrequested(&self) -> CallError {
        self.error(
            CallErrorKind::Unavailable,
            "given up, because no Deployment asks for it any more",
        )
    }

    /// An error of this transfer.
    pub fn error(&self, kind: CallErrorKind, message: impl Into<String>) -> CallError {
        CallError::new("transfer", self.resource(), kind, message)
    }
}

/// The identity of a `GitLabConnection` across all clusters: where it is and which GitLab it names.
///
/// It does not include the UID: a connection that is deleted and applied again is the same one, so what it
/// fetched before need not be fetched, or be available, again. Whoever may replace a connection in a
/// namespace could also read what it fetched there.
pub fn connection_digest(cluster_id: &str, connection: &GitLabConnection) -> Sha256 {
    Sha256::of_json(&[
        cluster_id,
        &connection.namespace().unwrap_or_default(),
        &connection.name_any(),
        &canonical_url(&connection.spec.url),
    ])
}

/// A GitLab's host, port if it is not the default of the scheme, and relative root.
pub fn instance_name(url: &str) -> String {
    let Ok(parsed) = Url::parse(url.trim()) else {
        return url.to_owned();
    };
    let host = parsed.host_str().unwrap_or_default();
    let port = parsed.port().map(|port| format!(":{port}"));
    let root = parsed.path().trim_end_matches('/');
    format!("{host}{}{root}", port.unwrap_or_default())
}

/// The canonical form of an address.
fn canonical_url(url: &str) -> String {
    let Ok(parsed) = Url::parse(url.trim()) else {
        return url.to_owned();
    };
    format!(
        "{}://{}:{}{}",
        parsed.scheme(),
        parsed.host_str().unwrap_or_default(),
        parsed.port_or_known_default().unwrap_or_default(),
        parsed.path().trim_end_matches('/')
    )
}

/// Replaces every character that S3 might not accept.
fn safe(text: &str) -> String {
    text.chars()
        .take(LONGEST_NAME)
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || SAFE.contains(letter) {
                letter
            } else {
                '_'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

    use super::*;

    fn connection(namespace: &str, name: &str, url: &str) -> GitLabConnection {
        serde_json::from_value(serde_json::json!({
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"url": url, "tokenSecretRef": {"name": "gitlab", "key": "token"}},
        }))
        .unwrap()
    }

    fn key(path: Option<&str>) -> String {
        TransferKey {
            connection: Sha256::of(b"c"),
            instance: "gitlab.com".to_owned(),
            project_id: 7,
            job_id: 3_580_121_225,
            path: path.map(str::to_owned),
            account: "hub".to_owned(),
            region: "eu-west-1".to_owned(),
        }
        .object_key()
    }

    #[test]
    fn object_keys_are_safe_and_unique_per_path() {
        assert_eq!(
            key(None),
            "artifacts/2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6/7/3580121225/\
             e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/artifacts.zip"
        );
        assert_ne!(key(Some("a/api.zip")), key(Some("b/api.zip")));
        assert!(key(Some("a/api.zip")).ends_with("/api.zip"));
        assert!(key(Some("dist/Ä b%?#.zip")).ends_with("/__b___.zip"));
    }

    #[test]
    fn connection_digest_is_unique_and_survives_recreation() {
        let of = |cluster: &str, namespace: &str, name: &str, url: &str| {
            connection_digest(cluster, &connection(namespace, name, url))
        };
        let one = of("cluster", "shop", "gitlab", "https://gitlab.com");
        for written in [
            "https://gitlab.com/",
            "https://gitlab.com:443",
            " https://GITLAB.com ",
        ] {
            assert_eq!(of("cluster", "shop", "gitlab", written), one, "{written}");
        }
        for other in [
            of("other", "shop", "gitlab", "https://gitlab.com"),
            of("cluster", "till", "gitlab", "https://gitlab.com"),
            of("cluster", "shop", "second", "https://gitlab.com"),
            of("cluster", "shop", "gitlab", "http://gitlab.com"),
            of("cluster", "shop", "gitlab", "https://gitlab.com:8443"),
            of("cluster", "shop", "gitlab", "https://gitlab.com/gitlab"),
            of("cluster", "shop", "gitlab", "http://[::1]:80/x"),
        ] {
            assert_ne!(other, one);
        }
    }

    #[test]
    fn instance_name_has_host_port_and_relative_root() {
        for (url, name) in [
            ("https://gitlab.com/", "gitlab.com"),
            (
                "http://git.example.com:8080/gitlab/",
                "git.example.com:8080/gitlab",
            ),
        ] {
            assert_eq!(instance_name(url), name);
        }
    }
}
