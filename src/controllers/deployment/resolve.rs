//! Asks GitLab which pipeline there is to release.

mod refs;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::{ResourceExt as _, runtime::reflector::ObjectRef};

pub use self::refs::Reference;
use self::refs::Refs;
use crate::{
    api::v1alpha1::{AccountRequires, Deployment, GitLabConnection, Release},
    controllers::{context::Context, target},
    domain::{
        duration::duration,
        eligibility::{Known, Requirements, Verdict},
        gates::requirements::{Asker, protected_ref},
        grants,
        outcome::Outcome,
        pipeline::{Job, Pipeline, PipelineQuery, Project},
        release,
    },
    ports::{CallError, gitlab::GitLab},
};

/// The newest eligible pipeline.
pub struct Answer {
    /// Where that GitLab is.
    pub url: String,
    pub gitlab: Arc<dyn GitLab>,
    pub project: Project,
    pub pipeline: Pipeline,
    /// What it is of.
    pub reference: Reference,
    pub user: Option<String>,
    pub jobs: Vec<Job>,
}

/// How often GitLab is asked.
pub fn interval(deployment: &Deployment) -> Duration {
    duration(&deployment.spec.source.interval).unwrap_or(Duration::from_mins(1))
}

/// Finds the newest eligible pipeline; `None` where nothing is newer than what was released.
///
/// `project` is asked for once and then remembered there; so is the user of the pipeline that the
/// `last` answer was about.
pub async fn resolve(
    context: &Context,
    deployment: &Deployment,
    releases: &[Arc<Release>],
    project: &mut Option<Project>,
    last: Option<&Answer>,
) -> Result<Option<Answer>, Outcome> {
    let spec = &deployment.spec.source;
    let connection = connection(context, deployment)?;
    let gitlab = client_of(context, &connection).await?;
    let project = if let Some(project) = project {
        project.clone()
    } else {
        let found = gitlab.project(&spec.project).await;
        let found = found.map_err(|error| about("spec.source.project", error))?;
        project.insert(found).clone()
    };
    let refs = Refs {
        gitlab: &*gitlab,
        project: &project,
        git_ref: &spec.git_ref,
    };
    let mut pipelines = pipelines(&*gitlab, &project, spec.git_ref.as_str()).await?;
    if pipelines.is_empty() {
        refs.exist().await?;
    }
    // The pipeline that was released is looked at again: its jobs may have been run anew.
    let below = released(deployment, releases, project.id).map(|id| id - 1);
    let (mut jobs, mut tests) = (BTreeMap::new(), BTreeMap::new());
    let requirements = Requirements::of(&deployment.spec);
    let chosen = loop {
        let known = Known {
            pipelines: &pipelines,
            jobs: &jobs,
            tests: &tests,
        };
        match requirements.next(known, below) {
            Verdict::NeedJobs(id) => {
                let found = gitlab.jobs(project.id, id).await.map_err(Outcome::from)?;
                if refs.mean(&found).await? {
                    jobs.insert(id, found);
                } else {
                    pipelines.retain(|pipeline| pipeline.id != id);
                }
            }
            Verdict::NeedTests(id) => {
                tests.insert(
                    id,
                    gitlab
                        .test_summary(project.id, id)
                        .await
                        .map_err(Outcome::from)?,
                );
            }
            Verdict::Eligible { pipeline, .. } => break pipeline,
            Verdict::Waiting { message, .. } | Verdict::Nothing { message } => {
                return Err(Outcome::Waiting {
                    reason: "WaitingForPipeline",
                    message,
                    after: interval(deployment),
                });
            }
            Verdict::Problem { message, .. } => {
                return Err(Outcome::stalled("ArtifactMissing", message));
            }
        }
    };
    let Some(pipeline) = pipelines.into_iter().find(|pipeline| pipeline.id == chosen) else {
        return Ok(None);
    };
    let url = connection.spec.url.clone();
    let jobs = jobs.remove(&chosen).unwrap_or_default();
    let known = refs::known(&url, &project, &pipeline, last, releases);
    let demand = asks_for_protected_ref(context, deployment);
    let asked = demand.is_some() && !known.as_ref().is_some_and(|known| known.done);
    let found = known.as_ref().map(|known| known.reference);
    let reference = refs.of(&pipeline, &jobs, found, asked).await?;
    // What was released already is kept out by the gates.
    if let Some(asker) = demand.filter(|_| !known.is_some_and(|known| known.released))
        && reference.protected != Some(true)
    {
        let message = format!(
            "spec.source.requireProtectedRef: {} of {} is not protected, which {} asks for",
            pipeline.git_ref.as_deref().unwrap_or(&spec.git_ref),
            project.path,
            match asker {
                Asker::Deployment => "the Deployment or a gate of it".to_owned(),
                account => account.to_string(),
            }
        );
        return Err(Outcome::stalled("RefNotProtected", message));
    }
    let user = match last.filter(|last| last.pipeline.id == chosen) {
        Some(last) => last.user.clone(),
        None => gitlab
            .pipeline_user(project.id, chosen)
            .await
            .map_err(Outcome::from)?,
    };
    Ok(Some(Answer {
        url,
        gitlab,
        project,
        pipeline,
        reference,
        user,
        jobs,
    }))
}

