//! Resolves the source of a Deployment to the pipeline to release.

mod answer;
mod refs;

use std::{collections::BTreeMap, sync::Arc};

use kube::{ResourceExt as _, runtime::reflector::ObjectRef};

pub use self::answer::{Answer, Unresolved};
use self::{answer::Child, refs::Refs};
use super::{gitlab_failure::failed_call, poll_interval::poll_interval, search::Search};
use crate::{
    api::v1alpha1::{AccountRequires, Deployment, GitLabConnection, Release},
    controllers::{access, context::Context},
    domain::{
        eligibility::{Requirements, Verdict, child_of},
        gates::requirements::{Asker, protected_ref},
        grants, names,
        outcome::Outcome,
        pipeline::{Job, Project},
        project,
        reason::Reason,
        release,
    },
    ports::{CallError, CallErrorKind, gitlab::GitLab},
};

/// Finds the newest eligible pipeline, which may be the one that was released last.
///
/// `project` is read once and then kept there; so is the user of the pipeline of the `last` answer.
pub async fn resolve(
    context: &Context,
    deployment: &Deployment,
    releases: &[Arc<Release>],
    project: &mut Option<Project>,
    last: Option<&Answer>,
) -> Result<Answer, Unresolved> {
    let mut is_new = true;
    let found = find(context, deployment, releases, project, last, &mut is_new).await;
    found.map_err(|outcome| Unresolved {
        outcome,
        is_new: is_new || releases.is_empty(),
    })
}

/// As [`resolve`]. `is_new` always says whether the search is for something that was never released.
async fn find(
    context: &Context,
    deployment: &Deployment,
    releases: &[Arc<Release>],
    remembered: &mut Option<Project>,
    last: Option<&Answer>,
    is_new: &mut bool,
) -> Result<Answer, Outcome> {
    let spec = &deployment.spec.source;
    let connection = connection(context, deployment)?;
    let gitlab = client_of(context, &connection).await?;
    *is_new = !was_released(deployment, releases);
    let url = connection.spec.url.clone();
    let project = match remembered
        .take()
        .or_else(|| released_project(deployment, releases, &url))
    {
        Some(known) => known,
        None => (gitlab.project(&spec.project).await)
            .map_err(|error| no_project(&spec.project, &url, error))?,
    };
    let project = remembered.insert(project).clone();
    let refs = Refs {
        gitlab: &*gitlab,
        project: &project,
        git_ref: &spec.git_ref,
    };
    let floor = released(deployment, releases, project.id);
    *is_new = floor.is_none();
    let mut search = Search::begin(&*gitlab, &project, &spec.git_ref).await?;
    if search.is_empty() {
        refs.check_exists().await?;
    }
    let (chosen, note) = choose(deployment, &refs, &mut search, floor, last, is_new).await?;
    let Search {
        pipelines,
        mut jobs,
        bridges,
        ..
    } = search;
    let Some(pipeline) = pipelines.into_iter().find(|pipeline| pipeline.id == chosen) else {
        return Err(waiting(
            deployment,
            format!("pipeline {chosen} no longer exists"),
        ));
    };
    *is_new = floor != Some(chosen);
    let own = jobs.remove(&chosen).unwrap_or_default();
    let known = refs::known(&url, &project, &pipeline, last, releases);
    let demand = asks_for_protected_ref(context, deployment);
    let asked = demand.is_some() && !known.as_ref().is_some_and(|known| known.done);
    let found = known.as_ref().map(|known| known.reference);
    let reference = refs.of(&pipeline, &own, found, asked).await?;
    // For a pipeline that was released before, the gates require the protected ref.
    let before = known.and_then(|known| known.released);
    if let Some(asker) = demand.filter(|_| before.is_none())
        && reference.protected != Some(true)
    {
        let message = format!(
            "spec.source.requireProtectedRef: {} of {} is not protected, but {} requires that",
            pipeline.git_ref.as_deref().unwrap_or(&spec.git_ref),
            project.path,
            match asker {
                Asker::Deployment => "the Deployment or one of its gates".to_owned(),
                account => account.to_string(),
            }
        );
        return Err(Outcome::stalled(Reason::RefNotProtected, message));
    }
    let same = last.filter(|last| last.pipeline.id == chosen);
    let known = same.map(|last| &last.user);
    let user = match known.or(before.map(|source| &source.user)) {
        Some(user) => user.clone(),
        None => gitlab
            .pipeline_user(project.id, chosen)
            .await
            .map_err(Outcome::from)?,
    };
    let mut children = BTreeMap::new();
    let artifacts = deployment.spec.artifacts.iter();
    for bridge in artifacts.filter_map(|artifact| artifact.job.pipeline.as_deref()) {
        let bridges = bridges.get(&chosen).map(Vec::as_slice);
        let Some(child) = child_of(&pipeline, bridge, bridges.unwrap_or_default()) else {
            continue;
        };
        let jobs = jobs.get(&child).cloned().unwrap_or_default();
        let child = Child {
            pipeline_id: child,
            jobs: needed(jobs, deployment),
        };
        children.insert(bridge.to_owned(), child);
    }
    Ok(Answer {
        url,
        gitlab,
        project,
        pipeline,
        reference,
        user,
        jobs: needed(own, deployment),
        children,
        note,
    })
}

