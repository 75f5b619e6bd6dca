//! Projects, their commits, branches and tags.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::Deserialize;

use super::{InstanceState, ProjectId, Refusal, UserId};

/// Who may see that a project exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "GitLab's own words")]
pub enum Visibility {
    #[default]
    Private,
    Internal,
    Public,
}

/// A branch or a tag.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "GitLab's own words")]
pub struct Ref {
    pub sha: String,
    pub protected: bool,
}

/// A commit.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "GitLab's own words")]
pub struct Commit {
    pub sha: String,
    pub message: String,
    pub parent: Option<String>,
    pub created_at: Timestamp,
}

/// A period in which nothing should be deployed. GitLab only announces it and blocks nothing.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "GitLab's own words")]
pub struct FreezePeriod {
    pub id: u64,
    pub freeze_start: String,
    pub freeze_end: String,
    pub cron_timezone: String,
    pub created_at: Timestamp,
}

/// A project with its repository.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "GitLab's own words")]
pub struct Project {
    pub id: ProjectId,
    pub path: String,
    pub visibility: Visibility,
    pub creator: UserId,
    pub created_at: Timestamp,
    /// `None` until the first push.
    pub default_branch: Option<String>,
    pub branches: BTreeMap<String, Ref>,
    pub tags: BTreeMap<String, Ref>,
    pub commits: BTreeMap<String, Commit>,
    /// Whether the newest successful pipeline of a ref keeps its artifacts past their expiry.
    pub keep_latest_artifacts: bool,
    /// In the order of creation.
    pub freeze_periods: Vec<FreezePeriod>,
    pub(super) pipelines_made: u64,
}

impl Project {
    /// The commit of a branch, a tag, a full ref name or a (short) SHA.
    pub fn resolve(&self, name: &str) -> Option<&Commit> {
        let by_name = name
            .strip_prefix("refs/heads/")
            .map(|branch| self.branches.get(branch))
            .or_else(|| {
                name.strip_prefix("refs/tags/")
                    .map(|tag| self.tags.get(tag))
            })
            .unwrap_or_else(|| self.branches.get(name).or_else(|| self.tags.get(name)));
        if let Some(found) = by_name {
            return self.commits.get(&found.sha);
        }
        let is_sha = name.len() >= 7 && name.bytes().all(|b| b.is_ascii_hexdigit());
        is_sha
            .then(|| {
                self.commits
                    .values()
                    .find(|commit| commit.sha.starts_with(name))
            })
            .flatten()
    }
}

impl InstanceState {
    /// Creates a private, empty project. Its creator is the first user, who is created if missing.
    pub fn create_project(&mut self, now: Timestamp, path: &str) -> Result<ProjectId, Refusal> {
        if !path.contains('/') {
            return Err(Refusal::missing("namespace in the path", path));
        }
        if self.project_at(path).is_some() {
            return Err(Refusal::Exists {
                kind: "project",
                name: path.to_owned(),
            });
        }
        let creator = match self.users.keys().next() {
            Some(id) => *id,
            None => self.create_user(now, "root")?,
        };
        let id = self
            .projects
            .last_key_value()
            .map_or(ProjectId::FIRST, |(id, _)| id.next());
        let project = Project {
            id,
            path: path.to_owned(),
            visibility: Visibility::Private,
            creator,
            created_at: now,
            default_branch: None,
            branches: BTreeMap::new(),
            tags: BTreeMap::new(),
            commits: BTreeMap::new(),
            keep_latest_artifacts: true,
            freeze_periods: Vec::new(),
            pipelines_made: 0,
        };
        self.moved.remove(path);
        self.projects.insert(id, project);
        Ok(id)
    }

    /// The project with that id.
    pub fn project(&self, id: ProjectId) -> Result<&Project, Refusal> {
        self.projects
            .get(&id)
            .ok_or_else(|| Refusal::missing("project", &id))
    }

    /// The project with that id, mutable.
    pub fn project_mut(&mut self, id: ProjectId) -> Result<&mut Project, Refusal> {
        self.projects
            .get_mut(&id)
            .ok_or_else(|| Refusal::missing("project", &id))
    }

    /// The project that has this path now.
    pub fn project_at(&self, path: &str) -> Option<&Project> {
        self.projects.values().find(|project| project.path == path)
    }

    /// The project that had this path before it moved.
    pub fn project_moved_from(&self, path: &str) -> Option<&Project> {
        self.projects.get(self.moved.get(path)?)
    }

