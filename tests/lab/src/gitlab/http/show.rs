//! The JSON of users, tokens, projects, commits and refs, with exactly the keys that GitLab sends.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value, json};

use super::access::Identity;
use crate::gitlab::model::{
    Commit, FreezePeriod, InstanceState, Project, Ref, Role, Token, User, Visibility,
};

/// RFC 3339 with milliseconds.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// RFC 3339 with an offset, as in commits.
fn commit_time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%dT%H:%M:%S.%3f%:z")
        .to_string()
}

/// A freeze period.
pub fn freeze_period(period: &FreezePeriod) -> Value {
    json!({
        "id": period.id,
        "freeze_start": period.freeze_start,
        "freeze_end": period.freeze_end,
        "cron_timezone": period.cron_timezone,
        "created_at": time(period.created_at),
        "updated_at": time(period.created_at),
    })
}

/// The JSON views of one instance with one external address.
#[derive(Clone, Copy)]
pub struct Show<'a> {
    pub state: &'a InstanceState,
    /// The instance's external address, without a trailing slash.
    pub base: &'a str,
}

impl Show<'_> {
    pub fn user_basic(&self, user: &User) -> Value {
        json!({
            "id": user.id,
            "username": user.username,
            "public_email": null,
            "name": user.name,
            "state": "active",
            "locked": false,
            "avatar_url": null,
            "web_url": format!("{}/{}", self.base, user.username),
        })
    }

    /// The public profile of a user.
    pub fn user_profile(&self, user: &User) -> Value {
        let profile = json!({
            "created_at": time(user.created_at),
            "bio": "",
            "location": "",
            "linkedin": "",
            "twitter": "",
            "discord": "",
            "website_url": "",
            "github": "",
            "job_title": "",
            "pronouns": null,
            "organization": "",
            "bot": user.bot,
            "work_information": null,
            "followers": 0,
            "following": 0,
            "local_time": null,
        });
        merged(self.user_basic(user), profile)
    }

    /// The user's own view of themselves.
    pub fn user_own(&self, user: &User) -> Value {
        let own = json!({
            "last_sign_in_at": null,
            "confirmed_at": time(user.created_at),
            "last_activity_on": null,
            "email": format!("{}@example.com", user.username),
            "commit_email": format!("{}@example.com", user.username),
            "theme_id": 3,
            "color_scheme_id": 1,
            "projects_limit": 100_000,
            "current_sign_in_at": null,
            "identities": [],
            "can_create_group": true,
            "can_create_project": true,
            "two_factor_enabled": false,
            "external": false,
            "private_profile": false,
        });
        merged(self.user_profile(user), own)
    }

    pub fn project(&self, project: &Project, identity: Option<&Identity>) -> Value {
        let role = identity.map_or(Role::None, |identity| identity.role);
        let (namespace, name) = project.path.rsplit_once('/').unwrap_or(("", &project.path));
        let reads_code = project.visibility != Visibility::Private || role >= Role::Reporter;
        let web = format!("{}/{}", self.base, project.path);
        let visibility = match project.visibility {
            Visibility::Private => "private",
            Visibility::Internal => "internal",
            Visibility::Public => "public",
        };
        let mut shown = json!({
            "id": project.id,
            "description": null,
            "name": name,
            "name_with_namespace": format!("{} / {name}", namespace.replace('/', " / ")),
            "path": name,
            "path_with_namespace": project.path,
            "created_at": time(project.created_at),
            "default_branch": project.default_branch.as_ref().filter(|_| reads_code),
            "tag_list": [],
            "topics": [],
            "ssh_url_to_repo": format!("git@gitlab.example.com:{}.git", project.path),
            "http_url_to_repo": format!("{web}.git"),
            "web_url": web,
            "readme_url": null,
            "forks_count": 0,
            "avatar_url": null,
            "star_count": 0,
            "last_activity_at": time(project.created_at),
            "visibility": visibility,
            "namespace": {
                "id": 1,
                "name": namespace,
                "path": namespace.rsplit('/').next(),
                "kind": "group",
                "full_path": namespace,
                "parent_id": null,
                "avatar_url": null,
                "web_url": format!("{}/groups/{namespace}", self.base),
            },
        });
        if role >= Role::Reporter {
            let member = json!({
                "archived": false,
                "empty_repo": project.commits.is_empty(),
                "builds_access_level": "enabled",
                "repository_access_level": "enabled",
                "keep_latest_artifact": project.keep_latest_artifacts,
                "ci_forward_deployment_enabled": true,
                "ci_id_token_sub_claim_components": ["project_path", "ref_type", "ref"],
                "permissions": {"project_access": {"access_level": role as u8, "notification_level": 3}, "group_access": null},
            });
            shown = merged(shown, member);
        }
        shown
    }

    pub fn commit_brief(&self, project: &Project, commit: &Commit) -> Value {
        let title = commit.message.lines().next().unwrap_or_default();
        json!({
            "id": commit.sha,
            "short_id": &commit.sha[..8],
            "created_at": commit_time(commit.created_at),
            "parent_ids": commit.parent.iter().collect::<Vec<_>>(),
            "title": title,
            "message": commit.message,
            "author_name": "Author",
            "author_email": "author@example.com",
            "authored_date": commit_time(commit.created_at),
            "committer_name": "Author",
            "committer_email": "author@example.com",
            "committed_date": commit_time(commit.created_at),
            "trailers": {},
            "extended_trailers": {},
            "web_url": format!("{}/{}/-/commit/{}", self.base, project.path, commit.sha),
        })
    }

    pub fn commit(&self, project: &Project, commit: &Commit, with_stats: bool) -> Value {
        let last = self
            .state
            .pipelines_of(project)
            .filter(|pipeline| pipeline.sha == commit.sha)
            .last();
        let more = json!({
            "status": last.map(|pipeline| pipeline.status.as_str()),
            "project_id": project.id,
            "last_pipeline": last.map(|pipeline| self.pipeline_basic(pipeline)),
        });
        let shown = merged(self.commit_brief(project, commit), more);
        if !with_stats {
            return shown;
        }
        merged(
            shown,
            json!({"stats": {"additions": 1, "deletions": 0, "total": 1}}),
        )
    }

    pub fn branch(&self, project: &Project, name: &str, branch: &Ref, can_push: bool) -> Value {
        json!({
            "name": name,
            "commit": project.commits.get(&branch.sha).map(|commit| self.commit_brief(project, commit)),
            "merged": false,
            "protected": branch.protected,
            "developers_can_push": false,
            "developers_can_merge": branch.protected,
            "can_push": can_push,
            "default": project.default_branch.as_deref() == Some(name),
            "web_url": format!("{}/{}/-/tree/{name}", self.base, project.path),
        })
    }

    pub fn tag(&self, project: &Project, name: &str, tag: &Ref) -> Value {
        json!({
            "name": name,
            "message": "",
            "target": tag.sha,
            "commit": project.commits.get(&tag.sha).map(|commit| self.commit_brief(project, commit)),
            "release": null,
            "protected": tag.protected,
            "created_at": null,
        })
    }
}

/// The token's own view of itself.
pub fn token(token: &Token, now: Timestamp) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "revoked": token.revoked,
        "created_at": time(token.created_at),
        "description": null,
        "scopes": token.scopes,
        "user_id": token.user,
        "last_used_at": token.last_used_at.map(time),
        "active": !token.revoked && !token.is_expired(now),
        "expires_at": token.expires_at.map(|day| day.to_string()),
    })
}

pub fn merged(mut base: Value, more: Value) -> Value {
    if let (Some(base), Value::Object(more)) = (base.as_object_mut(), more) {
        base.extend::<Map<String, Value>>(more);
    }
    base
}
