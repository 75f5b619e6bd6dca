//! The desired state of an S3 component: files in a bucket.

use super::site::{S3Location, SiteArchive};
use crate::{
    api::v1alpha1::S3 as Spec,
    domain::{archive, grants::Resource, invalid::Invalid, workload::scope::Scope},
};

/// The desired files of an archive in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredSite {
    /// The component's name.
    pub component: String,
    /// The S3 location.
    pub location: S3Location,
    /// The archive with the files.
    pub archive: SiteArchive,
}

/// The desired site, or why it is invalid.
pub fn desire(s3: &Spec, scope: &Scope<'_>) -> Result<DesiredSite, Invalid> {
    let bucket = scope.expand("bucket", &s3.bucket)?;
    let prefix = scope.expand("prefix", &s3.prefix)?;
    let location =
        S3Location::new(&bucket, &prefix).map_err(|(field, why)| scope.invalid(field, why))?;
    scope.granted("bucket", Resource::Bucket(&bucket))?;
    let artifact = scope.artifact(&s3.artifact)?;
    let tree = s3.path.trim_end_matches('/');
    let summary = artifact.pinned.archive.as_ref();
    if let Some(problem) = archive::site_problem(summary, None, tree) {
        return Err(scope.invalid("artifact", problem));
    }
    Ok(DesiredSite {
        component: scope.component.name.clone(),
        location,
        archive: SiteArchive {
            location: artifact.pinned.location.clone(),
            sha256: artifact.sha256,
            size: artifact.pinned.size.unsigned_abs(),
            tree: tree.to_owned(),
            types: s3.content_types.clone(),
            origin: origin(s3, scope),
        },
    })
}

/// The archive's name in messages.
fn origin(s3: &Spec, scope: &Scope<'_>) -> String {
    let field = format!("spec.components[{}].s3", scope.component.name);
    let mut artifacts = scope.template_artifacts.iter();
    let artifact = artifacts.find(|one| one.name == s3.artifact);
    let job = artifact.map_or_else(String::new, |it| format!(" of job {}", it.job.name));
    format!("artifact {}{job} for {field}", s3.artifact)
}