/// The highest pipeline that was released for this source, as the status says or, where a former
/// Deployment's Releases were taken up, as they do.
fn released(deployment: &Deployment, releases: &[Arc<Release>], project_id: i64) -> Option<i64> {
    let git_ref = &deployment.spec.source.git_ref;
    let status = deployment.status.as_ref();
    let said = status
        .and_then(|status| status.source.as_ref())
        .filter(|source| source.project_id == project_id && source.git_ref == *git_ref)
        .map(|source| source.pipeline_id);
    let sources = releases.iter().map(|release| &release.spec.source);
    said.max(release::highest_pipeline(sources, project_id, git_ref))
}

/// The pipelines of a branch or tag, or of the tags that a pattern matches.
async fn pipelines(
    gitlab: &dyn GitLab,
    project: &Project,
    git_ref: &str,
) -> Result<Vec<Pipeline>, Outcome> {
    let pattern = git_ref.contains('*');
    let query = if pattern {
        PipelineQuery::Tags
    } else {
        PipelineQuery::Ref(git_ref.to_owned())
    };
    let mut pipelines = gitlab
        .pipelines(project.id, &query)
        .await
        .map_err(Outcome::from)?;
    if pattern {
        pipelines.retain(|pipeline| {
            pipeline
                .git_ref
                .as_deref()
                .is_some_and(|name| grants::matches(git_ref, name))
        });
    }
    Ok(pipelines)
}

pub async fn client(
    context: &Context,
    deployment: &Deployment,
) -> Result<Arc<dyn GitLab>, Outcome> {
    client_of(context, &*connection(context, deployment)?).await
}

async fn client_of(
    context: &Context,
    connection: &GitLabConnection,
) -> Result<Arc<dyn GitLab>, Outcome> {
    let client = context.gitlabs.client(connection).await;
    client.map_err(|error| {
        about(
            &format!("GitLabConnection {}", connection.name_any()),
            error,
        )
    })
}

/// Who asks that only a protected branch or tag counts, if anybody does.
fn asks_for_protected_ref(context: &Context, deployment: &Deployment) -> Option<Asker> {
    let spec = &deployment.spec;
    let gated = spec.stages.iter().any(|stage| stage.gate.is_some());
    let places = spec.stages.iter().flat_map(|stage| &stage.targets);
    let required: Vec<(&str, AccountRequires)> = places
        .filter_map(|place| {
            let account = target::account(context, &place.account).ok()?;
            Some((place.account.as_str(), account.spec.requires.clone()?))
        })
        .collect();
    let said = spec.source.require_protected_ref;
    protected_ref(said, gated, required.iter().map(|(name, one)| (*name, one)))
}

/// The GitLabConnection that a Deployment names.
pub fn connection(
    context: &Context,
    deployment: &Deployment,
) -> Result<Arc<GitLabConnection>, Outcome> {
    let name = &deployment.spec.source.connection;
    context
        .stores
        .connections
        .get(&connection_ref(deployment))
        .ok_or_else(|| {
            let message = format!(
                "spec.source.connection: there is no GitLabConnection {name} in this namespace"
            );
            Outcome::stalled("ConnectionNotFound", message)
        })
}

/// A reference to the connection of a Deployment.
fn connection_ref(deployment: &Deployment) -> ObjectRef<GitLabConnection> {
    ObjectRef::new(&deployment.spec.source.connection)
        .within(&deployment.namespace().unwrap_or_default())
}

/// A failed call, with the field or object that it is about.
pub fn about(field: &str, error: CallError) -> Outcome {
    let message = format!("{field}: {error}");
    match Outcome::from(error) {
        Outcome::Stalled {
            reason: "NotFound", ..
        } if field.ends_with("project") => Outcome::Stalled {
            reason: "ProjectNotFound",
            message,
        },
        Outcome::Stalled { reason, .. } => Outcome::Stalled { reason, message },
        Outcome::Transient { reason, after, .. } => Outcome::Transient {
            reason,
            message,
            after,
        },
        other => other,
    }
}
