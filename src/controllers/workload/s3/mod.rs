//! The shell of files in buckets.

mod content;
mod location;
mod records;
mod waves;

use futures::FutureExt as _;
use kube::ResourceExt as _;

pub use self::{
    content::Source, location::S3LocationShell, records::discard_snapshot, waves::Waves,
};
use super::{Shell, archive::Archive, hub::hub};
use crate::{
    controllers::{access::Access, context::Context},
    domain::{
        grants::is_artifact_bucket,
        workload::{
            protocol::ActionResult,
            s3::{
                Action, Found, Observed, Read, Reply, S3, S3LocationSnapshot, SiteTask,
                site::{S3Location, SITES_PREFIX},
            },
        },
    },
    ports::{CallError, CallErrorKind},
};

impl Shell for S3 {
    async fn read(
        context: &Context,
        access: &Access,
        Read { task, read }: &Read,
        observed: &Observed,
    ) -> Result<Found, CallError> {
        let location = task.location.to_string();
        let mut observed = observed.0.get(&location).cloned().unwrap_or_default();
        let sources = Sources::of(context, access, task).await?;
        let shell = sources.shell(context, access, task);
        shell.read(read.clone(), &mut observed).boxed().await?;
        let observed = Box::new(observed);
        Ok(Found { location, observed })
    }

    async fn carry_out(
        context: &Context,
        access: &Access,
        location: &str,
        Action { task, act }: &Action,
        observed: &Observed,
    ) -> Result<ActionResult<Reply>, CallError> {
        let mut observed = observed.0.get(location).cloned().unwrap_or_default();
        let sources = Sources::of(context, access, task).await?;
        let shell = sources.shell(context, access, task);
        let failed = shell.carry_out(act, &mut observed).boxed().await;
        let observed = Box::new(observed);
        Ok(ActionResult::Kind(Reply { observed, failed }))
    }

    /// The run keeps the objects before it stores the snapshot.
    async fn keep(_: &Context, _: &Access, _: &S3LocationSnapshot) -> Result<(), CallError> {
        Ok(())
    }

    async fn discard(
        context: &Context,
        access: &Access,
        snapshot: &S3LocationSnapshot,
    ) -> Result<(), CallError> {
        let records = records_of(access, &snapshot.location);
        let store = &*access.store;
        let discarding = discard_snapshot(&context.waves, store, &records, &snapshot.snapshot);
        match discarding.boxed().await {
            // A process that stopped before it could record the removal has already removed it.
            Err(error) if error.kind == CallErrorKind::NotFound => Ok(()),
            ended => ended,
        }
    }
}

/// The key prefix of everything that is kept for an S3 location.
fn records_of(access: &Access, location: &S3Location) -> String {
    format!("{SITES_PREFIX}/{}/{}", access.folder, location.id())
}

struct Sources {
    records: String,
    source: Option<Source>,
}

impl Sources {
    async fn of(context: &Context, access: &Access, task: &SiteTask) -> Result<Self, CallError> {
        let bucket = &task.location.bucket;
        let accounts = context.stores.accounts.state();
        if let Some(keeper) = accounts.iter().find(|one| is_artifact_bucket(one, bucket)) {
            let why = format!(
                "Account {} uses it as an artifact bucket",
                keeper.name_any()
            );
            let kind = CallErrorKind::Denied;
            return Err(CallError::new(
                "s3:PutObject",
                task.location.to_string(),
                kind,
                why,
            ));
        }
        let source = match &task.archive {
            None => None,
            Some(archive) => Some(Source {
                archive: Archive {
                    store: hub(context, &archive.location).await?,
                    key: archive.location.key.clone(),
                    version_id: archive.location.version_id.clone(),
                    size: archive.size,
                    origin: archive.origin.clone(),
                },
                sha256: archive.sha256,
                tree: archive.tree.clone(),
                types: archive.types.clone(),
            }),
        };
        Ok(Self {
            records: records_of(access, &task.location),
            source,
        })
    }

    fn shell<'a>(
        &'a self,
        context: &'a Context,
        access: &'a Access,
        task: &'a SiteTask,
    ) -> S3LocationShell<'a> {
        S3LocationShell {
            waves: &context.waves,
            sites: &*access.sites,
            store: &*access.store,
            location: &task.location,
            owner: &access.owner,
            records: &self.records,
            copies: &task.copies,
            source: self.source.as_ref(),
        }
    }
}
