//! A tenant: the namespace, GitLab project and token of a team that delivers.

use serde_json::json;

use super::{Lab, archive, install::documents, namespace};
use crate::{
    error::LabError,
    gitlab::{JobEnd, JobSpec, PipelineId, ProjectId},
    kube::User,
};

/// The GitLabConnection in a tenant's namespace.
const CONNECTION: &str = "gitlab";
/// The Secret with the token, and its key.
const TOKEN_SECRET: (&str, &str) = ("gitlab-token", "token");

/// A team that delivers.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The namespace, with the GitLabConnection `gitlab` and its Secret `gitlab-token` (key `token`).
    pub namespace: String,
    /// The project's id.
    pub project: ProjectId,
    /// The project's path, such as `shop/checkout`.
    pub path: String,
    /// The token in the Secret, with the scope `read_api`.
    pub token: String,
}

impl Lab {
    /// Creates a namespace with a GitLabConnection `gitlab`, and the project `<name>/checkout`.
    pub fn create_namespace(&self, name: &str) -> Result<Tenant, LabError> {
        self.create_tenant(name, &format!("{name}/checkout"))
    }

    /// Creates a namespace with a GitLabConnection `gitlab`, and the project at `path` with one commit on the
    /// protected branch `main`. The namespace may exist.
    pub fn create_tenant(&self, name: &str, path: &str) -> Result<Tenant, LabError> {
        let project = self.gitlab.create_project(path);
        self.gitlab.push(project, "main", "Begin");
        let user = self.gitlab.create_user(&format!("sluice-{name}"));
        let token = self.gitlab.create_token(user, &["read_api"], None);
        let metadata = |object: &str| json!({"name": object, "namespace": name});
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": TOKEN_SECRET.0,
                "namespace": name,
                "labels": {"sluice.dev/gitlab-token": "true"},
            },
            "stringData": {TOKEN_SECRET.1: token},
        });
        let connection = json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "GitLabConnection",
            "metadata": metadata(CONNECTION),
            "spec": {
                "url": self.gitlab.url(),
                "tokenSecretRef": {"name": TOKEN_SECRET.0, "key": TOKEN_SECRET.1},
            },
        });
        self.kube.apply(
            User::Admin,
            &documents(&[namespace(name), secret, connection]),
        )?;
        Ok(Tenant {
            namespace: name.to_owned(),
            project,
            path: path.to_owned(),
            token,
        })
    }

    /// Pushes a commit and runs a pipeline on it with the successful jobs `test` and `package`; `package` has
    /// `zip` as its artifact `dist/api.zip`.
    pub fn deliverable_pipeline(
        &self,
        project: ProjectId,
        git_ref: &str,
        zip: &[u8],
    ) -> PipelineId {
        self.pipeline(project, git_ref, "Change the answer", zip)
    }

    /// [`Lab::deliverable_pipeline`] with the title of the commit.
    pub fn pipeline(
        &self,
        project: ProjectId,
        git_ref: &str,
        title: &str,
        zip: &[u8],
    ) -> PipelineId {
        self.gitlab.push(project, git_ref, title);
        let jobs = vec![
            JobSpec::new("test", "test").ends(JobEnd::success()),
            JobSpec::new("package", "package").ends(JobEnd::uploads(archive(zip))),
        ];
        self.gitlab.run_pipeline(project, git_ref, jobs)
    }
}
