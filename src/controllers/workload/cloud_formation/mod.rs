//! The shell of CloudFormation stacks.

mod assembly;
mod asset_bucket;
mod assets;
mod kept;
mod record;
mod templates;
mod text;

pub use self::assembly::read_assembly;
use super::Shell;
use crate::{
    controllers::{access::Access, context::Context},
    domain::{
        ownership::is_marked,
        workload::{
            cloud_formation::{
                Action, CloudFormation, Found, FoundWhat, NewChangeSet, Observed, Read, Reply,
                Stack, StackSnapshot, TemplateDigests, TemplateText, What,
            },
            protocol::ActionResult,
        },
    },
    ports::{CallError, CallErrorKind, stacks::Stacks},
};

impl Shell for CloudFormation {
    async fn read(
        context: &Context,
        access: &Access,
        Read { stack, what }: &Read,
        _: &Observed,
    ) -> Result<Found, CallError> {
        let stacks = access.stacks(context).await?;
        let what = match what {
            What::Stack => {
                let found = self::stack(access, &*stacks, stack).await?;
                FoundWhat::Stack(found.map(Box::new))
            }
            What::Template(id) => {
                FoundWhat::Template(TemplateDigests::of(&stacks.template(id).await?))
            }
            What::Source(file) => {
                let source = templates::source(context, access, stack, file).await?;
                FoundWhat::Source(file.id(), source)
            }
            What::ChangeSet(name) => {
                let found = stacks.change_set(stack, name).await?;
                FoundWhat::ChangeSet(name.clone(), found.map(Box::new))
            }
            What::Events { stack, token } => {
                FoundWhat::Events(token.clone(), stacks.events(stack, token).await?)
            }
            What::Resources(id) => FoundWhat::Resources(stacks.resources(id).await?),
        };
        Ok(Found {
            stack: stack.clone(),
            what,
        })
    }

    async fn carry_out(
        context: &Context,
        access: &Access,
        stack: &str,
        action: &Action,
        _: &Observed,
    ) -> Result<ActionResult<Reply>, CallError> {
        let stacks = access.stacks(context).await?;
        match action {
            Action::CreateChangeSet(new) => {
                let template = match &new.template {
                    TemplateText::Exact(digest) => kept::exact(access, *digest).await?,
                    TemplateText::Kept(digests) => kept::kept(access, *digests).await?,
                };
                let new = NewChangeSet {
                    stack: stack.to_owned(),
                    name: new.name.clone(),
                    creates: new.creates,
                    template,
                    settings: new.settings.clone(),
                    token: new.name.clone(),
                    imports_existing: new.imports_existing,
                };
                stacks.create_change_set(&new).await?;
            }
            Action::Execute { change_set, token } => {
                stacks.execute(stack, change_set, token).await?;
            }
            Action::DeleteChangeSet { change_set } => {
                stacks.delete_change_set(stack, change_set).await?;
            }
            Action::CancelUpdate { stack, token } => stacks.cancel_update(stack, token).await?,
            Action::ContinueRollback {
                stack,
                role,
                skip,
                token,
            } => stacks.continue_rollback(stack, role, skip, token).await?,
            Action::Adopt { key, owner } => record::write(access, key, owner).await?,
            Action::Disown { key } => record::delete(access, key).await?,
            Action::Delete { stack, token } => stacks.delete(stack, None, &[], token).await?,
        }
        let is_aws_working = !matches!(
            action,
            Action::DeleteChangeSet { .. } | Action::Adopt { .. } | Action::Disown { .. }
        );
        Ok(ActionResult::Kind(Reply { is_aws_working }))
    }

    async fn keep(
        context: &Context,
        access: &Access,
        snapshot: &StackSnapshot,
    ) -> Result<(), CallError> {
        let Some(before) = &snapshot.before else {
            return Ok(());
        };
        let stacks = access.stacks(context).await?;
        let text = stacks.template(&before.id).await?;
        if TemplateDigests::of(&text) != before.template {
            return Err(CallError::new(
                "cloudformation:GetTemplate",
                &snapshot.stack_name,
                CallErrorKind::Stale,
                "the template was changed since it was read",
            ));
        }
        kept::keep(access, &text).await.map(|_| ())
    }

    /// Other snapshots and Releases share the templates, so they stay.
    async fn discard(_: &Context, _: &Access, _: &StackSnapshot) -> Result<(), CallError> {
        Ok(())
    }
}

/// A stack, with the change sets that wait to create it, and the record of an adopted one.
async fn stack(
    access: &Access,
    stacks: &dyn Stacks,
    name: &str,
) -> Result<Option<Stack>, CallError> {
    let Some(mut found) = stacks.stack(name).await? else {
        return Ok(None);
    };
    if found.status == "REVIEW_IN_PROGRESS" {
        found.pending = stacks.change_sets(name).await?;
    } else if !is_marked(&found.tags) {
        found.record = record::read(access, &found.record_key()).await?;
    }
    Ok(Some(found))
}
