//! Projects, branches, tags and commits.

use super::{
    answer::Answer,
    call::{Call, number},
    paging::{self, Totals},
    show,
};
use crate::gitlab::model::{FreezePeriod, Project, ProjectId, Role};

pub fn one(call: &Call<'_>, id: ProjectId) -> Result<Answer, Answer> {
    let project = call.project(id)?;
    Ok(Answer::json(
        call.show().project(project, call.identity.as_ref()),
    ))
}

fn can_push(call: &Call<'_>, protected: bool) -> bool {
    let needed = if protected {
        Role::Maintainer
    } else {
        Role::Developer
    };
    call.identity
        .as_ref()
        .is_some_and(|identity| identity.role >= needed)
}

pub fn branches(call: &Call<'_>, id: ProjectId) -> Result<Answer, Answer> {
    let project: &Project = call.project(id)?;
    let rows: Vec<_> = project.branches.iter().collect();
    paging::page(
        &rows,
        &call.query,
        &call.url(),
        Totals::Included,
        |(name, branch)| {
            call.show()
                .branch(project, name, branch, can_push(call, branch.protected))
        },
    )
}

pub fn branch(call: &Call<'_>, id: ProjectId, name: &str) -> Result<Answer, Answer> {
    if !is_ref_name(name) {
        return Err(Answer::message(400, "The branch refname is invalid"));
    }
    let project = call.project(id)?;
    let found = project.branches.get(name);
    if call.method == "HEAD" {
        return Ok(Answer::empty(if found.is_some() { 204 } else { 404 }));
    }
    let branch = found.ok_or_else(|| Answer::message(404, "404 Branch Not Found"))?;
    Ok(Answer::json(call.show().branch(
        project,
        name,
        branch,
        can_push(call, branch.protected),
    )))
}

pub fn tag(call: &Call<'_>, id: ProjectId, name: &str) -> Result<Answer, Answer> {
    let project = call.project(id)?;
    let tag = project
        .tags
        .get(name)
        .ok_or_else(|| Answer::message(404, "404 Tag Not Found"))?;
    Ok(Answer::json(call.show().tag(project, name, tag)))
}

pub fn commit(call: &Call<'_>, id: ProjectId, name: &str) -> Result<Answer, Answer> {
    let project = call.project(id)?;
    let commit = project
        .resolve(name)
        .ok_or_else(|| Answer::message(404, "404 Commit Not Found"))?;
    let with_stats = call.query.get("stats") != Some("false");
    Ok(Answer::json(
        call.show().commit(project, commit, with_stats),
    ))
}

pub fn freeze_periods(call: &Call<'_>, id: ProjectId) -> Result<Answer, Answer> {
    let rows: Vec<_> = call.project(id)?.freeze_periods.iter().collect();
    paging::page(
        &rows,
        &call.query,
        &call.url(),
        Totals::Included,
        |period: &&FreezePeriod| show::freeze_period(period),
    )
}

pub fn freeze_period(call: &Call<'_>, id: ProjectId, period: &str) -> Result<Answer, Answer> {
    let wanted = number(period, "freeze_period_id")?;
    let periods = &call.project(id)?.freeze_periods;
    let found = periods.iter().find(|period| period.id == wanted);
    let found = found.ok_or_else(Answer::no_record)?;
    Ok(Answer::json(show::freeze_period(found)))
}

/// The part of Git's rules for ref names that is violated in practice.
fn is_ref_name(name: &str) -> bool {
    let has_bad = name
        .chars()
        .any(|c| c.is_control() || " ~^:?*[\\".contains(c));
    let bad_edge = name.starts_with(['-', '/'])
        || name.ends_with(['/', '.'])
        || name.strip_suffix(".lock").is_some();
    !name.is_empty() && !has_bad && !bad_edge && !name.contains("..") && !name.contains("@{")
}
