//! A component that is files in a bucket.

use super::{Invalid, Scope};
use crate::{
    api::v1alpha1::{PinnedArtifact, S3},
    domain::{
        archive,
        grants::Resource,
        site::{Place, SiteArchive},
    },
};

/// Files of an archive as they should be in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredSite {
    /// Where.
    pub place: Place,
    /// What they are taken from.
    pub archive: SiteArchive,
}

impl Scope<'_> {
    /// How messages call the archive.
    fn origin(&self, s3: &S3) -> String {
        let field = format!("spec.components[{}].s3", self.component.name);
        let mut artifacts = self.template_artifacts.iter();
        let artifact = artifacts.find(|one| one.name == s3.artifact);
        let job = artifact.map_or_else(String::new, |it| format!(" of job {}", it.job.name));
        format!("artifact {}{job} for {field}", s3.artifact)
    }

    pub(super) fn site(
        &self,
        s3: &S3,
        artifacts: &[PinnedArtifact],
    ) -> Result<DesiredSite, Invalid> {
        let bucket = self.expand("bucket", &s3.bucket)?;
        let prefix = self.expand("prefix", &s3.prefix)?;
        let place =
            Place::new(&bucket, &prefix).map_err(|(field, why)| self.invalid(field, why))?;
        self.granted("bucket", Resource::Bucket(&bucket))?;
        let artifact = self.artifact(&s3.artifact, artifacts)?;
        let tree = s3.path.trim_end_matches('/');
        let summary = artifact.pinned.archive.as_ref();
        if let Some(problem) = archive::site_problem(summary, None, tree) {
            return Err(self.invalid("artifact", problem));
        }
        Ok(DesiredSite {
            place,
            archive: SiteArchive {
                location: artifact.pinned.location.clone(),
                sha256: artifact.sha256,
                size: artifact.pinned.size.unsigned_abs(),
                tree: tree.to_owned(),
                types: s3.content_types.clone(),
                origin: self.origin(s3),
            },
        })
    }
}
