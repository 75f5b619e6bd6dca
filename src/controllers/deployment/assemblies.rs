//! The cloud assemblies of artifacts, which a Release pins together with their bytes: the desired state of a stack of a
//! CDK app, and what it depends on, are known without another read.

use super::gitlab_failure::failed_call;
use crate::{
    api::v1alpha1::{CloudAssembly, Deployment, PinnedArtifact},
    controllers::{
        context::Context,
        workload::{archive::Archive, hub, read_assembly},
    },
    domain::{
        failure::CallErrorKind, outcome::Outcome, reason::Reason, release::unread_assemblies,
    },
    ports::CallError,
};

/// The artifacts, with the assemblies that components of the Deployment need.
pub async fn with_assemblies(
    context: &Context,
    deployment: &Deployment,
    mut artifacts: Vec<PinnedArtifact>,
) -> Result<Vec<PinnedArtifact>, Outcome> {
    loop {
        let next = unread_assemblies(&deployment.spec, &artifacts).next();
        let Some((name, folder)) = next.map(|(name, folder)| (name.to_owned(), folder.to_owned()))
        else {
            return Ok(artifacts);
        };
        let artifact = artifacts.iter_mut().find(|it| it.name == name);
        let artifact = artifact.ok_or_else(|| {
            let why = format!("spec.components: there is no artifact {name}");
            Outcome::stalled(Reason::InvalidSpec, why)
        })?;
        let read = read(context, artifact, &folder).await;
        let assembly = read.map_err(|error| failed(&name, &folder, error))?;
        artifact.assemblies.push(assembly);
    }
}

async fn read(
    context: &Context,
    artifact: &PinnedArtifact,
    folder: &str,
) -> Result<CloudAssembly, CallError> {
    let at = &artifact.location;
    let archive = Archive {
        store: hub(context, at).await?,
        key: at.key.clone(),
        version_id: at.version_id.clone(),
        size: artifact.size.unsigned_abs(),
        origin: format!("assembly {folder} in artifact {}", artifact.name),
    };
    read_assembly(&archive, folder).await
}

fn failed(artifact: &str, folder: &str, error: CallError) -> Outcome {
    if error.kind == CallErrorKind::Invalid {
        let why = format!("spec.artifacts[{artifact}]: {}", error.message);
        return Outcome::stalled(Reason::InvalidArtifact, why);
    }
    failed_call(&format!("assembly {folder} in artifact {artifact}"), error)
}