/// Keeps the jobs that artifacts come from, and one that has the commit title. A pipeline may have thousands.
fn needed(mut jobs: Vec<Job>, deployment: &Deployment) -> Vec<Job> {
    let artifacts = &deployment.spec.artifacts;
    let titled = jobs.iter().find(|job| job.commit_title.is_some());
    let titled = titled.map(|job| job.id);
    jobs.retain(|job| Some(job.id) == titled || artifacts.iter().any(|it| it.job.name == job.name));
    jobs.shrink_to_fit();
    jobs
}

/// The newest eligible pipeline above the `floor`, or the floor itself, whose jobs may have been retried.
async fn choose(
    deployment: &Deployment,
    refs: &Refs<'_>,
    search: &mut Search<'_>,
    floor: Option<i64>,
    last: Option<&Answer>,
    is_new: &mut bool,
) -> Result<(i64, Option<String>), Outcome> {
    let requirements = Requirements::of(&deployment.spec);
    let last = last.filter(|last| Some(last.pipeline.id) == floor);
    let seen = last.map(|last| last.artifact_jobs(deployment));
    let seen = seen.unwrap_or_default();
    loop {
        let verdict = requirements.next(search.known(), floor);
        // The note on newer pipelines applies even if the released one is chosen again.
        let passed = match &verdict {
            Verdict::Waiting { message, .. } | Verdict::Nothing { message } => {
                Some(message.clone())
            }
            _ => None,
        };
        let is_final = passed.is_some() || matches!(verdict, Verdict::Released { .. });
        let again = floor
            .filter(|_| is_final)
            .and_then(|floor| requirements.again(search.known(), floor, &seen));
        match again.unwrap_or(verdict) {
            Verdict::NeedPipelines => search.older_pipelines().await?,
            Verdict::NeedJobs(id) => {
                let jobs = search.jobs(id).await?;
                if !refs.includes(jobs).await? {
                    search.pass_over(id);
                }
            }
            Verdict::NeedBridges(id) => search.bridges(id).await?,
            Verdict::NeedTests(id) => search.tests(id).await?,
            Verdict::Eligible { pipeline, note } => {
                let notes: Vec<String> = passed.into_iter().chain(note).collect();
                return Ok((pipeline, (!notes.is_empty()).then(|| notes.join("; "))));
            }
            Verdict::Problem { message, .. } => {
                *is_new = true;
                return Err(Outcome::stalled(Reason::ArtifactMissing, message));
            }
            Verdict::Waiting { message, .. }
            | Verdict::Released { message }
            | Verdict::Nothing { message } => return Err(waiting(deployment, message)),
        }
    }
}

fn waiting(deployment: &Deployment, message: String) -> Outcome {
    Outcome::Waiting {
        reason: Reason::WaitingForPipeline,
        message,
        after: poll_interval(deployment),
    }
}

/// Whether something was released from `spec.source`, as far as that is known without GitLab.
fn was_released(deployment: &Deployment, releases: &[Arc<Release>]) -> bool {
    let spec = &deployment.spec.source;
    let status = deployment.status.as_ref();
    let source = status.and_then(|status| status.source.as_ref());
    let is_recorded = source.is_some_and(|source| {
        source.project.as_ref() == Some(&spec.project) && source.git_ref == spec.git_ref
    });
    is_recorded
        || releases.iter().any(|release| {
            let source = &release.spec.source;
            let is_project =
                source.project == spec.project || source.project_id.to_string() == spec.project;
            is_project && grants::matches(&spec.git_ref, &source.git_ref)
        })
}

