//! Files in buckets: what the machine asks for in the words of [`crate::domain::site`].

use futures::FutureExt as _;
use kube::ResourceExt as _;

use super::{access::Access, packages};
use crate::{
    controllers::{
        context::Context,
        sites::{Shell, Source, discard_snapshot},
    },
    domain::{
        grants::is_artifact_bucket,
        machine::{PlaceSnapshot, SiteTask},
        site::{Act, KEPT, Place, Read, SiteSeen},
    },
    ports::{CallError, CallErrorKind},
};

/// Looks at something of a place.
pub async fn read(
    context: &Context,
    access: &Access,
    task: &SiteTask,
    read: &Read,
    seen: &mut SiteSeen,
) -> Result<(), CallError> {
    let way = Way::to(context, access, task).await?;
    way.shell(context, access, task)
        .read(read.clone(), seen)
        .boxed()
        .await
}

/// Does something in a place; what failed of it.
pub async fn carry_out(
    context: &Context,
    access: &Access,
    task: &SiteTask,
    act: &Act,
    seen: &mut SiteSeen,
) -> Vec<CallError> {
    match Way::to(context, access, task).await {
        Ok(way) => {
            way.shell(context, access, task)
                .carry_out(act, seen)
                .boxed()
                .await
        }
        Err(error) => vec![error],
    }
}

/// Removes what was put aside of a place for a run that nobody goes back behind any more.
pub async fn discard(
    context: &Context,
    access: &Access,
    then: &PlaceSnapshot,
) -> Result<(), CallError> {
    let records = records(access, &then.place);
    let store = &*access.store;
    let discarding = discard_snapshot(&context.waves, store, &records, &then.snapshot);
    match discarding.boxed().await {
        // It was removed before, by a process that did not live to say so.
        Err(error) if error.kind == CallErrorKind::NotFound => Ok(()),
        ended => ended,
    }
}

/// What the keys of all that is kept of a place begin with.
fn records(access: &Access, place: &Place) -> String {
    format!("{KEPT}/{}/{}", access.folder, place.id())
}

struct Way {
    records: String,
    source: Option<Source>,
}

impl Way {
    async fn to(context: &Context, access: &Access, task: &SiteTask) -> Result<Self, CallError> {
        let bucket = &task.place.bucket;
        let accounts = context.stores.accounts.state();
        if let Some(keeper) = accounts.iter().find(|one| is_artifact_bucket(one, bucket)) {
            let why = format!("Account {} keeps artifacts in it", keeper.name_any());
            let kind = CallErrorKind::Denied;
            return Err(CallError::new(
                "s3:PutObject",
                task.place.to_string(),
                kind,
                why,
            ));
        }
        let source = match &task.archive {
            None => None,
            Some(archive) => Some(Source {
                store: packages::hub(context, &archive.location).await?,
                key: archive.location.key.clone(),
                version_id: archive.location.version_id.clone(),
                sha256: archive.sha256,
                size: archive.size,
                tree: archive.tree.clone(),
                types: archive.types.clone(),
                origin: archive.origin.clone(),
            }),
        };
        Ok(Self {
            records: records(access, &task.place),
            source,
        })
    }

    fn shell<'a>(
        &'a self,
        context: &'a Context,
        access: &'a Access,
        task: &'a SiteTask,
    ) -> Shell<'a> {
        Shell {
            waves: &context.waves,
            sites: &*access.sites,
            store: &*access.store,
            place: &task.place,
            owner: &access.owner,
            records: &self.records,
            copies: &task.copies,
            source: self.source.as_ref(),
        }
    }
}
