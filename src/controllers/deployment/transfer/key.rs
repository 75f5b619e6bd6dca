//! What tells one transfer from another, and where its bytes are kept.

use url::Url;

use crate::{
    domain::digest::Sha256,
    ports::{CallError, CallErrorKind},
};

/// What S3 takes in a key without any escaping, besides letters and digits.
const SAFE: &str = "-_.";
const LONGEST_NAME: usize = 128;

/// Which bytes go where.
///
/// The connection is a part of it, so that nobody is handed what only somebody else's token may read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransferKey {
    /// The uid of the `GitLabConnection`.
    pub connection: String,
    /// The GitLab, by [`instance_name`].
    pub instance: String,
    /// GitLab's id of the project.
    pub project_id: i64,
    /// GitLab's id of the job.
    pub job_id: i64,
    /// One file of the job's artifacts; the whole archive where it is left out.
    pub path: Option<String>,
    /// The Account that keeps it.
    pub account: String,
    /// The region of the bucket.
    pub region: String,
}

impl TransferKey {
    /// `artifacts/<instance>/<project>/<job>/<16 hex digits of the path's digest>/<file name>`.
    ///
    /// The digest keeps files of one name apart.
    pub fn object_key(&self) -> String {
        let path = self.path.as_deref().unwrap_or_default();
        let digest = Sha256::of(path.as_bytes()).to_string();
        let name = match path.rsplit('/').next() {
            Some(name) if !name.is_empty() => safe(name),
            _ => "artifacts.zip".to_owned(),
        };
        format!(
            "artifacts/{}/{}/{}/{}/{name}",
            safe(&self.instance),
            self.project_id,
            self.job_id,
            &digest[..16],
        )
    }

    /// Where it is remembered that the object is complete. No other artifact's object can have this
    /// key: its path would have another digest.
    pub fn marker_key(&self) -> String {
        format!("{}.json", self.object_key())
    }

    /// For messages.
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

    /// An error of this transfer.
    pub fn error(&self, kind: CallErrorKind, message: impl Into<String>) -> CallError {
        CallError::new("transfer", self.resource(), kind, message)
    }
}

/// A GitLab by its address: the host where it is at the root of an https server, else with a digest
/// of scheme, port and relative root behind it. Two instances never share a name.
pub fn instance_name(url: &str) -> String {
    let Ok(parsed) = Url::parse(url.trim()) else {
        return Sha256::of(url.as_bytes()).short();
    };
    let host = parsed.host_str().unwrap_or_default();
    let root = parsed.path().trim_end_matches('/');
    if parsed.scheme() == "https" && parsed.port().is_none() && root.is_empty() {
        return safe(host);
    }
    let port = parsed.port_or_known_default().unwrap_or_default();
    let whole = format!("{}://{host}:{port}{root}", parsed.scheme());
    format!("{}-{}", safe(host), Sha256::of(whole.as_bytes()).short())
}

/// With every character that S3 might take amiss replaced.
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
    use super::*;

    fn key(path: Option<&str>) -> String {
        TransferKey {
            connection: "uid".to_owned(),
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
    fn keys_are_safe_and_tell_paths_apart() {
        assert_eq!(
            key(None),
            "artifacts/gitlab.com/7/3580121225/e3b0c44298fc1c14/artifacts.zip"
        );
        assert_ne!(key(Some("a/api.zip")), key(Some("b/api.zip")));
        assert!(key(Some("a/api.zip")).ends_with("/api.zip"));
        assert!(key(Some("dist/Ä b%?#.zip")).ends_with("/__b___.zip"));
    }

    #[test]
    fn instances_do_not_share_names() {
        assert_eq!(instance_name("https://gitlab.com/"), "gitlab.com");
        assert_eq!(instance_name("https://gitlab.com:443"), "gitlab.com");
        let mut names: Vec<_> = [
            "https://gitlab.com",
            "http://gitlab.com",
            "https://gitlab.com:8443",
            "https://gitlab.com/gitlab",
            "https://gitlab.com/other/",
            "http://[::1]:80/x",
        ]
        .map(instance_name)
        .into();
        assert_eq!(
            instance_name("https://gitlab.com/other"),
            names[4],
            "a slash at the end is nothing"
        );
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 6);
    }
}