    /// Gives a project another path; the old one redirects until another project takes it.
    pub fn move_project(&mut self, id: ProjectId, path: &str) -> Result<(), Refusal> {
        if self.project_at(path).is_some() {
            return Err(Refusal::Exists {
                kind: "project",
                name: path.to_owned(),
            });
        }
        let project = self.project_mut(id)?;
        let old = std::mem::replace(&mut project.path, path.to_owned());
        self.moved.remove(path);
        self.moved.insert(old, id);
        Ok(())
    }

    /// Adds a commit to a branch, which is created if missing. The first branch becomes the default one
    /// and is protected, as in GitLab.
    pub fn push(
        &mut self,
        now: Timestamp,
        id: ProjectId,
        branch: &str,
        message: &str,
    ) -> Result<String, Refusal> {
        let project = self.project_mut(id)?;
        let start = project
            .default_branch
            .as_ref()
            .and_then(|name| project.branches.get(name));
        let parent = project
            .branches
            .get(branch)
            .or(start)
            .map(|found| found.sha.clone());
        let seed = format!("{id} {branch} {} {message} {now}", project.commits.len());
        let sha = hex::encode(digest::digest(
            &digest::SHA1_FOR_LEGACY_USE_ONLY,
            seed.as_bytes(),
        ));
        let commit = Commit {
            sha: sha.clone(),
            message: message.to_owned(),
            parent,
            created_at: now,
        };
        project.commits.insert(sha.clone(), commit);
        let is_first = project.default_branch.is_none();
        if is_first {
            project.default_branch = Some(branch.to_owned());
        }
        project
            .branches
            .entry(branch.to_owned())
            .and_modify(|found| found.sha.clone_from(&sha))
            .or_insert_with(|| Ref {
                sha: sha.clone(),
                protected: is_first,
            });
        Ok(sha)
    }

    /// Sets a lightweight tag, moving it if it exists.
    pub fn tag(&mut self, id: ProjectId, tag: &str, sha: &str) -> Result<(), Refusal> {
        let project = self.project_mut(id)?;
        if !project.commits.contains_key(sha) {
            return Err(Refusal::missing("commit", sha));
        }
        let protected = project.tags.get(tag).is_some_and(|found| found.protected);
        project.tags.insert(
            tag.to_owned(),
            Ref {
                sha: sha.to_owned(),
                protected,
            },
        );
        Ok(())
    }

    /// Protects or unprotects a branch or tag.
    pub fn protect(&mut self, id: ProjectId, name: &str, protected: bool) -> Result<(), Refusal> {
        let project = self.project_mut(id)?;
        let found = match project.branches.get_mut(name) {
            Some(branch) => branch,
            None => project
                .tags
                .get_mut(name)
                .ok_or_else(|| Refusal::missing("branch or tag", name))?,
        };
        found.protected = protected;
        Ok(())
    }

    /// Adds a freeze period; its times are not validated.
    pub fn add_freeze_period(
        &mut self,
        now: Timestamp,
        id: ProjectId,
        (freeze_start, freeze_end, cron_timezone): (&str, &str, &str),
    ) -> Result<u64, Refusal> {
        // Ids are unique in the instance, and exceed 32 bits like those of gitlab.com may.
        self.freeze_periods_made += 1;
        let period = 2_600_000_000 + self.freeze_periods_made;
        self.project_mut(id)?.freeze_periods.push(FreezePeriod {
            id: period,
            freeze_start: freeze_start.to_owned(),
            freeze_end: freeze_end.to_owned(),
            cron_timezone: cron_timezone.to_owned(),
            created_at: now,
        });
        Ok(period)
    }

    /// Removes a freeze period.
    pub fn remove_freeze_period(&mut self, id: ProjectId, period: u64) -> Result<(), Refusal> {
        let periods = &mut self.project_mut(id)?.freeze_periods;
        let index = (periods.iter().position(|one| one.id == period))
            .ok_or_else(|| Refusal::missing("freeze period", &period))?;
        periods.remove(index);
        Ok(())
    }

    /// Deletes a branch or tag; its commits stay.
    pub fn delete_ref(&mut self, id: ProjectId, name: &str) -> Result<(), Refusal> {
        let project = self.project_mut(id)?;
        let removed = project
            .branches
            .remove(name)
            .or_else(|| project.tags.remove(name));
        removed
            .map(drop)
            .ok_or_else(|| Refusal::missing("branch or tag", name))
    }
}