/// The project that `spec.source.project` names, if the status and a Release of this GitLab record it.
fn released_project(
    deployment: &Deployment,
    releases: &[Arc<Release>],
    url: &str,
) -> Option<Project> {
    let recorded = deployment.status.as_ref()?.source.as_ref()?;
    if recorded.project.as_ref() != Some(&deployment.spec.source.project) {
        return None;
    }
    let of_it = releases.iter().filter(|release| {
        let source = &release.spec.source;
        source.project_id == recorded.project_id && source.url.as_deref() == Some(url)
    });
    let newest = of_it.max_by_key(|release| release.spec.revision)?;
    Some(Project {
        id: newest.spec.source.project_id,
        path: newest.spec.source.project.clone(),
    })
}

/// The highest pipeline that was released for this source, from the status or from the Releases, which may be
/// a former Deployment's.
fn released(deployment: &Deployment, releases: &[Arc<Release>], project_id: i64) -> Option<i64> {
    let git_ref = &deployment.spec.source.git_ref;
    let status = deployment.status.as_ref();
    let recorded = status
        .and_then(|status| status.source.as_ref())
        .filter(|source| source.project_id == project_id && source.git_ref == *git_ref)
        .map(|source| source.pipeline_id);
    let sources = releases.iter().map(|release| &release.spec.source);
    recorded.max(release::highest_pipeline(sources, project_id, git_ref))
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
        failed_call(
            &format!("GitLabConnection {}", connection.name_any()),
            error,
        )
    })
}

/// Who requires a protected branch or tag, if anyone does.
fn asks_for_protected_ref(context: &Context, deployment: &Deployment) -> Option<Asker> {
    let spec = &deployment.spec;
    let gated = spec.stages.iter().any(|stage| stage.gate.is_some());
    let targets = spec.stages.iter().flat_map(|stage| &stage.targets);
    let required: Vec<(&str, AccountRequires)> = targets
        .filter_map(|target| {
            let account = access::account(context, &target.account).ok()?;
            Some((target.account.as_str(), account.spec.requires.clone()?))
        })
        .collect();
    let own = spec.source.require_protected_ref;
    protected_ref(own, gated, required.iter().map(|(name, one)| (*name, one)))
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
            let all = context.stores.connections.state();
            let here = all
                .iter()
                .filter(|it| it.namespace() == deployment.namespace());
            let names: Vec<String> = here.map(|it| it.name_any()).collect();
            let near = names::but(name, names.iter().map(String::as_str));
            let message = format!(
                "spec.source.connection: this namespace has no GitLabConnection {name}{near}"
            );
            Outcome::stalled(Reason::ConnectionNotFound, message)
        })
}

/// A reference to the connection of a Deployment.
fn connection_ref(deployment: &Deployment) -> ObjectRef<GitLabConnection> {
    ObjectRef::new(&deployment.spec.source.connection)
        .within(&deployment.namespace().unwrap_or_default())
}

/// Why the project can't be read. If it was written as an address, the message says what to write.
fn no_project(project: &str, url: &str, mut error: CallError) -> Outcome {
    if error.kind == CallErrorKind::NotFound
        && let Some(path) = project::meant(project, url)
    {
        error.message = format!("this is not the path of a project: write {path}");
    }
    failed_call("spec.source.project", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_given_as_a_url_is_answered_with_its_path() {
        let failed = |project: &str, kind| {
            let resource = format!("project {project} on gitlab.example.com");
            let why = "the project does not exist, or the token's user can't see it";
            let error = CallError::new("GET /projects/:id", resource, kind, why);
            no_project(project, "https://gitlab.example.com", error)
        };
        let url = "gitlab.example.com/shop/checkout.git";
        let outcome = failed(url, CallErrorKind::NotFound);
        assert_eq!(outcome.reason(), Reason::ProjectNotFound);
        let message = outcome.message();
        assert!(message.starts_with("spec.source.project: "), "{message}");
        assert!(
            message.ends_with("not the path of a project: write shop/checkout"),
            "{message}"
        );
        let other = failed("shop/checkout", CallErrorKind::NotFound);
        assert!(
            other.message().contains("the project does not exist"),
            "{}",
            other.message()
        );
        let down = failed(url, CallErrorKind::Unavailable);
        assert!(!down.message().contains("write shop"), "{}", down.message());
    }
}
